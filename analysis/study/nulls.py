"""What a measure would be by chance: the hypotheses, and a statistic against surrogates that obey one.

Emergence of slow units is large without any interaction between them, so a value means something only beside
surrogates that are as slow. How far it lies from them in their standard deviations grows with the length of
the recording whatever the size of the effect, so nothing here reports that: read the value, what the
hypothesis explains of it, what is left (nats), and how many surrogates leave as much.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.keys import typed_key
from rlkit.types import Key, PyTree

Surrogate = Callable[[Key, jax.Array], jax.Array]


class Null(NamedTuple):
    """A hypothesis that surrogates stand for.

    Attributes:
      hypothesis: in one sentence.
      baseline: what recording and surrogates are compared beyond: ``"independent"`` units, or units of their
        ``"own past"``, of the persistence that each of them has; ``""``: nothing, values are compared.
    """

    hypothesis: str
    baseline: str


NULLS: dict[str, Null] = {
    "own-past": Null(
        "every unit goes on from its own past alone, with noise that units may share in the same step",
        "own past",
    ),
    "phases": Null("units (or halves) are stationary and have nothing to do with each other", "independent"),
    "shift": Null(
        "units (or halves) are stationary, of any distribution, and have nothing to do with each other",
        "independent",
    ),
    "episodes": Null(
        "units depend on the place in an episode and on nothing else that they have in common",
        "independent",
    ),
    "shuffle": Null("no step knows anything of the step before it", ""),
    "projections": Null("these units are random directions of the space that they span", ""),
}
"""The hypotheses that measures are compared with, by name; the first one is what reports use."""

_BATCH = 8  # what stays in a cache


class NullTest(NamedTuple):
    """A statistic and its null distribution; every field is structured like the statistic.

    Attributes:
      value: the statistic of the recording.
      mean, sd: mean and standard deviation (ddof 1) of the surrogates.
      excess: what the value has beyond the hypothesis, in its unit: ``value - mean``; where recording and
        surrogates are compared beyond a baseline (see :class:`Null`), the difference of what both have
        beyond their own baselines.
      p: ``(1 + surrogates with at least the excess) / (1 + surrogates)``, so never below
        ``1 / (1 + surrogates)``.
      p_two: two-sided, twice the smaller tail: for what may also be too small.
    """

    value: PyTree
    mean: PyTree
    sd: PyTree
    excess: PyTree
    p: PyTree
    p_two: PyTree


def against_null(
    statistic: Callable[[jax.Array], PyTree], surrogate: Surrogate, key: Key, z: jax.Array, draws: int = 200
) -> NullTest:
    """Compare a statistic with its values on surrogates.

    Args:
      statistic: ``z -> pytree of floats``, traceable.
      surrogate: ``(key, z) -> z``; close over options and episodes.
      key: typed PRNG key; draw ``b`` uses ``fold_in(key, b)``.
      z: [T, n] recording.
      draws: number of surrogates, at least 2, static.

    Returns:
      The comparison, entry by entry.

    Raises:
      ValueError: fewer than two draws.
    """
    return compare(*null_draws(statistic, surrogate, key, z, draws))


def null_draws(
    statistic: Callable[[Any], PyTree],
    surrogate: Callable[[Key, Any], Any],
    key: Key,
    z: Any,
    draws: int = 200,
) -> tuple[PyTree, PyTree]:
    """The statistic of a recording and of its surrogates; arguments as for :func:`against_null`.

    ``z`` may be a pytree, e.g. a recording and what was chosen by looking at it.

    Returns:
      The value, and the same structure with leaves ``[draws, ...]``.
    """
    if draws < 2:
        raise ValueError(f"draws={draws}: a null distribution needs at least 2 surrogates, better 100")
    key, z = typed_key(key), jax.tree.map(jnp.asarray, z)

    # The recording goes through the same loop, so that the statistic is compiled once.
    def one(index):
        drawn = surrogate(jax.random.fold_in(key, jnp.abs(index)), z)
        return statistic(jax.tree.map(lambda new, old: jnp.where(index < 0, old, new), drawn, z))

    size = round_size(draws + 1)
    rounds = -(-(draws + 1) // size)
    # Full batches only: what is left over would be compiled by itself.
    indices = (jnp.arange(rounds * size) - 1).reshape(rounds, size)
    values = jax.lax.map(jax.vmap(one), indices)
    values = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:])[: draws + 1], values)
    return jax.tree.map(lambda v: v[0], values), jax.tree.map(lambda v: v[1:], values)


def round_size(count: int) -> int:
    """How many of ``count`` surrogates are computed at once: at most 8, with the least left over."""
    return -(-count // -(-count // _BATCH))


def compare(
    value: PyTree, draws: PyTree, baseline: PyTree | None = None, drawn_baseline: PyTree | None = None
) -> NullTest:
    """Place a statistic in a null distribution.

    Args:
      value: pytree of floats.
      draws: the same with a leading axis of at least two draws.
      baseline: like ``value``: what the recording would have anyway, by a model of its own. Recording and
        surrogates are then compared in what they have beyond that.
      drawn_baseline: like ``draws``, the same of the surrogates.
    """
    zero = jax.tree.map(jnp.zeros_like, value)
    own = zero if baseline is None else baseline
    drawn = zero if drawn_baseline is None else drawn_baseline
    beyond = jax.tree.map(lambda d, b: d - b, draws, drawn)
    mean = jax.tree.map(lambda d: d.mean(0), draws)
    sd = jax.tree.map(lambda d: d.std(0, ddof=1), draws)
    excess = jax.tree.map(lambda v, b, d: v - b - d.mean(0), value, own, beyond)
    count = jax.tree.leaves(draws)[0].shape[0]

    def tail(least: bool):
        def one(v, b, d):
            extreme = (d <= v - b) if least else (d >= v - b)
            p = (1 + extreme.sum(0)) / (1 + count)
            return jnp.where(jnp.isnan(v - b) | jnp.isnan(d).any(0), jnp.nan, p).astype(d.dtype)

        return jax.tree.map(one, value, own, beyond)

    above, below = tail(False), tail(True)
    two = jax.tree.map(lambda a, b: jnp.minimum(1, 2 * jnp.minimum(a, b)), above, below)
    return NullTest(value, mean, sd, excess, above, two)


def pooled_p(excess: np.ndarray, beyond: np.ndarray) -> tuple[float, float]:
    """p of the mean over seeds: surrogate ``b`` of all seeds together is one draw of the mean's null.

    Args:
      excess: [S] of :class:`NullTest`; seeds with NaN are left out.
      beyond: [S, B] what the surrogates have beyond their baselines, ``Emergence.drawn``.

    Returns:
      One-sided and two-sided p, as in :class:`NullTest`; NaN without seeds or draws.
    """
    known = np.isfinite(excess) & np.isfinite(beyond).all(1)
    if not known.any() or not beyond.shape[1]:
        return float("nan"), float("nan")
    null = (beyond[known] - beyond[known].mean(1, keepdims=True)).mean(0)
    value, count = excess[known].mean(), beyond.shape[1]
    above, below = ((1 + side.sum()) / (1 + count) for side in (null >= value, null <= value))
    return float(above), float(min(1.0, 2 * min(above, below)))


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p corrected for the number of tests by Holm 1979, which holds whatever their dependence.

    Args:
      p: [m] of one family of tests; NaN entries are no tests.

    Returns:
      [m]; rejecting those at most alpha makes one false rejection or more with probability at most alpha.
    """
    p = np.asarray(p, np.float64)
    found, known = np.full(p.shape, np.nan), np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return found


def p_text(p: float, draws: int, two_sided: bool = False) -> str:
    """A p in words that never claims more than its draws: ``"p = 0.034"``, at the floor ``"p < 1/61"``.

    Args:
      p: of :class:`NullTest`.
      draws: surrogates behind it.
      two_sided: the floor is then two in ``draws + 1``.
    """
    if not np.isfinite(p):
        return "p unknown"
    floor = (2 if two_sided else 1) / (draws + 1)
    if p <= floor * (1 + 1e-6):
        return f"p < {2 if two_sided else 1}/{draws + 1}"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.2g}"
