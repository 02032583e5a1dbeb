"""Reading a reward program from text. Nothing of the text is ever executed.

A program is one function of Python's grammar::

    memory = {"best": 10.0}  # optional: float or bool entries, and their values at the start of an episode

    def reward(s, a, ns, done, m):  # without memory: reward(s, a, ns, done)
        near = jnp.exp(-jnp.linalg.norm(ns.goal - ns.position) / 0.1)
        best = jnp.minimum(m.best, ns.distance)
        total = near + 0.1 * (m.best - best)
        return total, {"near": near, "best": 0.1 * (m.best - best)}, {"best": best}

``s.name`` and ``ns.name`` are features before and after the action, ``a`` the action, ``done`` whether the
episode ended by itself. Statements are assignments to names and one final return of the total, named terms
and, with memory, its entries after the step. Functions are those of
:data:`rlkit.rewards.language.operations.CALLS`; numbers are float32.
"""

import ast
import difflib
import math
import warnings
from collections.abc import Iterator
from typing import Any

from rlkit.fields import not_float32
from rlkit.rewards.language.ir import ARGUMENTS, LIMITS, MEMORY, Limits, Node, Program, ProgramError
from rlkit.rewards.language.operations import CALLS, OPERATIONS
from rlkit.rewards.letters import foreign_name, hidden_character

_OPERATORS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.BitAnd: "&", ast.BitOr: "|", ast.Invert: "~", ast.USub: "neg",
}  # fmt: skip
_STATEMENTS = "assignments to names, and one return at the end"
_ADVICE: dict[type, str] = {
    ast.IfExp: "conditional expressions are not allowed; use jnp.where",
    ast.If: "if is not allowed; use jnp.where",
    ast.For: "loops are not allowed",
    ast.While: "loops are not allowed",
    ast.Lambda: "lambda is not allowed",
    ast.ListComp: "comprehensions are not allowed",
    ast.SetComp: "comprehensions are not allowed",
    ast.DictComp: "comprehensions are not allowed",
    ast.GeneratorExp: "generators are not allowed",
    ast.BoolOp: "and/or are not allowed; use & and | on conditions",
    ast.JoinedStr: "strings are not values",
    ast.NamedExpr: "assignments inside expressions are not allowed",
    ast.List: "lists are not values",
    ast.Tuple: "tuples are not values",
    ast.Dict: "dictionaries are not values; they stand in the return only",
    ast.Starred: "stars are not allowed",
    ast.Await: "await is not allowed",
}


def parse_program(text: str, limits: Limits = LIMITS) -> Program:
    """Read a program; see the module's description of the grammar.

    Args:
      text: the source.
      limits: how large it may be.

    Raises:
      ProgramError: it is not in the language; says the line, the reason and the layer that refused it.
    """
    tree = _tree(text, limits)
    memory, function = _parts(tree)
    _signature(function, bool(memory))
    return _Reader(memory, limits).read(function)


def _tree(text: str, limits: Limits) -> ast.Module:
    if not isinstance(text, str):
        raise ProgramError("parse", f"expected text, got {type(text).__name__}")
    if len(text) > limits.source or len(text.encode("utf-8", "replace")) > limits.source:
        raise ProgramError("parse", f"longer than {limits.source} bytes; write a shorter program")
    if found := hidden_character(text):
        raise ProgramError("parse", found[1], found[0])
    try:
        with warnings.catch_warnings():  # the parser remarks on literals
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        raise ProgramError("parse", "not Python's grammar", error.lineno or 0) from None
    except (ValueError, RecursionError, MemoryError):
        raise ProgramError("parse", "too deeply nested, or not text") from None
    if line := foreign_name(text):
        raise ProgramError("parse", "names have at most 64 ASCII characters", line)
    for node in ast.walk(tree):  # without recursion
        for name in _identifiers(node):
            if not name.isascii() or len(name) > 64:
                raise ProgramError("parse", "names have at most 64 ASCII characters", _line(node))
    _check_depth(tree, limits.depth)
    return tree


