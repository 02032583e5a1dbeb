"""Rewards of calls of tools and of retrieval."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.combine import Weight, completion_term, linear, mix
from rlkit.group.config import LossConfig
from rlkit.group.controllers import none
from rlkit.group.credit import group
from rlkit.group.rewards import column, columns, scores
from rlkit.group.slots import pipeline
from rlkit.group.stages import stateless
from rlkit.group.statistics import AxisName
from rlkit.group.tool_scores import Calls, solved_reward, tool_call_reward
from rlkit.group.types import Completions, Context, Method
from rlkit.types import Terms

_PER_COMPLETION = LossConfig(aggregation="seq_mean_token_mean")


def tool_rl(
    granularity: str = "fine",
    form: str = "format",
    weights: tuple[Weight, Weight] = (1.0, 1.0),
    prefix: str = "",
    kl_coef: float = 0.0,
    axis_name: AxisName = None,
) -> Method:
    """ToolRL (2504.13958): how well calls match the gold calls, in [-3, 3], and the format, in {0, 1}.

    Scaling a single term by a schedule changes nothing where advantages are divided by the group's
    deviation; it matters where two terms are summed, as here.

    Args:
      granularity: ``"fine"``, ``"intermediate"`` or ``"coarse"``.
      form: column of the format's score.
      weights: of format and calls, numbers or schedules: ``tool_rl_scheduled`` has the paper's.
      prefix: of the columns ``gold_name [P, C]``, ``gold_values [P, C, K]``, ``call_name [P, G, D]``,
        ``call_values [P, G, D, K]``, ``parsed [P, G]``; see :class:`rlkit.group.tool_scores.Calls`.
      kl_coef: of k3 to the reference.
      axis_name: mapped axis whose members hold other prompts.
    """
    axes = {
        "gold_name": "PC",
        "gold_values": "PCK",
        "call_name": "PGD",
        "call_values": "PGDK",
        "parsed": "PG",
    }

    def calls(batch: Completions, ctx: Context) -> Terms:
        gold_name, gold_values, name, values, parsed = (column(batch, prefix + one) for one in axes)
        gold = Calls(gold_name[:, None], gold_values[:, None])
        score = tool_call_reward(gold, Calls(name, values), parsed > 0, granularity=granularity)
        return {form: column(batch, form), "calls": score}

    pipe = pipeline(
        linear({form: weights[0], "calls": weights[1]}), group(), rewards=scores(calls, axis_name),
        axis_name=axis_name,
    )  # fmt: skip
    reads = {form: "PG"} | {prefix + name: axis for name, axis in axes.items()}
    loss = _PER_COMPLETION.replace(kl_coef=kl_coef)
    return Method(pipe, loss, none(axis_name), reads, reference=kl_coef > 0)


def tool_rl_scheduled(steps: int = 150, **options: object) -> Method:
    """:func:`tool_rl` whose largest format score falls from 2 to 1, while that of calls rises from 2 to 3."""

    def reached(step: jax.Array) -> jax.Array:
        return jnp.clip(step / steps, 0.0, 1.0)

    weights = (lambda step: 2.0 - reached(step), lambda step: (2.0 + reached(step)) / 3.0)
    return tool_rl(**{"weights": weights, **options})  # type: ignore[arg-type]


def ftrl(measure: str = "f1", prefix: str = "", kl_coef: float = 0.0, axis_name: AxisName = None) -> Method:
    """FTRL (2508.08791): how many of the calls of a step solved sub-goals, as F1.

    Args:
      measure: ``"f1"``, ``"precision"``, ``"rate"`` or ``"product"``.
      prefix: of the columns ``calls``, ``solved``, ``open``, ``answered``, ``broken``, ``empty``, each
        ``[P, G]``; see :func:`rlkit.group.tool_scores.solved_reward`.
      kl_coef: of k3; 0.001 in the paper.
      axis_name: mapped axis whose members hold other prompts.
    """
    names = tuple(prefix + name for name in ("calls", "solved", "open", "answered", "broken", "empty"))

    def solved(batch: Completions, ctx: Context) -> Terms:
        n, k, still, *flags = (column(batch, name) for name in names)
        return {"solved": solved_reward(n, k, still, *(flag > 0 for flag in flags), measure=measure)}

    pipe = pipeline(linear(), group(), rewards=scores(solved, axis_name), axis_name=axis_name)
    loss = _PER_COMPLETION.replace(kl_coef=kl_coef)
    return Method(pipe, loss, none(axis_name), dict.fromkeys(names, "PG"), reference=kl_coef > 0)


def atom_searcher(
    atomic: str = "atomic",
    outcome: str = "f1",
    form: str | None = None,
    share: float = 0.5,
    schedule: str = "linear",
    axis_name: AxisName = None,
) -> Method:
    """Atom-Searcher (2508.12800): scores of single thoughts, which fade as the outcome takes over.

    ``a atomic + (1 - a) outcome`` with ``a = share (1 - t / T)``. Tokens that were retrieved have mask 0. The
    share to begin with and the penalty of the format are of a third-party reading.

    Args:
      atomic: column ``[P, G]``: the mean score of a completion's thoughts.
      outcome: column ``[P, G]``: F1 of the answer.
      form: column of 0 or 1; a completion with 0 is paid -1. None: no such column.
      share: of the thoughts to begin with.
      schedule: ``"linear"`` decay, or ``"constant"``.
      axis_name: mapped axis whose members hold other prompts.

    Raises:
      UsageError: there is no such schedule.
    """
    if schedule not in ("linear", "constant"):
        raise UsageError(f"schedule={schedule!r}: expected 'linear' or 'constant'")
    names = (atomic, outcome) + (() if form is None else (form,))

    def pay(terms: Terms, batch: Completions, ctx: Context) -> jax.Array:
        left = 1.0 - ctx.step / jnp.maximum(ctx.total_steps, 1)
        a = share * (left if schedule == "linear" else 1.0)
        value = mix(completion_term(terms, atomic, batch), completion_term(terms, outcome, batch), a)
        return value if form is None else jnp.where(completion_term(terms, form, batch) > 0, value, -1.0)

    pipe = pipeline(
        stateless(pay), group(), rewards=columns(*names, axis_name=axis_name), axis_name=axis_name
    )
    return Method(pipe, _PER_COMPLETION, none(axis_name), dict.fromkeys(names, "PG"))
