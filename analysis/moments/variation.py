"""What counts as a constant unit: one rule for moments, covariances, checks, baselines and features."""

import jax.numpy as jnp
import numpy as np

ROUNDING = 4
"""A standard deviation of up to so many rounding errors of the mean is rounding, not variation."""


def varies(variance, mean=0.0, dtype=None):
    """Whether units vary: ``variance > (4 eps mean)^2``, which no change of scale alters.

    A constant that is no power of two, and a mean that is not exact, leave a variance of a few rounding
    errors squared. The one absolute bound is the least normal number of the type, below which variances
    underflow.

    Args:
      variance: [...] variances, of NumPy (answered in NumPy) or JAX.
      mean: [...] means they were taken about; 0 where unknown (exact covariances).
      dtype: the type whose rounding counts; that of ``variance`` by default.

    Returns:
      [...] bool; false for NaN. The rule is ours.
    """
    xp = np if isinstance(variance, np.ndarray | np.generic | float) else jnp
    kind = jnp.finfo(variance.dtype if dtype is None else dtype)
    return variance > (ROUNDING * float(kind.eps) * xp.abs(mean)) ** 2 + float(kind.tiny)
