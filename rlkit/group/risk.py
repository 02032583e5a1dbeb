"""RiskPO (2510.00911): advantages from a mixed value-at-risk of bundles of prompts."""

from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, unknown_name
from rlkit.group.advantages import check_group
from rlkit.group.credit import spread_over_tokens
from rlkit.group.statistics import AxisName, group_deviations, group_std
from rlkit.group.tracking import Quantiles, quantiles, quantiles_push
from rlkit.group.types import Completions, Context, Credit, Stage
from rlkit.types import Metrics

CREDITS = ("uniform", "score", "std", "sum_mean")
_LEAST_STD = 1e-3


def make_bundles(key: jax.Array, prompts: int, size: int) -> jax.Array:
    """Prompts dealt out at random, int32 ``[P / B, B]``.

    Raises:
      UsageError: they cannot be dealt out evenly.
    """
    if size < 1 or prompts % size:
        raise UsageError(f"{prompts} prompts cannot be dealt into bundles of size={size}; take a divisor")
    return jax.random.permutation(key, prompts).reshape(-1, size)


def bundle_scores(reward: jax.Array, bundles: jax.Array) -> jax.Array:
    """The k-th completions of the prompts of a bundle are one paper: the sum of its marks, ``[P / B, G]``."""
    return jnp.sum(reward[bundles], 1)


def mixed_value_at_risk(
    scores: jax.Array,
    low: jax.Array,
    high: jax.Array,
    levels: tuple[float, float] = (0.2, 0.9),
    weight: float = 1.5,
    natural_baseline: bool = True,
) -> jax.Array:
    """The advantage of a paper before it is scaled: mostly from the worst ones.

    With quantiles ``low`` and ``high`` at the levels ``a`` and ``b``: the range value-at-risk
    ``((s - low)+ - (s - high)+ + low - high) / (b - a)``, the conditional one ``-(low - s)+ / a``, and
    ``(weight CVaR + RVaR) / (weight + 1)``. With the natural baseline (``+ low - high``) all are at most 0.

    Args:
      scores: ``[N, G]``.
      low: ``[]``.
      high: ``[]``.
      levels: ``(a, b)``.
      weight: of the conditional part.
      natural_baseline: subtract ``(high - low) / (b - a)`` in the range part.

    Returns:
      float32 ``[N, G]``.
    """
    a, b = levels
    inside = jax.nn.relu(scores - low) - jax.nn.relu(scores - high)
    inside = inside + (low - high if natural_baseline else 0.0)
    tail = -jax.nn.relu(low - scores) / a if a > 0 else jnp.zeros_like(scores)
    return (weight * tail + inside / (b - a)) / (weight + 1.0)


def spread_credit(advantage: jax.Array, reward: jax.Array, bundles: jax.Array, how: str) -> jax.Array:
    """From papers to completions, ``[P / B, G] -> [P, G]``.

    Args:
      advantage: of papers.
      reward: ``[P, G]``.
      bundles: which prompts are in which.
      how: ``"uniform"``; ``"score"``: half where the completion was right, 1.5 where it was wrong; ``"std"``:
        divided by the prompt's own deviation, 1 below 1e-3; ``"sum_mean"``: times its share of the paper's
        deviation from the prompts' means.

    Raises:
      UnknownNameError: there is no such rule.
    """
    own = reward[bundles]  # [N, B, G]
    if how == "uniform":
        share = jnp.ones_like(own)
    elif how == "score":
        share = jnp.where(own > 0, 0.5, 1.5)
    elif how == "std":
        std = group_std(own)
        share = jnp.broadcast_to(1.0 / jnp.where(std < _LEAST_STD, 1.0, std), own.shape)
    elif how == "sum_mean":
        gain = group_deviations(own)
        whole = jnp.sum(gain, 1, keepdims=True)
        share = jnp.where(jnp.abs(whole) < _LEAST_STD, 0.0, gain / jnp.where(whole == 0, 1.0, whole))
    else:
        raise unknown_name("credit", how, CREDITS)
    each = advantage[:, None, :] * share
    return jnp.zeros_like(reward).at[bundles.reshape(-1)].set(each.reshape(-1, reward.shape[1]))


def risk(
    levels: tuple[float, float] = (0.2, 0.9),
    weight: float = 1.5,
    bundle: int = 5,
    credit: str = "std",
    natural_baseline: bool = True,
    center: bool = False,
    rate: float = 0.1,
    axis_name: AxisName = None,
) -> Stage:
    """RiskPO's advantage slot; the state holds two quantiles of the bundles' scores.

    Args:
      levels: ``a < b`` in [0, 1].
      weight: of the conditional part, at least 0.
      bundle: prompts of a bundle; divides the prompts of a batch, and those of each device.
      credit: see :func:`spread_credit`.
      natural_baseline: as published for easy tasks; every advantage is at most 0 then.
      center: subtract the mean of each prompt's advantages, which the paper does not.
      rate: of the quantiles.
      axis_name: mapped axis over which quantiles are averaged; bundles stay on their device.

    Raises:
      UsageError: the levels are in no order.
      UnknownNameError: there is no such credit.
    """
    if not 0.0 <= levels[0] < levels[1] <= 1.0:
        raise UsageError(f"levels={levels}: expected two numbers a < b in [0, 1]")
    if credit not in CREDITS:
        raise unknown_name("credit", credit, CREDITS)

    def apply(
        state: Quantiles, reward: jax.Array, batch: Completions, ctx: Context
    ) -> tuple[Quantiles, Credit, Metrics]:
        check_group(reward.shape[1], "RiskPO")
        bundles = make_bundles(ctx.key, reward.shape[0], bundle)
        scores = bundle_scores(reward, bundles)
        state = quantiles_push(state, jnp.asarray(levels), scores, rate)
        if axis_name is not None:
            state = state._replace(values=jax.lax.pmean(state.values, axis_name))
        low, high = state.values
        raw = mixed_value_at_risk(scores, low, high, levels, weight, natural_baseline)
        # A bundle of equal scores has no deviation to divide by, but its advantage is not 0.
        std = group_std(scores)
        scaled = raw / jnp.where(std < _LEAST_STD, 1.0, std)
        advantage = spread_credit(scaled, reward, bundles, credit)
        if center:
            advantage = group_deviations(advantage)
        return state, spread_over_tokens(advantage, reward, batch), {"risk/low": low, "risk/high": high}

    return Stage(_start, apply)


def _start() -> Any:
    return quantiles(2)
