"""How rewards are spread: what accuracy does not tell of their use."""

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import axes, flags, same_shape


def _ranks(x: jax.Array) -> jax.Array:
    """Ranks along the last axis, the mean rank for equals."""
    below = jnp.sum(x[..., None, :] < x[..., :, None], -1)
    ranks = below + 0.5 * (jnp.sum(x[..., None, :] == x[..., :, None], -1) - 1)
    return jnp.where(jnp.isnan(x), jnp.nan, ranks)


def rank_correlation(first: jax.Array, second: jax.Array) -> jax.Array:
    """Spearman's rank correlation with mean ranks for ties: ``[..., N] -> [...]``; NaN if either is constant
    or holds NaN.

    Memory grows as N².
    """
    same_shape("rank_correlation", first=first, second=second)
    a, b = (_ranks(x) - (x.shape[-1] - 1) / 2 for x in (first, second))
    return jnp.sum(a * b, -1) / jnp.sqrt(jnp.sum(a * a, -1) * jnp.sum(b * b, -1))


def advantage_spread(rewards: jax.Array, epsilon: float = 1e-6) -> jax.Array:
    """Largest standardised reward of each group: ``[G, n] -> [G]``: how hard a group-relative update pulls on
    one.

    SoliReward (arXiv 2512.22170) finds that spread among the good, not accuracy, tells what training will
    make of a reward model.
    """
    axes("advantage_spread", "rewards", rewards, 2, "[G, n]")
    centred = rewards - jnp.mean(rewards, 1, keepdims=True)
    return jnp.max(jnp.abs(centred), 1) / (jnp.std(rewards, 1) + epsilon)


def collapse_ratio(reward: jax.Array, passed: jax.Array) -> jax.Array:
    """Standard deviation among the good over the gap of the means of good and bad, a scalar (after
    SoliReward).

    Args:
      reward: ``[B]``.
      passed: bool ``[B]``, or 0 and 1; some of either kind.
    """
    axes("collapse_ratio", "reward", reward, 1, "[B]")
    same_shape("collapse_ratio", reward=reward, passed=passed)
    passed = flags("collapse_ratio", "passed", passed)
    mean = lambda x, m: jnp.sum(jnp.where(m, x, 0.0)) / jnp.sum(m)
    good, bad = mean(reward, passed), mean(reward, ~passed)
    spread = jnp.sqrt(mean(jnp.square(reward - good), passed))
    return spread / jnp.abs(good - bad)
