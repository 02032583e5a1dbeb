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
    distance: jax.Array | float = 1.0,
    stay: jax.Array | bool = False,
    caution: jax.Array | None = None,
    twin: jax.Array | None = None,
) -> Trajectories:
    """Rollouts of controllers of mixed skill, all of them in one scan.

    Args:
      key: typed PRNG key.
      count: N.
      steps: T.
      distance: scale of how far away goals are, ``[N]`` or one for all.
      stay: bool, ``[N]`` or one for all: the task is to do nothing.
      caution: how strongly each avoids the hazard, ``[N]``, the hazard then being in the way; NaN, or None
        for
        all: mixed, and the hazard anywhere.
      twin: int ``[N]``: whose random numbers each row takes; None: its own.
    """
    k = jax.random.split(key, 3)
    own = jnp.arange(count) if twin is None else twin
    stay = jnp.broadcast_to(jnp.asarray(stay), (count,))
    distance = jnp.broadcast_to(jnp.asarray(distance, jnp.float32), (count,))[:, None]
    caution = jnp.full(count, jnp.nan) if caution is None else caution
    numbers = jax.random.uniform(k[0], (count, 7))[own]
    gain, noise, mixed = jnp.moveaxis(numbers[:, :3], 1, 0)
    angle = 2.0 * jnp.pi * numbers[:, 5:]
    toward, aside = (jnp.stack([jnp.cos(a), jnp.sin(a)], -1) for a in jnp.moveaxis(angle, 1, 0))
    position = distance * (1.0 + numbers[:, 3:4]) * toward
    in_the_way = ~jnp.isnan(caution)
    hazard = jnp.where(in_the_way[:, None], position * (0.3 + 0.4 * numbers[:, 4:5]), distance * aside)
    avoids = jnp.where(in_the_way, caution, mixed)
    shocks = jax.random.normal(k[1], (steps, count, 2))[:, own]

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
    return cut(jnp.swapaxes(feats, 0, 1), jnp.full(count, steps))


def cut(feats: jax.Array, length: jax.Array) -> Trajectories:
    """The first ``length [N]`` steps of trajectories ``[N, T, 8]``, and what those are worth."""
    mask = jnp.arange(feats.shape[1]) < length[:, None]
    worth = jnp.sum(jnp.where(mask, reward(feats), 0.0), 1) / jnp.maximum(jnp.sum(mask, 1), 1)
    return Trajectories(Segment(feats, mask), worth)
