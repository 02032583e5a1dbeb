"""Greedy and beam search under a scorer."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import check_count
from rlkit.types import PyTree

Expand = Callable[[PyTree], tuple[PyTree, jax.Array, jax.Array, jax.Array]]
"""``expand(state) -> (children [A, ...], score [A], valid bool [A], ended bool [A])``: the ways on from a
partial item, what the scorer says of each, and which of them are finished."""


class Beam(NamedTuple):
    """The best partial items, best first."""

    state: PyTree  # leaves [W, ...]
    score: jax.Array  # float32 [W]: accumulated
    valid: jax.Array  # bool [W]: false where there were fewer
    ended: jax.Array  # bool [W]
    calls: jax.Array  # int32 []: children that were scored


def beam(
    expand: Expand,
    root: PyTree,
    width: int,
    depth: int,
    accumulate: Callable[[jax.Array, jax.Array], jax.Array] = jnp.add,
    start: float = 0.0,
) -> Beam:
    """Beam search: of all children of the best ``width`` items, the best ``width``, ``depth`` times.

    Items that ended stay as they are and compete with the others; those without valid children, or with a
    score of NaN, are lost.

    Args:
      expand: see :data:`Expand`.
      root: state without batch axes.
      width: of the beam; 1 is greedy search (GroundedPRM, arXiv 2510.14942, takes the best of 8 proposals).
      depth: most steps.
      accumulate: ``(score so far, score of the step) -> score``: ``jnp.add`` for log-probabilities,
        ``jnp.minimum``, or ``lambda old, new: new``.
      start: score of the root.
    """
    check_count("width", width)

    def body(now: Beam, _: None) -> tuple[Beam, None]:
        children, score, valid, ended = jax.vmap(expand)(now.state)
        going = now.valid & ~now.ended
        valid = valid & going[:, None]
        grown = accumulate(now.score[:, None], score)
        grown = jnp.where(valid & ~jnp.isnan(grown), grown, -jnp.inf)  # top_k takes NaN for the largest
        stays = jnp.where(now.valid & now.ended, now.score, -jnp.inf)
        every = jnp.concatenate([grown, stays[:, None]], 1)
        best, place = jax.lax.top_k(every.reshape(-1), width)
        parent, child = place // every.shape[1], place % every.shape[1]
        old = child == score.shape[1]
        within = jnp.minimum(child, score.shape[1] - 1)

        def pick(before: jax.Array, after: jax.Array) -> jax.Array:
            kept, new = before[parent], after[parent, within]
            return jnp.where(old.reshape(-1, *[1] * (kept.ndim - 1)), kept, new)

        state = jax.tree.map(pick, now.state, children)
        calls = now.calls + jnp.sum(valid, dtype=jnp.int32)
        return Beam(state, best, best > -jnp.inf, old | ended[parent, within], calls), None

    state = jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x)[None], width, 0), root)
    first = jnp.arange(width) == 0
    score = jnp.where(first, jnp.float32(start), -jnp.inf)
    begin = Beam(state, score, first, jnp.zeros(width, bool), jnp.int32(0))
    return jax.lax.scan(body, begin, None, length=check_count("depth", depth))[0]


def greedy(expand: Expand, root: PyTree, depth: int) -> Beam:
    """The best child at each step: a :func:`beam` of width 1."""
    return beam(expand, root, 1, depth, accumulate=lambda old, new: new)
