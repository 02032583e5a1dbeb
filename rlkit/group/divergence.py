"""Estimators of the divergence from a reference policy, from the tokens that were sampled."""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.group.config import KL_ESTIMATORS


def kl_estimate(
    log_prob: jax.Array, reference: jax.Array, estimator: str = "k3", straight_through: bool = False
) -> jax.Array:
    """Kullback-Leibler divergence from the reference, estimated at each token (Schulman 2020).

    With ``d = log pi_ref - log pi``: ``k1 = -d``, ``k2 = d²/2``, ``k3 = exp(d) - d - 1``, ``abs = |d|``. In
    expectation over the policy's own tokens the values of k1 and k3 are the divergence, but only the gradient
    of k2 is its gradient. For k3, ``d`` is clamped to ±20 and the result to 10, as in verl.

    Args:
      log_prob: ``[...]``, of the policy.
      reference: ``[...]``; no gradient flows into it.
      estimator: ``"k1"``, ``"k2"``, ``"k3"`` or ``"abs"``.
      straight_through: take the gradient of k2 with the estimator's value.

    Returns:
      float32 ``[...]``, in nats.

    Raises:
      UnknownNameError: there is no such estimator.
    """
    d = jax.lax.stop_gradient(reference.astype(jnp.float32)) - log_prob.astype(jnp.float32)
    if estimator == "k1":
        value = -d
    elif estimator == "k2":
        value = jnp.square(d) / 2
    elif estimator == "k3":
        bounded = jnp.clip(d, -20.0, 20.0)
        value = jnp.minimum(jnp.expm1(bounded) - bounded, 10.0)
    elif estimator == "abs":
        value = jnp.abs(d)
    else:
        raise unknown_name("kl_estimator", estimator, KL_ESTIMATORS)
    if straight_through:
        right = jnp.square(d) / 2
        return right + jax.lax.stop_gradient(value - right)
    return value
