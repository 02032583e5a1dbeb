"""Preferences and demonstrations: the best against the worst of a group, or each completion for itself."""

from rlkit.group.config import LossConfig
from rlkit.group.credit import judged, optimal_advantage, pairs
from rlkit.group.filters import guidance
from rlkit.group.presets.base import Weights, with_loss
from rlkit.group.statistics import AxisName
from rlkit.group.types import Method


def dpo(
    weights: Weights = None,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    objective: str = "dpo",
    axis_name: AxisName = None,
) -> Method:
    """DPO (2305.18290) on the best and the worst completion of each group by reward.

    With two completions a prompt and a reward that says which was chosen, this is DPO on a data set.
    ``objective`` may also be ``"ipo"`` (2310.12036, per token) or ``"hinge"`` (SLiC-HF, 2305.10425).
    """
    loss = LossConfig(objective=objective, beta=beta, label_smoothing=label_smoothing)
    return with_loss(loss, pairs(), weights=weights, axis_name=axis_name, reference=True)


def kto(
    weights: Weights = None,
    beta: float = 0.1,
    threshold: float | None = None,
    desirable: float = 1.0,
    undesirable: float = 1.0,
    axis_name: AxisName = None,
) -> Method:
    """KTO (2402.01306): good and bad completions without pairs; see :func:`rlkit.group.credit.judged`."""
    credit = judged(threshold, desirable, undesirable)
    loss = LossConfig(objective="kto", beta=beta)
    size = 2 if threshold is None else 1
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, reference=True, group_size=size)


def a2po(
    weights: Weights = None, beta: float = 1e-3, value_beta: float = 0.5, axis_name: AxisName = None
) -> Method:
    """A*-PO (2505.20686): regression of the implicit reward on the optimal advantage."""
    loss = LossConfig(objective="a2po", beta=beta)
    credit = optimal_advantage(value_beta)
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, reference=True, group_size=1)


def tgdpo(
    guide: str = "guide_log_prob",
    alpha: float = 0.5,
    beta: float = 0.1,
    bounds: tuple[float, float] | None = None,
    weights: Weights = None,
    axis_name: AxisName = None,
) -> Method:
    """TGDPO (2506.14574): DPO whose tokens are weighed by the implicit reward of a guide.

    Args:
      guide: column of the guide's log-probabilities ``[P, G, T]``.
      alpha: strength of guidance; 0 is DPO.
      beta: of DPO and of the guide's reward.
      bounds: of the weights; None as published, where they may become negative.
      weights: of the reward functions that say which completion is better.
      axis_name: mapped axis whose members hold other prompts.
    """
    return with_loss(
        LossConfig(objective="dpo", beta=beta), pairs(), weights=weights,
        filters=guidance(guide, alpha, beta, bounds), axis_name=axis_name, reads={guide: "PGT"},
        reference=True,
    )  # fmt: skip


def implicit_bridge(
    divergence: str = "chi2",
    beta: float = 0.1,
    threshold: float = 0.5,
    weights: Weights = None,
    axis_name: AxisName = None,
) -> Method:
    """Implicit Reward as the Bridge (2507.00018): supervised learning that keeps its divergence term.

    Demonstrations are the completions whose reward is above a threshold; see
    :func:`rlkit.group.preference_losses.f_sft`, whose definition is ours. ``"linear"`` is plain SFT.
    """
    loss = LossConfig(objective="f_sft", beta=beta, divergence=divergence)
    credit = judged(threshold, shown=True)
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, reference=True, group_size=1)


def sft(weights: Weights = None, threshold: float = 0.5, axis_name: AxisName = None) -> Method:
    """Supervised fine-tuning: the mean negative log-likelihood of the tokens of demonstrations.

    Demonstrations are the completions whose reward is above a threshold; how tokens are averaged says the
    loss's ``aggregation``.
    """
    loss, credit = LossConfig(objective="sft"), judged(threshold, shown=True)
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, group_size=1)
