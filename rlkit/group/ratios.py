"""Importance ratios of tokens and of completions, in logarithms."""

import jax
import jax.numpy as jnp

from rlkit.group.statistics import safe

Scalar = float | jax.Array


def log_ratio(log_prob: jax.Array, behaviour: jax.Array, mask: jax.Array, clamp: Scalar = 20.0) -> jax.Array:
    """``log pi - log pi_behaviour`` of each token, clamped before anyone takes its exponential.

    Where the clamp binds, the gradient is 0. Without it a ratio overflows at 89, and a token with advantage
    0 makes loss and gradient NaN. verl takes 20; R1-Reward (2505.02835, "Pre-CLIP") log(1000).

    Args:
      log_prob: ``[..., T]``, of the policy.
      behaviour: ``[..., T]``, of the policy that sampled; no gradient flows into it.
      mask: ``[..., T]``; 0 gives 0.
      clamp: largest absolute value.

    Returns:
      float32 ``[..., T]``.
    """
    difference = safe(log_prob, mask) - jax.lax.stop_gradient(safe(behaviour, mask))
    return jnp.clip(difference, -clamp, clamp)


def sequence_log_ratio(
    log_prob: jax.Array, behaviour: jax.Array, mask: jax.Array, clamp: Scalar = 20.0
) -> jax.Array:
    """The mean log-ratio of a completion's tokens, at each token (GSPO-token, 2507.18071, eq. 14).

    The value is the same at all tokens of a completion; the gradient of each goes into its own probability
    alone. Where advantages and weights are the same along a completion this is GSPO (eq. 7) exactly.

    Args and shapes as :func:`log_ratio`.
    """
    own = safe(log_prob, mask)
    difference = jax.lax.stop_gradient(own - safe(behaviour, mask))
    average = jnp.sum(difference * mask, -1, keepdims=True) / jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1)
    inside = jnp.abs(average) <= clamp
    return jnp.clip(average, -clamp, clamp) + jnp.where(inside, own - jax.lax.stop_gradient(own), 0.0)
