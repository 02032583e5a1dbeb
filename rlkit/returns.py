"""Returns and advantages over trajectories.

Time is the leading axis of every argument; any further axes (environments, quantities) are
carried along, so the functions serve one trajectory and a batch alike. Rewards are those that
follow the action of the same index. ``terminated`` says that the future is worth nothing,
``done`` (terminated or truncated) that the next row belongs to another episode.
"""

from typing import Any

import jax
import jax.numpy as jnp

from rlkit.elementary import means
from rlkit.errors import UsageError


def _check(name: str, shape: tuple[int, ...], floats: dict[str, Any], flags: dict[str, Any]) -> None:
    """Raise unless arrays have one shape, floats are floating and flags bool: broadcasting would hide a slip.

    Raises:
      UsageError: with the function, the argument, what it is and what was expected.
    """
    for argument, value in {**floats, **flags}.items():
        got, dtype = jnp.shape(value), jnp.result_type(value)
        if got != shape:
            first = next(iter(floats))
            raise UsageError(
                f"{name}: {argument} has shape {got}; expected {shape}, that of {first}: nothing is broadcast"
            )
        if argument in flags and dtype != jnp.bool_:
            raise UsageError(f"{name}: {argument} is {dtype}; expected bool: compare, or use .astype(bool)")
        if argument in floats and not jnp.issubdtype(dtype, jnp.floating):
            raise UsageError(f"{name}: {argument} is {dtype}; expected floats: use .astype(jnp.float32)")


def _check_factors(name: str, **factors: Any) -> None:
    """Raise unless factors are scalars.

    Raises:
      UsageError: one has axes.
    """
    for argument, value in factors.items():
        if jnp.ndim(value):
            raise UsageError(
                f"{name}: {argument} has shape {jnp.shape(value)}; expected a scalar: vmap over others"
            )


def _check_time(name: str, reward: Any) -> None:
    if not jnp.ndim(reward):
        raise UsageError(f"{name}: reward is a scalar; expected [T, ...], time first")


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
    """One-step temporal-difference errors ``δ_t = r_t + γ (1 - terminated_t) V(s_{t+1}) - V(s_t)``.

    Sutton & Barto 2018, eq. 6.5.

    Args:
      reward: float ``[...]``.
      value: float ``[...]``, ``V(obs)``.
      next_value: float ``[...]``, ``V(next_obs)`` of the *true* successor, which at a time limit is not the
        value of the next row.
      terminated: bool ``[...]``; no bootstrapping there.
      discount: γ, scalar.

    Returns:
      ``δ``, shape of ``reward``.

    Raises:
      UsageError: shapes differ, or a dtype is of another kind.
    """
    floats = {"reward": reward, "value": value, "next_value": next_value}
    _check("td_error", jnp.shape(reward), floats, {"terminated": terminated})
    _check_factors("td_error", discount=discount)
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
    """Generalised advantage estimates ``A_t = δ_t + γ λ (1 - done_t) A_{t+1}``.

    Schulman et al. 2016, arXiv 1506.02438, eq. 16; ``δ`` as in :func:`td_error`.

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

    Raises:
      UsageError: shapes differ, or a dtype is of another kind.
    """
    _check_time("gae", reward)
    floats = {"reward": reward, "value": value, "next_value": next_value}
    _check("gae", jnp.shape(reward), floats, {"terminated": terminated, "done": done})
    _check_factors("gae", discount=discount, gae_lambda=gae_lambda)
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

    Arguments as in :func:`gae`; ``lambda_`` may also be ``[T, ...]``, one for each row: with 1 where nothing
    is decided in ``s_{t+1}`` the returns are those of choices that last for several steps. At the last row,
    and where an episode is only truncated, the return bootstraps fully from ``next_value``.

    Raises:
      UsageError: shapes differ, or a dtype is of another kind.
    """
    _check_time("lambda_returns", reward)
    floats = {"reward": reward, "next_value": next_value}
    floats |= {"lambda_": lambda_} if jnp.ndim(lambda_) else {}
    _check("lambda_returns", jnp.shape(reward), floats, {"terminated": terminated, "done": done})
    _check_factors("lambda_returns", discount=discount)
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

    Raises:
      UsageError: shapes differ, or a dtype is of another kind.
    """
    _check_time("discounted_returns", reward)
    _check("discounted_returns", jnp.shape(reward), {"reward": reward}, {"done": done})
    _check_factors("discounted_returns", discount=discount)
    if jnp.shape(bootstrap) not in ((), jnp.shape(reward)[1:]):
        raise UsageError(
            f"discounted_returns: bootstrap has shape {jnp.shape(bootstrap)}; expected "
            f"{jnp.shape(reward)[1:]}, one value after the last row of each"
        )
    return linear_recurrence(reward, discount * (1.0 - done.astype(reward.dtype)), bootstrap, reverse=True)


def explained_variance(advantage: jax.Array, value: jax.Array, axis_name: str | None = None) -> jax.Array:
    """Share of the variance of the targets ``advantage + value`` that the values explain, float32 [].

    1 for perfect values, 0 for a constant one, negative for worse. ``axis_name``: mapped axis whose members
    are taken together.

    Raises:
      UsageError: shapes differ, or a dtype is of another kind.
    """
    floats = {"advantage": advantage, "value": value}
    _check("explained_variance", jnp.shape(advantage), floats, {})
    target = advantage + value
    mean = means([advantage, advantage**2, target, target**2])
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    residual, spread = mean[1] - mean[0] ** 2, mean[3] - mean[2] ** 2
    return 1.0 - residual / jnp.maximum(spread, 1e-8)
