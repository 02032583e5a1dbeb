"""Which dimensions of reward a prompt's completions can reach (MORA 2605.11679; the definitions are ours)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlkit.group.rewards import column
from rlkit.group.types import Completions


def achievable(rewards: jax.Array, threshold: float = 0.5, spread: float = 0.0) -> jax.Array:
    """Dimensions in which some completion of a prompt does well and not all do the same.

    Args:
      rewards: ``[P, M, K]``, of ``M`` completions that were sampled beforehand.
      threshold: what the best of them must reach.
      spread: by how much the best must exceed the worst, at least.

    Returns:
      bool ``[P, K]``.
    """
    best = jnp.max(rewards, 1)
    return (best >= threshold) & (best - jnp.min(rewards, 1) >= spread)


def single_reward_prompts(reached: jax.Array) -> jax.Array:
    """Prompts that reach exactly one dimension, bool ``[P]``: those to be rewritten with more intents."""
    return jnp.sum(reached, -1) == 1


def dimension_coverage(reached: jax.Array) -> jax.Array:
    """The mean number of dimensions that a prompt reaches, ``[]``."""
    return jnp.mean(jnp.sum(reached, -1).astype(jnp.float32))


def enough_dimensions(
    names: tuple[str, ...], least: int, threshold: float, spread: float
) -> Callable[[Completions], jax.Array]:
    """A choice of prompts that reach at least some dimensions, for
    :func:`rlkit.group.filters.select_prompts`; no names: all of ``batch.rewards``."""

    def chosen(batch: Completions) -> jax.Array:
        each = [column(batch, name) for name in names or tuple(batch.rewards)]
        reached = achievable(jnp.stack(each, -1), threshold, spread)
        return jnp.sum(reached, -1) >= least

    return chosen
