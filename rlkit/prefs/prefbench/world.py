"""Trajectories of a point with a goal and a hazard, and how good they really are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.prefs.types import Segment
from rlkit.types import Key

FEATURES = ("goal_x", "goal_y", "velocity_x", "velocity_y", "action_x", "action_y", "hazard", "stay")
"""Of each step: where the goal is, how fast the point moves, what it did, how deep in the hazard it is (0 ..
1), and whether it was told to stay."""

_DT, _DAMPING, _RADIUS = 0.2, 0.8, 0.5


class Trajectories(NamedTuple):
    """Items and the truth about them."""

    item: Segment  # feats [N, T, 8]
    quality: jax.Array  # float32 [N]: mean reward of the steps, so that length itself is worth nothing


def reward(feats: jax.Array) -> jax.Array:
    """What a step is really worth, ``[..., 8] -> [...]``.

    ``-|goal| - 0.1 |action|² - 10 hazard``; told to stay, ``-|action|²``.
    """
    goal, action = feats[..., :2], feats[..., 4:6]
    effort = jnp.sum(action**2, -1)
    moving = -jnp.sqrt(jnp.sum(goal**2, -1) + 1e-6) - 0.1 * effort - 10.0 * feats[..., 6]
    return jnp.where(feats[..., 7] > 0.5, -effort, moving)


def trajectories(
    key: Key,
    count: int,
    steps: int,
    length: jax.Array | None = None,
    distance: float = 1.0,
    stay: jax.Array | bool = False,
    caution: jax.Array | None = None,
) -> Trajectories:
    """Rollouts of controllers of mixed skill.

    Args:
      key: typed PRNG key.
      count: N.
      steps: T.
      length: steps of each that there are, int ``[N]``; None: all.
      distance: scale of how far away goals are.
      stay: bool ``[N]`` or one for all: the task is to do nothing.
      caution: how strongly each avoids the hazard, ``[N]``, the hazard then being in the way; None: mixed,
        and the hazard anywhere.
    """
    k = jax.random.split(key, 6)
    stay = jnp.broadcast_to(jnp.asarray(stay), (count,))
    position = distance * (1.0 + jax.random.uniform(k[0], (count, 1))) * _directions(k[1], count)
    gain, noise, mixed = jnp.moveaxis(jax.random.uniform(k[2], (count, 3)), 1, 0)
    between = jax.random.uniform(k[3], (count, 1), minval=0.3, maxval=0.7)
    hazard = position * between if caution is not None else distance * _directions(k[4], count)
    avoids = mixed if caution is None else caution
    shocks = jax.random.normal(k[5], (steps, count, 2))

    def body(
        carry: tuple[jax.Array, jax.Array], shock: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        x, v = carry
        away = x - hazard
        far = jnp.sqrt(jnp.sum(away**2, -1, keepdims=True) + 1e-6)
        sideways = jnp.stack([-away[:, 1], away[:, 0]], -1) + away
        dodge = avoids[:, None] * sideways / far * jnp.exp(-2.0 * (far - _RADIUS))
        action = gain[:, None] * (2.0 * -x - v) + 2.0 * dodge + (0.1 + noise[:, None]) * shock
        action = jnp.clip(jnp.where(stay[:, None], (gain + noise)[:, None] * shock, action), -2.0, 2.0)
        depth = jnp.maximum(0.0, 1.0 - far[:, 0] / _RADIUS)
        feats = jnp.concatenate([-x, v, action, depth[:, None], stay[:, None]], -1)
        v = _DAMPING * v + _DT * action
        return (x + _DT * v, v), feats

    _, feats = jax.lax.scan(body, (position, jnp.zeros((count, 2))), shocks)
    feats = jnp.swapaxes(feats, 0, 1)
    mask = jnp.ones((count, steps), bool) if length is None else jnp.arange(steps) < length[:, None]
    worth = jnp.sum(jnp.where(mask, reward(feats), 0.0), 1) / jnp.maximum(jnp.sum(mask, 1), 1)
    return Trajectories(Segment(feats, mask), worth)


def _directions(key: Key, count: int) -> jax.Array:
    angle = jax.random.uniform(key, (count,), maxval=2.0 * jnp.pi)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
