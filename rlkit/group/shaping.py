"""The second slot: what happens to terms before they are combined."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.combine import completion_term
from rlkit.group.stages import stateless
from rlkit.group.statistics import AxisName
from rlkit.group.tracking import Ring, ring, ring_push, ring_statistics
from rlkit.group.types import Completions, Context, Stage
from rlkit.types import Metrics, Terms


def on_term(name: str, fn: Callable[[jax.Array], jax.Array], into: str | None = None) -> Stage:
    """One term through a function; ``into`` keeps the old one beside it."""

    def change(terms: Terms, batch: Completions) -> Terms:
        return terms | {into or name: fn(completion_term(terms, name, batch))}

    return stateless(change)


def clip_term(name: str, low: float, high: float) -> Stage:
    """A term within ``[low, high]``."""
    if not low < high:
        raise UsageError(f"clip_term({name!r}, {low}, {high}): expected low < high")
    return on_term(name, lambda x: jnp.clip(x, low, high))


def overlong_punishment(length: jax.Array, max_length: int, buffer: int) -> jax.Array:
    """DAPO's soft overlong punishment (2503.14476, eq. 13), in [-1, 0].

    0 up to ``max_length - buffer`` tokens, then falling to -1 at ``max_length``, and -1 beyond.

    Raises:
      UsageError: the buffer is not within the length.
    """
    if not 0 < buffer <= max_length:
        raise UsageError(f"buffer={buffer}: expected 1 to max_length={max_length} tokens")
    return jnp.clip((max_length - buffer - length) / buffer, -1.0, 0.0)


def overlong(max_length: int, buffer: int, name: str = "overlong") -> Stage:
    """:func:`overlong_punishment` of the tokens that the policy wrote, as another term."""
    overlong_punishment(jnp.zeros(()), max_length, buffer)

    def add(terms: Terms, batch: Completions) -> Terms:
        return terms | {name: overlong_punishment(jnp.sum(batch.mask, -1), max_length, buffer)}

    return stateless(add)


def quantile_sigmoid(
    score: jax.Array, threshold: jax.Array, std: jax.Array, sharpness: float = 2.0, eps: float = 1e-6
) -> jax.Array:
    """``sigmoid(sharpness (score - threshold) / (std + eps))``: small differences around a threshold grow.

    The mechanism is ARMed's (2508.12957), this curve is ours.
    """
    return jax.nn.sigmoid(sharpness * (score - threshold) / (std + eps))


def adaptive(
    name: str, q: float = 0.5, sharpness: float = 2.0, size: int = 512, axis_name: AxisName = None
) -> Stage:
    """A term spread out around a quantile of its own past (ARMed); the state is a buffer of scores.

    The present scores are in the buffer already when its quantile is taken, so that the first batch has one.

    Args:
      name: of the term.
      q: level of the threshold.
      sharpness: of the curve.
      size: scores that are remembered.
      axis_name: mapped axis whose members' scores are remembered together.

    Raises:
      UsageError: a level or a sharpness out of range.
    """
    if not 0.0 <= q <= 1.0 or sharpness <= 0:
        raise UsageError(f"q={q}, sharpness={sharpness}: expected q in [0, 1] and a sharpness above 0")

    def apply(state: Ring, terms: Terms, batch: Completions, ctx: Context) -> tuple[Ring, Terms, Metrics]:
        score = completion_term(terms, name, batch)
        seen: Any = score if axis_name is None else jax.lax.all_gather(score, axis_name)
        state = ring_push(state, seen)
        threshold, std = ring_statistics(state, q)
        spread = quantile_sigmoid(score, threshold, std, sharpness)
        metrics = {f"adaptive/{name}/threshold": threshold, f"adaptive/{name}/std": std}
        return state, terms | {name: spread}, metrics

    return Stage(lambda: ring(size), apply)
