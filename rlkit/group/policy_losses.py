"""Losses of tokens for policy gradients: what is between an advantage and an aggregation.

All take what there is to know of the tokens and the arguments, and return the loss of each token, to be
minimised, and two flags per token: clipped below, clipped above. Advantages carry no gradient.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.group.config import LossConfig


class Tokens(NamedTuple):
    """What the losses of tokens read; float32 ``[P, G, T]``, 0 where the mask is."""

    log_prob: jax.Array
    behaviour: jax.Array
    log_ratio: jax.Array
    advantage: jax.Array
    mask: jax.Array


class TokenLoss(NamedTuple):
    """The loss of each token, and where it was clipped."""

    loss: jax.Array  # float32 [P, G, T]
    low: jax.Array  # bool [P, G, T]
    high: jax.Array  # bool [P, G, T]


def clip_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """PPO's clipped surrogate (1707.06347, eq. 7), with bounds of its own below and above (DAPO).

    ``-min(rho A, clip(rho, 1 - low, 1 + high) A)``. ``ratio_cap`` bounds ``rho`` in the first term (two-sided
    clipping, INTELLECT-2); ``dual_clip`` bounds the loss by ``-c A`` where ``A < 0`` (1912.09729).
    """
    ratio, advantage = _capped(jnp.exp(x.log_ratio), config), x.advantage
    clipped = jnp.clip(jnp.exp(x.log_ratio), 1.0 - config.clip_low, 1.0 + config.clip_high)
    loss = jnp.maximum(-ratio * advantage, -clipped * advantage)
    bound = jnp.where((advantage < 0) & (config.dual_clip > 0), -config.dual_clip * advantage, jnp.inf)
    low = (advantage < 0) & (jnp.exp(x.log_ratio) < 1.0 - config.clip_low)
    high = (advantage > 0) & (jnp.exp(x.log_ratio) > 1.0 + config.clip_high)
    return TokenLoss(jnp.minimum(loss, bound), low, high)


def unclipped_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """``-rho A``: importance sampling without a trust region, but with ``ratio_cap``."""
    return _unflagged(-_capped(jnp.exp(x.log_ratio), config) * x.advantage)


def cispo_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """CISPO (2506.13585, eq. 4): a clipped ratio weighs a log-likelihood, ``-sg(clip(rho)) A log pi``."""
    ratio = jax.lax.stop_gradient(jnp.exp(x.log_ratio))
    weight = jnp.clip(ratio, 1.0 - config.clip_low, 1.0 + config.clip_high)
    return TokenLoss(-weight * x.advantage * x.log_prob, ratio < weight, ratio > weight)


def sapo_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """SAPO (2511.20347): a sigmoid gate instead of a clip, ``-(4 / tau) sigmoid(tau (rho - 1)) A``."""
    tau = jnp.where(x.advantage > 0, config.temperature_positive, config.temperature_negative)
    gate = 4.0 / tau * jax.nn.sigmoid(tau * (jnp.exp(x.log_ratio) - 1.0))
    return _unflagged(-gate * x.advantage)


_VESPO = ((2.0, 3.0), (3.0, 2.0))  # (k, lambda) for positive advantages and for the others


def vespo_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """VESPO (2602.10693): log-likelihoods weighted by a gamma function of the completion's whole ratio ``w``.

    ``-sg(w^k exp(lambda (1 - w))) A log pi`` with ``(k, lambda) = (2, 3)`` for positive advantages and (3, 2)
    for others, the defaults of TRL, whose code this formula is of. ``log w``, the sum over the
    completion, is clamped to [log 1e-8, 20].
    """
    log_w = jax.lax.stop_gradient(jnp.sum(x.log_ratio, -1, keepdims=True))
    log_w = jnp.clip(log_w, jnp.log(1e-8), 20.0)
    positive = x.advantage >= 0
    k, lam = (jnp.where(positive, a, b) for a, b in zip(*_VESPO, strict=True))
    weight = jnp.exp(lam + k * log_w - lam * jnp.exp(log_w))
    return _unflagged(-weight * x.advantage * x.log_prob)


def dppo_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """DPPO (2602.04879): the trust region is a divergence of the token's own probability, not its ratio.

    ``-sg(min(rho, ratio_cap)) A log pi`` where the divergence of the two Bernoulli distributions "this token
    or another" is within ``clip_high`` (A > 0) or ``clip_low``, or the step leads back; 0 beyond. The
    divergence is the total variation ``|p - p_behaviour|`` (``dppo_tv``) or ``KL(p_behaviour || p)``
    (``dppo_kl``).
    """
    ratio = jax.lax.stop_gradient(_capped(jnp.exp(x.log_ratio), config))
    log_new = jax.lax.stop_gradient(jnp.minimum(x.log_prob, 0.0))
    new, old = jnp.exp(log_new), jnp.exp(x.behaviour)
    if config.objective == "dppo_tv":
        divergence = jnp.abs(new - old)
    else:
        other = jnp.log((1.0 - old + 1e-8) / (1.0 - new + 1e-8))
        divergence = old * (x.behaviour - log_new) + (1.0 - old) * other
    high = (x.advantage > 0) & (divergence > config.clip_high) & (new > old)
    low = (x.advantage <= 0) & (divergence > config.clip_low) & (new < old)
    loss = jnp.where(low | high, 0.0, -ratio * x.advantage * x.log_prob)
    return TokenLoss(loss, low, high)


def dro_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """DRO (2405.19107) as policy gradient: ``-(A log pi - beta / 2 (log pi - log pi_behaviour)²)``."""
    penalty = config.beta / 2 * jnp.square(x.log_prob - x.behaviour)
    return _unflagged(-x.advantage * x.log_prob + penalty)


def reinforce_loss(x: Tokens, config: LossConfig) -> TokenLoss:
    """REINFORCE (Williams 1992): ``-A log pi``, whichever policy sampled."""
    return _unflagged(-x.advantage * x.log_prob)


POLICY_LOSSES: dict[str, Callable[[Tokens, LossConfig], TokenLoss]] = {
    "clip": clip_loss,
    "unclipped": unclipped_loss,
    "cispo": cispo_loss,
    "sapo": sapo_loss,
    "vespo": vespo_loss,
    "dppo_tv": dppo_loss,
    "dppo_kl": dppo_loss,
    "dro": dro_loss,
    "reinforce": reinforce_loss,
}


def off_policy_loss(x: Tokens, config: LossConfig) -> jax.Array:
    """The loss of members that another policy, or another prompt, wrote: ``-f A``, ``[P, G, T]``.

    With ``gamma = off_policy_shaping``, ``f = pi / (pi_behaviour + gamma)`` (``"ratio"``, RGR-GRPO 2511.12344
    as a reading of it prints the formula) or ``pi / (pi + gamma)`` (``"probability"``, LUFFY 2504.14945).
    """
    # Where it is not used it must be finite too, or its gradient is not.
    probability = jnp.exp(jnp.clip(x.log_prob, -80.0, 20.0))
    base = jnp.exp(x.behaviour) if config.off_policy_shape == "ratio" else probability
    return -probability / (base + jnp.maximum(config.off_policy_shaping, 1e-9)) * x.advantage


def _capped(ratio: jax.Array, config: LossConfig) -> jax.Array:
    return jnp.minimum(ratio, jnp.where(config.ratio_cap > 0, config.ratio_cap, jnp.inf))


def _unflagged(loss: jax.Array) -> TokenLoss:
    nowhere = jnp.zeros(loss.shape, bool)
    return TokenLoss(loss, nowhere, nowhere)
