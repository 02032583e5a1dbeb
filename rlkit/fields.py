"""Fields of configurations: a default, a help text, a range, and one check of them all.

::

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class SomeConfig(Config):
        learning_rate: float = leaf(3e-4, "step size of Adam", low=0.0)
        discount: float = leaf(0.99, "discount factor γ", low=0.0, high=1.0)
        num_envs: int = static(16, "environments that run side by side", low=1)
        activation: str = static("tanh", "activation function", choices=("tanh", "relu"))

An agent calls :func:`check` when it is built, so that nothing compiles for a value that means nothing.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Self, TypeVar

import jax
import numpy as np

from rlkit.errors import UsageError, unknown_name

_MOST, _TINY = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
_LARGEST = 2**31 - 1  # counters of programs are int32


class Config:
    """What all configurations, which are frozen dataclasses, can do."""

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        this: Any = self
        return dataclasses.replace(this, **changes)


class Range(NamedTuple):
    """The values that a field may have; for a tuple, each of its entries."""

    low: float | None = None  # the least value
    above: float | None = None  # what it must be greater than
    high: float | None = None  # the largest value
    choices: tuple[str, ...] | None = None  # the texts there are

    def __contains__(self, value: Any) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
        )

    def words(self) -> str:
        """The bounds, to follow "a number" or "an integer"; empty if there are none."""
        known = [
            f"{what} {bound:.10g}" if isinstance(bound, float) else f"{what} {bound}"
            for what, bound in (("of at least", self.low), ("above", self.above), ("at most", self.high))
            if bound is not None and bound != _LARGEST
        ]
        return f" {' and '.join(known)}" if known else ""


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: Iterable[str] | None = None,
    static: bool = False,
) -> Any:
    """A dataclass field with a default, a help text for the command line, and a range.

    Args:
      default: of the field; its type is the type that :func:`check` asks for.
      help: one line, without the range.
      low: the least value.
      above: what the value must be greater than.
      high: the largest value.
      choices: the texts that are allowed.
      static: the field is no leaf of the pytree (see ``jax.tree_util.register_dataclass``).
    """
    known = None if choices is None else tuple(choices)
    metadata: dict[str, Any] = {"help": help, "range": Range(low, above, high, known)}
    return dataclasses.field(default=default, metadata=metadata | ({"static": True} if static else {}))


def static(default: Any, help: str, **bounds: Any) -> Any:
    """A field that is fixed when the program is compiled; bounds as in :func:`option`."""
    return option(default, help, static=True, **bounds)


def leaf(default: float, help: str, **bounds: Any) -> Any:
    """A number that is a leaf of the pytree: ``vmap`` over it is a sweep; bounds as in :func:`option`."""
    return option(float(default), help, **bounds)


def check(config: Any) -> None:
    """Check every field of a configuration against the type of its default and its range.

    Numbers must be finite in float32 and not vanish there, and integers without a bound of their own fit
    into int32, because that is what programs compute with.
    Traced values are not checked; of arrays, every entry is.

    Raises:
      UsageError: a value is of the wrong type or out of range; the message names field, value and range.
      UnknownNameError: a text is none of the field's choices; the message suggests the nearest one.
    """
    for entry in dataclasses.fields(config):
        if entry.default is not dataclasses.MISSING:
            bounds = entry.metadata.get("range", Range())
            check_value(entry.name, getattr(config, entry.name), entry.default, bounds)


C = TypeVar("C")


def settled(config: C | None, kind: type[C]) -> C:
    """A configuration that was given, checked, or the default of its kind.

    Raises:
      UsageError: it is of another kind, or as :func:`check` says.
    """
    if config is None:
        config = kind()
    if not isinstance(config, kind):
        hint = f"; did you mean {kind.__name__}(**config)?" if isinstance(config, dict) else ""
        raise UsageError(f"config={shown(config)} is no {kind.__name__}{hint}")
    check(config)
    return config


def check_value(name: str, value: Any, default: Any, bounds: Range = Range()) -> None:
    """Check one value as :func:`check` does; ``default`` says which type is expected."""
    if isinstance(value, jax.core.Tracer):
        return
    if isinstance(default, tuple):
        _check_tuple(name, value, default, bounds)
    elif isinstance(default, bool):
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"{name}={shown(value)}: expected True or False")
    elif isinstance(default, int):
        bounds = bounds._replace(high=_LARGEST if bounds.high is None else bounds.high)
        good = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not good or value not in bounds:
            raise UsageError(f"{name}={shown(value)}: expected an integer{bounds.words()}")
    elif isinstance(default, float):
        for number in np.ravel(value).tolist() if isinstance(value, np.ndarray | jax.Array) else [value]:
            _check_float(name, number, bounds)
    elif isinstance(default, str):
        if not isinstance(value, str):
            raise UsageError(f"{name}={shown(value)}: expected text")
        if bounds.choices is not None and value not in bounds.choices:
            raise unknown_name(name, value, bounds.choices)


def _check_tuple(name: str, value: Any, default: tuple, bounds: Range) -> None:
    if not isinstance(value, tuple) or (default and not value):
        least = " that is not empty" if default else ""
        raise UsageError(f"{name}={shown(value)}: expected a tuple{least}, e.g. {default!r}")
    for i, item in enumerate(value):
        check_value(f"{name}[{i}]", item, default[0] if default else "", bounds)


def _check_float(name: str, value: Any, bounds: Range) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise UsageError(f"{name}={shown(value)}: expected a number{bounds.words()}")
    problem = not_float32(value)
    if problem or value not in bounds:
        wanted = f"a number{bounds.words()}" if bounds.words() else "a finite number"
        raise UsageError(f"{name}={shown(value)}{f' ({problem})' if problem else ''}: expected {wanted}")


def not_float32(value: Any) -> str:
    """Why a real number cannot be used in float32; empty if it can."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isnan(number):
        return "not a number"
    if abs(number) > _MOST:
        return "infinite in float32"
    if 0 < abs(number) < _TINY:
        return "zero in float32"
    return ""


def shown(value: Any, most: int = 80) -> str:
    """A value as Python writes it, shortened, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        text = f"a {type(value).__name__} that is too large to show"
    except Exception:  # of a user's own object
        text = f"an object of {type(value).__name__} that cannot be shown"
    return text if len(text) <= most else f"{text[: most - 3]}..."
