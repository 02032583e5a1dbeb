"""Rewards and advantages of papers on verifiable and composite rewards, one function each."""

import math

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.group.combine import completion_term, from_terms, linear, normalise_then_sum
from rlkit.group.config import LossConfig
from rlkit.group.controllers import improvement_feedback, none
from rlkit.group.credit import group, reinforce
from rlkit.group.dimensions import enough_dimensions
from rlkit.group.filters import clip_advantage, select_prompts, sigma_filter, token_penalty
from rlkit.group.presets.base import Weights, grpo, with_loss
from rlkit.group.rewards import column, columns, scores
from rlkit.group.risk import risk
from rlkit.group.rubrics import (
    conciseness_reward,
    consistency_reward,
    decompositional_reward,
    no_improvement_floor,
    rubric_reward,
    time_series_reward,
)
from rlkit.group.shaping import adaptive
from rlkit.group.slots import pipeline
from rlkit.group.stages import chain, stateless
from rlkit.group.statistics import AxisName
from rlkit.group.types import Completions, Context, Credit, Method
from rlkit.types import Terms

_PER_COMPLETION = LossConfig(aggregation="seq_mean_token_mean")


def r1_reward(
    form: str = "format",
    accuracy: str = "correct",
    consistency: str = "consistency",
    released: bool = False,
    sigma: float = 3.0,
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """R1-Reward, StableReinforce (2505.02835): REINFORCE++ with pre-clipped ratios and a 3-sigma filter.

    Args:
      form: column of the format's score, 0 or 1.
      accuracy: column of the outcome, 0 or 1.
      consistency: column of a referee's judgement, -1, 0 or 1.
      released: the filter as the paper's code has it (see :func:`rlkit.group.filters.three_sigma`).
      sigma: deviations beyond which a signal is dropped.
      kl_coef: of the divergence in the reward; 1e-3 in the paper.
      axis_name: mapped axis whose members hold other prompts.
    """
    names = (form, accuracy, consistency)
    pipe = pipeline(
        from_terms(consistency_reward, *names), reinforce(kl_coef, axis_name=axis_name),
        rewards=columns(*names, axis_name=axis_name), filters=sigma_filter(sigma, released, axis_name),
        axis_name=axis_name,
    )  # fmt: skip
    loss = LossConfig(log_ratio_clamp=math.log(1000.0))
    return Method(pipe, loss, none(axis_name), dict.fromkeys(names, "PG"), 1, kl_coef > 0)


def pipo(
    weights: Weights = None,
    window: int = 8,
    lam: float = 0.1,
    how: str = "leaky",
    largest: float = 3.0,
    min_std: float = 0.02,
    scale: str = "group",
    axis_name: AxisName = None,
) -> Method:
    """PIPO (2604.00860): GRPO and :func:`rlkit.group.controllers.improvement_feedback` around it.

    The paper floors and bounds nothing: that is ``largest=inf, min_std=0`` (``pipo_published``); its README
    has ``how="relu", largest=0.5`` (``pipo_capped``).
    """
    base = grpo(weights, scale, axis_name=axis_name)
    return base._replace(controller=improvement_feedback(window, lam, how, largest, min_std, axis_name))


def risk_po(
    weights: Weights = None,
    levels: tuple[float, float] = (0.2, 0.9),
    weight: float = 1.5,
    bundle: int = 5,
    credit: str = "std",
    natural_baseline: bool = True,
    center: bool = False,
    axis_name: AxisName = None,
) -> Method:
    """RiskPO (2510.00911): mixed value-at-risk of bundles of prompts, see :func:`rlkit.group.risk.risk`.

    As published every advantage is at most 0; ``risk_po_centred`` subtracts each prompt's mean.
    """
    stage = risk(levels, weight, bundle, credit, natural_baseline, center, axis_name=axis_name)
    return with_loss(_PER_COMPLETION, stage, weights=weights, axis_name=axis_name)


def rgr_grpo(
    satisfied: str = "satisfied",
    weight: str = "criterion_weight",
    factual: str = "factual",
    gamma: float = 0.1,
    shape: str = "ratio",
    axis_name: AxisName = None,
) -> Method:
    """RGR-GRPO (2511.12344): rubrics as reward; refined members of a group are off-policy and shaped.

    Args:
      satisfied: column ``[P, G, C]``, which criteria a completion meets.
      weight: column ``[P, C]``; 0 for criteria that do not exist.
      factual: column ``[P, C]``.
      gamma: of the shaping of members with ``batch.off_policy``.
      shape: ``"ratio"`` as a reading of the paper has it, or ``"probability"`` as LUFFY.
      axis_name: mapped axis whose members hold other prompts.
    """

    def rubric(batch: Completions, ctx: Context) -> Terms:
        w, met = column(batch, weight), column(batch, satisfied)
        return {"rubric": rubric_reward(met, w, column(batch, factual), w > 0)}

    loss = LossConfig(
        objective="unclipped", off_policy_shaping=gamma, off_policy_shape=shape,
        aggregation="seq_mean_token_mean",
    )  # fmt: skip
    pipe = pipeline(linear(), group(), rewards=scores(rubric, axis_name), axis_name=axis_name)
    return Method(pipe, loss, none(axis_name), {satisfied: "PGC", weight: "PC", factual: "PC"})


def perceval(
    flag: str = "flag", alpha: float = 0.1, weights: Weights = None, axis_name: AxisName = None
) -> Method:
    """Perceval: GRPO, with less for tokens that a process reward model flags (eq. 3)."""
    return with_loss(
        _PER_COMPLETION, group(), weights=weights, filters=token_penalty(flag, alpha), axis_name=axis_name,
        reads={flag: "PGT"},
    )  # fmt: skip


def armed(
    text: str = "correct",
    semantic: str = "semantic",
    q: float = 0.5,
    sharpness: float = 2.0,
    buffer: int = 512,
    scale: str = "group",
    axis_name: AxisName = None,
) -> Method:
    """ARMed (2508.12957): a semantic score, spread out around a quantile of its past, plus correctness.

    The curve is ours. Scaling by the group's deviation undoes the collapse of a single term within a group;
    what the curve changes is the weight of the two terms. ``scale="none"`` keeps more of it.
    """
    pipe = pipeline(
        linear({text: 1.0, semantic: 1.0}), group(scale=scale, axis_name=axis_name),
        rewards=columns(text, semantic, axis_name=axis_name),
        shape=adaptive(semantic, q, sharpness, buffer, axis_name), axis_name=axis_name,
    )  # fmt: skip
    return Method(pipe, _PER_COMPLETION, none(axis_name), {text: "PG", semantic: "PG"})


def mora(
    weights: Weights = None,
    least: int = 1,
    threshold: float = 0.5,
    spread: float = 0.0,
    decoupled: bool = False,
    axis_name: AxisName = None,
) -> Method:
    """MORA (2605.11679): several rewards on prompts that can reach them; the definition is ours.

    Prompts whose completions reach fewer than ``least`` dimensions do not count
    (:func:`rlkit.group.dimensions.achievable`). Prompts are expanded on the data's side.

    Args:
      weights: of the reward dimensions.
      least: dimensions that a prompt must reach.
      threshold: what the best completion must reach in a dimension.
      spread: by how much the best must exceed the worst there.
      decoupled: normalise each dimension before the sum (GDPO) rather than after it.
      axis_name: mapped axis whose members hold other prompts.
    """
    keep = select_prompts(enough_dimensions(tuple(weights or ()), least, threshold, spread))
    scale = "batch" if decoupled else "group"
    credit = group(center="none" if decoupled else "mean", scale=scale, axis_name=axis_name)
    combine = normalise_then_sum(weights) if decoupled else linear(weights)
    return with_loss(
        _PER_COMPLETION,
        credit,
        combine=combine,
        filters=keep,
        axis_name=axis_name,
        columns_read=weights or (),
    )


def alpha_grpo(
    semantic: str = "semantic_answers",
    quality: str = "quality_answers",
    draft: str | None = None,
    bound: float = 5.0,
    axis_name: AxisName = None,
) -> Method:
    """AlphaGRPO (2605.12495): the geometric mean of two kinds of questions, ratios of completions.

    Args:
      semantic: column ``[P, G, Q]`` of probabilities of "yes".
      quality: column ``[P, G, R]``.
      draft: column ``[P, G]`` of the reward of what a completion refines; then a refinement that is no better
        gets the least draft's reward, and groups without any improvement do not count.
      bound: of advantages.
      axis_name: mapped axis whose members hold other prompts.
    """

    def answers(batch: Completions, ctx: Context) -> Terms:
        value = decompositional_reward(column(batch, semantic), column(batch, quality))
        return {"answers": value if draft is None else no_improvement_floor(value, column(batch, draft))}

    def improved(credit: Credit, batch: Completions) -> Credit:
        if draft is None:
            return credit
        floor = jnp.min(column(batch, draft), -1, keepdims=True)
        some = jnp.any(credit.reward > floor, -1)
        return credit._replace(mask=credit.mask * some[:, None, None])

    loss = LossConfig(clip_high=0.28, ratio="sequence")
    pipe = pipeline(
        linear(), group(), rewards=scores(answers, axis_name), axis_name=axis_name,
        filters=chain(clip_advantage(bound), stateless(improved)),
    )  # fmt: skip
    reads = {semantic: "PGQ", quality: "PGR"} | ({} if draft is None else {draft: "PG"})
    return Method(pipe, loss, none(axis_name), reads)


def time_master(
    accuracy: str = "accuracy",
    form: str = "format",
    extension: str = "extension",
    weights: tuple[float, float, float] = (0.9, 0.1, 0.5),
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """TimeMaster (2506.13705): accuracy, format, and an extension that only right answers earn.

    ``kl_coef`` is 0.01 in the paper, of k3.
    """
    names = (accuracy, form, extension)
    pipe = pipeline(
        from_terms(lambda *terms: time_series_reward(*terms, weights=weights), *names), group(),
        rewards=columns(*names, axis_name=axis_name), axis_name=axis_name,
    )  # fmt: skip
    loss = _PER_COMPLETION.replace(kl_coef=kl_coef)
    return Method(pipe, loss, none(axis_name), dict.fromkeys(names, "PG"), reference=kl_coef > 0)


_DIFFICULTIES = {"harder": (1.0, -1.0), "easier": (0.0, 1.0), "none": (0.0, 0.0)}  # of the group's accuracy


def crf(
    outcome: str = "correct",
    conciseness: str = "conciseness",
    alpha: float = 0.5,
    difficulty: str = "harder",
    axis_name: AxisName = None,
) -> Method:
    """CRF (2511.09158): ``outcome (1 + alpha c (s + d))``, ``s = 1 - t / T``.

    ``d`` is ``1 -`` the group's accuracy with ``difficulty="harder"``, that accuracy with ``"easier"``, 0
    with ``"none"``: which one the paper means is not known to us.

    Args:
      outcome: column of 0 or 1.
      conciseness: column in [0.1, 1].
      alpha: strength; 0 is the outcome alone.
      difficulty: see above.
      axis_name: mapped axis whose members hold other prompts.
    """
    if difficulty not in _DIFFICULTIES:
        raise unknown_name("difficulty", difficulty, _DIFFICULTIES)
    offset, slope = _DIFFICULTIES[difficulty]

    def pay(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        right = completion_term(terms, outcome, batch)
        annealing = 1.0 - ctx.step / jnp.maximum(ctx.total_steps, 1)
        rate = jnp.mean(right, -1, keepdims=True)
        brief = completion_term(terms, conciseness, batch)
        return conciseness_reward(right, brief, annealing, offset + slope * rate, alpha)

    names = (outcome, conciseness)
    pipe = pipeline(
        stateless(pay), group(), rewards=columns(*names, axis_name=axis_name), axis_name=axis_name
    )
    return Method(pipe, _PER_COMPLETION, none(axis_name), dict.fromkeys(names, "PG"))
