"""Transforms of the reward so far. They report no terms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.normalize import RunningMoments, update_moments
from rlkit.rewards.algebra import Paid, transform
from rlkit.rewards.arguments import Scalar, as_scalar, check_number, check_positive, parameters
from rlkit.types import Key, PyTree, Reward, Transition


def clip(low: Scalar, high: Scalar) -> Reward:
    """The reward so far, clipped to ``[low, high]``."""
    params, values = parameters(low=check_number("low", low), high=check_number("high", high))
    if not isinstance(low, jax.Array) and not isinstance(high, jax.Array) and low >= high:
        raise UsageError(f"clip(low={low}, high={high}): expected low < high")
    return transform(lambda r, p: jnp.clip(r, *values(p).values()), params)


def scale(factor: Scalar) -> Reward:
    """``factor`` times the reward so far."""
    params, values = parameters(factor=check_number("factor", factor))
    return transform(lambda r, p: values(p)["factor"] * r, params)


def symlog() -> Reward:
    """``sign(r) log(1 + |r|)`` (Hafner et al. 2023, arXiv 2301.04104, eq. 9)."""
    return transform(lambda r: jnp.sign(r) * jnp.log1p(jnp.abs(r)))


def squash(temperature: Scalar = 1.0) -> Reward:
    """``tanh(r / temperature)``."""
    params, values = parameters(temperature=check_positive("temperature", temperature))
    return transform(lambda r, p: jnp.tanh(r / values(p)["temperature"]), params)


class NormaliseState(NamedTuple):
    """Memory of :func:`normalise`."""

    discounted: jax.Array  # float32 []: discounted sum of the episode's rewards up to now
    moments: RunningMoments  # of that sum, over all episodes


def normalise(
    discount: Scalar,
    *,
    limit: Scalar | None = 10.0,
    epsilon: float = 1e-8,
    axis_name: str | tuple[str, ...] | None = None,
) -> Reward:
    """Divide the reward so far by the running standard deviation of its discounted sum.

    The sum is ``R_t = γ R_{t-1} + r_t``, from 0 at the beginning of each episode; its moments
    go on over episodes and include the present step. This is what Gymnasium and Stable-Baselines3
    do (Engstrom et al. 2020, arXiv 2005.12729, §3); nothing is subtracted, so the sign stays.

    Args:
      discount: γ in [0, 1]; 0 divides by the deviation of the reward itself.
      limit: largest magnitude of the result; None does not clip.
      epsilon: added to the variance.
      axis_name: mapped axis (or axes) whose members share their statistics, e.g. the one that
        :func:`rlkit.rewards.relabel` is given for the slots, or ``("slots", "devices")``. None:
        each slot has its own.
    """
    params, values = parameters(
        discount=check_number("discount", discount, 0.0, 1.0),
        limit=limit if limit is None else check_positive("limit", limit),
        epsilon=check_positive("epsilon", epsilon),
    )

    def init(key: Key) -> NormaliseState:
        return NormaliseState(jnp.zeros((), jnp.float32), RunningMoments.zeros())

    def apply(memory: NormaliseState, t: Transition, params: PyTree) -> Paid:
        discount, limit, epsilon = values(params).values()
        before = jnp.where(t.first, 0.0, memory.discounted)
        discounted = (discount * before + t.reward).astype(memory.discounted.dtype)
        moments = update_moments(memory.moments, discounted, axis_name)
        value = t.reward * jax.lax.rsqrt(moments.var + epsilon)
        if limit is not None:
            value = jnp.clip(value, -limit, limit)
        return NormaliseState(discounted, moments), as_scalar("the normalised reward", value, t), {}

    return Reward(init, apply, params)
