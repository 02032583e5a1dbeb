"""Parameters and state of the point maze, and parameters for a layout."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_layouts import NAMES, check_layout, named_layout, shortest_paths
from rlkit.envs.pointmaze_scene import Scene

RADIUS = 0.1  # m: the agent is a disc
RANDOM_ROOMS = "random-rooms"
LAYOUTS = (*NAMES, RANDOM_ROOMS)

# Least shortest path between start and goal of the `-far` variants, m: uniformly random actions
# reach the goal in 5 % (umaze), 1 % (medium), 2 % (rooms) and less than 0.1 % (large) of episodes.
FAR = {"umaze": 6.0, "medium": 10.0, "large": 18.0, "rooms": 12.0, "open": 9.0, RANDOM_ROOMS: 12.0}


class Params(NamedTuple):
    """A maze and its physics; float32 [] unless stated. Make it with :func:`params_from_layout`."""

    max_steps: jax.Array  # int32 []
    walls: jax.Array  # bool [H, W], see rlkit.envs.maze_layouts
    distance: jax.Array  # float32 [H*W, H*W]: shortest paths between cells
    pairs: jax.Array  # int32 [(H*W)^2]: start * H*W + goal of every admitted pair, these first
    num_pairs: jax.Array  # int32 []: how many pairs are admitted
    mass: jax.Array  # kg
    damping: jax.Array  # N s/m
    force: jax.Array  # N: at action 1
    max_speed: jax.Array  # m/s per axis, enforced before each simulation step
    dt: jax.Array  # s: one simulation step; dt * max_speed must stay below the agent's radius
    goal_radius: jax.Array  # m
    sense_radius: jax.Array  # m: within it, and in line of sight, the goal is seen; at most REACH
    start_noise: jax.Array  # m: the start is off its cell's centre by up to this on each axis
    odometry_drift: jax.Array  # error of the odometry per metre travelled, at most, on each axis
    forward_speed: jax.Array  # m/s: of a unicycle, at action 1; those of Clearpath's Jackal
    turn_rate: jax.Array  # rad/s: likewise
    min_path: jax.Array  # m: least way from start to goal where walls are drawn for each episode
    drop_step: jax.Array  # int32 []: the step in which clutter drops


class State(NamedTuple):
    """float32 [] unless stated."""

    position: jax.Array  # [2]: m
    velocity: jax.Array  # [2]: m/s
    odometry: jax.Array  # [2]: m, displacement since the start as the agent believes it
    drift: jax.Array  # [2]: odometry error per metre in this episode
    travelled: jax.Array  # m
    initial_path: jax.Array  # m: shortest path from the start to the goal
    goal: jax.Array  # int32 []: cell
    visited: jax.Array  # bool [H*W]
    cells_visited: jax.Array  # int32 []
    new_cell: jax.Array  # bool []: the last step entered a cell for the first time
    collision: jax.Array  # bool []: the last step ran into a wall
    scene: Scene  # what only some of these environments have


def params_from_layout(walls: jax.Array | np.ndarray, min_path: float = 1.0, max_steps: int = 120) -> Params:
    """Parameters for a maze; traceable, so that random mazes work under ``vmap``.

    Args:
      walls: bool ``[H, W]`` with a border of wall and at least one free cell
        (see :mod:`rlkit.envs.maze_layouts`).
      min_path: least length of the shortest path between start and goal cell, m. If no two cells
        are that far apart, the farthest are taken.
      max_steps: time limit in environment steps.

    Returns:
      The parameters, with the default physics.

    Raises:
      UsageError: no path leads from any cell to another, or the border is open (not seen in traced walls).
    """
    check_layout(walls)
    return _params(jnp.asarray(walls), min_path, max_steps)


@functools.partial(jax.jit, static_argnames=("max_steps",))
def _params(walls: jax.Array, min_path: float, max_steps: int) -> Params:
    walls = jnp.asarray(walls, bool)
    distance = shortest_paths(walls)
    reachable = jnp.isfinite(distance)
    farthest = jnp.max(jnp.where(reachable, distance, 0))
    admitted = reachable & (distance >= jnp.minimum(min_path, farthest) - 1e-3)
    pairs = jnp.nonzero(admitted.reshape(-1), size=admitted.size, fill_value=0)[0]
    physical = (4 / 3 * math.pi * RADIUS**3 * 1000, 1.0, 100.0, 5.0, 0.01, 0.45, 3.0, 0.25, 0.0)
    driven = (2.0, 4.0, min_path)
    return Params(
        jnp.int32(max_steps),
        walls,
        distance,
        pairs.astype(jnp.int32),
        jnp.sum(admitted, dtype=jnp.int32),
        *(jnp.asarray(value, jnp.float32) for value in physical + driven),
        drop_step=jnp.int32(max_steps // 6),
    )


@functools.cache
def walls_of(layout: str) -> np.ndarray:
    """Those of the default parameters."""
    return named_layout("rooms" if layout == RANDOM_ROOMS else layout)
