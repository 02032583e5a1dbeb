"""Rewards of improvements: two agents that help each other (WaltzRL), one that helps itself (PIT)."""

import jax
import jax.numpy as jnp

from rlkit.group.combine import completion_term, linear
from rlkit.group.config import LossConfig
from rlkit.group.controllers import frozen_until, none
from rlkit.group.credit import group, reinforce
from rlkit.group.rewards import column, columns, scores
from rlkit.group.slots import pipeline
from rlkit.group.stages import stateless
from rlkit.group.statistics import AxisName
from rlkit.group.types import Completions, Context, Credit, Method
from rlkit.types import Terms


def conversation_reward(unsafe: jax.Array, refuses: jax.Array) -> jax.Array:
    """1 where an answer is neither unsafe nor refuses too much (WaltzRL 2510.08240)."""
    return ((unsafe <= 0) & (refuses <= 0)).astype(jnp.float32)


def dynamic_improvement(after: jax.Array, before: jax.Array, stopped: jax.Array) -> jax.Array:
    """``after - before``, 0 where the exchange had stopped and nothing was answered anew."""
    return jnp.where(stopped > 0, 0.0, after - before)


def adaptive_stop(flagged: jax.Array, round: jax.Array | int, rounds: int = 1) -> jax.Array:
    """Whether an exchange stops: nothing was objected to, or this was the last round."""
    return (flagged <= 0) | (jnp.asarray(round) >= rounds)


def waltz_rl_feedback(
    after: str = "reward_after",
    before: str = "reward_before",
    stopped: str = "stopped",
    label: str = "label_right",
    form: str = "format",
    weights: tuple[float, float, float] = (0.65, 1.0, 0.1),
    switch: int | None = None,
    gated_by_label: bool = True,
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """WaltzRL's feedback agent (2510.08240): ``alpha DIR label + lambda label + gamma format``.

    Args:
      after: column of the conversation's reward after feedback.
      before: the same, before it.
      stopped: column, 1 where the exchange stopped.
      label: column, 1 where the agent's labels are the judge's.
      form: column of the format's score.
      weights: alpha, lambda, gamma; from a third-party implementation.
      switch: update from which lambda is 0 (the second stage); None: half of all updates.
      gated_by_label: multiply the improvement by the label; the paper's ablation leaves that out.
      kl_coef: of the divergence in the reward; 0.01 in that implementation.
      axis_name: mapped axis whose members hold other prompts.
    """
    names = (after, before, stopped, label, form)

    def pay(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        later, earlier, done, right, well = (completion_term(terms, name, batch) for name in names)
        gain = dynamic_improvement(later, earlier, done)
        half = ctx.total_steps // 2 if switch is None else switch
        lam = jnp.where(ctx.step < half, weights[1], 0.0)
        gate = right if gated_by_label else 1.0
        return weights[0] * gain * gate + lam * right + weights[2] * well

    pipe = pipeline(
        stateless(pay), reinforce(kl_coef, axis_name=axis_name), rewards=columns(*names, axis_name=axis_name),
        axis_name=axis_name,
    )  # fmt: skip
    reads = dict.fromkeys(names, "PG")
    return Method(pipe, LossConfig(), none(axis_name), reads, 1, kl_coef > 0)


def waltz_rl_conversation(
    unsafe: str = "unsafe",
    refuses: str = "refuses",
    switch: int | None = None,
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """WaltzRL's conversation agent (2510.08240): 1 for answers that are safe and help.

    Args:
      unsafe: column, above 0 where the answer is unsafe.
      refuses: column, above 0 where it refuses too much.
      switch: update before which it is frozen (the first stage, the feedback agent's); None: half of all
        updates, as :func:`waltz_rl_feedback` has it; 0: never.
      kl_coef: of the divergence in the reward.
      axis_name: mapped axis whose members hold other prompts.
    """

    def score(batch: Completions, ctx: Context) -> Terms:
        return {"conversation": conversation_reward(column(batch, unsafe), column(batch, refuses))}

    pipe = pipeline(
        linear(), reinforce(kl_coef, axis_name=axis_name), rewards=scores(score, axis_name),
        axis_name=axis_name,
    )  # fmt: skip
    reads = {unsafe: "PG", refuses: "PG"}
    return Method(pipe, LossConfig(), frozen_until(switch, axis_name), reads, 1, kl_coef > 0)


def pit(
    gap: str = "gap",
    own: str | None = None,
    switch: int | None = None,
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """PIT (2310.00898): the reward is the predicted gap over the reference answer in the prompt.

    The gap's model is trained by :func:`rlkit.group.preference_losses.gap_order_loss`.

    Args:
      gap: column ``[P, G]``.
      own: column ``[P]``, 1 where the reference answer is the policy's own; then the curriculum is: prompts
        with references from the data before update ``switch``, those with its own from then on. None: all
        prompts always count.
      switch: None: half of all updates.
      kl_coef: of k3 to the reference policy; the paper does not say how much.
      axis_name: mapped axis whose members hold other prompts.
    """

    def of_this_stage(credit: Credit, batch: Completions, ctx: Context) -> Credit:
        if own is None:
            return credit
        late = ctx.step >= (ctx.total_steps // 2 if switch is None else switch)
        counts = (column(batch, own) > 0) == late
        return credit._replace(mask=credit.mask * counts[:, None, None])

    pipe = pipeline(
        linear(), group(scale="none"), rewards=columns(gap, axis_name=axis_name),
        filters=stateless(of_this_stage), axis_name=axis_name,
    )  # fmt: skip
    reads = {gap: "PG"} | ({} if own is None else {own: "P"})
    loss = LossConfig(aggregation="seq_mean_token_sum", kl_coef=kl_coef)
    return Method(pipe, loss, none(axis_name), reads, reference=kl_coef > 0)
