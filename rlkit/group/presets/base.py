"""The base methods: GRPO and its relatives, one function each."""

from collections.abc import Iterable, Mapping

from rlkit.group.combine import Weight, linear, normalise_then_sum
from rlkit.group.config import LossConfig
from rlkit.group.controllers import none
from rlkit.group.credit import group, reinforce
from rlkit.group.filters import drop_zero_std, mask_truncated
from rlkit.group.rewards import columns
from rlkit.group.shaping import overlong
from rlkit.group.slots import pipeline
from rlkit.group.stages import chain
from rlkit.group.statistics import AxisName
from rlkit.group.types import Method, Stage

Weights = Mapping[str, Weight] | None


def with_loss(
    loss: LossConfig,
    advantage: Stage,
    *,
    weights: Weights = None,
    combine: Stage | None = None,
    shape: Stage | None = None,
    filters: Stage | None = None,
    axis_name: AxisName = None,
    columns_read: Iterable[str] | None = None,
    reads: Mapping[str, str] | None = None,
    group_size: int = 2,
    reference: bool = False,
) -> Method:
    """A method whose reward is a weighted sum (or ``combine``), with one update a batch.

    ``columns_read`` are the columns that become terms, all of ``batch.rewards`` if there are none; None takes
    those that have a weight. ``reads`` are others that the method needs.
    """
    names = tuple(weights or ()) if columns_read is None else tuple(columns_read)
    pipe = pipeline(
        combine or linear(weights), advantage, rewards=columns(*names, axis_name=axis_name), shape=shape,
        filters=filters, axis_name=axis_name,
    )  # fmt: skip
    known = dict.fromkeys(names, "PG") | dict(reads or {})
    return Method(pipe, loss, none(axis_name), known, group_size, reference)


def grpo(
    weights: Weights = None,
    scale: str = "group",
    kl_coef: float = 0.0,
    min_std: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """GRPO (2402.03300): ``(r - mean) / std`` of the group; each completion counts alike.

    Args:
      weights: of the reward functions, by name; numbers or schedules. None: 1 each.
      scale: ``"group"``, ``"batch"`` or ``"none"``.
      kl_coef: of k3 to the reference; 0.04 in the paper, 0 in today's practice.
      min_std: groups that differ less have advantage 0.
      axis_name: mapped axis whose members hold other prompts.
    """
    loss = LossConfig(kl_coef=kl_coef, aggregation="seq_mean_token_mean")
    credit = group(scale=scale, min_std=min_std, axis_name=axis_name)
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, reference=kl_coef > 0)


def dr_grpo(weights: Weights = None, max_length: int = 0, axis_name: AxisName = None) -> Method:
    """Dr. GRPO (2503.20783): no division by deviations or lengths."""
    loss = LossConfig(aggregation="constant", max_length=max_length)
    return with_loss(loss, group(scale="none"), weights=weights, axis_name=axis_name)


def rloo(weights: Weights = None, kl_coef: float = 0.0, axis_name: AxisName = None) -> Method:
    """RLOO (2402.14740): the mean of the others as a baseline, REINFORCE on whole completions."""
    loss = LossConfig(kl_coef=kl_coef, objective="reinforce", aggregation="seq_mean_token_sum")
    credit = group(center="loo", scale="none")
    return with_loss(loss, credit, weights=weights, axis_name=axis_name, reference=kl_coef > 0)


def reinforce_pp(
    weights: Weights = None, kl_coef: float = 0.0, baseline: bool = False, axis_name: AxisName = None
) -> Method:
    """REINFORCE++ (2501.03262): returns of tokens, the divergence included, normalised over the batch.

    ``baseline`` subtracts the group's mean first; without it groups of one will do.
    """
    credit = reinforce(kl_coef, baseline, axis_name=axis_name)
    size, needed = (2 if baseline else 1), kl_coef > 0
    return with_loss(
        LossConfig(), credit, weights=weights, axis_name=axis_name, group_size=size, reference=needed
    )


