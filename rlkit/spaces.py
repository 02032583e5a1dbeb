"""Spaces: the shape, dtype and bounds of observations and actions."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Box:
    """Arrays of one shape with bounds per entry.

    Attributes:
      shape: shape of an element.
      low: lower bounds, one float per entry in C order, or a single float for all.
      high: upper bounds, likewise; may be infinite.
      dtype: dtype name of an element.
    """

    shape: tuple[int, ...]
    low: tuple[float, ...] | float = -math.inf
    high: tuple[float, ...] | float = math.inf
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if isinstance(bound, tuple) and len(bound) != math.prod(self.shape):
                raise ValueError(
                    f"{name} has {len(bound)} entries but shape {self.shape} has {math.prod(self.shape)}; "
                    "give one bound per entry or a single float"
                )
        if np.any(np.asarray(self.low) > np.asarray(self.high)):
            raise ValueError(f"low={self.low} exceeds high={self.high}; bounds must be ordered")

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The bounds as two float32 arrays of ``shape``."""
        arrays = (np.asarray(b, np.float32) for b in (self.low, self.high))
        low, high = (a.reshape(self.shape) if a.ndim else np.full(self.shape, a, np.float32) for a in arrays)
        return low, high

    @property
    def bounded(self) -> bool:
        """Whether every bound is finite."""
        return bool(np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw uniformly where the bounds are finite, from a standard normal where they are not."""
        low, high = self.bounds()
        finite = np.isfinite(low) & np.isfinite(high)
        key_uniform, key_normal = jax.random.split(key)
        uniform = jax.random.uniform(
            key_uniform, self.shape, minval=np.where(finite, low, 0.0), maxval=np.where(finite, high, 1.0)
        )
        if finite.all():
            return uniform.astype(self.dtype)
        normal = jnp.clip(jax.random.normal(key_normal, self.shape), low, high)
        return jnp.where(finite, uniform, normal).astype(self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether ``x`` has the right shape and lies within the bounds (a bool scalar)."""
        if jnp.shape(x) != self.shape:
            return jnp.zeros((), bool)
        low, high = self.bounds()
        return jnp.all((x >= low) & (x <= high))


@dataclass(frozen=True)
class Discrete:
    """The integers ``0 .. n-1`` as an int32 scalar.

    Attributes:
      n: how many there are.
      names: optional names of the elements, in order.
    """

    n: int
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n={self.n} must be at least 1")
        if self.names and len(self.names) != self.n:
            raise ValueError(f"names has {len(self.names)} entries, expected n={self.n} or none")

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> str:
        return "int32"

    def sample(self, key: jax.Array) -> jax.Array:
        """Draw uniformly."""
        return jax.random.randint(key, (), 0, self.n, dtype=jnp.int32)

    def contains(self, x: jax.Array) -> jax.Array:
        """Whether ``x`` is a scalar within range (a bool scalar)."""
        return (x >= 0) & (x < self.n) if jnp.shape(x) == () else jnp.zeros((), bool)


Space = Box | Discrete
