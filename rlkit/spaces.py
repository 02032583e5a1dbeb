"""Spaces: the shape, dtype and bounds of observations and actions."""

import math
import operator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_ENDLESS = 1e38
"""Bounds of this magnitude are none: the difference of two overflows float32 (its largest is 3.4e38)."""


@dataclass(frozen=True)
class Box:
    """Arrays of one shape with bounds per entry.

    Attributes:
      shape: shape of an element.
      low: lower bounds, one float per entry in C order, or a single float for all.
      high: upper bounds, likewise; may be infinite. The largest number of the dtype says the same, and so
        does any of magnitude 1e38.
      dtype: dtype name of an element: floating, integer or ``"bool"``.

    Sequences and arrays are accepted for shape and bounds, and kept as tuples.

    Raises:
      ValueError: the bounds do not fit the shape, are not ordered, or are not numbers.
    """

    shape: tuple[int, ...]
    low: tuple[float, ...] | float = -math.inf
    high: tuple[float, ...] | float = math.inf
    dtype: str = "float32"

    def __post_init__(self) -> None:
        set_field = lambda name, value: object.__setattr__(self, name, value)  # the dataclass is frozen
        set_field("shape", _shape(self.shape))
        set_field("dtype", _dtype(self.dtype))
        for name in ("low", "high"):
            set_field(name, _bound(name, getattr(self, name), self.shape))
        if np.any(np.asarray(self.low) > np.asarray(self.high)):
            raise ValueError(f"low={self.low} exceeds high={self.high}; bounds must be ordered")

    @property
    def integer(self) -> bool:
        """Whether elements are whole numbers (integers or bools)."""
        return not jnp.issubdtype(jnp.dtype(self.dtype), np.floating)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The bounds as two float32 arrays of ``shape``, within the dtype; infinite where there is none."""
        low, high = (
            np.broadcast_to(np.reshape(bound, self.shape if np.ndim(bound) else ()), self.shape)
            for bound in (self.low, self.high)
        )
        if self.integer:
            low, high = np.ceil(low), np.floor(high)
        return _representable(low, self.dtype), _representable(high, self.dtype)

    @property
    def bounded(self) -> bool:
        """Whether every bound is finite."""
        return bool(np.isfinite(self.bounds()).all())

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw an element: uniform between two bounds, at an exponential distance (mean 1) from a single one,
        standard normal without any. Whole numbers are drawn with both bounds included."""
        low, high = self.bounds()
        below, above = np.isfinite(low), np.isfinite(high)
        some = lambda bound, finite: jnp.asarray(np.where(finite, bound, 0.0), jnp.float32)
        # One more than the highest whole number, so that it is as likely as the others.
        low_, high_ = some(low, below), some(high, above) + (1.0 if self.integer else 0.0)
        keys = jax.random.split(key)
        x = low_ + (high_ - low_) * jax.random.uniform(keys[0], self.shape, jnp.float32)
        if not (below & above).all():
            normal = jax.random.normal(keys[1], self.shape, jnp.float32)
            distance = jax.random.exponential(keys[1], self.shape, jnp.float32)
            x = jnp.where(below & above, x, normal)
            x = jnp.where(below & ~above, low + distance, x)
            x = jnp.where(~below & above, high - distance, x)
        if self.integer:
            x = jnp.floor(x)
        return jnp.clip(x, low, high).astype(jax.dtypes.canonicalize_dtype(self.dtype))

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether ``x`` has the right shape and lies within the bounds (a bool scalar)."""
        if jnp.shape(x) != self.shape:
            return jnp.zeros((), bool)
        low, high = self.bounds()
        return jnp.all((x >= low) & (x <= high))


@dataclass(frozen=True)
class Discrete:
    """The integers ``start .. start + n - 1`` as an int32 scalar.

    Attributes:
      n: how many there are.
      names: optional names of the elements, in order.
      start: the smallest of them.

    Raises:
      ValueError: ``n`` is not a positive integer, or ``start`` not an integer.
    """

    n: int
    names: tuple[str, ...] = ()
    start: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "start"):
            try:
                object.__setattr__(self, name, operator.index(getattr(self, name)))
            except TypeError:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected an integer") from None
        object.__setattr__(self, "names", tuple(self.names))
        if self.n < 1:
            raise ValueError(f"n={self.n} must be at least 1")
        if not -(2**31) <= self.start <= self.start + self.n - 1 < 2**31:
            raise ValueError(f"n={self.n}, start={self.start}: the elements do not fit in int32")
        if self.names and len(self.names) != self.n:
            raise ValueError(f"names has {len(self.names)} entries, expected n={self.n} or none")

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> str:
        return "int32"

    @property
    def last(self) -> int:
        """The largest element."""
        return self.start + self.n - 1

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw uniformly."""
        return self.start + jax.random.randint(key, (), 0, self.n, dtype=jnp.int32)

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether ``x`` is a scalar within range (a bool scalar)."""
        return (x >= self.start) & (x <= self.last) if jnp.shape(x) == () else jnp.zeros((), bool)


Space = Box | Discrete


def _shape(shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise ValueError(
            f"shape={shape!r}: expected a tuple of integers, as in Box((3,), -1.0, 1.0): shape, low, high"
        ) from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape={sizes}: sizes must not be negative")
    return sizes


def _dtype(dtype: Any) -> str:
    try:
        name = jnp.dtype(dtype)
    except TypeError:
        raise ValueError(
            f"dtype={dtype!r}: expected the name of a dtype, e.g. 'float32' or 'uint8'"
        ) from None
    if not (jnp.issubdtype(name, np.floating) or jnp.issubdtype(name, np.integer) or name == np.bool_):
        raise ValueError(f"dtype={dtype!r}: expected a floating or integer dtype, or bool")
    return name.name


def _bound(name: str, bound: Any, shape: tuple[int, ...]) -> tuple[float, ...] | float:
    """A bound as floats of Python, so that spaces can be compared and hashed."""
    try:
        values = np.asarray(bound, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={bound!r}: expected a number, or one per entry") from None
    if np.isnan(values).any():
        raise ValueError(f"{name}={bound!r} contains NaN; say -inf or inf where there is no bound")
    if not values.ndim:
        return float(values)
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise ValueError(
            f"{name} has {values.size} entries but shape {shape} has {math.prod(shape)}; "
            "give one bound per entry or a single float"
        )
    return tuple(values.ravel().tolist())


def _representable(bound: np.ndarray, dtype: str) -> np.ndarray:
    """A bound as float32, as elements of the dtype can meet it."""
    kind = jnp.dtype(dtype)
    if kind == np.bool_:
        return np.clip(bound, 0.0, 1.0).astype(np.float32)
    floating = jnp.issubdtype(kind, np.floating)
    limits = jnp.finfo(kind) if floating else jnp.iinfo(kind)
    if not floating and kind.itemsize < 4:  # so few numbers are bounded by themselves
        return np.clip(bound, float(limits.min), float(limits.max)).astype(np.float32)
    most = min(float(limits.max), _ENDLESS)
    finite = np.where(np.abs(bound) < most, bound, 0.0).astype(kind if floating else np.float32)
    return np.where(np.abs(bound) < most, finite.astype(np.float32), np.copysign(np.inf, bound)).astype(
        np.float32
    )