def _identifiers(node: ast.AST) -> Iterator[str]:
    for _, value in ast.iter_fields(node):
        if isinstance(value, str) and not isinstance(node, ast.Constant):
            yield value


def _check_depth(tree: ast.AST, most: int) -> None:
    """Levels of nested expressions, counted without recursion."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        depth += isinstance(node, ast.expr)
        if depth > most:
            raise ProgramError("parse", f"nested more than {most} levels deep; name parts of it", _line(node))
        waiting += [(child, depth) for child in ast.iter_child_nodes(node)]


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _parts(tree: ast.Module) -> tuple[dict[str, float | bool], ast.FunctionDef]:
    """The declared memory and the function."""
    body = [node for node in tree.body if not _is_docstring(node)]
    memory: dict[str, float | bool] = {}
    if body and isinstance(body[0], ast.Assign):
        memory = _declared(body.pop(0))
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        others = [node for node in body if not isinstance(node, ast.FunctionDef)]
        line = _line(others[0] if others else body[1]) if body else 0
        raise ProgramError(
            "parse", "expected exactly one function, reward(s, a, ns, done), and nothing else", line
        )
    return memory, body[0]


def _declared(node: ast.stmt) -> dict[str, float | bool]:
    wrong = ProgramError(
        "parse", 'expected one function, after memory = {"name": number, ...} if it remembers', _line(node)
    )
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Dict) or len(node.targets) != 1:
        raise wrong
    target = node.targets[0]
    if not isinstance(target, ast.Name) or target.id != "memory" or not node.value.keys:
        raise wrong
    if len(node.value.keys) > LIMITS.memory:
        raise ProgramError("limits", f"more than {LIMITS.memory} entries of memory", _line(node))
    memory: dict[str, float | bool] = {}
    for name, value in _entries(node.value):
        number = _literal(value)
        if number is None:
            raise ProgramError("parse", f"memory {name!r}: expected a number, True or False", _line(value))
        memory[name] = number if isinstance(number, bool) else _float(number, value)
    return memory


def _entries(node: ast.Dict) -> list[tuple[str, ast.expr]]:
    """Names and values of a dictionary with literal identifiers as keys."""
    out: list[tuple[str, ast.expr]] = []
    for key, value in zip(node.keys, node.values, strict=True):
        name = key.value if isinstance(key, ast.Constant) else None
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > 64:
            raise ProgramError("parse", 'keys are identifiers in quotes, e.g. {"near": near}', _line(node))
        if name.startswith("_"):
            raise ProgramError(
                "parse", "names of terms and memory do not begin with an underscore", _line(node)
            )
        if name in dict(out):
            raise ProgramError("parse", f"{name!r} comes twice", _line(node))
        out.append((name, value))
    return out


def _signature(function: ast.FunctionDef, remembers: bool) -> None:
    wanted = (*ARGUMENTS, MEMORY) if remembers else ARGUMENTS
    arguments = function.args
    names = tuple(a.arg for a in arguments.args)
    extras = (
        arguments.posonlyargs,
        arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
        arguments.defaults,
    )
    if function.name != "reward" or names != wanted or any(extras):
        raise ProgramError(
            "parse", f"expected def reward({', '.join(wanted)}), without defaults", _line(function)
        )
    if function.decorator_list:
        raise ProgramError("parse", "decorators are not allowed", _line(function))
    if function.returns or any(a.annotation for a in arguments.args) or getattr(function, "type_params", ()):
        raise ProgramError("parse", "annotations are not allowed", _line(function))


def _literal(node: ast.expr) -> int | float | bool | None:
    """The number or truth value that a literal, perhaps with a sign, stands for."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _literal(node.operand)
        if value is None or isinstance(value, bool):
            return None
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    return None


def _float(value: Any, node: ast.AST) -> float:
    if problem := not_float32(value):
        raise ProgramError("numbers", f"a number is {problem}", _line(node))
    return float(value)


