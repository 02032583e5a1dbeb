"""Rewards of each step of a denoising policy (DenseGRPO, arXiv 2601.20218)."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.normalize import standardise


def stepwise_reward_gain(value: jax.Array) -> jax.Array:
    """The gain of each denoising step, ``ΔR_i = R_{i+1} - R_i``; sums to ``R_T - R_0``.

    Args:
      value: rewards of the clean samples that deterministic denoising reaches from each state of a rollout,
        ``[..., T + 1]``, the noise first.

    Returns:
      Gains ``[..., T]``.
    """
    if jnp.ndim(value) < 1 or jnp.shape(value)[-1] < 2:
        raise UsageError(
            f"value has shape {jnp.shape(value)}; expected [..., T + 1]: the first state and T more"
        )
    return jnp.diff(value, axis=-1)


def stepwise_group_advantage(gain: jax.Array) -> jax.Array:
    """Gains ``[G, T]`` standardised over the group at each step; 0 where all are alike."""
    return standardise(gain.T).T


def sparse_group_advantage(final: jax.Array, steps: int) -> jax.Array:
    """What Flow-GRPO gives each of ``T`` steps: the standardised final reward ``[G]``; ``[G, T]``."""
    return jnp.broadcast_to(standardise(final[None])[0][:, None], (*final.shape, steps))


def calibrate_noise(
    noise: jax.Array,
    gain: jax.Array,
    *,
    step: float = 0.02,
    balance: float = 0.2,
    low: float = 0.05,
    high: float = 1.5,
) -> jax.Array:
    """Noise levels after a group: more where gains of both signs balance, less elsewhere.

    The rule is the paper's; its step size and threshold were not found, these are ours.

    Args:
      noise: of each step, ``[T]``.
      gain: of each rollout's steps, ``[G, T]``.
      step: by how much a level changes.
      balance: ``|n₊ - n₋| / G`` below it is balanced.
      low: least level.
      high: largest level.

    Returns:
      Levels ``[T]``.

    Raises:
      UsageError: the shapes do not fit.
    """
    if jnp.ndim(gain) != 2 or jnp.shape(noise) != jnp.shape(gain)[1:]:
        raise UsageError(f"noise {jnp.shape(noise)} and gain {jnp.shape(gain)}: expected [T] and [G, T]")
    tilt = jnp.abs(jnp.mean(jnp.sign(gain), 0))
    return jnp.clip(noise + jnp.where(tilt < balance, step, -step), low, high)
