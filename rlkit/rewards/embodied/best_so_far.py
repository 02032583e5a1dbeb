"""Maximising the best reward on the way instead of the sum (max-reward RL, as MaxCode uses it, 2601.05475).

MaxCode's own equations were not found; these are the operators of the literature on max-reward reinforcement
learning. What is best so far, ``u``, belongs to the state: without it the backup is wrong wherever
transitions are random.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.products import FULL
from rlkit.rewards.algebra import Paid
from rlkit.rewards.arguments import as_scalar, check_term_name
from rlkit.types import Key, PyTree, Reward, Transition


def max_return(reward: jax.Array, discount: jax.Array | float = 1.0) -> jax.Array:
    """``max_t γ^t r_t`` of an episode ``[T, ...]`` → ``[...]``."""
    steps = jnp.arange(reward.shape[0]).reshape(-1, *[1] * (reward.ndim - 1))
    return jnp.max(discount**steps * reward, 0)


def max_reward_to_go(reward: jax.Array, done: jax.Array, discount: jax.Array | float = 1.0) -> jax.Array:
    """Targets without ``u``: ``g_t = max(r_t, γ g_{t+1})``, ``g_t = r_t`` where an episode is done.

    Args:
      reward: float ``[T, ...]``.
      done: bool ``[T, ...]``: the next row belongs to another episode.
      discount: γ.

    Returns:
      ``g``, shape of ``reward``.
    """

    def body(g: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        r, last = row
        g = jnp.maximum(r, jnp.where(last, -jnp.inf, discount * g))
        return g, g

    return jax.lax.scan(body, jnp.full_like(reward[0], -jnp.inf), (reward, done), reverse=True)[1]


def augment_best(best: jax.Array, reward: jax.Array, discount: jax.Array | float = 1.0) -> jax.Array:
    """What is best so far after a step, in the next step's units: ``u' = max(u, r) / γ``.

    For γ < 1 it grows without bound where no reward follows: take γ = 1 for long episodes.
    """
    return jnp.maximum(best, reward) / discount


def max_reward_backup(
    reward: jax.Array,
    next_value: jax.Array,
    levels: jax.Array,
    transition: jax.Array,
    terminated: jax.Array,
    discount: float = 1.0,
) -> jax.Array:
    """One exact backup ``Q(s, u, a) = γ E[V(s', max(u, r) / γ)]``, ``V(terminal, u') = u'``.

    Args:
      reward: ``r(s, a, s')``, ``[S, A, S]``.
      next_value: ``V(s, u)`` at the levels, ``[S, U]``; linear between them, constant beyond.
      levels: ascending values of ``u``, ``[U]``.
      transition: ``P(s' | s, a)``, ``[S, A, S]``.
      terminated: whether an episode ends on entering a state, bool ``[S]``.
      discount: γ in (0, 1].

    Returns:
      ``Q``, ``[S, U, A]``.
    """
    after = augment_best(levels[None, None, None, :], reward[..., None], discount)  # [S, A, S, U]
    at = jax.vmap(lambda value, u: jnp.interp(u, levels, value), (0, 2), 2)(next_value, after)
    value = jnp.where(terminated[None, None, :, None], after, at)
    return jnp.moveaxis(discount * jnp.einsum("ias,iasu->iau", transition, value, precision=FULL), 1, 2)


def naive_max_backup(
    reward: jax.Array,
    next_value: jax.Array,
    transition: jax.Array,
    terminated: jax.Array,
    discount: float = 1.0,
) -> jax.Array:
    """The backup without ``u``: ``Q(s, a) = E[max(r, γ V(s'))]``, ``[S, A]``; right only without chance.

    Arguments as in :func:`max_reward_backup`, ``next_value`` ``[S]``; what follows an end counts as 0, so
    that rewards must not be negative.
    """
    best = jnp.maximum(reward, discount * jnp.where(terminated, 0.0, next_value))
    return jnp.sum(transition * best, -1)


def best_reward(name: str = "best") -> Reward:
    """The transform that pays what the reward so far adds to the episode's best.

    ``max(u, r) - u`` with ``u`` the best of the episode before the step; the first step pays ``r``. An
    episode's payments sum to its largest reward, so that every learner of sums (with γ = 1) maximises the
    best. The memory is ``u``, float32.
    """
    term = check_term_name(name)

    def init(key: Key) -> PyTree:
        return jnp.zeros((), jnp.float32)

    def apply(memory: PyTree, t: Transition, params: PyTree) -> Paid:
        after = jnp.where(t.first, t.reward, jnp.maximum(memory, t.reward))
        value = as_scalar(term, jnp.where(t.first, t.reward, after - memory), t)
        return after.astype(memory.dtype), value, {term: value}

    return Reward(init, apply)


class Bins(NamedTuple):
    """Support of a categorical value: ascending values ``[K]``."""

    values: jax.Array


def log_bins(low: float, high: float, count: int) -> Bins:
    """Bins evenly spaced in the logarithm, for speed-ups and the like.

    Raises:
      UsageError: not ``0 < low < high``, or fewer than two bins.
    """
    if not 0 < low < high:
        raise UsageError(f"low={low}, high={high}: expected 0 < low < high")
    return Bins(jnp.exp(jnp.linspace(jnp.log(low), jnp.log(high), check_count("count", count, 2))))


def two_hot(x: jax.Array, bins: Bins) -> jax.Array:
    """Weights of the two bins around a value, whose mean it is: ``[...]`` → ``[..., K]``. Clips."""
    values = bins.values
    x = jnp.clip(x, values[0], values[-1])
    above = jnp.clip(jnp.searchsorted(values, x, side="left"), 1, values.size - 1)
    low, high = values[above - 1], values[above]
    share = (x - low) / (high - low)
    place = lambda index: jax.nn.one_hot(index, values.size, dtype=x.dtype)
    return place(above - 1) * (1 - share)[..., None] + place(above) * share[..., None]


def expected(logits: jax.Array, bins: Bins) -> jax.Array:
    """The mean of a categorical value, ``[..., K]`` → ``[...]``."""
    return jnp.sum(jax.nn.softmax(logits) * bins.values, -1)


def rerank(candidates: PyTree, value: jax.Array) -> PyTree:
    """Candidates with leading axis ``[N, ...]``, the best ``value`` ``[N]`` first; ties keep their order."""
    order = jnp.argsort(-value, stable=True)
    return jax.tree.map(lambda x: x[order], candidates)
