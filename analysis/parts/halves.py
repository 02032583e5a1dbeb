"""The two halves of a bipartition: as two mean series or as two vector series."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import read_partition
from rlkit.errors import UsageError
from rlkit.products import matmul


def half_means(z: jax.Array, side: jax.Array, active: jax.Array | None = None) -> jax.Array:
    """Reduce many units to two scalar series: the mean over the units of each half.

    Args:
      z: ``[..., n]`` latents, usually z-scored.
      side: bool ``[n]``, or the indices of one half.
      active: bool ``[n]``, the units that count; both halves must hold one (else NaN).

    Returns:
      ``[..., 2]``: the mean of the ``True`` half, then of the other.
    """
    z = as_samples(z)
    side = jnp.asarray(read_partition(side, z.shape[-1]))
    active = jnp.ones(side.shape, dtype=bool) if active is None else jnp.asarray(active, dtype=bool)
    # NaN in an inactive unit must not reach the mean: 0 * NaN is NaN.
    return matmul(jnp.where(active, z, 0.0), half_weights(side, active, z.dtype).T)


def half_weights(side: jax.Array, active: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
    """The weight of every unit in the means of the two halves, see :func:`half_means`.

    Args:
      side: bool ``[n]``.
      active: bool ``[n]``, the units that count; both halves must hold one (else NaN).
      dtype: of the weights.

    Returns:
      ``[2, n]``, each row summing to one.
    """
    halves = jnp.stack([side & active, ~side & active]).astype(dtype)
    return halves / halves.sum(axis=1, keepdims=True)


def even_units(units: int) -> jax.Array:
    """bool ``[n]``: a bipartition that asks nothing of the data, even indices against odd ones."""
    return jnp.arange(units) % 2 == 0


def vector_halves(z: jax.Array, side: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The units of the two halves as two arrays ``[..., n1]`` and ``[..., n2]``.

    Their shapes depend on ``side``, which must be concrete: inside ``jit`` use the masks of
    ``rlkit.analysis.atoms.gaussian.block_information``, whose shapes are static.

    Raises:
      UsageError: if ``side`` is traced.
    """
    if isinstance(side, jax.core.Tracer):
        raise UsageError(
            "side is traced; vector_halves needs a concrete partition: inside jit give the mask to "
            "gaussian.block_information"
        )
    chosen = np.asarray(read_partition(side, jnp.shape(z)[-1]))
    z = as_samples(z)
    return z[..., chosen], z[..., ~chosen]