def dapo(
    weights: Weights = None,
    max_length: int = 0,
    buffer: int = 0,
    clip_high: float = 0.28,
    filter_groups: bool = True,
    mask_overlong: bool = False,
    axis_name: AxisName = None,
) -> Method:
    """DAPO (2503.14476): clip higher, dynamic sampling, token mean, soft overlong punishment, no divergence.

    Args:
      weights: see :func:`grpo`; the punishment is the term ``"overlong"``, with weight 1.
      max_length: tokens of the longest completion, for the punishment.
      buffer: tokens before it where the punishment begins; 0: there is none.
      clip_high: bound above; 0.2 below.
      filter_groups: completions of groups of equal rewards do not count.
      mask_overlong: neither do completions that were cut.
      axis_name: see :func:`grpo`.
    """
    shape, names = (overlong(max_length, buffer) if buffer else None), tuple(weights or ())
    if buffer and weights is not None:
        weights = {**weights, "overlong": 1.0}
    kept = [drop_zero_std()] * filter_groups + [mask_truncated()] * mask_overlong
    return with_loss(
        LossConfig(clip_high=clip_high), group(), weights=weights, shape=shape, columns_read=names,
        filters=chain(*kept) if kept else None, axis_name=axis_name,
    )  # fmt: skip


def gspo(weights: Weights = None, axis_name: AxisName = None) -> Method:
    """GSPO (2507.18071): ratios of completions, clipped at the paper's 3e-4 below and 4e-4 above."""
    loss = LossConfig(clip_low=3e-4, clip_high=4e-4, ratio="sequence", aggregation="seq_mean_token_mean")
    return with_loss(loss, group(), weights=weights, axis_name=axis_name)


def luspo(weights: Weights = None, axis_name: AxisName = None) -> Method:
    """LUSPO (2602.05261): GSPO with each completion's loss times its length, against its length bias."""
    loss = LossConfig(clip_low=3e-4, clip_high=4e-4, ratio="sequence", aggregation="seq_mean_token_sum")
    return with_loss(loss, group(), weights=weights, axis_name=axis_name)


def cispo(weights: Weights = None, clip_high: float = 0.28, axis_name: AxisName = None) -> Method:
    """CISPO (2506.13585): clipped ratios as weights, so that clipped tokens keep their gradient."""
    loss = LossConfig(objective="cispo", clip_low=1.0, clip_high=clip_high)
    return with_loss(loss, group(), weights=weights, axis_name=axis_name)


def sapo(weights: Weights = None, axis_name: AxisName = None) -> Method:
    """SAPO (2511.20347): a soft gate in place of the clip."""
    loss = LossConfig(objective="sapo", aggregation="seq_mean_token_mean")
    return with_loss(loss, group(), weights=weights, axis_name=axis_name)


def vespo(weights: Weights = None, axis_name: AxisName = None) -> Method:
    """VESPO (2602.10693): gamma weights of whole completions' ratios."""
    return with_loss(LossConfig(objective="vespo"), group(), weights=weights, axis_name=axis_name)


def dppo(
    weights: Weights = None, divergence: str = "tv", bound: float = 0.15, axis_name: AxisName = None
) -> Method:
    """DPPO (2602.04879): a trust region of probabilities, ``divergence`` ``"tv"`` or ``"kl"``."""
    loss = LossConfig(objective=f"dppo_{divergence}", clip_low=bound, clip_high=bound, ratio_cap=20.0)
    return with_loss(loss, group(), weights=weights, axis_name=axis_name)


def dro(weights: Weights = None, beta: float = 0.1, axis_name: AxisName = None) -> Method:
    """DRO (2405.19107): a quadratic penalty on log-ratios."""
    loss = LossConfig(objective="dro", beta=beta)
    return with_loss(loss, group(scale="none"), weights=weights, axis_name=axis_name)


def gdpo(weights: Weights = None, axis_name: AxisName = None) -> Method:
    """GDPO (2601.05242): each reward is normalised in its group, their sum over the batch."""
    credit = group(center="none", scale="batch", eps=1e-4, axis_name=axis_name)
    return with_loss(
        LossConfig(aggregation="seq_mean_token_mean"), credit, combine=normalise_then_sum(weights),
        columns_read=weights or (), axis_name=axis_name,
    )  # fmt: skip
