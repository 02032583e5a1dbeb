"""Selecting the best of n by a score."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, same_shape


def best_of_n(scores: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """Index of the best candidate: ``[..., N] -> int32 [...]``; the first among equals.

    A score of NaN counts as the lowest.
    """
    same_shape("best_of_n", scores=scores, valid=valid)
    there = scores if valid is None else jnp.where(valid, scores, -jnp.inf)
    there = jnp.where(jnp.isnan(there), -jnp.inf, there)  # argmax takes NaN for the largest
    return jnp.argmax(there, -1).astype(jnp.int32)


def best_of_n_weights(total: int, n: int) -> np.ndarray:
    """Probability that the candidate of rank i (ascending) is the best of n drawn of ``total`` without
    replacement.

    ``C(i - 1, n - 1) / C(total, n)``, in logarithms; float64 ``[total]``.
    """
    if not 1 <= check_count("n", n) <= check_count("total", total):
        raise UsageError(f"best_of_n: n={n}: expected at most the {total} candidates")
    rank = np.arange(1, total + 1)
    log_choose = lambda a, b: gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)
    with np.errstate(invalid="ignore"):
        log_p = log_choose(rank - 1.0, n - 1.0) - log_choose(float(total), float(n))
    return np.where(rank >= n, np.exp(np.where(rank >= n, log_p, 0.0)), 0.0)


def best_of_n_curve(proxy: jax.Array, gold: jax.Array, ns: Sequence[int]) -> jax.Array:
    """Expected gold value of the best of n by proxy, estimated without bias from N candidates per question.

    All subsets count, not the first n. Candidates of equal proxy share their gold value, as if ties were
    broken at random: otherwise a saturated model looks better or worse by the order of the array.

    Args:
      proxy: ``[Q, N]``.
      gold: ``[Q, N]``.
      ns: each from 1 to N.

    Returns:
      float32 ``[Q, len(ns)]``; NaN for a question with a proxy of NaN.
    """
    axes("best_of_n_curve", "proxy", proxy, 2, "[Q, N]")
    same_shape("best_of_n_curve", proxy=proxy, gold=gold)
    if not len(ns):
        raise UsageError("best_of_n_curve: ns is empty; expected numbers of candidates")
    total = proxy.shape[1]
    weights = jnp.asarray(np.stack([best_of_n_weights(total, n) for n in ns]), jnp.float32)

    def one(p: jax.Array, g: jax.Array) -> jax.Array:
        order = jnp.argsort(p)
        ranked, value = p[order], g[order].astype(jnp.float32)
        tie = jnp.cumsum(
            jnp.concatenate([jnp.zeros(1, jnp.int32), (ranked[1:] != ranked[:-1]).astype(jnp.int32)])
        )
        count = jax.ops.segment_sum(jnp.ones(total), tie, total)
        shared = jax.ops.segment_sum(value, tie, total) / jnp.maximum(count, 1.0)
        return jnp.where(jnp.any(jnp.isnan(p)), jnp.nan, jnp.sum(weights * shared[tie], 1))

    return jax.vmap(one)(proxy, gold)


def prm_preference(process: jax.Array, outcome: jax.Array) -> jax.Array:
    """By how much process scores prefer a question's candidates: mean process less mean outcome score.

    ViLBench (arXiv 2503.20271) keeps the questions where it is high. Bring both to one scale first.

    Args:
      process: aggregated score of each candidate, ``[Q, N]``.
      outcome: score of each by an outcome model, ``[Q, N]``.

    Returns:
      ``[Q]``.
    """
    axes("prm_preference", "process", process, 2, "[Q, N]")
    same_shape("prm_preference", process=process, outcome=outcome)
    return jnp.mean(process, 1) - jnp.mean(outcome, 1)


def select_hard(process: jax.Array, outcome: jax.Array, count: int) -> jax.Array:
    """The questions where process scores have the edge: the ``count`` of the largest :func:`prm_preference`.

    ViLBench (arXiv 2503.20271) keeps 600 so. A benchmark of these questions favours process rewards: it was
    selected to.

    Args:
      process: aggregated score of each candidate, ``[Q, N]``.
      outcome: score of each by an outcome model, ``[Q, N]``.
      count: how many, at most Q.

    Returns:
      Bool ``[Q]``; the first among equals. A question with a score of NaN comes last.
    """
    edge = prm_preference(process, outcome)
    if check_count("count", count) > len(edge):
        raise UsageError(f"select_hard: count={count}: expected at most {len(edge)}, the questions there are")
    edge = jnp.where(jnp.isnan(edge), -jnp.inf, edge)
    return jnp.argsort(jnp.argsort(-edge)) < count
