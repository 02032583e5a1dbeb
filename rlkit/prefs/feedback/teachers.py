"""Simulated teachers: people who compare segments, with their faults (B-Pref, arXiv 2111.03026)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.prefs.checks import in_range, same_shape
from rlkit.types import Key


class Teacher(NamedTuple):
    """How a teacher answers; numbers, or float32 [], so that ``vmap`` compares teachers."""

    rationality: jax.Array | float = math.inf
    """β: the first is preferred with probability ``σ(β (R1 - R2))``; infinite: always the better one"""
    discount: jax.Array | float = 1.0
    """γ: a step that is k before the end of its segment counts ``γ^k``; below 1 the teacher is myopic"""
    mistake: jax.Array | float = 0.0
    """ε: probability that the answer is turned round"""
    equal: jax.Array | float = 0.0
    """share of the typical return; segments that differ by less are called equal"""
    skip: jax.Array | float = 0.0
    """share of the typical return; where neither segment reaches it, no answer is given"""


KINDS: dict[str, Teacher] = {
    "oracle": Teacher(),
    "stochastic": Teacher(rationality=1.0),
    "mistake": Teacher(mistake=0.1),
    "equal": Teacher(equal=0.1),
    "skip": Teacher(skip=0.1),
    "myopic": Teacher(discount=0.9),
}
"""B-Pref's teachers, each with one fault of the size used there."""


class Answers(NamedTuple):
    """What a teacher said of pairs."""

    label: jax.Array  # float32 [B]: 1 the first is preferred, 0 the second, 1/2 they are equal
    given: jax.Array  # bool [B]: false where the teacher skipped the question; the label is then 1/2


def teacher(kind: str, size: float | None = None) -> Teacher:
    """One of B-Pref's teachers.

    Args:
      kind: a name of :data:`KINDS`.
      size: of its fault; None takes B-Pref's: β = 1, γ = 0.9, ε = 0.1, thresholds of 0.1.

    Raises:
      UnknownNameError: no such kind.
      UsageError: the size is out of range.
    """
    if kind not in KINDS:
        raise unknown_name("teacher", kind, KINDS)
    if size is None or kind == "oracle":
        return KINDS[kind]
    field = {"stochastic": "rationality", "myopic": "discount"}.get(kind, kind)
    return check_teacher(KINDS[kind]._replace(**{field: size}))


def check_teacher(teacher: Teacher) -> Teacher:
    """The teacher, if its numbers are in range.

    Raises:
      UsageError: one is not.
    """
    for name, high in (("rationality", math.inf), ("discount", 1.0), ("mistake", 1.0), ("equal", math.inf),
                       ("skip", 1.0)):  # fmt: skip
        in_range("teacher", name, getattr(teacher, name), 0.0, high)
    return teacher


def segment_return(reward: jax.Array, mask: jax.Array, discount: jax.Array | float = 1.0) -> jax.Array:
    """The return of segments as a teacher sees it: recent steps count most.

    Args:
      reward: the teacher's own reward of each step, ``[B, T]``.
      mask: bool ``[B, T]``: which steps there are.
      discount: γ.

    Returns:
      float32 ``[B]``: ``Σ_t γ^(n - 1 - t) r_t`` over the n steps there are.
    """
    same_shape("segment_return", reward=reward, mask=mask)
    after = jnp.sum(mask, -1, keepdims=True) - jnp.cumsum(mask, -1)  # steps still to come
    return jnp.sum(jnp.where(mask, reward, 0.0) * jnp.asarray(discount, jnp.float32) ** after, -1)


def simulate(
    key: Key,
    first: tuple[jax.Array, jax.Array],
    second: tuple[jax.Array, jax.Array],
    teacher: Teacher,
    typical: jax.Array | float | None = None,
) -> Answers:
    """Ask a teacher about pairs of segments.

    The order is B-Pref's: whether to skip and whether both are equal is decided by undiscounted returns, then
    one is preferred by discounted ones, then mistakes are made; what is called equal stays so.

    B-Pref's thresholds are shares of the average return of a segment, which must be positive there. Ours are
    the same where it is, and mean something where it is not: segments are equal within ``equal · |R|``, and
    below ``R - (1 - skip) · |R|`` they are not worth an answer.

    Args:
      key: typed PRNG key.
      first: the teacher's own reward of each step and which steps there are, ``[B, T]`` each.
      second: the same of the other segments.
      teacher: how it answers.
      typical: R, the return of a typical segment; None takes the mean over those given.

    Returns:
      The answers.
    """
    plain = [segment_return(*side) for side in (first, second)]
    seen = [segment_return(*side, teacher.discount) for side in (first, second)]
    usual = jnp.mean(jnp.stack(plain)) if typical is None else jnp.asarray(typical, jnp.float32)
    choice, slip = jax.random.uniform(key, (2, *plain[0].shape))
    gap = seen[0] - seen[1]
    beta = jnp.asarray(teacher.rationality, jnp.float32)
    # Where nothing differs even a rational teacher tosses a coin: infinity times nothing is no number.
    certain = jnp.where(gap == 0, 0.5, (gap > 0).astype(jnp.float32))
    chance = jnp.where(jnp.isinf(beta), certain, jax.nn.sigmoid(jnp.where(jnp.isinf(beta), 0.0, beta) * gap))
    preferred = (choice < chance) ^ (slip < teacher.mistake)
    equal = jnp.abs(plain[0] - plain[1]) < teacher.equal * jnp.abs(usual)
    least = usual - (1.0 - jnp.asarray(teacher.skip)) * jnp.abs(usual)
    skipped = (jnp.asarray(teacher.skip) > 0) & (jnp.maximum(*plain) < least)
    label = jnp.where(equal | skipped, 0.5, preferred.astype(jnp.float32))
    return Answers(label, ~skipped)
