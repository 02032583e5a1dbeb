"""Paying for new states while no teacher has been asked yet."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.normalize import RunningMoments, update_moments

SAMPLE = 256
"""Stored states that a new one is compared with."""


def novelty(states: jax.Array, others: jax.Array, neighbour: int) -> jax.Array:
    """How far states are from those known: ``log(1 + d)``, d the distance to the k-th nearest one.

    An estimate of the entropy of visited states from particles, up to constants (Liu & Abbeel 2021, arXiv
    2103.04551, eq. 4; PEBBLE, Lee et al. 2021, arXiv 2106.05091, eq. 4, without the 1).

    Args:
      states: float ``[N, d]``.
      others: ``[M, d]``.
      neighbour: k, at most M.

    Returns:
      float32 ``[N]``.

    Raises:
      UsageError: there are fewer others than k.
    """
    if not 1 <= neighbour <= len(others):
        raise UsageError(f"neighbour={neighbour}: expected 1 to {len(others)}, the states to compare with")
    gaps = jnp.sum((states[:, None] - others) ** 2, -1)
    nearest = -jax.lax.top_k(-gaps, neighbour)[0]
    return jnp.log1p(jnp.sqrt(nearest[:, -1]))


def paid_for_novelty(
    moments: RunningMoments, states: jax.Array, others: jax.Array, neighbour: int
) -> tuple[RunningMoments, jax.Array]:
    """:func:`novelty` over its running deviation, so that it is of the scale of a learnt reward.

    Args:
      moments: of the novelty so far, ``[]``.
      states: ``[T, B, d]``.
      others: ``[M, d]``.
      neighbour: k.

    Returns:
      The moments, these states included, and the reward ``[T, B]``.
    """
    found = novelty(states.reshape(-1, states.shape[-1]), others, neighbour)
    moments = update_moments(moments, found)
    return moments, (found / jnp.sqrt(moments.var + 1e-8)).reshape(states.shape[:2])
