"""Targets and losses of learning values of actions, as functions of arrays.

Batches may have any leading axes. ``terminated`` says that the future is worth nothing, ``done`` (terminated
or truncated) that the next row belongs to another episode: where an episode is only truncated, the value of
its *true* last observation is bootstrapped from.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.types import PyTree


class NStep(NamedTuple):
    """The first steps of a return, and what is to be added: ``reward + discount * V(next_obs[last])``."""

    reward: jax.Array  # float [...]: Σ γ^k r_k over the steps that count
    discount: jax.Array  # float [...]: γ to the number of those steps, 0 if the episode terminated
    last: jax.Array  # int32 [...]: index of the last of them, whose successor is bootstrapped from


def n_step_return(
    reward: jax.Array, terminated: jax.Array, done: jax.Array, discount: jax.Array | float
) -> NStep:
    """Returns over stretches of ``n`` steps that stop where an episode ends (Sutton & Barto 2018, eq. 7.1).

    Args:
      reward: float ``[n, ...]``.
      terminated: bool ``[n, ...]``.
      done: bool ``[n, ...]``; rows after the first of these belong to another episode and do not count.
      discount: γ, scalar.
    """
    ended = jnp.cumsum(done.astype(jnp.int32), 0) - done  # episodes that ended before the row
    counts = ended == 0
    powers = discount ** jnp.arange(len(reward), dtype=reward.dtype)
    powers = powers.reshape(-1, *[1] * (reward.ndim - 1))
    last = jnp.sum(counts, 0, dtype=jnp.int32) - 1
    goes_on = ~jnp.any(terminated & counts, 0)
    return NStep(
        jnp.sum(jnp.where(counts, powers * reward, 0.0), 0),
        jnp.where(goes_on, discount ** (last + 1.0), 0.0).astype(reward.dtype),
        last,
    )


def last_of(rows: jax.Array, last: jax.Array) -> jax.Array:
    """``rows[last]`` of stretches: ``[n, N, ...]`` and int ``[N]`` to ``[N, ...]``."""
    return rows[last, jnp.arange(last.shape[0])]


def action_value(q: jax.Array, action: jax.Array) -> jax.Array:
    """``Q(s, a)`` of the actions taken: ``q [..., n]`` and indices ``[...]`` to ``[...]``."""
    # A masked sum, because the gradient of an index is a scatter, which is slow on the CPU.
    return jnp.sum(jnp.where(action[..., None] == jnp.arange(q.shape[-1]), q, 0.0), -1)


def double_q_value(q_online: jax.Array, q_target: jax.Array) -> jax.Array:
    """What a state is worth in double Q-learning: ``Q_target(s, argmax_a Q_online(s, a))``.

    van Hasselt, Guez & Silver 2016 (arXiv 1509.06461), eq. 4. Give the target's values twice for the
    target of DQN (arXiv 1312.5602), their largest.

    Args:
      q_online: values that choose, ``[..., n]``.
      q_target: values that judge, ``[..., n]``.
    """
    return action_value(q_target, jnp.argmax(q_online, -1))


def soft_value(q: jax.Array, log_prob: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Soft value of a state by one action drawn in it: ``min_i Q_i(s, a) - α log π(a|s)``.

    Haarnoja et al. 2018 (arXiv 1812.05905), eq. 3, with the smallest of several critics as in its section 6.

    Args:
      q: values by the critics, ``[critics, ...]``.
      log_prob: ``[...]``.
      temperature: α.
    """
    return jnp.min(q, 0) - temperature * log_prob


def temperature_loss(
    log_temperature: jax.Array, log_prob: jax.Array, target_entropy: jax.Array | float
) -> jax.Array:
    """``-α (log π + H)`` for each action (arXiv 1812.05905, eq. 18): α falls while the entropy exceeds ``H``.

    Args:
      log_temperature: ``log α``, scalar; the gradient is taken with respect to it.
      log_prob: of actions drawn from the policy, ``[...]``; constants here.
      target_entropy: ``H``, nats.
    """
    return -jnp.exp(log_temperature) * jax.lax.stop_gradient(log_prob + target_entropy)


def track(
    target: PyTree, online: PyTree, tau: jax.Array | float, update: jax.Array, every: int = 1
) -> PyTree:
    """A target network after an update: ``τ online + (1 - τ) target`` at each ``every``-th, else as it was.

    ``every=1`` with a small τ is Polyak averaging, τ = 1 with a long period is a hard copy.

    Args:
      target: parameters that lag.
      online: parameters that learn.
      tau: τ in (0, 1].
      update: int32 []: updates made, this one included.
      every: period.
    """
    if every == 1:
        return optax.incremental_update(online, target, tau)
    due = update % every == 0
    return jax.lax.cond(due, lambda: optax.incremental_update(online, target, tau), lambda: target)


def linear_epsilon(
    start: jax.Array | float, end: jax.Array | float, over: jax.Array | float, steps: jax.Array
) -> jax.Array:
    """ε that falls linearly from ``start`` to ``end`` while ``steps`` goes from 0 to ``over``; float32 []."""
    fraction = steps.astype(jnp.float32) / jnp.maximum(over, 1.0)
    return jnp.asarray(optax.linear_schedule(start, end, 1)(fraction), jnp.float32)
