"""Checks of arguments of the functions on preferences, made where values are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError


def known(value: Any) -> np.ndarray | None:
    """The value as a NumPy array, None while JAX traces: what is not known cannot be checked."""
    if isinstance(value, jax.core.Tracer):
        return None
    return np.asarray(value)


def same_shape(where: str, **arrays: Any) -> tuple[int, ...]:
    """The shape that all arrays have; None among them are skipped. Nothing is broadcast.

    Raises:
      UsageError: two shapes differ; the message names both.
    """
    shapes = {name: jnp.shape(x) for name, x in arrays.items() if x is not None}
    first = next(iter(shapes))
    for name, shape in shapes.items():
        if shape != shapes[first]:
            raise UsageError(
                f"{where}: {name} has shape {shape}; expected {shapes[first]}, that of {first}: "
                "nothing is broadcast"
            )
    return shapes[first]


def axes(where: str, name: str, value: Any, ndim: int, shape: str) -> tuple[int, ...]:
    """The shape of an array of ``ndim`` axes.

    Raises:
      UsageError: it has another number of axes; ``shape`` says which were expected, e.g. ``"[B, T]"``.
    """
    got = jnp.shape(value)
    if len(got) != ndim:
        raise UsageError(f"{where}: {name} has shape {got}; expected {shape}")
    return got


def in_range(
    where: str, name: str, value: Any, low: float, high: float, *, strict: bool = False, hint: str = ""
) -> None:
    """Raise unless every known entry is in ``[low, high]``, or between them if ``strict``.

    Raises:
      UsageError: with the first entry that is not (NaN is not), and ``hint``.
    """
    array = known(value)
    if array is None or not array.size:
        return
    good = (array > low) & (array < high) if strict else (array >= low) & (array <= high)
    if not good.all():
        at = np.unravel_index(int(np.argmin(good)), array.shape)
        place = f"[{', '.join(map(str, at))}]" if at else ""
        between = f"between {low:g} and {high:g}, both excluded" if strict else f"in [{low:g}, {high:g}]"
        raise UsageError(
            f"{where}: {name}{place}={array[at]}: expected numbers {between}{'; ' if hint else ''}{hint}"
        )


def same_shape_or_number(where: str, **arrays: Any) -> tuple[int, ...]:
    """:func:`same_shape` of the first and of those others that are no numbers.

    Raises:
      UsageError: two shapes differ.
    """
    first = next(iter(arrays))
    return same_shape(where, **{n: x for n, x in arrays.items() if n == first or np.ndim(x)})


def probabilities(where: str, name: str, value: Any) -> None:
    """Raise unless every known entry is in [0, 1]: a label outside it makes a loss negative, without a word.

    Raises:
      UsageError: with the first entry that is not.
    """
    in_range(where, name, value, 0.0, 1.0, hint="it is a probability")


def flags(where: str, name: str, value: Any) -> jax.Array:
    """Bools from bools, or from numbers that are 0 or 1 (``~`` of an integer is no negation).

    Raises:
      UsageError: a known entry is neither.
    """
    array = known(value)
    if array is not None and array.dtype != bool and not np.isin(array, (0, 1)).all():
        bad = array[~np.isin(array, (0, 1))].flat[0]
        raise UsageError(f"{where}: {name} has the entry {bad}: expected bools, or 0 and 1")
    return jnp.asarray(value).astype(bool)


def whole_numbers(where: str, name: str, value: Any) -> None:
    """Raise unless an array is of integers.

    Raises:
      UsageError: it is not.
    """
    if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
        raise UsageError(f"{where}: {name} is {jnp.result_type(value)}; expected integers")


def share_of(total: jax.Array, weight: jax.Array, nothing: float = jnp.nan) -> jax.Array:
    """``total / weight`` however small the weight is, ``nothing`` where it is 0, and no NaN in gradients."""
    some = weight > 0
    return jnp.where(some, total / jnp.where(some, weight, 1.0), nothing)


def check_noise_rates(where: str, false_neg: Any, false_pos: Any) -> None:
    """Raise unless two rates of label noise are in [0, 1) and leave something of the labels.

    Raises:
      UsageError: one is out of range, or their sum is at least 1, where labels say nothing or the opposite.
    """
    in_range(where, "false_neg", false_neg, 0.0, 1.0)
    in_range(where, "false_pos", false_pos, 0.0, 1.0)
    fn, fp = known(false_neg), known(false_pos)
    if fn is not None and fp is not None and np.any(fn + fp >= 1.0):
        raise UsageError(
            f"{where}: false_neg + false_pos = {float(np.max(fn + fp)):g}: expected less than 1, "
            "else the labels carry no information; estimate the rates on a clean set"
        )
