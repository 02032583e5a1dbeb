"""Gaussian information between any two sets of units, with the sets as boolean masks of a static shape.

Here are the one scaling of covariances to correlations, the one log-determinant of a masked block, and the
one rule for when a block is singular.
"""

import jax
import jax.numpy as jnp

from rlkit.analysis.moments.variation import varies


def largest_correlation(dtype) -> float:
    """Bound on |r| below the rounding of an estimate: ``1 - 1e-6`` in float32, ``1 - 1e-12`` in float64."""
    return 1 - (1e-12 if dtype == jnp.float64 else 1e-6)


def singular_below(dtype, dimension: int = 4) -> float:
    """Share of variance left, given the others, up to which a variable is a function of them up to rounding.

    4e-6 in float32 and 4e-12 in float64, or ``8 eps`` a dimension where that is more; twice what the bound of
    correlations leaves of a copy. The rule is ours.
    """
    return max(4 * (1 - largest_correlation(dtype)), 8 * dimension * float(jnp.finfo(dtype).eps))


def correlation_of(covariance: jax.Array, living: jax.Array | None = None) -> jax.Array:
    """Scale a covariance matrix to unit variances, treating constant units as independent of all.

    Args:
      covariance: ``[..., d, d]``, positive semi-definite, float.
      living: bool ``[..., d]``, false for constant units; by default those of variance zero (an exact
        covariance does not know the mean that says more, see :func:`rlkit.analysis.moments.varies`).

    Returns:
      ``[..., d, d]`` with an exact unit diagonal. The row and column of a constant unit are those of the
      identity, so that it carries no information about anything.
    """
    covariance = jnp.asarray(covariance)
    variance = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    living = varies(variance) if living is None else living
    # Two selects, so that the gradient of a dead unit is 0 and not NaN.
    scale = jnp.where(living, jax.lax.rsqrt(jnp.where(living, variance, 1.0)), 0.0)
    scaled = covariance * scale[..., :, None] * scale[..., None, :]
    return jnp.where(jnp.eye(covariance.shape[-1], dtype=bool), 1.0, scaled).astype(covariance.dtype)


def masked_pivots(matrix: jax.Array, mask: jax.Array) -> jax.Array:
    """Pivots of the elimination of the block of ``matrix`` that ``mask`` selects, 1 outside of it.

    The pivot of a variable is its variance given the variables before it. Rows and columns outside the mask
    are replaced by those of the identity, which leaves the block and keeps the shape static, so that ``vmap``
    over masks is one batched elimination.

    Args:
      matrix: ``[d, d]``, positive definite.
      mask: bool ``[d]``.

    Returns:
      ``[d]``; not all positive if the block is not positive definite.
    """
    matrix = jnp.asarray(matrix)
    mask = jnp.asarray(mask)
    inside = mask[:, None] & mask[None, :]
    block = jnp.where(inside, matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype))

    # Plain elimination: for thousands of small matrices it beats one LAPACK call each, and several batched
    # LAPACK calls in one program can wait for each other for ever on a CPU with few cores.
    def eliminate(rest, k):
        row = jax.lax.dynamic_index_in_dim(rest, k, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(row, k, keepdims=False)
        return rest - row[:, None] * (row / pivot)[None, :], pivot

    _, pivots = jax.lax.scan(eliminate, block, jnp.arange(matrix.shape[-1]))
    return pivots


def masked_logdet(matrix: jax.Array, mask: jax.Array) -> jax.Array:
    """Natural log-determinant of the block of ``matrix`` that ``mask`` selects (see :func:`masked_pivots`).

    Args:
      matrix: ``[d, d]``, positive definite.
      mask: bool ``[d]``.

    Returns:
      Scalar; 0 for the empty block, NaN if the block is not positive definite.
    """
    return jnp.log(masked_pivots(matrix, mask)).sum()


def regular(correlation: jax.Array, mask: jax.Array) -> jax.Array:
    """[] bool: whether no variable of a masked block ``[d, d]`` is a function of the others."""
    pivots = masked_pivots(correlation, mask)
    return (pivots > singular_below(correlation.dtype, correlation.shape[-1])).all()


def group_information(correlation: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """Gaussian mutual information of two disjoint groups of variables, I(A;B) = ½ ln(|A||B|/|AB|).

    Args:
      correlation: ``[d, d]`` (see ``correlation_of``; a covariance gives the same value).
      a: bool ``[d]``, the variables of the first group.
      b: bool ``[d]``, the variables of the second group.

    Returns:
      Scalar, nats.
    """
    joint = masked_logdet(correlation, a | b)
    return 0.5 * (masked_logdet(correlation, a) + masked_logdet(correlation, b) - joint)
