"""Gaussian information between any two sets of units, with the sets as boolean masks of a static shape."""

import jax
import jax.numpy as jnp

MIN_VARIANCE = 1e-16
"""Units with less variance than this count as constant (the square of a standard deviation of 1e-8)."""


def correlation_of(covariance: jax.Array) -> jax.Array:
    """Scale a covariance matrix to unit variances, treating constant units as independent of all.

    Args:
      covariance: ``[..., d, d]``, positive semi-definite, float.

    Returns:
      ``[..., d, d]`` with an exact unit diagonal. The row and column of a constant unit (variance below
      ``MIN_VARIANCE``) are those of the identity, so that it carries no information about anything.
    """
    covariance = jnp.asarray(covariance)
    variance = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    alive = variance > MIN_VARIANCE
    scale = jnp.where(alive, jax.lax.rsqrt(jnp.where(alive, variance, 1.0)), 0.0)
    scaled = covariance * scale[..., :, None] * scale[..., None, :]
    return jnp.where(jnp.eye(covariance.shape[-1], dtype=bool), 1.0, scaled).astype(covariance.dtype)


def masked_logdet(matrix: jax.Array, mask: jax.Array) -> jax.Array:
    """Natural log-determinant of the block of ``matrix`` that ``mask`` selects.

    Rows and columns outside the mask are replaced by those of the identity, which leaves the determinant
    of the block and keeps the shape static, so that ``vmap`` over masks is one batched elimination.

    Args:
      matrix: ``[d, d]``, positive definite.
      mask: bool ``[d]``.

    Returns:
      Scalar; 0 for the empty block, NaN if the block is not positive definite.
    """
    matrix = jnp.asarray(matrix)
    inside = mask[:, None] & mask[None, :]
    block = jnp.where(inside, matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype))

    # Plain elimination: for thousands of small matrices it beats one LAPACK call each, and several batched
    # LAPACK calls in one program can wait for each other for ever on a CPU with few cores.
    def eliminate(k, state):
        rest, total = state
        row = jax.lax.dynamic_index_in_dim(rest, k, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(row, k, keepdims=False)
        return rest - row[:, None] * (row / pivot)[None, :], total + jnp.log(pivot)

    _, total = jax.lax.fori_loop(0, matrix.shape[-1], eliminate, (block, jnp.zeros((), matrix.dtype)))
    return total


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
