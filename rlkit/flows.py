"""Small flow policies: noise becomes an action by an ordinary or a stochastic differential equation.

Time σ runs from 1 (noise) to 0 (sample); ``x_σ = (1 - σ) x_0 + σ ε``, and a velocity ``v = ε - x_0``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import check_count
from rlkit.products import FULL
from rlkit.types import Key

Velocity = Callable[[jax.Array, jax.Array], jax.Array]
"""``velocity(x [..., d], sigma []) -> [..., d]``"""


class VelocityNet(nn.Module):
    """A velocity: ``(x [..., d], sigma [], condition [..., c]) -> [..., d]``."""

    sizes: tuple[int, ...] = (64, 64)

    @nn.compact
    def __call__(self, x: jax.Array, sigma: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        times = jnp.broadcast_to(sigma, (*x.shape[:-1], 1))
        waves = [f(jnp.pi * k * times) for k in (1, 2, 4) for f in (jnp.sin, jnp.cos)]
        given = [] if condition is None else [condition]
        h = jnp.concatenate([x, times, *waves, *given], -1)
        for size in self.sizes:
            h = nn.silu(nn.Dense(size, precision=FULL)(h))
        return nn.Dense(x.shape[-1], precision=FULL)(h)


def flow_matching_loss(velocity: Velocity, key: Key, samples: jax.Array) -> jax.Array:
    """Mean square error of the velocity on straight lines from noise to samples ``[N, d]`` (2210.02747)."""
    time, noise = jax.random.split(key)
    sigma = jax.random.uniform(time, samples.shape[:1])
    eps = jax.random.normal(noise, samples.shape)
    x = (1 - sigma[:, None]) * samples + sigma[:, None] * eps
    return jnp.mean((jax.vmap(velocity)(x, sigma) - (eps - samples)) ** 2)


def noise_times(steps: int) -> jax.Array:
    """Times of ``steps`` steps, ``[steps + 1]`` from 1 to 0."""
    return jnp.linspace(1.0, 0.0, check_count("steps", steps) + 1)


class Transitioned(NamedTuple):
    """One stochastic step."""

    x: jax.Array  # [..., d]
    log_prob: jax.Array  # [...]: mean over the entries of the step's log density, as Flow-GRPO has it
    mean: jax.Array  # [..., d]
    std: jax.Array  # []


def sde_step(
    velocity: jax.Array,
    x: jax.Array,
    sigma: jax.Array,
    next_sigma: jax.Array,
    noise: jax.Array | float,
    *,
    key: Key | None = None,
    taken: jax.Array | None = None,
) -> Transitioned:
    """One step of Flow-GRPO's stochastic differential equation (2505.05470), whose marginals are the flow's.

    ``std = a sqrt(σ / (1 - σ))``, mean ``x (1 + std² dt / 2σ) + v (1 + std² (1 - σ) / 2σ) dt``, deviation
    ``std sqrt(-dt)``; at σ = 1 the next time stands in the denominator.

    Args:
      velocity: at ``x``, ``[..., d]``.
      x: ``[..., d]``.
      sigma: the time, scalar.
      next_sigma: the next, smaller.
      noise: level a; 0 is Euler's step of the ordinary equation.
      key: to draw the step with.
      taken: the state that a step led to, to score it instead of drawing.

    Returns:
      The step; its log density is 0 where there is no noise.
    """
    dt = next_sigma - sigma
    std = noise * jnp.sqrt(sigma / (1 - jnp.where(sigma >= 1.0, next_sigma, sigma)))
    mean = x * (1 + std**2 / (2 * sigma) * dt) + velocity * (1 + std**2 * (1 - sigma) / (2 * sigma)) * dt
    scale = std * jnp.sqrt(-dt)
    if taken is None:
        taken = mean if key is None else mean + scale * jax.random.normal(key, x.shape, x.dtype)
    safe = jnp.maximum(scale, 1e-6)
    density = (
        -0.5 * ((jax.lax.stop_gradient(taken) - mean) / safe) ** 2 - jnp.log(safe) - 0.5 * jnp.log(2 * jnp.pi)
    )
    return Transitioned(taken, jnp.where(scale > 1e-6, jnp.mean(density, -1), 0.0), mean, scale)


def ode_rollout(velocity: Velocity, x: jax.Array, times: jax.Array) -> jax.Array:
    """The sample that Euler's steps along ``times`` ``[n + 1]`` lead to, ``[..., d]``."""

    def body(x: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        now, then = pair
        return x + velocity(x, now) * (then - now), None

    return jax.lax.scan(body, x, (times[:-1], times[1:]))[0]


def ode_values(
    velocity: Velocity, reward: Callable[[jax.Array], jax.Array], states: jax.Array, times: jax.Array
) -> jax.Array:
    """Rewards of what the deterministic flow makes of each state of a rollout (2601.20218).

    Args:
      velocity: of the flow.
      reward: of samples ``[..., d] -> [...]``.
      states: of a rollout, ``[T + 1, ..., d]``, the noise first.
      times: ``[T + 1]``; from state ``i`` the remaining ``T - i`` steps are taken.

    Returns:
      ``[..., T + 1]``, for :func:`rlkit.rewards.embodied.stepwise_reward_gain`.
    """
    steps = times.shape[0] - 1

    def from_state(i: jax.Array, x: jax.Array) -> jax.Array:
        # All begin at their own time: steps before it have no length.
        return ode_rollout(velocity, x, jnp.minimum(times, times[i]))

    clean = jax.vmap(from_state)(jnp.arange(steps + 1), states)
    return jnp.moveaxis(reward(clean), 0, -1)


def sde_rollout(
    velocity: Velocity, key: Key, shape: tuple[int, ...], times: jax.Array, noise: jax.Array
) -> Any:
    """States ``[T + 1, *shape]`` and log densities ``[T, *shape[:-1]]`` of a stochastic rollout.

    Args:
      velocity: of the flow.
      key: typed PRNG key.
      shape: of the samples, ``(..., d)``.
      times: ``[T + 1]``.
      noise: level of each step, ``[T]``.
    """
    begin, key = jax.random.split(key)
    start = jax.random.normal(begin, shape)

    def body(x: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        now, then, level, key = inputs
        made = sde_step(velocity(x, now), x, now, then, level, key=key)
        return made.x, (made.x, made.log_prob)

    inputs = (times[:-1], times[1:], noise, jax.random.split(key, times.shape[0] - 1))
    _, (states, log_prob) = jax.lax.scan(body, start, inputs)
    return jnp.concatenate([start[None], states]), log_prob
