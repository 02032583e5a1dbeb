"""Losses on steps and tokens of items. What is masked has exactly no gradient, whatever stands there."""

import jax
import jax.numpy as jnp

from rlkit.prefs.aggregation.echo import token_log_prob
from rlkit.prefs.checks import axes, flags, in_range, probabilities, same_shape
from rlkit.prefs.losses.pairwise import pairwise_logistic


def _only(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Zeros where the mask is false, so that not even NaN passes, forwards or backwards."""
    return jnp.where(mask, x, 0.0)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the last axis of what is not masked, ``[..., T] -> [...]``; 0 where all is."""
    same_shape("masked_mean", x=x, mask=mask)
    mask = flags("masked_mean", "mask", mask)
    return jnp.sum(_only(x, mask), -1) / jnp.maximum(jnp.sum(mask, -1), 1)


def step_logistic(logit: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """Binary cross-entropy of each step.

    Args:
      logit: that the step is right, float ``[B, T]``.
      label: probability that it is, ``[B, T]``.
      mask: bool ``[B, T]``: where there is a label.

    Returns:
      ``[B, T]``, 0 where masked; :func:`masked_mean` reduces it.
    """
    same_shape("step_logistic", logit=logit, label=label, mask=mask)
    mask = flags("step_logistic", "mask", mask)
    return _only(pairwise_logistic(_only(logit, mask), _only(jnp.asarray(label, jnp.float32), mask)), mask)


def step_mse(logit: jax.Array, label: jax.Array, mask: jax.Array) -> jax.Array:
    """``(σ(logit) - label)²`` of each step; arguments and result as :func:`step_logistic`."""
    same_shape("step_mse", logit=logit, label=label, mask=mask)
    mask = flags("step_mse", "mask", mask)
    label = _only(label, mask)
    probabilities("step_mse", "label", label)
    return _only(jnp.square(jax.nn.sigmoid(_only(logit, mask)) - label), mask)


def step_q_ranking(q: jax.Array, correct: jax.Array, mask: jax.Array, zeta: float = 4.0) -> jax.Array:
    """Comparative loss of process Q-values (Li & Li 2024, arXiv 2410.11287; used by BiPRM, 2508.01682).

    With the correct steps ``c_1 < ... < c_m``, the wrong ones ``W`` and a virtual ``Q_{c_0} = 0``, the mean
    over ``t = 0 .. m`` of ``-log(e^{Q_{c_t}} / (Σ_{s<=t} e^{Q_{c_s}} + Σ_{w∈W} e^{Q_w + ζ}))``: later correct
    steps are worth more, wrong ones less than all by ζ. The term of ``t = 0`` counts only if some step is
    wrong.

    Args:
      q: float ``[B, T]``.
      correct: bool ``[B, T]``, or the probability of it: above 1/2 is correct.
      mask: bool ``[B, T]``: where there is a label.
      zeta: ζ, margin in nats.

    Returns:
      ``[B]``; 0 for an item without labels.
    """
    axes("step_q_ranking", "q", q, 2, "[B, T]")
    same_shape("step_q_ranking", q=q, correct=correct, mask=mask)
    in_range("step_q_ranking", "zeta", zeta, 0.0, float("inf"))
    mask = flags("step_q_ranking", "mask", mask)
    probabilities("step_q_ranking", "correct", _only(jnp.asarray(correct, jnp.float32), mask))
    nothing = jnp.float32(-1e30)
    good = jnp.asarray(correct, jnp.float32) > 0.5
    right, wrong = mask & good, mask & ~good
    q = _only(jnp.asarray(q, jnp.float32), mask)
    start = jnp.zeros_like(q[:, :1])
    values = jnp.concatenate([start, q], 1)  # the virtual Q_{c_0} first
    counts = jnp.concatenate([jnp.any(wrong, 1, keepdims=True), right], 1)
    among = jnp.concatenate([start, jnp.where(right, q, nothing)], 1)
    worse = jax.nn.logsumexp(jnp.where(wrong, q + zeta, nothing), 1, keepdims=True)
    against = jnp.logaddexp(jax.lax.cumlogsumexp(among, axis=1), worse)
    return masked_mean(against - values, counts)


def trace_loss(logits: jax.Array, tokens: jax.Array, mask: jax.Array) -> jax.Array:
    """Cross-entropy of a trace of thoughts, calls and rationales (Themis, arXiv 2310.01045).

    The released code adds half the Bradley-Terry loss of the rewards at the traces' ends. What tools replied
    is read, not learnt: its tokens have mask false.

    Args:
      logits: those that predict each token, float ``[B, T, V]``.
      tokens: integer ``[B, T]``.
      mask: bool ``[B, T]``: tokens that the model is to write.

    Returns:
      ``[B]``: nats per token; 0 for an item without any.
    """
    axes("trace_loss", "logits", logits, 3, "[B, T, V]")
    same_shape("trace_loss", logits=logits[..., 0], tokens=tokens, mask=mask)
    mask = flags("trace_loss", "mask", mask)
    return -masked_mean(token_log_prob(_only(logits, mask[..., None]), jnp.where(mask, tokens, 0)), mask)


def trace_and_comparison(
    first: jax.Array,
    second: jax.Array,
    margin: jax.Array,
    label: jax.Array | float = 1.0,
    weight: float = 0.5,
) -> jax.Array:
    """Themis' whole loss: cross-entropy of both traces, and Bradley-Terry of the rewards at their ends.

    ``(t1 + t2) / 2 + w l(m, y)`` with ``w = 0.5`` as in the released code (arXiv 2310.01045); the paper's
    weights of the parts of a trace were not found.

    Args:
      first: :func:`trace_loss` of the first item of each pair, ``[B]``.
      second: of the second.
      margin: reward of the first less that of the second, ``[B]``.
      label: probability that the first is preferred, ``[B]`` or a number.
      weight: ``w``, at least 0.

    Returns:
      ``[B]``.
    """
    same_shape("trace_and_comparison", first=first, second=second, margin=margin)
    in_range("trace_and_comparison", "weight", weight, 0.0, float("inf"))
    return 0.5 * (first + second) + weight * pairwise_logistic(margin, label)
