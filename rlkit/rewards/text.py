"""Rewards as text, for the command line and for the configuration of a run.

The text uses a small part of Python's grammar and the names of :mod:`rlkit.rewards`::

    reward  =  sum  |  chain(sum, transform, transform, ...)
    sum     =  part, or parts joined by + and -
    part    =  source(arguments)  |  number * part  |  part * number  |  -part  |  (sum)  |  chain(...)

Arguments are numbers, quoted text or None, by position or keyword. Numbers must be finite in float32. A
text may go over several lines, and ``#`` begins a comment that ends with its line. ``param('name', number)``
in the place of a number makes it a parameter of the reward, by its name in ``reward.params``. Examples::

    success()
    success() + 0.5 * progress('goal_distance') - 0.01 * control_cost()
    chain(success(), potential_shaping('-goal_distance', discount=0.99), clip(-1, 1))
    success() + param('near', 0.5) * progress('goal_distance')

Each source of a sum is one term, named by itself (``progress_goal_distance``) or by its argument
``name``. Nothing is evaluated: the text is parsed, and only constructors in the tables below
are called. The text itself is the stored form: the same text gives the same reward.
"""

import ast
import copy
import inspect
import io
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.fields import shown
from rlkit.rewards import shaping, sources, transforms
from rlkit.rewards.algebra import chain, total
from rlkit.rewards.arguments import Scalar, check_number
from rlkit.rewards.letters import foreign_name, hidden_character
from rlkit.types import PyTree, Reward, Transition

Constructor = Callable[..., Reward]

SOURCES: dict[str, Constructor] = {
    "best_progress": sources.best_progress,
    "control_cost": sources.control_cost,
    "distance": sources.distance,
    "feature": sources.feature,
    "potential_difference": shaping.potential_difference,
    "progress": sources.progress,
    "reached": sources.reached,
    "success": sources.success,
    "survival": sources.survival,
    "task": sources.task,
    "time_penalty": sources.time_penalty,
}
"""Constructors of rewards that pay something of their own."""

TRANSFORMS: dict[str, Constructor] = {
    "clip": transforms.clip,
    "normalise": transforms.normalise,
    "potential_shaping": shaping.potential_shaping,
    "scale": transforms.scale,
    "squash": transforms.squash,
    "symlog": transforms.symlog,
}
"""Constructors of rewards that change the reward so far, for use inside ``chain``."""

_PROGRAMS = ("axis_name",)  # arguments that belong to the program around a reward, not to its text
_LONGEST = 4096  # characters: no sensible reward is longer, and nesting stays within the parser's stack


def parse(text: str) -> Reward:
    """Build a reward from text; see the module's description of the grammar.

    Args:
      text: at most 4096 characters.

    Raises:
      UsageError: the text is not in the grammar, or a constructor refuses its arguments.
      UnknownNameError: a reward or an argument has a name that does not exist; suggests one.
    """
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise UsageError(f"expected a reward as text of at most {_LONGEST} characters; got {shown(text, 40)}")
    start = shown(text)
    if found := hidden_character(text):
        raise UsageError(f"the reward {start} cannot be read: line {found[0]} has {found[1]}")
    try:
        tree = ast.parse(_enclosed(text), mode="eval")
        if line := foreign_name(_enclosed(text)):
            raise SyntaxError(f"a name in line {line} is not of ASCII letters")
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise UsageError(f"the reward {start} cannot be read: {str(error)[:200]}") from None
    try:
        values = _parameters(tree.body)
        if values:
            _sum(_replaced(tree.body, values))  # numbers are refused out of their ranges, arrays are not
        marks = zip(values, _marks(len(values)), strict=True)
        return _named(_sum(_replaced(tree.body, {n: _Parameter(jnp.asarray(x)) for n, x in marks})), values)
    except (RecursionError, OverflowError):
        raise UsageError(f"the reward {start} is nested too deeply or holds too large a number") from None


def _enclosed(text: str) -> str:
    """The text in parentheses, so that it may go over several lines and a comment ends at its line.

    Raises:
      SyntaxError, tokenize.TokenError: the text has no balanced parentheses of its own, or is empty.
    """
    whole, depth, words = f"({text}\n)", 0, 0
    quiet = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(whole).readline):
        words += token.type not in quiet
        depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
        if depth == 0 and words and token.type not in quiet and token.end != (whole.count("\n") + 1, 1):
            raise SyntaxError("its parentheses do not match")
    if words <= 2:
        raise SyntaxError("it is empty")
    return whole


class _Parameter(NamedTuple):
    """What stands for a parameter while a reward is built: a number that nobody writes."""

    number: jax.Array


def _marks(count: int) -> list[np.float32]:
    """Distinct numbers that are found again among the parameters of a reward."""
    return [np.float32(1.0 + 2.0**-20 * (2 * i + 1)) for i in range(count)]


