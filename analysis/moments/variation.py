"""What counts as a constant unit: one rule for moments, covariances, checks, baselines and features."""

import jax.numpy as jnp
import numpy as np

ROUNDING = 4
"""A standard deviation of up to so many rounding errors of the mean is rounding, not variation."""


BLOCK = 2048
"""Rows per sum and matrix product, of which longer series are sums: a block stays in cache while both
products read it, and partial sums of this length keep single precision accurate for any number of steps."""


def varies(variance, mean=0.0, dtype=None, *, offset=0.0, count=0):
    """Whether units vary: ``variance > (4 eps mean)^2 + eps k offset^2``, which no change of scale alters.

    A constant that is no power of two, and a mean that is not exact, leave a variance of a few rounding
    errors squared. Where squares were summed about another point than the mean, the difference of two sums is
    left, each of which is rounded at every step: ``k`` is half the number of steps in a row. The one absolute
    bound is the least normal number of the type, below which variances underflow.

    Args:
      variance: [...] variances, of NumPy (answered in NumPy) or JAX.
      mean: [...] means they were taken about; 0 where unknown (exact covariances).
      dtype: the type whose rounding counts; that of ``variance`` by default.
      offset: [...] mean less the point about which squares were summed.
      count: [...] how many were summed.

    Returns:
      [...] bool; false for NaN. The rule is ours.
    """
    xp = np if isinstance(variance, np.ndarray | np.generic | float) else jnp
    kind = jnp.finfo(variance.dtype if dtype is None else dtype)
    eps = float(kind.eps)
    row = xp.minimum(count, BLOCK) + count / BLOCK
    return variance > (ROUNDING * eps * xp.abs(mean)) ** 2 + 0.5 * eps * row * offset**2 + float(kind.tiny)
