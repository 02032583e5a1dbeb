"""Returns and advantages over trajectories.

Time is the leading axis of every argument; any further axes (environments, quantities) are
carried along, so the functions serve one trajectory and a batch alike. Rewards are those that
follow the action of the same index. ``terminated`` says that the future is worth nothing,
``done`` (terminated or truncated) that the next row belongs to another episode.
"""

import jax
import jax.numpy as jnp

from rlkit.elementary import means


def linear_recurrence(
    x: jax.Array, coefficient: jax.Array, initial: jax.Array | float, *, reverse: bool = False
) -> jax.Array:
    """Solve ``y_t = x_t + c_t * y_{t-1}`` (``y_{t+1}`` if ``reverse``).

    Args:
      x: inputs ``[T, ...]``.
      coefficient: ``c``, broadcastable to ``x``.
      initial: ``y`` before the first (after the last) row, ``[...]``.
      reverse: run from the last row to the first.

    Returns:
      ``y``, shape and dtype of ``x``.
    """

    def body(y, inputs):
        x_t, c_t = inputs
        y = x_t + c_t * y
        return y, y

    coefficient = jnp.broadcast_to(coefficient, x.shape).astype(x.dtype)
    initial = jnp.broadcast_to(initial, x.shape[1:]).astype(x.dtype)
    return jax.lax.scan(body, initial, (x, coefficient), reverse=reverse)[1]


def td_error(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    discount: jax.Array | float,
) -> jax.Array:
    """One-step temporal-difference errors ``r + γ (1 - terminated) V(s') - V(s)``, shape of ``reward``.

    ``next_value`` is the value of the *true* successor, which at a time limit is not the value of
    the next row.
    """
    return reward + discount * jnp.where(terminated, 0.0, next_value) - value


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    done: jax.Array,
    discount: jax.Array | float,
    gae_lambda: jax.Array | float,
) -> jax.Array:
    """Generalised advantage estimates (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    Args:
      reward: float ``[T, ...]``.
      value: float ``[T, ...]``, ``V(obs)``.
      next_value: float ``[T, ...]``, ``V(next_obs)`` of the true successors.
      terminated: bool ``[T, ...]``; no bootstrapping there.
      done: bool ``[T, ...]``; the sum over the future stops there, after bootstrapping if the
        episode was only truncated.
      discount: γ, scalar.
      gae_lambda: λ, scalar.

    Returns:
      Advantages, shape of ``reward``. ``advantage + value`` are the λ-returns.
    """
    delta = td_error(reward, value, next_value, terminated, discount)
    keep = discount * gae_lambda * (1.0 - done.astype(delta.dtype))
    return linear_recurrence(delta, keep, jnp.zeros_like(delta[0]), reverse=True)


def lambda_returns(
    reward: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    done: jax.Array,
    discount: jax.Array | float,
    lambda_: jax.Array | float,
) -> jax.Array:
    """λ-returns ``G_t = r_t + γ((1-λ) V(s_{t+1}) + λ G_{t+1})`` (Sutton & Barto 2018, eq. 12.18).

    Arguments as in :func:`gae`. At the last row, and where an episode is only truncated, the
    return bootstraps fully from ``next_value``.
    """
    bootstrap = discount * jnp.where(terminated, 0.0, next_value)
    cut = done.at[-1].set(True)
    x = reward + jnp.where(cut, bootstrap, (1.0 - lambda_) * bootstrap)
    keep = discount * lambda_ * (1.0 - cut.astype(x.dtype))
    return linear_recurrence(x, keep, jnp.zeros_like(x[0]), reverse=True)


def discounted_returns(
    reward: jax.Array, done: jax.Array, discount: jax.Array | float, bootstrap: jax.Array | float = 0.0
) -> jax.Array:
    """Discounted reward-to-go within the episode: ``G_t = r_t + γ (1 - done_t) G_{t+1}``.

    Args:
      reward: float ``[T, ...]``.
      done: bool ``[T, ...]``.
      discount: γ, scalar; 1 gives plain sums.
      bootstrap: ``G`` after the last row, ``[...]``.

    Returns:
      ``G``, shape of ``reward``.
    """
    return linear_recurrence(reward, discount * (1.0 - done.astype(reward.dtype)), bootstrap, reverse=True)


def explained_variance(advantage: jax.Array, value: jax.Array, axis_name: str | None = None) -> jax.Array:
    """Share of the variance of the targets ``advantage + value`` that the values explain, float32 [].

    1 for perfect values, 0 for a constant one, negative for worse. ``axis_name``: mapped axis whose members
    are taken together.
    """
    target = advantage + value
    mean = means([advantage, advantage**2, target, target**2])
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    residual, spread = mean[1] - mean[0] ** 2, mean[3] - mean[2] ** 2
    return 1.0 - residual / jnp.maximum(spread, 1e-8)
