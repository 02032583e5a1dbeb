"""Rewards without labels: what the completions of a prompt vote for."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.combine import linear
from rlkit.group.config import LossConfig
from rlkit.group.controllers import none
from rlkit.group.credit import group
from rlkit.group.rewards import column, scores
from rlkit.group.slots import pipeline
from rlkit.group.statistics import AxisName
from rlkit.group.types import Completions, Context, Method, Stage
from rlkit.group.votes import agrees, choose_group_size, cross_view_labels, subgroup_labels, weighted_vote
from rlkit.types import Terms


def _voted(rewards: Stage, reads: dict[str, str], kl_coef: float, axis_name: AxisName) -> Method:
    pipe = pipeline(linear(), group(), rewards=rewards, axis_name=axis_name)
    loss = LossConfig(aggregation="seq_mean_token_mean", kl_coef=kl_coef)
    return Method(pipe, loss, none(axis_name), reads, reference=kl_coef > 0)


def self_vote(answer: str = "answer", kl_coef: float = 0.0, axis_name: AxisName = None) -> Method:
    """TTRL (2504.16084): the majority's answer is the label, for the same completions."""

    def vote(batch: Completions, ctx: Context) -> Terms:
        said = column(batch, answer)
        return {"vote": agrees(said, weighted_vote(said, jnp.ones(said.shape))[:, None])}

    return _voted(scores(vote, axis_name), {answer: "PG"}, kl_coef, axis_name)


def scope(
    answer: str = "answer",
    confidence: str = "confidence",
    sizes: tuple[int, ...] = (),
    votes: int = 0,
    lam: float = 0.7,
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """SCOPE (2512.15146): labels of subgroups, voted by confidence.

    Args:
      answer: column ``[P, G]`` of answer ids, negative where none could be read.
      confidence: column ``[P, G]``, see :func:`rlkit.group.votes.step_confidence`.
      sizes: of subgroups, divisors of ``G``; several: :func:`rlkit.group.votes.choose_group_size` picks one
        for each batch. None: one label a prompt.
      votes: completions that vote on a label, at random; 0: all.
      lam: weight of agreement in that choice.
      kl_coef: of k3 to the reference.
      axis_name: mapped axis whose members hold other prompts.

    Raises:
      UsageError: (when traced) sizes or votes do not fit the group.
    """
    if not isinstance(sizes, tuple):
        raise UsageError(f"sizes={sizes!r}: expected a tuple of sizes of subgroups, e.g. (2, 4, 8)")

    def vote(batch: Completions, ctx: Context) -> Terms:
        said, weight = column(batch, answer), column(batch, confidence)
        each = [
            subgroup_labels(jax.random.fold_in(ctx.key, i), said, weight, size, votes or said.shape[1])
            for i, size in enumerate(sizes or (said.shape[1],))
        ]
        labels = jnp.stack(each)
        place = choose_group_size(labels, said, sizes, lam) if len(sizes) > 1 else 0
        return {"vote": agrees(said, labels[place])}

    return _voted(scores(vote, axis_name), {answer: "PG", confidence: "PG"}, kl_coef, axis_name)


def co_reward(
    answer: str = "answer", pair: str = "pair", kl_coef: float = 0.0, axis_name: AxisName = None
) -> Method:
    """Co-Reward (2508.00410): each view of a question is judged by the majority of its rephrased view.

    Args:
      answer: column ``[P, G]`` of answer ids, negative where none could be read.
      pair: column int32 ``[P]``, the place of the other view in the same batch (of the same device).
      kl_coef: of k3; 0.005 in the paper.
      axis_name: mapped axis whose members hold other prompts.
    """

    def vote(batch: Completions, ctx: Context) -> Terms:
        said = column(batch, answer)
        return {"vote": agrees(said, cross_view_labels(said, column(batch, pair))[:, None])}

    return _voted(scores(vote, axis_name), {answer: "PG", pair: "P"}, kl_coef, axis_name)