def _integer(node: ast.expr | None, what: str, least: int = -64, most: int = 64) -> int:
    value = None if node is None else _literal(node)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        line = 0 if node is None else _line(node)
        raise ProgramError("parse", f"{what}: expected a literal integer of {least} to {most}", line)
    return value


class _Reader:
    """Turns the statements of one function into nodes, in the order in which Python would compute them."""

    def __init__(self, memory: dict[str, float | bool], limits: Limits):
        self.memory, self.limits = memory, limits
        self.nodes: list[Node] = []
        self.constants: list[float] = []
        self.names: dict[str, int] = {}
        self.named: list[tuple[str, int]] = []
        self.reductions = 0

    def read(self, function: ast.FunctionDef) -> Program:
        body = [node for node in function.body if not _is_docstring(node)]
        if not body or not isinstance(body[-1], ast.Return):
            raise ProgramError("parse", "expected a return at the end", _line(function.body[-1]))
        for node in body[:-1]:
            self._statement(node)
        total, terms, remember = self._result(body[-1])
        return Program(
            tuple(self.nodes),
            tuple(self.constants),
            total,
            tuple(terms),
            tuple(self.memory.items()),
            tuple(remember),
            tuple(self.named),
        )

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            self._bind(node.targets[0], self._value(node.value))
        elif isinstance(node, ast.AugAssign):
            op = _OPERATORS.get(type(node.op))
            if op not in ("+", "-", "*", "/") or not isinstance(node.target, ast.Name):
                raise ProgramError("parse", "expected +=, -=, *= or /= on a name", _line(node))
            old = self._value(ast.copy_location(ast.Name(node.target.id, ast.Load()), node))
            self._bind(node.target, self._add(op, (old, self._value(node.value)), (), node))
        else:
            advice = _ADVICE.get(type(node), f"this statement is not allowed; a program has {_STATEMENTS}")
            raise ProgramError("parse", advice, _line(node))

    def _bind(self, target: ast.expr, value: int) -> None:
        if not isinstance(target, ast.Name):
            raise ProgramError("parse", "assignments are to names only", _line(target))
        if target.id in (*ARGUMENTS, MEMORY, "memory", "reward", "jnp", "jax", "abs") or "__" in target.id:
            raise ProgramError("parse", f"{target.id[:64]!r} cannot be assigned to", _line(target))
        self.names[target.id] = value
        self.named.append((target.id, value))

    def _result(self, node: ast.stmt) -> tuple[int, list, list]:
        parts = node.value.elts if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) else []
        shape = 'return total, {"name": value, ...}' + (', {"entry": value, ...}' if self.memory else "")
        if len(parts) != 2 + bool(self.memory) or not all(isinstance(p, ast.Dict) for p in parts[1:]):
            raise ProgramError("abstract", f"expected {shape}", _line(node))
        total = self._value(parts[0])
        if self.nodes[total].op == "constant":
            raise ProgramError(
                "abstract", "the total is a number; expected a value that depends on something"
            )
        terms = [(name, self._value(value)) for name, value in _entries(parts[1])]  # type: ignore[arg-type]
        if not terms or len(terms) > self.limits.terms:
            raise ProgramError("abstract", f"expected 1 to {self.limits.terms} named terms", _line(node))
        remember = []
        if self.memory:
            remember = [(name, self._value(value)) for name, value in _entries(parts[2])]  # type: ignore[arg-type]
            if {name for name, _ in remember} != set(self.memory):
                raise ProgramError(
                    "abstract", f"expected all entries of memory: {', '.join(self.memory)}", _line(node)
                )
        return total, terms, remember

    def _add(self, op: str, args: tuple[int, ...], attrs: tuple, node: ast.AST) -> int:
        if len(self.nodes) >= self.limits.nodes:
            raise ProgramError("limits", f"more than {self.limits.nodes} operations", _line(node))
        if op in OPERATIONS and OPERATIONS[op].reduces:
            self.reductions += 1
            if self.reductions > self.limits.reductions:
                raise ProgramError(
                    "limits", f"more than {self.limits.reductions} sums, norms ...", _line(node)
                )
        self.nodes.append(Node(op, args, attrs, _line(node)))
        return len(self.nodes) - 1

    def _value(self, node: ast.expr) -> int:
        """Read an expression; the node that computes it."""
        number = _literal(node)
        if number is not None:
            if isinstance(number, bool):
                raise ProgramError("parse", "True and False are not values; use jnp.where", _line(node))
            self.constants.append(_float(number, node))
            return self._add("constant", (), (len(self.constants) - 1,), node)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Attribute):
            return self._field(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.UAdd):
                return self._value(node.operand)
            op = _OPERATORS.get(type(node.op))
            if op is None:
                raise ProgramError("parse", "not is not allowed; use ~ on conditions", _line(node))
            return self._add(op, (self._value(node.operand),), (), node)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self._add("[]", (self._value(node.value),), self._index(node.slice), node)
        if isinstance(node, ast.Constant):
            raise ProgramError("parse", "strings and the like are not values", _line(node))
        raise ProgramError("parse", _ADVICE.get(type(node), "this expression is not allowed"), _line(node))

    def _name(self, node: ast.Name) -> int:
        if node.id in ("a", "done"):
            return self._add(node.id, (), (), node)
        if node.id in ("s", "ns", MEMORY):
            raise ProgramError(
                "names", f"{node.id} is not a value; read a field of it, e.g. {node.id}.name", _line(node)
            )
        if node.id not in self.names:
            near = difflib.get_close_matches(node.id, self.names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            layer = "parse" if node.id in ("jnp", "jax") else "names"
            raise ProgramError(layer, f"unknown name {node.id[:64]!r}{hint}", _line(node))
        return self.names[node.id]

    def _field(self, node: ast.Attribute) -> int:
        if not isinstance(node.value, ast.Name) or node.value.id not in ("s", "ns", MEMORY):
            raise ProgramError(
                "parse", "attributes are fields of s and ns only, e.g. ns.position", _line(node)
            )
        side = node.value.id
        if "__" in node.attr:
            raise ProgramError("parse", "this attribute is no declared field", _line(node))
        if side == MEMORY and node.attr not in self.memory:
            known = f"known: {', '.join(self.memory)}" if self.memory else "this program declares no memory"
            raise ProgramError("names", f"unknown memory {node.attr[:64]!r}; {known}", _line(node))
        return self._add(side, (), (node.attr,), node)

    def _binary(self, node: ast.BinOp) -> int:
        op = _OPERATORS.get(type(node.op))
        if op is None:
            raise ProgramError("parse", "this operator is not allowed", _line(node))
        if op != "**":
            left = self._value(node.left)
            return self._add(op, (left, self._value(node.right)), (), node)
        power, most = _literal(node.right), self.limits.exponent
        if power is None or isinstance(power, bool) or not -most <= power <= most:
            raise ProgramError(
                "numbers",
                f"a power out of range: expected a literal of -{most} to {most} behind **",
                _line(node),
            )
        _float(power, node)
        if (base := _literal(node.left)) is not None and not _power_is_finite(float(base), power):
            raise ProgramError("numbers", "a power out of range: not a finite float32", _line(node))
        return self._add(op, (self._value(node.left),), (power,), node)

    def _comparison(self, node: ast.Compare) -> int:
        op = _OPERATORS.get(type(node.ops[0]))
        if len(node.ops) != 1:
            raise ProgramError("parse", "chained comparisons are not allowed; use & on two", _line(node))
        if op is None:
            raise ProgramError("parse", "this comparison is not allowed", _line(node))
        left = self._value(node.left)
        return self._add(op, (left, self._value(node.comparators[0])), (), node)

    def _call(self, node: ast.Call) -> int:
        name = _dotted(node.func)
        if name is None or name not in CALLS:
            near = difflib.get_close_matches(name or "", CALLS, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ProgramError("parse", f"unknown call {(name or 'of this kind')[:64]}{hint}", _line(node))
        operation = OPERATIONS[name]
        if any(keyword.arg is None for keyword in node.keywords):
            raise ProgramError("parse", "stars are not allowed", _line(node))
        options: dict[str | None, ast.expr] = {}
        known = ("axis", "keepdims") if operation.axes else ("axis",) if operation.arity is None else ()
        positional = list(node.args)
        if operation.axes and len(positional) == 2:
            if name == "jnp.linalg.norm":  # it is the order there
                raise ProgramError("parse", f"{name} takes one value; write axis=...", _line(node))
            options["axis"] = positional.pop()
        for keyword in node.keywords:
            if keyword.arg not in known:
                raise ProgramError(
                    "parse", f"{name} does not take {str(keyword.arg)[:64]!r} here", _line(node)
                )
            if keyword.arg in options:  # Python's parser lets it pass
                raise ProgramError("parse", f"{name} is given {keyword.arg} twice", _line(node))
            options[keyword.arg] = keyword.value
        if operation.arity == 0:
            return self._add(name, (), _shape(positional, name, node), node)
        if operation.arity is None:
            if (
                len(positional) != 1
                or not isinstance(positional[0], ast.List | ast.Tuple)
                or not positional[0].elts
            ):
                raise ProgramError("parse", f"{name} takes one list of values", _line(node))
            args = tuple(self._value(part) for part in positional[0].elts)
            axis = _integer(options["axis"], "axis") if "axis" in options else 0
            return self._add(name, args, (axis,), node)
        if len(positional) != operation.arity:
            raise ProgramError(
                "parse", f"{name} takes {operation.arity} value(s), got {len(positional)}", _line(node)
            )
        args = tuple(self._value(part) for part in positional)
        return self._add(name, args, _axis(options, node) if operation.axes else (), node)

    def _index(self, node: ast.expr) -> tuple:
        parts = node.elts if isinstance(node, ast.Tuple) else [node]
        return tuple(_one_index(part) for part in parts)


def _power_is_finite(base: float, power: float) -> bool:
    try:
        value = base**power
    except (OverflowError, ZeroDivisionError):
        return False
    return isinstance(value, float) and not not_float32(value) and math.isfinite(value)


def _dotted(node: ast.expr) -> str | None:
    """``jnp.linalg.norm`` of an attribute chain on a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _axis(options: dict[str | None, ast.expr], node: ast.AST) -> tuple:
    given = options.get("axis")
    if given is None or (isinstance(given, ast.Constant) and given.value is None):
        axis: Any = None
    elif isinstance(given, ast.Tuple):
        axis = tuple(_integer(part, "axis") for part in given.elts)
    else:
        axis = _integer(given, "axis")
    keep = options.get("keepdims")
    if keep is not None and not (isinstance(keep, ast.Constant) and isinstance(keep.value, bool)):
        raise ProgramError("parse", "keepdims: expected True or False", _line(node))
    return (axis, keep is not None and bool(keep.value))  # type: ignore[attr-defined]


def _shape(positional: list[ast.expr], name: str, node: ast.AST) -> tuple[int, ...]:
    if len(positional) != 1:
        raise ProgramError("parse", f"{name} takes a shape", _line(node))
    parts = positional[0].elts if isinstance(positional[0], ast.Tuple | ast.List) else positional
    sizes = []
    for part in parts:
        value = _literal(part)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LIMITS.elements:
            raise ProgramError(
                "shape",
                f"{name}: expected literal sizes of at most {LIMITS.elements}: a size limit",
                _line(node),
            )
        sizes.append(value)
    return tuple(sizes)


def _one_index(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and node.value in (None, Ellipsis):
        return node.value
    if isinstance(node, ast.Slice):
        part = lambda x: None if x is None else _integer(x, "a slice", -LIMITS.elements, LIMITS.elements)
        if node.step is not None and _integer(node.step, "a step") == 0:
            raise ProgramError("parse", "a step of 0", _line(node))
        return ("slice", part(node.lower), part(node.upper), part(node.step))
    return _integer(node, "an index", -LIMITS.elements, LIMITS.elements)
