"""Navigation of a point mass through a maze, with range rays and a goal that must be found."""

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_geometry import along_path, cast_rays, cell_of, centre_of, push_out
from rlkit.envs.maze_layouts import named_layout, shortest_paths
from rlkit.envs.pointmaze_spec import RAYS, REACH, pointmaze_spec
from rlkit.errors import unknown_name
from rlkit.types import EnvSpec, Features, Key, Terms

RADIUS = 0.1  # m: the agent is a disc
_ANGLES = 2 * math.pi * np.arange(RAYS) / RAYS
_RAY_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1).astype(np.float32)
_MOVES = np.concatenate([np.zeros((1, 2), np.float32), _RAY_DIRECTIONS[:: RAYS // 8]])

# Least shortest path between start and goal of the `-far` variants, m: uniformly random actions
# reach the goal in 5 % (umaze), 1 % (medium), 2 % (rooms) and less than 0.1 % (large) of episodes.
_FAR = {"umaze": 6.0, "medium": 10.0, "large": 18.0, "rooms": 12.0, "open": 9.0}


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


class _Sight(NamedTuple):
    rays: jax.Array
    goal_offset: jax.Array
    goal_distance: jax.Array
    goal_direction: jax.Array
    goal_visible: jax.Array


@functools.partial(jax.jit, static_argnames=("max_steps",))
def params_from_layout(walls: jax.Array, min_path: float = 1.0, max_steps: int = 120) -> Params:
    """Parameters for a maze; traceable, so that random mazes work under ``vmap``.

    Args:
      walls: bool ``[H, W]`` with a border of wall and at least one free cell
        (see :mod:`rlkit.envs.maze_layouts`).
      min_path: least length of the shortest path between start and goal cell, m. If no two cells
        are that far apart, the farthest are taken.
      max_steps: time limit in environment steps.

    Returns:
      The parameters, with the default physics.
    """
    walls = jnp.asarray(walls, bool)
    distance = shortest_paths(walls)
    reachable = jnp.isfinite(distance)
    farthest = jnp.max(jnp.where(reachable, distance, 0))
    admitted = reachable & (distance >= jnp.minimum(min_path, farthest) - 1e-3)
    pairs = jnp.nonzero(admitted.reshape(-1), size=admitted.size, fill_value=0)[0]
    physical = (4 / 3 * math.pi * RADIUS**3 * 1000, 1.0, 100.0, 5.0, 0.01, 0.45, 3.0, 0.25, 0.0)
    return Params(
        jnp.int32(max_steps),
        walls,
        distance,
        pairs.astype(jnp.int32),
        jnp.sum(admitted, dtype=jnp.int32),
        *(jnp.float32(value) for value in physical),
    )


@dataclass(frozen=True)
class PointMaze:
    """``nav/pointmaze-*``: a force-driven disc in a maze of unit cells.

    The dynamics in free space are those of Gymnasium-Robotics' PointMaze; contact with walls is
    inelastic and frictionless. Start and goal are drawn anew for every episode.

    Attributes:
      layout: name of a map (:data:`rlkit.envs.maze_layouts.NAMES`) for the default parameters;
        ``params_from_layout`` makes others.
      far: start and goal of the default parameters are far apart, so that chance does not succeed.
      actions: ``"continuous"`` (force per axis), or ``"discrete"`` (none, or full force in
        one of 8 directions).
      frame_skip: simulation steps (0.01 s) per environment step.
      observation: ``"local"``: the goal only while it is seen, and odometry from the start of the
        episode; ``"global"``: always the goal, and the position in the maze. Same shape.
    """

    layout: str = "umaze"
    far: bool = False
    actions: str = "continuous"
    frame_skip: int = 5
    observation: str = "local"

    def __post_init__(self) -> None:
        named_layout(self.layout)
        for name, known in {
            "actions": ("continuous", "discrete"),
            "observation": ("local", "global"),
        }.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known, where="of nav/pointmaze")
        if self.frame_skip < 1:
            raise ValueError(f"frame_skip={self.frame_skip} must be at least 1")

    @property
    def spec(self) -> EnvSpec:
        return pointmaze_spec(self.layout, self.far, self.actions, self.frame_skip, self.observation)

    def default_params(self) -> Params:
        min_path = _FAR[self.layout] if self.far else 1.0
        return params_from_layout(named_layout(self.layout), min_path, max_steps=self.spec.max_steps)

    def initial(self, key: Key, params: Params) -> State:
        height, width = params.walls.shape
        cells = height * width
        draws = jax.random.uniform(key, (5,), jnp.float32)
        pick = jnp.minimum((draws[0] * params.num_pairs).astype(jnp.int32), params.num_pairs - 1)
        start, goal = jnp.divmod(params.pairs[pick], cells)
        centred = 2 * draws[1:] - 1
        nothing = jnp.zeros((2,), jnp.float32)
        return State(
            position=centre_of(start, width) + params.start_noise * centred[:2],
            velocity=nothing,
            odometry=nothing,
            drift=params.odometry_drift * centred[2:],
            travelled=jnp.zeros((), jnp.float32),
            initial_path=params.distance[start, goal],
            goal=goal,
            visited=jnp.arange(cells) == start,
            cells_visited=jnp.ones((), jnp.int32),
            new_cell=jnp.zeros((), bool),
            collision=jnp.zeros((), bool),
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        pull = jnp.clip(action, -1, 1) if self.actions == "continuous" else jnp.asarray(_MOVES)[action]
        force = params.force * pull

        def simulate(_, moving):
            position, velocity, collision = moving
            velocity = jnp.clip(velocity, -params.max_speed, params.max_speed)
            velocity = (params.mass * velocity + params.dt * force) / (
                params.mass + params.dt * params.damping
            )
            position, velocity, hit = push_out(
                params.walls, RADIUS, position + params.dt * velocity, velocity
            )
            return position, velocity, collision | hit

        begin = (state.position, state.velocity, jnp.zeros((), bool))
        position, velocity, collision = jax.lax.fori_loop(0, self.frame_skip, simulate, begin)
        moved = position - state.position
        length = jnp.sqrt(jnp.sum(moved**2))
        cell = cell_of(position, params.walls.shape[1])
        new_cell = ~state.visited[cell]
        return state._replace(
            position=position,
            velocity=velocity,
            odometry=state.odometry + moved + length * state.drift,
            travelled=state.travelled + length,
            visited=state.visited.at[cell].set(True),
            cells_visited=state.cells_visited + new_cell,
            new_cell=new_cell,
            collision=collision,
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        sight = _look(state, params)
        known = sight.goal_visible if self.observation == "local" else jnp.ones((), bool)
        place = state.odometry if self.observation == "local" else state.position
        goal = jnp.append(sight.goal_direction, sight.goal_distance)
        return jnp.concatenate(
            [sight.rays, state.velocity, jnp.where(known, goal, 0), sight.goal_visible[None], place]
        )

    def features(self, state: State, params: Params) -> Features:
        width = params.walls.shape[1]
        sight = _look(state, params)
        path_distance, path_direction = along_path(params.distance[state.goal], width, state.position)
        return {
            "position": state.position,
            "velocity": state.velocity,
            "speed": jnp.sqrt(jnp.sum(state.velocity**2)),
            "odometry": state.odometry,
            "travelled": state.travelled,
            "rays": sight.rays,
            "min_ray": jnp.min(sight.rays),
            "collision": state.collision,
            "cell": cell_of(state.position, width),
            "cells_visited": state.cells_visited,
            "new_cell": state.new_cell,
            "goal_visible": sight.goal_visible,
            "goal_position": centre_of(state.goal, width),
            "goal_distance": sight.goal_distance,
            "goal_direction": sight.goal_direction,
            "path_distance": path_distance,
            "path_direction": path_direction,
            "at_goal": _at_goal(state, params),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["at_goal"].astype(jnp.float32)
        return reward, {"goal": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state, params)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state, params)

    def fitness(self, state: State, params: Params) -> jax.Array:
        left, _ = along_path(params.distance[state.goal], params.walls.shape[1], state.position)
        return jnp.where(_at_goal(state, params), 1.0, 1.0 - left / jnp.maximum(state.initial_path, 1.0))

    def render(self, state: State, params: Params, size: int = 256, rays: bool = False) -> Any:
        """A view from above; ``rays`` draws the range rays too."""
        from rlkit.envs.pointmaze_picture import picture

        reaches = np.asarray(_look(state, params).rays)[:, None] * _RAY_DIRECTIONS if rays else None
        return picture(state, params, size, reaches)


def _at_goal(state: State, params: Params) -> jax.Array:
    offset = centre_of(state.goal, params.walls.shape[1]) - state.position
    return jnp.sum(offset**2) <= params.goal_radius**2


def _look(state: State, params: Params) -> _Sight:
    """What there is to see: the goal is looked for along one more ray."""
    offset = centre_of(state.goal, params.walls.shape[1]) - state.position
    distance = jnp.sqrt(jnp.sum(offset**2))
    direction = offset / jnp.maximum(distance, 1e-6)
    directions = jnp.concatenate([jnp.asarray(_RAY_DIRECTIONS, direction.dtype), direction[None]])
    reaches = cast_rays(params.walls, state.position, directions, REACH)
    visible = (distance <= params.sense_radius) & (reaches[-1] >= distance)
    return _Sight(reaches[:-1], offset, distance, direction, visible)
