"""Accuracy and calibration on comparisons."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import check_count, unknown_name
from rlkit.prefs.checks import axes, in_range, probabilities, same_shape, share_of
from rlkit.prefs.losses.pairwise import pairwise_logistic

TIES = ("half", "wrong", "skip")


def pair_accuracy(
    margin: jax.Array, label: jax.Array, weight: jax.Array | None = None, ties: str = "half"
) -> jax.Array:
    """Share of comparisons on which margin and label agree.

    Args:
      margin: first less second, ``[..., B]``.
      label: ``[..., B]``; those of 1/2 are left out.
      weight: ``[..., B]``; None: equal.
      ties: margins of exactly 0 count ``"half"``, are ``"wrong"``, or are left out (``"skip"``).

    Returns:
      ``[...]``; NaN if nothing is left, or if a margin that counts is NaN.
    """
    same_shape("pair_accuracy", margin=margin, label=label, weight=weight)
    probabilities("pair_accuracy", "label", label)
    if ties not in TIES:
        raise unknown_name("treatment of ties", ties, TIES)
    margin, label = jnp.asarray(margin), jnp.asarray(label)
    used = (label != 0.5).astype(jnp.float32) * (1.0 if weight is None else weight)
    equal = margin == 0
    used = jnp.where(equal, 0.0, used) if ties == "skip" else used
    right = jnp.where(equal, 0.5 if ties == "half" else 0.0, (margin > 0) == (label > 0.5))
    right = jnp.where(jnp.isnan(margin) & (used != 0), jnp.nan, right)  # NaN is not less than 0
    return jnp.sum(used * right, -1) / jnp.sum(used, -1)


class Grouped(NamedTuple):
    """A measure by group."""

    macro: jax.Array  # float32 []: mean over the groups that have members
    by_group: jax.Array  # float32 [G]: NaN for one without members
    count: jax.Array  # float32 [G]: weight of each group
    worst: jax.Array  # float32 []: least of the groups that have members


def macro_by_group(
    value: jax.Array, group: jax.Array, groups: int, weight: jax.Array | None = None
) -> Grouped:
    """The mean within each group, and over groups: what a total over unequal groups hides.

    Args:
      value: of each example, e.g. whether it was right, ``[B]``.
      group: integer ``[B]`` in ``[0, groups)``.
      groups: number of groups.
      weight: ``[B]``; None: equal.
    """
    axes("macro_by_group", "value", value, 1, "[B]")
    same_shape("macro_by_group", value=value, group=group, weight=weight)
    in_range("macro_by_group", "group", group, 0, check_count("groups", groups) - 1)
    weight = jnp.ones(value.shape) if weight is None else weight
    count = jax.ops.segment_sum(weight, group, groups)
    total = jax.ops.segment_sum(weight * value, group, groups)
    by_group = share_of(total, count)
    there = count > 0  # a group whose values are NaN is there
    macro = jnp.sum(jnp.where(there, by_group, 0.0)) / jnp.sum(there)
    worst = jnp.min(jnp.where(there, by_group, jnp.inf))
    return Grouped(macro, by_group, count, jnp.where(jnp.any(there), worst, jnp.nan))


def nll(margin: jax.Array, label: jax.Array) -> jax.Array:
    """Mean negative log-likelihood of labels under Bradley-Terry, nats: ``[..., B] -> [...]``."""
    same_shape("nll", margin=margin, label=label)
    return jnp.mean(pairwise_logistic(margin, label), -1)


def brier(probability: jax.Array, label: jax.Array) -> jax.Array:
    """Mean squared error of probabilities: ``[..., B] -> [...]`` (Brier 1950, one of two classes)."""
    same_shape("brier", probability=probability, label=label)
    probabilities("brier", "probability", probability)
    probabilities("brier", "label", label)
    return jnp.mean(jnp.square(probability - label), -1)


def ece(probability: jax.Array, label: jax.Array, bins: int = 15) -> jax.Array:
    """Expected calibration error over equal bins of the probability (Naeini et al. 2015; Guo et al. 2017).

    ``Σ_b n_b / n |mean label - mean probability|``: of the probability that the first is preferred, not of
    the confidence in the likelier answer.

    Args:
      probability: ``[B]``.
      label: ``[B]``.
      bins: number of bins.
    """
    axes("ece", "probability", probability, 1, "[B]")
    same_shape("ece", probability=probability, label=label)
    probabilities("ece", "probability", probability)
    probabilities("ece", "label", label)
    index = jnp.clip((probability * check_count("bins", bins)).astype(jnp.int32), 0, bins - 1)
    gap = jax.ops.segment_sum(label - probability, index, bins)
    return jnp.sum(jnp.abs(gap)) / probability.shape[0]


def position_consistency(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """How often a judge that sees both items prefers the same one when they are exchanged (after R1-Reward).

    Args:
      forward: margin with the items in order, ``[..., B]``.
      backward: margin, first shown less second shown, with them exchanged, ``[..., B]``.

    Returns:
      ``[...]``; a judge that always takes what is shown first has 0. Margins of 0 count as inconsistent,
      and with a margin of NaN the share is NaN.
    """
    same_shape("position_consistency", forward=forward, backward=backward)
    product = jnp.sign(forward) * jnp.sign(backward)
    return jnp.mean(jnp.where(jnp.isnan(product), jnp.nan, product < 0), -1)
