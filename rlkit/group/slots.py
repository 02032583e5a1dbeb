"""The five slots in their order: from what reward functions said to the credit of tokens."""

from typing import Any

import jax.numpy as jnp

from rlkit.group.rewards import columns
from rlkit.group.stages import chain, identity, merge
from rlkit.group.statistics import AxisName, group_std, mean
from rlkit.group.types import Completions, Context, Credit, Stage
from rlkit.types import Metrics, PyTree


def pipeline(
    combine: Stage,
    advantage: Stage,
    *,
    rewards: Stage | None = None,
    shape: Stage | None = None,
    filters: Stage | None = None,
    axis_name: AxisName = None,
) -> Stage:
    """The five slots in their order, as one stage from nothing to a :class:`rlkit.group.types.Credit`.

    Args:
      combine: terms to one number per completion, ``[P, G]``.
      advantage: that number to a credit.
      rewards: nothing to terms by name; None takes all of ``batch.rewards``.
      shape: terms to terms; None changes nothing.
      filters: credit to credit; None changes nothing.
      axis_name: mapped axis whose members hold other prompts, for the metrics.

    Returns:
      The stage. Its metrics are those of its slots, and ``reward/mean``, ``reward/std`` (within groups),
      ``frac_zero_std``, the share of prompts whose completions all have the same reward, and
      ``frac_counted``, the share of completions with a token that counts.
    """
    first = rewards or columns(axis_name=axis_name)
    slots = chain(first, shape or identity(), combine, advantage, filters or identity())

    def apply(state: PyTree, x: Any, batch: Completions, ctx: Context) -> tuple[PyTree, Credit, Metrics]:
        state, credit, metrics = slots.apply(state, x, batch, ctx)
        spread = group_std(credit.reward)
        told = {
            "reward/mean": mean(credit.reward, axis_name),
            "reward/std": mean(spread, axis_name),
            "frac_zero_std": mean(spread == 0.0, axis_name),
            "frac_counted": mean(jnp.any(credit.mask > 0, -1), axis_name),
        }
        return state, credit, merge(metrics, told)

    return Stage(slots.init, apply)
