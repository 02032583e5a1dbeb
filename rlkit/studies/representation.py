"""Plain numbers of an agent's representation: what any new measure of it has to beat.

Feature rank and dead units foretell the collapse of PPO (Moalla et al. 2024, arXiv 2405.00662), so that a
measure that says no more than they do says nothing new.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.normalize import RunningMoments
from rlkit.products import matmul
from rlkit.types import PyTree

NAMES = ("feature_rank", "dead_units", "policy_entropy", "weight_norm")


def feature_rank(z: jax.Array, delta: float = 0.01) -> jax.Array:
    """Directions that hold ``1 - delta`` of the variance of latents ``[T, n]`` (arXiv 2405.00662, §2).

    The smallest k for which the k largest eigenvalues of the covariance sum to that share: int32 []; 0 if
    nothing varies.
    """
    centred = z - z.mean(0)
    values = jnp.linalg.eigvalsh(matmul(centred.T, centred) / z.shape[0])[::-1]
    values = jnp.maximum(values, 0.0)
    total = values.sum()
    held = jnp.cumsum(values) >= (1.0 - delta) * total
    return jnp.where(total > 0, jnp.argmax(held) + 1, 0).astype(jnp.int32)


def dead_units(z: jax.Array, share: float = 0.025) -> jax.Array:
    """Share of the units of ``[T, n]`` whose mean deviation is at most ``share`` of the units' average.

    The score of Sokar et al. 2023 (arXiv 2302.12902) of deviations from the mean rather than of activations,
    so that a saturated unit is as dead as a silent one (ours). 1 if no unit varies.
    """
    deviation = jnp.abs(z - z.mean(0)).mean(0)
    return jnp.mean(deviation <= share * deviation.mean())


def weight_norm(policy: PyTree) -> jax.Array:
    """Euclidean norm of all parameters of a policy, without statistics of observations."""
    params = getattr(policy, "params", policy)
    leaves = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, RunningMoments))
    kept = [x for x in leaves if not isinstance(x, RunningMoments) and jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.sqrt(sum((jnp.sum(jnp.square(x)) for x in kept), jnp.zeros(())))


def of_latents(latents: Any) -> tuple[np.ndarray, np.ndarray]:
    """Feature rank and dead units ``[...]`` of latents ``[..., T, n]``."""
    latents = jnp.asarray(latents, jnp.float32)
    flat = latents.reshape(-1, *latents.shape[-2:])
    rank, dead = (np.asarray(x, np.float64).reshape(latents.shape[:-2]) for x in _each(flat))
    return rank, dead


@jax.jit
def _each(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.lax.map(lambda one: (feature_rank(one), dead_units(one)), z)
