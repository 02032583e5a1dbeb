"""Comparisons made of other judgements: of passes and fails, of ties with an inner contradiction."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.keys import typed_key
from rlkit.prefs.checks import axes, flags, in_range, known, same_shape
from rlkit.types import Key


class CrossPairs(NamedTuple):
    """Comparisons as indices of items."""

    first: jax.Array  # int32 [n]: an item that passed
    second: jax.Array  # int32 [n]: one that failed, or in a tie another one that passed
    label: jax.Array  # float32 [n]: 1, or 1/2 for a tie


def cross_pairs(key: Key, passed: jax.Array, count: int, tie_share: float | jax.Array = 0.5) -> CrossPairs:
    """Comparisons from pass and fail alone, across prompts (SoliReward, arXiv 2512.22170).

    Every pass beats every fail; two passes tie; two fails are never compared: they may fail for different
    reasons.

    Args:
      key: PRNG key.
      passed: bool ``[N]``, or 0 and 1.
      count: how many, drawn with replacement.
      tie_share: probability that one is a tie, in [0, 1].

    Raises:
      UsageError: nothing passed, nothing failed, or ties are wanted of a single pass.
    """
    axes("cross_pairs", "passed", passed, 1, "[N]")
    in_range("cross_pairs", "tie_share", tie_share, 0.0, 1.0)
    check_count("count", count)
    passed = flags("cross_pairs", "passed", passed)
    there, share = known(passed), known(tie_share)
    if there is not None and (there.all() or not there.any()):
        raise UsageError(
            f"cross_pairs: {int(there.sum())} of {there.size} passed; expected some of either kind"
        )
    if there is not None and share is not None and there.sum() < 2 and share > 0:
        raise UsageError("cross_pairs: one item passed: it ties with none; set tie_share=0")
    keys = jax.random.split(typed_key(key), 4)
    none = -jnp.inf
    draw = lambda k, mask: jax.random.categorical(k, jnp.where(mask, 0.0, none), shape=(count,))
    first, fails = draw(keys[0], passed), draw(keys[1], ~passed)
    others = passed[None] & (jnp.arange(passed.shape[0]) != first[:, None])
    twins = jax.random.categorical(keys[2], jnp.where(others, 0.0, none))
    tie = jax.random.uniform(keys[3], (count,)) < tie_share
    second = jnp.where(tie, twins, fails)
    return CrossPairs(first.astype(jnp.int32), second.astype(jnp.int32), jnp.where(tie, 0.5, 1.0))


class TieSplit(NamedTuple):
    """Every comparison twice; leading axis: the copies."""

    label: jax.Array  # float32 [2, B]
    weight: jax.Array  # float32 [2, B]: 0 for the second copy of what is no such tie
    aspects: jax.Array  # bool [2, B, K]: what the copy says something about


def split_ties(first: jax.Array, second: jax.Array, tolerance: float = 0.0) -> TieSplit:
    """Ties overall that are none in their parts become two comparisons with opposite labels (arXiv
    2509.26346).

    One copy says that the first is better, in the aspects where it is; the other that the second is, where
    that is so; each has the weight 1. Other comparisons keep one copy: with the label of the better mean over
    all aspects, or 1/2 if no aspect differs. What copies say about aspects is ours.

    Args:
      first: scores of the first item by aspect, ``[B, K]``.
      second: of the second.
      tolerance: overall means that differ by no more are tied.
    """
    axes("split_ties", "first", first, 2, "[B, K]")
    same_shape("split_ties", first=first, second=second)
    first, second = jnp.asarray(first), jnp.asarray(second)
    for name, scores in (("first", first), ("second", second)):
        in_range("split_ties", name, scores, float("-inf"), float("inf"))  # NaN is neither better nor worse
    difference = first - second
    overall = jnp.mean(difference, -1)
    tied = jnp.abs(overall) <= tolerance
    split = tied & jnp.any(difference > 0, -1) & jnp.any(difference < 0, -1)
    winner = jnp.where(tied, 0.5, (overall > 0).astype(jnp.float32))
    label = jnp.stack([jnp.where(split, 1.0, winner), jnp.where(split, 0.0, winner)])
    weight = jnp.stack([jnp.ones_like(overall), split.astype(jnp.float32)])
    sides = jnp.stack([difference > 0, difference < 0])
    return TieSplit(label, weight, jnp.where(split[None, :, None], sides, weight[..., None] > 0))