def _parameters(node: ast.expr) -> dict[str, Scalar]:
    """The values of each ``param(name, value)`` by their names."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and _is_param(n.func)]
    values: dict[str, Scalar] = {}
    for call in calls:
        name = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        value = _number(call.args[1]) if len(call.args) == 2 else None
        if not isinstance(name, str) or not name.isidentifier() or value is None or call.keywords:
            raise UsageError(f"{_written(call)}: expected param('name', number)")
        if values.setdefault(name, check_number(name, value)) != value:
            raise UsageError(f"{_written(call)}: the parameter {name!r} has another value elsewhere")
    return values


def _replaced(node: ast.expr, instead: dict[str, Any]) -> ast.expr:
    """A copy of the expression with a constant in the place of each ``param(name, value)``."""

    class Replace(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            if not _is_param(node.func):
                return self.generic_visit(node)
            name: Any = node.args[0]
            return ast.copy_location(ast.Constant(instead[name.value]), node)

    return Replace().visit(copy.deepcopy(node)) if instead else node


def _is_param(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "param"


def _named(reward: Reward, values: dict[str, Scalar]) -> Reward:
    """The reward whose parameters are ``values`` by name, in the places where their marks are."""
    if not values:
        return reward
    leaves, treedef = jax.tree.flatten(reward.params)
    marks = dict(zip(_marks(len(values)), values, strict=True))
    places = [marks.get(np.float32(leaf)) for leaf in leaves]
    if missing := set(values) - set(places):
        raise UsageError(f"the parameter {sorted(missing)[0]!r} stands where a constant is expected")

    def apply(memory: PyTree, transition: Transition, params: PyTree) -> Any:
        pairs = zip(places, leaves, strict=True)
        inner = treedef.unflatten([leaf if name is None else params[name] for name, leaf in pairs])
        return reward.apply(memory, transition, inner)

    return Reward(reward.init, apply, {name: jnp.float32(value) for name, value in values.items()})


def _sum(node: ast.expr) -> Reward:
    parts = [*_parts(node, 1.0)]
    if len(parts) == 1 and parts[0][0] == 1.0:
        return parts[0][1]
    return total(*parts)


def _parts(node: ast.expr, weight: float) -> Iterator[tuple[float, Reward]]:
    """The summands of an expression with their weights."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            yield from _parts(left, weight)
            yield from _parts(right, weight if isinstance(op, ast.Add) else -weight)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if (number := _number(left)) is not None:
            yield from _parts(right, weight * number)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if (number := _number(right)) is not None:
            yield from _parts(left, weight * number)
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if (given := _parameter(left)) is not None:
            yield weight, total((given, _sum(right)))
        case ast.BinOp(left=left, op=ast.Mult(), right=right) if (given := _parameter(right)) is not None:
            yield weight, total((given, _sum(left)))
        case ast.UnaryOp(op=ast.USub(), operand=operand) if _number(node) is None:
            yield from _parts(operand, -weight)
        case ast.Call(func=ast.Name(id="chain")):
            yield weight, _chain(node)
        case ast.Call(func=ast.Name(id=name)):
            if name in TRANSFORMS:
                raise UsageError(
                    f"{name} changes the reward before it: write chain(..., {ast.unparse(node)}), "
                    "or chain(task(), ...) for the environment's own reward"
                )
            yield weight, _call(node, name, SOURCES)
        case ast.Name(id=name):
            raise UsageError(
                f"{name!r} is not called: write {name}(...), and put names of features in quotes"
            )
        case _:
            raise UsageError(
                f"{_written(node)} is not a reward; expected sums of number * source(...), or chain(...)"
            )


def _chain(node: ast.Call) -> Reward:
    if node.keywords or not node.args:
        raise UsageError(f"{_written(node)}: chain takes rewards by position, at least one")
    rewards = [_sum(node.args[0])]
    for step in node.args[1:]:
        match step:
            case ast.Call(func=ast.Name(id=name)) if name not in SOURCES and name != "chain":
                rewards.append(_call(step, name, TRANSFORMS))
            case _:
                raise UsageError(
                    f"{_written(step)} would discard the reward before it in the chain: "
                    "add it to the first reward with +, and chain only " + ", ".join(TRANSFORMS)
                )
    return chain(*rewards)


def _call(node: ast.Call, name: str, table: dict[str, Constructor]) -> Reward:
    if name not in table:
        raise unknown_name("reward", name, [*table, "chain"] if table is SOURCES else table)
    constructor = table[name]
    known = [n for n in inspect.signature(constructor).parameters if n not in _PROGRAMS]
    given = set()
    for keyword in node.keywords:
        if keyword.arg is None:
            raise UsageError(f"{_written(node)}: write the arguments out instead of **")
        if keyword.arg not in known:
            raise unknown_name("argument", keyword.arg, known, where=f"of {name}")
        if keyword.arg in given:
            raise UsageError(f"{_written(node)}: the argument {keyword.arg!r} is given twice")
        given.add(keyword.arg)
    args = [_argument(arg) for arg in node.args]
    kwargs = {keyword.arg: _argument(keyword.value) for keyword in node.keywords if keyword.arg}
    try:
        inspect.signature(constructor).bind(*args, **kwargs)
    except TypeError as error:
        usage = f"{name}({', '.join(known)})"
        raise UsageError(f"{_written(node)}: {error}; expected {usage}") from None
    try:
        return constructor(*args, **kwargs)
    except UsageError as error:
        raise type(error)(f"in {_written(node)}: {error}") from None


def _number(node: ast.expr) -> int | float | None:
    """The value of a number with an optional sign, None if the expression is not one."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as constant):
            value = _number(constant)
            return None if value is None else -value
        case ast.UnaryOp(op=ast.UAdd(), operand=ast.Constant() as constant):
            return _number(constant)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
    return None


def _parameter(node: ast.expr) -> jax.Array | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, _Parameter):
        return node.value.number
    return None


def _written(node: ast.expr) -> str:
    """An expression as it could have been written, shortened."""
    return shown(ast.unparse(node), 200)


def _argument(node: ast.expr) -> int | float | str | jax.Array | None:
    if (given := _parameter(node)) is not None:
        return given
    match node:
        case ast.Constant(value=str() | None as value):
            return value
    value = _number(node)
    if value is None:
        raise UsageError(f"{_written(node)} is not an argument; expected a number, quoted text or None")
    return value


def names() -> tuple[str, ...]:
    """Names of all sources and transforms, sorted."""
    return tuple(sorted({**SOURCES, **TRANSFORMS}))
