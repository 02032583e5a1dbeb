"""The loss of an update: from the policy's log-probabilities to one number and its metrics."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group import preference_losses as prefer
from rlkit.group.config import PREFERENCE_OBJECTIVES, LossConfig
from rlkit.group.divergence import kl_estimate
from rlkit.group.policy_losses import POLICY_LOSSES, Tokens, off_policy_loss
from rlkit.group.ratios import log_ratio, sequence_log_ratio
from rlkit.group.statistics import safe
from rlkit.group.types import Update
from rlkit.types import Metrics


def objective(
    config: LossConfig, log_prob: jax.Array, update: Update, entropy: jax.Array | None = None
) -> tuple[jax.Array, Metrics]:
    """The loss of an update, or of a micro-batch of one.

    Losses, gradients and metrics of the micro-batches of an update add up to those of the whole; metrics
    whose name ends in ``min`` or ``max`` are to be minimised or maximised instead
    (:func:`rlkit.group.updates.merge_metrics`).

    Args:
      config: the arguments, as the controller's plan gives them.
      log_prob: float ``[P, G, T]``, of the update's tokens under the policy: where gradients come from.
      update: tokens, advantages and weights.
      entropy: float ``[P, G, T]``, of the policy where each token was chosen; needed for a bonus.

    Returns:
      The loss, float32 ``[]``, and metrics ``[]``: ``loss/policy``, ``kl`` (to the reference),
      ``entropy``, ``approx_kl`` (k3 to the behaviour policy), ``ratio/min``, ``ratio/max``, ``clip/low``,
      ``clip/high`` (shares of tokens); losses of preferences have others, see :mod:`rlkit.group.glossary`.

    Raises:
      UsageError: the reference or the entropy is needed and not there.
    """
    log_prob = safe(log_prob, update.mask)
    if config.objective in PREFERENCE_OBJECTIVES:
        loss, metrics = _preference(config, log_prob, update)
    else:
        loss, metrics = _policy(config, log_prob, update)
    metrics["loss/policy"] = loss
    if _asked_for("kl_coef", config.kl_coef, update.batch.reference_log_prob, "batch.reference_log_prob"):
        reference = needed_reference(update, "kl_coef")
        kl = kl_estimate(log_prob, reference, config.kl_estimator, config.kl_straight_through)
        loss = loss + config.kl_coef * jnp.sum(update.weight * kl)
        metrics["kl"] = jnp.sum(update.share * kl)
    bonus = _asked_for("entropy_coef", config.entropy_coef, entropy, "the entropy of each token")
    if entropy is not None:
        entropy = safe(entropy, update.mask)
        metrics["entropy"] = jnp.sum(update.share * entropy)
        if bonus:
            loss = loss - config.entropy_coef * jnp.sum(update.weight * entropy)
    return loss, {name: jax.lax.stop_gradient(value) for name, value in metrics.items()}


def _asked_for(name: str, coefficient: float | jax.Array, data: jax.Array | None, what: str) -> bool:
    """Whether a term is part of the program: not if its coefficient is the Python number 0, or without data.

    A traced coefficient is not known; whether it can be used was checked when the method was
    (:func:`rlkit.group.rewards.check_batch`).

    Raises:
      UsageError: the coefficient is a number other than 0, and the data are not there.
    """
    if isinstance(coefficient, jax.Array):
        return data is not None
    if coefficient != 0 and data is None:
        raise UsageError(f"{name}={coefficient} needs {what}, which is None; give it, or set {name}=0")
    return coefficient != 0


def needed_reference(update: Update, what: str) -> jax.Array:
    """The reference's log-probabilities, 0 where the mask is.

    Raises:
      UsageError: the batch has none.
    """
    if update.batch.reference_log_prob is None:
        raise UsageError(
            f"{what} needs batch.reference_log_prob, which is None; give the trainer a reference"
        )
    return safe(update.batch.reference_log_prob, update.mask)


def _policy(config: LossConfig, log_prob: jax.Array, update: Update) -> tuple[jax.Array, Metrics]:
    behaviour = jax.lax.stop_gradient(safe(update.batch.behaviour_log_prob, update.mask))
    ratio_of = log_ratio if config.ratio == "token" else sequence_log_ratio
    ratio = ratio_of(log_prob, behaviour, update.mask, config.log_ratio_clamp)
    advantage = jax.lax.stop_gradient(safe(update.advantage, update.mask))
    tokens = Tokens(log_prob, behaviour, ratio, advantage, update.mask)
    loss, low, high = POLICY_LOSSES[config.objective](tokens, config)
    if update.batch.off_policy is not None:
        elsewhere = update.batch.off_policy[..., None] & (config.off_policy_shaping > 0)
        loss = jnp.where(elsewhere, off_policy_loss(tokens, config), loss)
    drift = log_ratio(log_prob, behaviour, update.mask, config.log_ratio_clamp)
    counts = update.mask > 0
    metrics = {
        "approx_kl": jnp.sum(update.share * (jnp.expm1(drift) - drift)),
        "ratio/min": jnp.min(jnp.where(counts, jnp.exp(ratio), jnp.inf)),
        "ratio/max": jnp.max(jnp.where(counts, jnp.exp(ratio), -jnp.inf)),
        "clip/low": jnp.sum(update.share * low),
        "clip/high": jnp.sum(update.share * high),
    }
    return jnp.sum(update.weight * loss), metrics


def _preference(config: LossConfig, log_prob: jax.Array, update: Update) -> tuple[jax.Array, Metrics]:
    """Losses of pairs and of single completions read how these are judged, +1, -1 or 0 times a weight, from
    the advantages."""
    judged = jax.lax.stop_gradient(safe(update.advantage, update.mask))
    if config.objective == "sft":
        return -jnp.sum(update.weight * jnp.maximum(judged, 0.0) * log_prob), {}
    reference = needed_reference(update, f"objective={config.objective!r}")
    share = (log_prob - reference) * update.mask
    if config.objective in ("kto", "f_sft", "a2po"):
        return _completions(config, log_prob, share, judged, update)
    if config.objective == "ipo":
        judged = judged / jnp.maximum(jnp.sum(update.mask, -1, keepdims=True), 1.0)
    each = jnp.sum(judged * share, -1)
    difference = jnp.sum(each, 1)
    if config.objective == "dpo":
        loss = prefer.dpo_loss(config.beta * difference, config.label_smoothing)
    elif config.objective == "ipo":
        loss = prefer.ipo_loss(difference, config.beta)
    else:
        loss = prefer.hinge_loss(config.beta * difference)
    weight = update.prompt_weight
    right = jnp.sum(weight * ((difference > 0) + 0.5 * (difference == 0)))
    good = jnp.sum(judged * update.mask, -1) > 0
    told = {
        "margin": jnp.sum(weight * config.beta * difference),
        "preferred": right,
        "implicit/chosen": config.beta * jnp.sum(weight * jnp.sum(jnp.where(good, each, 0.0), 1)),
        "implicit/rejected": -config.beta * jnp.sum(weight * jnp.sum(jnp.where(good, 0.0, each), 1)),
    }
    return jnp.sum(weight * loss), told | _log_probs(log_prob, update)


def _log_probs(log_prob: jax.Array, update: Update) -> Metrics:
    """Mean log-probability of the completions that are judged good, and of those judged bad, nats."""
    total = jnp.sum(log_prob * update.mask, -1)
    return {
        "log_prob/chosen": jnp.sum(jnp.maximum(update.side_weight, 0.0) * total),
        "log_prob/rejected": jnp.sum(jnp.maximum(-update.side_weight, 0.0) * total),
    }


def _completions(
    config: LossConfig, log_prob: jax.Array, share: jax.Array, judged: jax.Array, update: Update
) -> tuple[jax.Array, Metrics]:
    """Losses of single completions from log-ratios of tokens [P, G, T]."""
    log_ratio = jnp.sum(share, -1)
    # One number per completion: its tokens share it, those that do not count have 0.
    level = jnp.where(jnp.max(judged, -1) > 0, jnp.max(judged, -1), jnp.min(judged, -1))
    each = update.completion_weight
    if config.objective == "a2po":
        return jnp.sum(each * jnp.square(config.beta * log_ratio - level)), {}
    if config.objective == "f_sft":
        shown = each * jnp.abs(level)
        return jnp.sum(shown * prefer.f_sft(config.beta * log_ratio, config.divergence)), {}
    baseline = _baseline(log_ratio, update)
    loss = prefer.kto_loss(log_ratio, level > 0, baseline, config.beta, jnp.abs(level))
    implicit, gain = config.beta * log_ratio, jnp.where(level > 0, 1.0, -1.0) * (log_ratio - baseline)
    told = {
        "margin": jnp.sum(update.side_weight * implicit),
        "preferred": jnp.sum(each * ((gain > 0) + 0.5 * (gain == 0))),
        "implicit/chosen": jnp.sum(jnp.maximum(update.side_weight, 0.0) * implicit),
        "implicit/rejected": jnp.sum(jnp.maximum(-update.side_weight, 0.0) * implicit),
        "implicit/baseline": config.beta * jnp.sum(each * baseline),
    }
    return jnp.sum(each * loss), told | _log_probs(log_prob, update)


def _baseline(log_ratio: jax.Array, update: Update) -> jax.Array:
    """KTO's reference point ``z0 [P, 1]``.

    It is estimated from mismatched pairs of a batch where they are recorded. A group consists of the
    policy's own completions of one prompt: their mean log-ratio estimates it, whatever the micro-batch.
    """
    if update.batch.divergence is not None:
        return jnp.maximum(update.batch.divergence[:, None], 0.0)
    written = jnp.sum(update.mask, -1) > 0
    count = jnp.maximum(jnp.sum(written, -1, keepdims=True), 1)
    return jnp.maximum(jnp.sum(log_ratio * written, -1, keepdims=True) / count, 0.0)
