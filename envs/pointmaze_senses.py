"""What is seen from a place in a point maze."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_geometry import cast_rays, centre_of
from rlkit.envs.pointmaze_spec import RAYS, REACH
from rlkit.envs.pointmaze_state import Params, State
from rlkit.products import matmul

_ANGLES = 2 * math.pi * np.arange(RAYS) / RAYS
RAY_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1).astype(np.float32)


class Sight(NamedTuple):
    rays: jax.Array
    goal_offset: jax.Array
    goal_distance: jax.Array
    goal_direction: jax.Array
    goal_visible: jax.Array


def unit(angle: jax.Array) -> jax.Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def turned(directions: jax.Array, heading: Any) -> jax.Array:
    """Directions ``[R, 2]`` relative to a heading, in the maze's axes; ``()``: they are that already."""
    if isinstance(heading, tuple):
        return directions
    cos, sin = unit(heading)
    return matmul(directions, jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])]))


def look(state: State, params: Params, walls: jax.Array) -> Sight:
    """What there is to see: the goal is looked for along one more ray."""
    offset = centre_of(state.goal, params.walls.shape[1]) - state.position
    distance = jnp.sqrt(jnp.sum(offset**2))
    direction = offset / jnp.maximum(distance, 1e-6)
    rays = turned(jnp.asarray(RAY_DIRECTIONS, direction.dtype), state.scene.heading)
    reaches = cast_rays(walls, state.position, jnp.concatenate([rays, direction[None]]), REACH)
    visible = (distance <= params.sense_radius) & (reaches[-1] >= distance)
    return Sight(reaches[:-1], offset, distance, direction, visible)
