"""Running mean and variance, and normalisation by them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.packing import stacked

_SMALLEST_WEIGHT = 2.0**-18


class RunningMoments(NamedTuple):
    """Mean and variance of everything seen so far.

    The mean is held as an unevaluated sum of two numbers, so that small corrections to a large
    mean are not rounded away. Before any data the moments are those of the standard normal
    distribution, so that normalisation does nothing.
    """

    count: jax.Array  # float []: rows seen; exact up to 2^24, then rounded
    mean: jax.Array  # float [...]
    residual: jax.Array  # float [...]: the part of the mean that `mean` cannot hold
    var: jax.Array  # float [...]: population variance (no Bessel correction)

    @classmethod
    def zeros(cls, shape: int | tuple[int, ...] = (), dtype: Any = jnp.float32) -> "RunningMoments":
        """Moments of rows of the given shape, with no data seen."""
        # Separate buffers: a state whose leaves share one cannot be donated.
        return cls(
            jnp.zeros((), dtype), jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.ones(shape, dtype)
        )


def update_moments(
    moments: RunningMoments, batch: jax.Array, axis_name: str | tuple[str, ...] | None = None
) -> RunningMoments:
    """Include a batch of rows (the pairwise update of Chan, Golub & LeVeque 1983).

    A batch of ``n`` rows after ``count`` rows has weight ``n / (count + n)``, but never less than
    2^-18: after 2^18 batches of equal size (5e8 rows in batches of 2048) older rows fade
    exponentially, because weights that small would be lost to rounding in float32.

    Args:
      moments: what was seen before; the same on every member of ``axis_name``.
      batch: ``[..., *shape]`` with ``shape`` that of ``moments.mean``; cast to its dtype.
      axis_name: mapped axis (or axes) whose members hold different rows of the batch; their rows
        are counted together and all members get the same result. None: no collective.

    Returns:
      The new moments, same dtypes.

    Raises:
      ValueError: the last axes of ``batch`` are not those of the moments.
    """
    shape = moments.mean.shape
    _check_numbers("batch", batch)
    lead = batch.ndim - len(shape)
    if lead < 0 or batch.shape[lead:] != shape:
        raise ValueError(f"batch has shape {batch.shape}; expected [..., *{shape}], the shape of the moments")
    axes = tuple(range(lead))
    dtype = moments.mean.dtype

    def total(x: jax.Array, axes: tuple[int, ...] = axes) -> jax.Array:
        x = jnp.sum(x, axes)
        return x if axis_name is None else jax.lax.psum(x, axis_name)

    count = total(jnp.ones(batch.shape[:lead], dtype))
    # Deviations from the running mean are small numbers even where the data are large ones; `rest`
    # is what rounding left of the batch's mean deviation when the first batch is far from 0.
    deviation = (batch.astype(dtype) - moments.mean) - moments.residual
    shift = total(deviation) / count
    centred = deviation - shift
    rest, square = total(stacked([centred, centred**2]), tuple(axis + 1 for axis in axes)) / count
    spread = jnp.maximum(square - rest**2, 0.0)
    weight = jnp.maximum(count / (moments.count + count), _SMALLEST_WEIGHT)
    mean, lost = _two_sum(moments.mean, weight * shift)
    mean, residual = _two_sum(mean, lost + (moments.residual + weight * rest))
    return RunningMoments(
        count=moments.count + count,
        mean=mean,
        residual=residual,
        var=moments.var + weight * (spread + (1.0 - weight) * shift**2 - moments.var),
    )


def _check_numbers(name: str, x: jax.Array) -> None:
    """Raise unless an array holds numbers (a key or a complex array is a slip)."""
    real = jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool
    if not real:
        raise UsageError(f"{name} is {x.dtype}; expected real numbers")


def _two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b`` rounded, and what rounding lost (Knuth 1969, §4.2.2, theorem B)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def normalise(
    x: jax.Array, moments: RunningMoments, clip: float | None = None, epsilon: float = 1e-8
) -> jax.Array:
    """``(x - mean) / sqrt(var + epsilon)``, clipped to ``±clip`` unless that is None.

    Args:
      x: ``[..., *shape]`` with ``shape`` that of the moments.
      moments: see :class:`RunningMoments`.
      clip: largest magnitude of the result.
      epsilon: keeps constant entries finite.

    Raises:
      UsageError: the last axes of ``x`` are not those of the moments, or it holds no numbers.
    """
    _check_numbers("x", x)
    shape = moments.mean.shape
    if x.ndim < len(shape) or x.shape[x.ndim - len(shape) :] != shape:
        raise UsageError(f"x has shape {x.shape}; expected [..., *{shape}], the shape of the moments")
    centred = (x.astype(moments.mean.dtype) - moments.mean) - moments.residual
    out = centred * jax.lax.rsqrt(moments.var + epsilon)
    return out if clip is None else jnp.clip(out, -clip, clip)


def standardise(x: jax.Array, axis_name: str | None = None, epsilon: float = 1e-8) -> jax.Array:
    """Each row ``x[i]`` with zero mean and unit deviation over all its entries.

    Args:
      x: ``[N, ...]``.
      axis_name: mapped axis whose members' rows are taken together.
      epsilon: added to the deviation.
    """

    def mean(x: jax.Array) -> jax.Array:
        x = jnp.mean(x, tuple(range(1, x.ndim)), keepdims=True)
        return x if axis_name is None else jax.lax.pmean(x, axis_name)

    centred = x - mean(x)
    return centred / (jnp.sqrt(mean(centred**2)) + epsilon)
