"""Which judgements to keep: by loss, by a peer's loss, by agreement, by length."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, flags, in_range, probabilities, same_shape, whole_numbers


def keep_rate(step: jax.Array | int, noise: float | jax.Array, ramp_steps: int | jax.Array) -> jax.Array:
    """Share of a batch to keep, ``1 - η min(t / T, 1)``: all at first, the clean share in the end.

    Co-teaching's schedule (Han et al. 2018, arXiv 1804.06872); that of Collaborative Reward Modeling
    (2505.10597) was not found.

    Args:
      step: t, number of updates made.
      noise: η, share of wrong labels, in [0, 1).
      ramp_steps: T.
    """
    in_range("keep_rate", "noise", noise, 0.0, 0.999999)
    return 1.0 - noise * jnp.minimum(jnp.asarray(step, jnp.float32) / jnp.maximum(ramp_steps, 1), 1.0)


def small_loss_mask(loss: jax.Array, rate: jax.Array | float, valid: jax.Array | None = None) -> jax.Array:
    """The examples of the smallest loss, exactly ``ceil(rate * n)`` of the ``n`` valid ones.

    Args:
      loss: ``[B]``.
      rate: share to keep, in [0, 1].
      valid: bool ``[B]``; None: all.

    Returns:
      Bool ``[B]``; among equals the first are kept.
    """
    axes("small_loss_mask", "loss", loss, 1, "[B]")
    same_shape("small_loss_mask", loss=loss, valid=valid)
    in_range("small_loss_mask", "rate", rate, 0.0, 1.0)
    valid = jnp.ones(loss.shape, bool) if valid is None else flags("small_loss_mask", "valid", valid)
    rank = jnp.argsort(jnp.argsort(jnp.where(valid, loss, jnp.inf)))
    kept = _rounded_up(rate, jnp.sum(valid))
    return (rank < kept) & valid


def _rounded_up(share: jax.Array | float, count: jax.Array | int) -> jax.Array:
    """``ceil(share * count)`` of a share in float32, whose rounding makes no number one larger."""
    exact = jnp.asarray(share, jnp.float32) * count
    return jnp.ceil(exact * (1.0 - 4.0 * jnp.finfo(jnp.float32).eps))


def peer_masks(
    loss_a: jax.Array, loss_b: jax.Array, rate: jax.Array | float, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """What two models pass to each other: each learns from what the *other* finds easy (arXiv 2505.10597).

    Args:
      loss_a: of the first model, ``[B]``.
      loss_b: of the second.
      rate: share to keep, e.g. :func:`keep_rate`.
      valid: bool ``[B]``; None: all.

    Returns:
      ``(mask for a, mask for b)``, bool ``[B]``.
    """
    same_shape("peer_masks", loss_a=loss_a, loss_b=loss_b)
    return small_loss_mask(loss_b, rate, valid), small_loss_mask(loss_a, rate, valid)


class Agreement(NamedTuple):
    """What several models think of labels; each is bool ``[B]`` and just one of them is true."""

    keep: jax.Array  # every model agrees with the label
    flip: jax.Array  # every model is confident of the opposite
    undecided: jax.Array  # to be judged again


def agreement_filter(
    margins: jax.Array, label: jax.Array, confidence: float = 0.5, flip_confidence: float | None = None
) -> Agreement:
    """Labels that all models confirm or reject, as in the second stage of Skywork-Reward-V2 (arXiv
    2507.01352).

    There the models are the best so far and one trained on verified data only. Give the latter no unverified
    pair: a model that filters by itself confirms its own errors.

    Args:
      margins: first less second, of each model, ``[M, B]``.
      label: above 1/2 where the first is said to be preferred, below where the second is, ``[B]``; a tie,
        1/2, is undecided.
      confidence: a model agrees above this probability of the label.
      flip_confidence: a model rejects above this probability of the opposite; None: as ``confidence``.

    Returns:
      An :class:`Agreement`; log the mean of ``flip``.
    """
    if not axes("agreement_filter", "margins", margins, 2, "[M, B]")[0]:
        raise UsageError("agreement_filter: margins are of no model; expected at least one")
    label = jnp.asarray(label)
    probabilities("agreement_filter", "label", label)
    same_shape("agreement_filter", margins=margins[0], label=label)
    in_range("agreement_filter", "confidence", confidence, 0.5, 1.0)
    opposite = confidence if flip_confidence is None else flip_confidence
    in_range("agreement_filter", "flip_confidence", opposite, 0.5, 1.0)
    p = jax.nn.sigmoid(jnp.where(label > 0.5, margins, -margins))
    said = label != 0.5
    keep, flip = said & jnp.all(p > confidence, 0), said & jnp.all(1.0 - p > opposite, 0)
    return Agreement(keep, flip, ~(keep | flip))


def recycle_flips(label: jax.Array, agreement: Agreement, flip: bool = True) -> tuple[jax.Array, jax.Array]:
    """``(label [B], weight [B])``: confirmed labels as they are, rejected ones turned round, others with
    weight 0.

    With ``flip=False`` rejected ones have weight 0 too.
    """
    turned = jnp.where(agreement.flip, 1.0 - label, label) if flip else label
    used = agreement.keep | agreement.flip if flip else agreement.keep
    return turned, used.astype(jnp.float32)


def length_filter(length_chosen: jax.Array, length_rejected: jax.Array, max_ratio: float = 1.3) -> jax.Array:
    """Pairs whose preferred item is not much longer, bool ``[B]`` (InternLM-XComposer2.5-Reward, 2501.12368).

    ``chosen <= max_ratio * rejected``; the paper's ratio was not found, 1.3 is ours. This selects comparisons
    by their outcome: where lengths vary more than the ratio, a model of what is left likes brevity
    (``benchmarks/papers/ixc_reward.py``). Choose the ratio by the correlation of reward and length.

    Args:
      length_chosen: ``[B]``.
      length_rejected: ``[B]``.
      max_ratio: at least 1.
    """
    same_shape("length_filter", length_chosen=length_chosen, length_rejected=length_rejected)
    in_range("length_filter", "max_ratio", max_ratio, 1.0, float("inf"))
    return length_chosen <= max_ratio * length_rejected


def difficulty_filter(tries: jax.Array, least: int = 2) -> jax.Array:
    """Comparisons that taught a strong judge something: those that it did not get right at once.

    R1-Reward (arXiv 2505.02835) keeps what a strong model needed at least two tries for.

    Args:
      tries: which try was the first that was right, from 1, integer ``[B]``; 0 where none was: such labels
        are as likely wrong as hard, and are left out (ours).
      least: tries.

    Returns:
      Bool ``[B]``.
    """
    axes("difficulty_filter", "tries", tries, 1, "[B]")
    whole_numbers("difficulty_filter", "tries", tries)
    in_range("difficulty_filter", "tries", tries, 0, float("inf"))
    return jnp.asarray(tries) >= check_count("least", least)


def judge_consensus(scores: jax.Array, tolerance: float = 0.0) -> jax.Array:
    """Where all judges' scores are within ``tolerance`` of each other: ``[J, B] -> bool [B]``.

    RAG-RewardBench (arXiv 2412.13746) keeps what four strong judges agree on.
    """
    axes("judge_consensus", "scores", scores, 2, "[J, B]")
    return jnp.max(scores, 0) - jnp.min(scores, 0) <= tolerance


def curriculum_logits(margin: jax.Array, progress: jax.Array | float, start: float = 0.3) -> jax.Array:
    """Logits that sample easy pairs first: those of the largest margin, then more and more of the others.

    At progress ``p`` the share ``start + (1 - start) p`` may be drawn, uniformly. Collaborative Reward
    Modeling (arXiv 2505.10597) goes from easy to hard; this schedule is ours.

    Args:
      margin: of the label, ``[N]``.
      progress: in [0, 1].
      start: share at the beginning, in (0, 1].

    Returns:
      ``[N]``: 0 or -inf, for ``jax.random.categorical``.
    """
    axes("curriculum_logits", "margin", margin, 1, "[N]")
    in_range("curriculum_logits", "start", start, 1e-9, 1.0)
    rank = jnp.argsort(jnp.argsort(-margin))
    share = start + (1.0 - start) * jnp.clip(progress, 0.0, 1.0)
    return jnp.where(rank < _rounded_up(share, margin.shape[0]), 0.0, -jnp.inf)
