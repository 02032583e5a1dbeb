"""Shapes and kinds of everything that a program computes, before it computes anything."""

import math
from collections.abc import Mapping

from rlkit.errors import unknown_name
from rlkit.fields import not_float32
from rlkit.rewards.language.ir import LIMITS, Limits, Node, Program, ProgramError
from rlkit.rewards.language.operations import OPERATIONS, OPERATORS, Type
from rlkit.types import EnvSpec


class Fields(dict[str, Type]):
    """What ``s`` and ``ns`` hold, by name."""


def fields_of(spec: EnvSpec, *, privileged: bool = True) -> Fields:
    """The features of an environment that a program may read.

    Args:
      spec: of the environment.
      privileged: also those that the agent cannot see.
    """
    return Fields(
        {f.name: Type(f.shape, f.dtype == "bool") for f in spec.features if privileged or f.observable}
    )


def check_program(
    program: Program, fields: Mapping[str, Type], action: tuple[int, ...], limits: Limits = LIMITS
) -> tuple[Type, ...]:
    """Infer the type of every node.

    Args:
      program: the program.
      fields: features by name.
      action: shape of the action.
      limits: how large a value may be.

    Returns:
      The types of the nodes, in their order.

    Raises:
      ProgramError: an unknown feature, shapes that do not fit, a constant that is not finite, a value that is
        too large, too many that are joined, or a result that is not a scalar.
    """
    types: list[Type] = []
    known: list[float | bool | None] = []  # value of nodes that are numbers alone
    for node in program.nodes:
        try:
            found = _type(node, types, program, fields, action)
        except ValueError as error:
            if isinstance(error, ProgramError):
                raise
            raise ProgramError("shape", f"{node.op}: {error}", node.line) from None
        if math.prod(found.shape) > limits.elements:
            size = math.prod(found.shape)
            raise ProgramError(
                "shape", f"a value of {size} entries, the limit is {limits.elements}", node.line
            )
        if len(found.shape) > limits.axes:
            raise ProgramError("shape", f"a value of more than {limits.axes} axes", node.line)
        types.append(found)
        known.append(_constant(node, known, program))
    joins = [node for node in program.nodes if node.op in OPERATIONS and OPERATIONS[node.op].joins]
    if len(joins) > limits.joins:
        words = f"more than {limits.joins} concatenations and stacks"
        raise ProgramError("limits", words, joins[limits.joins].line)
    _check_result(program, types)
    return tuple(types)


def _type(
    node: Node, types: list[Type], program: Program, fields: Mapping[str, Type], action: tuple[int, ...]
) -> Type:
    if node.op == "constant":
        return Type(())
    if node.op in ("s", "ns"):
        name = node.attrs[0]
        if name not in fields:
            raise ProgramError("names", str(unknown_name("field", name, fields)), node.line)
        return fields[name]
    if node.op == "m":
        return Type((), isinstance(dict(program.memory)[node.attrs[0]], bool))
    if node.op == "a":
        return Type(action)
    if node.op == "done":
        return Type((), True)
    return OPERATIONS[node.op].rule([types[i] for i in node.args], node.attrs)


def _constant(node: Node, known: list[float | bool | None], program: Program) -> float | bool | None:
    """The value of a node that Python would compute from numbers alone; None if it is an array."""
    if node.op == "constant":
        return program.constants[node.attrs[0]]
    values = [known[i] for i in node.args]
    if not values or None in values or node.op == "[]" or node.op not in (*OPERATORS, "abs"):
        return None
    try:
        value = OPERATIONS[node.op].run(values, node.attrs)
    except (ZeroDivisionError, OverflowError):
        raise ProgramError("numbers", "numbers alone give no finite number", node.line) from None
    if isinstance(value, complex) or not_float32(value):
        raise ProgramError("numbers", "numbers alone give no finite float32", node.line)
    return value


def _check_result(program: Program, types: list[Type]) -> None:
    for name, node in [("the total", program.total), *((f"the term {n!r}", i) for n, i in program.terms)]:
        if types[node].shape or types[node].boolean:
            raise ProgramError("abstract", f"{name} is {types[node]}; expected one number")
    initial = dict(program.memory)
    for name, node in program.remember:
        want = Type((), isinstance(initial[name], bool))
        if types[node] != want:
            raise ProgramError("abstract", f"the memory {name!r} is {types[node]}; expected {want}")
    if all(node.op not in ("s", "ns", "a", "done", "m") for node in program.nodes):
        raise ProgramError("abstract", "it depends on nothing: expected a feature, the action or done")
