"""The operations that a reward program may use: their spelling, their shapes, and what they do.

The table is the whole language: what is not in it cannot be called. Values are float32 or bool arrays.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Type(NamedTuple):
    """Shape and kind of a value."""

    shape: tuple[int, ...]
    boolean: bool = False

    def __str__(self) -> str:
        return f"{'bool' if self.boolean else 'float'}{list(self.shape)}"


class Operation(NamedTuple):
    """One operation.

    Attributes:
      arity: how many values it takes; None: a list of at least one.
      rule: ``rule(types, attrs) -> Type``; a ValueError says in words what does not fit.
      run: ``run(values, attrs) -> value``, what the same text would compute as Python.
      reduces: counts against the limit of reductions.
      axes: takes ``axis`` and ``keepdims``.
    """

    arity: int | None
    rule: Callable[[Sequence[Type], tuple], Type]
    run: Callable[[Sequence[Any], tuple], Any]
    reduces: bool = False
    axes: bool = False

    @property
    def joins(self) -> bool:
        """Whether it counts against the limit of joins."""
        return self.arity is None


def _broadcast(types: Sequence[Type]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(t.shape for t in types))
    except ValueError:
        raise ValueError(f"shapes {' and '.join(str(list(t.shape)) for t in types)} do not fit") from None


def _numeric(types: Sequence[Type], attrs: tuple) -> Type:
    if all(t.boolean for t in types):
        raise ValueError("expected a number, got only conditions; use jnp.where to turn them into numbers")
    return Type(_broadcast(types))


def _compare(types: Sequence[Type], attrs: tuple) -> Type:
    return Type(_broadcast(types), True)


def _logical(types: Sequence[Type], attrs: tuple) -> Type:
    if not all(t.boolean for t in types):
        raise ValueError("expected conditions, got a number; compare it with something")
    return Type(_broadcast(types), True)


def _choose(types: Sequence[Type], attrs: tuple) -> Type:
    if not types[0].boolean:
        raise ValueError("expected a condition first, got a number; compare it with something")
    return Type(_broadcast(types), types[1].boolean and types[2].boolean)


def _axes(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    for a in axes:
        if not -len(shape) <= a < len(shape):
            raise ValueError(f"axis {a} of a value of shape {list(shape)}")
    out = tuple(sorted(a % len(shape) for a in axes))
    if len(set(out)) != len(out):
        raise ValueError("an axis comes twice")
    return out


def _reduced(t: Type, attrs: tuple) -> tuple[int, ...]:
    axis, keep = attrs
    axes = _axes(t.shape, axis)
    if not math.prod(t.shape[a] for a in axes):
        raise ValueError("nothing to reduce: the axis has no entries")
    if keep:
        return tuple(1 if i in axes else n for i, n in enumerate(t.shape))
    return tuple(n for i, n in enumerate(t.shape) if i not in axes)


def _reduce(types: Sequence[Type], attrs: tuple) -> Type:
    if types[0].boolean:
        raise ValueError("expected a number, got a condition; use jnp.where to turn it into a number")
    return Type(_reduced(types[0], attrs))


def _norm(types: Sequence[Type], attrs: tuple) -> Type:
    axis = attrs[0]
    if (axis is None and len(types[0].shape) != 1) or isinstance(axis, tuple):
        raise ValueError("jnp.linalg.norm takes a vector, or an axis that is one number")
    return _reduce(types, attrs)


def _reduce_logical(types: Sequence[Type], attrs: tuple) -> Type:
    if not types[0].boolean:
        raise ValueError("expected a condition, got a number; compare it with something")
    return Type(_reduced(types[0], attrs), True)


def _dot(types: Sequence[Type], attrs: tuple) -> Type:
    left, right = types
    if left.boolean or right.boolean:
        raise ValueError("expected numbers, got a condition")
    if len(left.shape) != 1 or left.shape != right.shape:
        raise ValueError(f"expected two vectors of one length, got {left} and {right}")
    return Type(())


def _cross(types: Sequence[Type], attrs: tuple) -> Type:
    if any(t.boolean or t.shape != (3,) for t in types):
        raise ValueError("expected two vectors of length 3")
    return Type((3,))


def _join(types: Sequence[Type], attrs: tuple) -> Type:
    (axis,) = attrs
    first = types[0].shape
    if not first or any(len(t.shape) != len(first) for t in types) or not -len(first) <= axis < len(first):
        raise ValueError("expected arrays with that axis; use jnp.stack for scalars")
    axis %= len(first)
    rest = {t.shape[:axis] + t.shape[axis + 1 :] for t in types}
    if len(rest) != 1 or len({t.boolean for t in types}) != 1:
        raise ValueError("the parts do not fit together")
    return Type((*first[:axis], sum(t.shape[axis] for t in types), *first[axis + 1 :]), types[0].boolean)


def _stack(types: Sequence[Type], attrs: tuple) -> Type:
    (axis,) = attrs
    if len(set(types)) != 1:
        raise ValueError("expected parts of one shape and kind")
    shape = types[0].shape
    if not -len(shape) - 1 <= axis <= len(shape):
        raise ValueError(f"axis {axis} of a stack of values of shape {list(shape)}")
    axis %= len(shape) + 1
    return Type((*shape[:axis], len(types), *shape[axis:]), types[0].boolean)


def as_index(attrs: tuple) -> tuple:
    """The index that a node holds: slices are tuples there, so that programs can be hashed."""
    return tuple(slice(*part[1:]) if isinstance(part, tuple) else part for part in attrs)


def _at(values: Sequence[Any], attrs: tuple) -> Any:
    index = as_index(attrs)
    value = jnp.asarray(values[0]) if isinstance(values[0], float | bool) else values[0]
    return value[index[0] if len(index) == 1 else index]


def _invert(value: Any) -> Any:
    return not value if isinstance(value, bool) else ~value  # Python's ~True is the number -2


def _index(types: Sequence[Type], attrs: tuple) -> Type:
    example = np.broadcast_to(np.zeros(()), types[0].shape)
    try:
        return Type(example[as_index(attrs)].shape, types[0].boolean)
    except IndexError:
        raise ValueError(f"an index that a value of shape {list(types[0].shape)} does not have") from None


def _filled(types: Sequence[Type], attrs: tuple) -> Type:
    return Type(attrs)


def _power(types: Sequence[Type], attrs: tuple) -> Type:
    return _numeric(types, attrs)


def _both(run: Callable[[Any, Any], Any]) -> Callable[[Sequence[Any], tuple], Any]:
    return lambda values, attrs: run(*values)


def _elementwise(arity: int, run: Callable[..., Any], rule: Any = _numeric) -> Operation:
    return Operation(arity, rule, lambda values, attrs: run(*values))


def _reduction(run: Callable[..., Any], rule: Any = _reduce) -> Operation:
    def apply(values: Sequence[Any], attrs: tuple) -> Any:
        axis, keep = attrs
        options = ({} if axis is None else {"axis": axis}) | ({"keepdims": True} if keep else {})
        return run(values[0], **options)

    return Operation(1, rule, apply, reduces=True, axes=True)


_UNARY = (
    "abs", "exp", "expm1", "log", "log1p", "sqrt", "square", "sign", "sin", "cos", "tan", "tanh", "arctan",
    "floor", "ceil", "round", "negative",
)  # fmt: skip
_BINARY = ("minimum", "maximum", "power", "arctan2", "hypot", "mod", "add", "subtract", "multiply", "divide")
_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")

OPERATIONS: dict[str, Operation] = {
    # What operators of the language stand for.
    "+": _elementwise(2, operator.add),
    "-": _elementwise(2, operator.sub),
    "*": _elementwise(2, operator.mul),
    "/": _elementwise(2, operator.truediv),
    "%": _elementwise(2, operator.mod),
    "neg": _elementwise(1, operator.neg),
    "**": Operation(1, _power, lambda values, attrs: values[0] ** attrs[0]),
    "<": _elementwise(2, operator.lt, _compare),
    "<=": _elementwise(2, operator.le, _compare),
    ">": _elementwise(2, operator.gt, _compare),
    ">=": _elementwise(2, operator.ge, _compare),
    "==": _elementwise(2, operator.eq, _compare),
    "!=": _elementwise(2, operator.ne, _compare),
    "&": _elementwise(2, operator.and_, _logical),
    "|": _elementwise(2, operator.or_, _logical),
    "~": _elementwise(1, _invert, _logical),
    "[]": Operation(1, _index, _at),
    # What is called by name.
    "abs": _elementwise(1, abs),
    **{f"jnp.{name}": _elementwise(1, getattr(jnp, name)) for name in _UNARY},
    **{f"jnp.{name}": _elementwise(2, getattr(jnp, name)) for name in _BINARY},
    **{f"jnp.{name}": _elementwise(2, getattr(jnp, name), _compare) for name in _COMPARISONS},
    "jnp.logical_and": _elementwise(2, jnp.logical_and, _logical),
    "jnp.logical_or": _elementwise(2, jnp.logical_or, _logical),
    "jnp.logical_not": _elementwise(1, jnp.logical_not, _logical),
    "jnp.where": _elementwise(3, jnp.where, _choose),
    "jnp.clip": _elementwise(3, jnp.clip),
    "jax.nn.sigmoid": _elementwise(1, jax.nn.sigmoid),
    "jax.nn.relu": _elementwise(1, jax.nn.relu),
    "jax.nn.softplus": _elementwise(1, jax.nn.softplus),
    **{f"jnp.{name}": _reduction(getattr(jnp, name)) for name in ("sum", "mean", "max", "min", "prod")},
    "jnp.any": _reduction(jnp.any, _reduce_logical),
    "jnp.all": _reduction(jnp.all, _reduce_logical),
    "jnp.linalg.norm": _reduction(jnp.linalg.norm, _norm),
    "jnp.dot": Operation(2, _dot, _both(jnp.dot), reduces=True),
    "jnp.cross": Operation(2, _cross, _both(jnp.cross)),
    "jnp.concatenate": Operation(None, _join, lambda values, attrs: jnp.concatenate(values, axis=attrs[0])),
    "jnp.stack": Operation(None, _stack, lambda values, attrs: jnp.stack(values, axis=attrs[0])),
    "jnp.zeros": Operation(0, _filled, lambda values, attrs: jnp.zeros(attrs)),
    "jnp.ones": Operation(0, _filled, lambda values, attrs: jnp.ones(attrs)),
}

OPERATORS = tuple(name for name in OPERATIONS if not name[0].isalpha() or name == "neg")
"""What operators of the language stand for."""

CALLS = tuple(sorted(name for name in OPERATIONS if name not in OPERATORS))
"""What a program may call, by its full name."""
