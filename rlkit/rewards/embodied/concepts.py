"""Several rewards of one group, weighted by how they go together (CMO, arXiv 2603.18528, its release)."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.products import FULL, matmul

MISSING = -1.0
"""How the release marks a concept that a completion does not have."""


def correlation_weights(
    rewards: jax.Array,
    tau: jax.Array | float = 0.5,
    *,
    valid: jax.Array | None = None,
    shrink: bool = False,
) -> jax.Array:
    """More weight to concepts that do not come along by themselves.

    ``bind_k = (Σ_j C_kj - 1) / (K - 1)`` with Pearson's C over the group, ``w = softmax((1 - bind) / τ)``. A
    concept that does not vary in the group has ``bind = 1``: nothing can be learnt from it.

    Args:
      rewards: ``[G, K]``, of one prompt's group and its concepts.
      tau: temperature τ; large: all alike.
      valid: which concepts there are, bool ``[K]``; others get no weight.
      shrink: multiply correlations with ``G / (G + 4)``: those of small groups are noise (ours).

    Returns:
      Weights ``[K]``, which sum to 1.

    Raises:
      UsageError: the rewards are no matrix.
    """
    if jnp.ndim(rewards) != 2:
        raise UsageError(
            f"rewards have shape {jnp.shape(rewards)}; expected [group, concepts]: vmap over groups"
        )
    group, concepts = rewards.shape
    valid = jnp.ones(concepts, bool) if valid is None else valid
    centred = rewards - jnp.mean(rewards, 0)
    spread = jnp.sqrt(jnp.mean(centred**2, 0))
    varies = (spread > 1e-6) & valid
    unit = jnp.where(varies, centred / jnp.where(varies, spread, 1.0), 0.0)
    correlation = matmul(unit.T, unit) / group * (group / (group + 4) if shrink else 1.0)
    others = jnp.sum(jnp.where(jnp.eye(concepts, dtype=bool), 0.0, correlation), 1)
    bind = jnp.where(varies, others / jnp.maximum(jnp.sum(valid) - 1, 1), 1.0)
    return jax.nn.softmax(jnp.where(valid, (1.0 - bind) / tau, -jnp.inf))


def standardised_concepts(rewards: jax.Array) -> jax.Array:
    """Each concept with zero mean and unit deviation in the group, ``[G, K]``; 0 where it does not vary."""
    centred = rewards - jnp.mean(rewards, 0)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, 0) + 1e-8)


def correlation_weighted_advantage(
    rewards: jax.Array, tau: jax.Array | float = 0.5, *, shrink: bool = False, weighted: bool = True
) -> jax.Array:
    """Advantages of several groups: ``A_i = Σ_k w_k z_ik``, standardised over the whole batch.

    Args:
      rewards: ``[N, G, K]``: groups, completions, concepts; :data:`MISSING` marks those that a group lacks.
        As in the release, a group that lacks one is not weighted: its concepts count alike.
      tau: temperature of the weights.
      shrink: as in :func:`correlation_weights`.
      weighted: False: all concepts alike, the plain sum.

    Returns:
      Advantages ``[N, G]``.

    Raises:
      UsageError: ``rewards`` has other axes.
    """
    if jnp.ndim(rewards) != 3:
        raise UsageError(f"rewards have shape {jnp.shape(rewards)}; expected [groups, completions, concepts]")
    valid = jnp.all(rewards != MISSING, 1)  # [N, K]
    z = jax.vmap(standardised_concepts)(rewards) * valid[:, None, :]
    alike = valid / jnp.maximum(jnp.sum(valid, 1, keepdims=True), 1)
    weight = jax.vmap(lambda r, v: correlation_weights(r, tau, valid=v, shrink=shrink))(rewards, valid)
    whole = jnp.all(valid, 1, keepdims=True)
    weight = jnp.where(whole, weight, alike) if weighted else alike
    advantage = jnp.einsum("nk,ngk->ng", weight.astype(z.dtype), z, precision=FULL)
    centred = advantage - jnp.mean(advantage)
    return centred / (jnp.sqrt(jnp.mean(centred**2)) + 1e-8)
