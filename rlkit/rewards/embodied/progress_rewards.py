"""Rewards made of progress: the one that changes no optimal policy, the published one, and naive ones.

All take rewards, the progress before and after each step, and whether the episode ended by itself, all
``[...]``; nothing is accumulated over time, so that they serve one step and a batch of trajectories alike.
"""

import jax
import jax.numpy as jnp

from rlkit.rewards.arguments import Scalar


def gold(progress: jax.Array, tolerance: float = 0.05) -> jax.Array:
    """Robo-Dopamine's own success: 1 where the progress reached is at least ``1 - δ``, else 0."""
    return (progress >= 1.0 - tolerance).astype(progress.dtype)


def shaped_by_progress(
    reward: jax.Array,
    progress: jax.Array,
    next_progress: jax.Array,
    terminated: jax.Array,
    discount: Scalar,
) -> jax.Array:
    """``r + γ Φ(s') [not terminated] - Φ(s)``: the optimal policies are those of ``r`` (Ng et al. 1999).

    A terminal state has Φ = 0; a time limit is no terminal state.
    """
    return reward + discount * jnp.where(terminated, 0.0, next_progress) - progress


def published_shaping(
    reward: jax.Array, progress: jax.Array, next_progress: jax.Array, discount: Scalar
) -> jax.Array:
    """Robo-Dopamine's ``r + γ Φ(s') - Φ(s)``, which keeps Φ at terminal states.

    Harmless where success is the only end; where a failure with high progress ends an episode as well, it
    changes which policies are optimal.
    """
    return reward + discount * next_progress - progress


def progress_difference(reward: jax.Array, progress: jax.Array, next_progress: jax.Array) -> jax.Array:
    """The trap ``r + Φ(s') - Φ(s)``: with a discount it pays for staying where progress is high."""
    return reward + next_progress - progress


def absolute_progress(reward: jax.Array, next_progress: jax.Array) -> jax.Array:
    """The worse trap ``r + Φ(s')``: an income that success would end."""
    return reward + next_progress
