"""Scores of whole episodes by a rubric of five levels (RoboReward, arXiv 2601.00675), and data to learn them.

====  =======================================================================================
score  what an episode must have come to
====  =======================================================================================
1     nothing that serves the command
2     a small change, not enough
3     good progress, but a major requirement, or more than one, is not met
4     all but one minor requirement
5     everything that was asked for
====  =======================================================================================
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.products import matmul
from rlkit.types import Key

LEVELS = 5
TABLE = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Rewards of the scores 1 to 5 (a published port of the model)."""


class Requirements(NamedTuple):
    """What a command asks for; leaves ``[..., A]``."""

    required: jax.Array  # bool: what must hold at the end
    minor: jax.Array  # bool: what is a detail


def rubric_score(
    met: jax.Array, wanted: Requirements, progress: jax.Array | None = None, *, good: float = 0.5
) -> jax.Array:
    """The exact score of a final state.

    Args:
      met: which requirements hold at the end, bool ``[..., A]``.
      wanted: what the command asks for.
      progress: how far the episode came, in [0, 1], ``[...]``; None takes the share of requirements met.
      good: progress from which a failure counts as good progress.

    Returns:
      Scores 1 to 5, int32 ``[...]``.
    """
    missing = wanted.required & ~met
    count = jnp.sum(missing, -1)
    asked = jnp.maximum(jnp.sum(wanted.required, -1), 1)
    progress = 1.0 - count / asked if progress is None else progress
    detail = (count == 1) & ~jnp.any(missing & ~wanted.minor, -1)
    failed = jnp.where(progress >= good, 3, jnp.where(progress > 0, 2, 1))
    return jnp.where(count == 0, 5, jnp.where(detail, 4, failed)).astype(jnp.int32)


def score_to_reward(score: jax.Array, table: tuple[float, ...] = TABLE) -> jax.Array:
    """Rewards of scores, interpolated between whole ones and clipped to 1 to 5; float32 ``[...]``.

    Raises:
      UsageError: the table has not five entries.
    """
    if len(table) != LEVELS:
        raise UsageError(f"table={table}: expected {LEVELS} rewards, of the scores 1 to 5")
    return jnp.interp(jnp.asarray(score, jnp.float32), jnp.arange(1.0, LEVELS + 1), jnp.asarray(table))


def ordinal_loss(logits: jax.Array, score: jax.Array) -> jax.Array:
    """Cumulative-link loss: the mean over four thresholds of "is the score above k?".

    Args:
      logits: of ``P(score > k)`` for k = 1 to 4, ``[..., 4]``.
      score: 1 to 5, int ``[...]``.

    Returns:
      ``[...]``.
    """
    above = score[..., None] > jnp.arange(1, LEVELS)
    return jnp.mean(jax.nn.softplus(jnp.where(above, -logits, logits)), -1)


def ordinal_score(logits: jax.Array) -> jax.Array:
    """The expected score ``1 + Σ_k P(score > k)``, float ``[..., 4]`` → ``[...]``."""
    return 1.0 + jnp.sum(jax.nn.sigmoid(logits), -1)


def macro_error(predicted: jax.Array, score: jax.Array, subset: jax.Array, subsets: int) -> jax.Array:
    """Mean absolute error, each subset that has examples weighing the same (RoboReward's headline), scalar.

    Args:
      predicted: scores ``[N]``.
      score: true scores ``[N]``.
      subset: which subset each belongs to, int ``[N]``.
      subsets: how many there are.
    """
    which = jax.nn.one_hot(subset, subsets, dtype=jnp.float32)
    count = jnp.sum(which, 0)
    error = matmul(jnp.abs(predicted - score), which) / jnp.maximum(count, 1)
    return jnp.sum(error) / jnp.sum(count > 0)


class Relabelled(NamedTuple):
    """Another command for the same episode, and what the episode is worth for it."""

    command: jax.Array  # int [A]
    score: jax.Array  # int32 []


def counterfactual_relabel(
    key: Key,
    command: jax.Array,
    sizes: jax.Array,
    judge: Any,
    *,
    near: float = 0.5,
) -> Relabelled:
    """Keep the episode and change what was asked for, so that a success becomes a negative of known score.

    Args:
      key: typed PRNG key.
      command: attributes of the command that was given, int ``[A]``; attribute a is below ``sizes[a]``.
      sizes: how many values each attribute has, int ``[A]``.
      judge: ``judge(command) -> score``, the exact rubric of this episode's end for a command. A command that
        happens to be satisfied keeps the 5 that it earns.
      near: probability of a near miss, which changes one attribute; otherwise all are drawn anew.

    Returns:
      The command and its score.
    """
    kind, which, shift, whole = jax.random.split(key, 4)
    free = sizes > 1
    one = jax.random.categorical(which, jnp.where(free, 0.0, -jnp.inf))
    step = 1 + jax.random.randint(shift, command.shape, 0, jnp.maximum(sizes - 1, 1))
    other = (command + step) % sizes
    missed = jnp.where(jnp.arange(command.shape[0]) == one, other, command)
    anew = jax.random.randint(whole, command.shape, 0, sizes)
    chosen = jnp.where(jax.random.bernoulli(kind, near), missed, anew).astype(command.dtype)
    return Relabelled(chosen, jnp.asarray(judge(chosen), jnp.int32))


class Clipped(NamedTuple):
    """The beginning of an episode, and what it is worth."""

    valid: jax.Array  # bool [T]: frames that are kept
    score: jax.Array  # int32 []


def temporal_clip(key: Key, progress: jax.Array, valid: jax.Array, *, least: int = 1) -> Clipped:
    """Cut a success short, so that it becomes partial progress.

    Kept are the first frames up to a uniformly drawn one; the score is ``1 + floor(4 Φ)`` of the last of
    them, and 5 only if the last frame of the episode is kept, whose success the episode is labelled with.

    Args:
      key: typed PRNG key.
      progress: of each frame in [0, 1], ``[T]``.
      valid: frames of the episode, bool ``[T]``, first ones true.
      least: frames that are kept at least.
    """
    length = jnp.sum(valid)
    kept = jax.random.randint(key, (), least, jnp.maximum(length, least + 1) + 1)
    kept = jnp.minimum(kept, length)
    partial = jnp.clip(1 + jnp.floor(4 * progress[kept - 1]), 1, LEVELS - 1)
    score = jnp.where(kept == length, LEVELS, partial).astype(jnp.int32)
    return Clipped(valid & (jnp.arange(valid.shape[0]) < kept), score)


def balanced_scores(key: Key, score: jax.Array, count: int) -> jax.Array:
    """Indices of examples in which all scores that occur are equally frequent: calibrated negatives.

    Args:
      key: typed PRNG key.
      score: 1 to 5, int ``[N]``.
      count: how many to draw, with replacement.

    Returns:
      int32 ``[count]``.
    """
    frequency = jnp.sum(jax.nn.one_hot(score, LEVELS + 1), 0)
    return jax.random.categorical(key, -jnp.log(jnp.maximum(frequency, 1.0))[score], shape=(count,))
