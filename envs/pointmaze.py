"""Navigation of a disc through a maze, with range rays and a goal that must be found."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_geometry import along_path, cell_of, centre_of, push_out
from rlkit.envs.pointmaze_scene import (
    KINDS,
    Scene,
    Spots,
    draw_clutter,
    draw_landmarks,
    draw_rooms,
    dropped,
    see_landmarks,
)
from rlkit.envs.pointmaze_senses import RAY_DIRECTIONS, Sight, look, turned, unit
from rlkit.envs.pointmaze_spec import RAYS, REACH, pointmaze_spec
from rlkit.envs.pointmaze_state import (
    FAR,
    LAYOUTS,
    RADIUS,
    RANDOM_ROOMS,
    Params,
    State,
    params_from_layout,
    walls_of,
)
from rlkit.errors import UsageError, unknown_name
from rlkit.types import EnvSpec, Features, Key, Terms

__all__ = ["Params", "PointMaze", "State", "params_from_layout"]

_MOVES = np.concatenate([np.zeros((1, 2), np.float32), RAY_DIRECTIONS[:: RAYS // 8]])
_DRIVES = np.array([[0, 0], [1, 0], [1, 1], [1, -1], [0, 1], [0, -1], [-1, 0]], np.float32)  # forward, turn


@dataclass(frozen=True)
class PointMaze:
    """``nav/pointmaze-*``: a force-driven disc in a maze of unit cells.

    The dynamics of a point in free space are those of Gymnasium-Robotics' PointMaze; contact with walls is
    inelastic and frictionless. Start and goal are drawn anew for every episode.

    Attributes:
      layout: name of a map (:data:`rlkit.envs.maze_layouts.NAMES`) for the default parameters;
        ``params_from_layout`` makes others. ``"random-rooms"``: four rooms whose doors are elsewhere in every
        episode, whatever the parameters' walls.
      far: start and goal of the default parameters are far apart, so that chance does not succeed.
      actions: ``"continuous"`` (force per axis; of a unicycle: speed forward and of turning), or
        ``"discrete"`` (none, or full force in one of 8 directions; of a unicycle: six ways to drive).
      frame_skip: simulation steps (0.01 s) per environment step.
      observation: ``"local"``: the goal only while it is seen, and odometry from the start of the
        episode; ``"global"``: always the goal, and the position in the maze. Same shape.
      drive: ``"point"``, or ``"unicycle"``: goes forward and turns at the speeds asked for, without slipping,
        as a Jackal does. Its rays turn with it, and it has a compass.
      landmarks: how many places of one of three kinds there are, elsewhere in every episode; seen as the goal
        is.
      clutter: how many boxes drop in the middle of an episode, in the step ``params.drop_step``, each into
        one cell. They never cut off the goal.
      dense: every step pays ``exp(-d)`` of the way ``d`` (m) to the goal, and reaching it does not end the
        episode, as in the dense variant of Gymnasium-Robotics' PointMaze, where d is the straight distance.
    """

    layout: str = "umaze"
    far: bool = False
    actions: str = "continuous"
    frame_skip: int = 5
    observation: str = "local"
    drive: str = "point"
    landmarks: int = 0
    clutter: int = 0
    dense: bool = False

    def __post_init__(self) -> None:
        for name, known in {
            "layout": LAYOUTS,
            "actions": ("continuous", "discrete"),
            "observation": ("local", "global"),
            "drive": ("point", "unicycle"),
        }.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known, where="of nav/pointmaze")
        for name in ("landmarks", "clutter"):
            most = int((~walls_of(self.layout)).sum()) - 2  # start and goal
            if not isinstance(count := getattr(self, name), int) or not 0 <= count <= most:
                raise UsageError(f"{name}={count!r}: expected an integer, 0 to {most} in {self.layout!r}")
        if self.frame_skip < 1:
            raise ValueError(f"frame_skip={self.frame_skip} must be at least 1")

    @property
    def spec(self) -> EnvSpec:
        return pointmaze_spec(self)

    @property
    def changes(self) -> bool:
        """Whether walls differ from the parameters' ones."""
        return self.layout == RANDOM_ROOMS or self.clutter > 0

    def default_params(self) -> Params:
        min_path = FAR[self.layout] if self.far else 1.0
        return params_from_layout(walls_of(self.layout), min_path, max_steps=self.spec.max_steps)

    def initial(self, key: Key, params: Params) -> State:
        height, width = params.walls.shape
        cells = height * width
        draws = jax.random.uniform(key, (5,), jnp.float32)
        pick = jnp.minimum((draws[0] * params.num_pairs).astype(jnp.int32), params.num_pairs - 1)
        start, goal = jnp.divmod(params.pairs[pick], cells)
        walls, distance = params.walls, params.distance[goal]
        if self.layout == RANDOM_ROOMS:
            walls, start, goal, distance = draw_rooms(key, params.min_path)
        centred = 2 * draws[1:] - 1
        nothing = jnp.zeros((2,), jnp.float32)
        return State(
            position=centre_of(start, width) + params.start_noise * centred[:2],
            velocity=nothing,
            odometry=nothing,
            drift=params.odometry_drift * centred[2:],
            travelled=jnp.zeros((), jnp.float32),
            initial_path=distance[start],
            goal=goal,
            visited=jnp.arange(cells) == start,
            cells_visited=jnp.ones((), jnp.int32),
            new_cell=jnp.zeros((), bool),
            collision=jnp.zeros((), bool),
            scene=self._scene(key, params, walls, start, goal, distance),
        )

    def _scene(self, key: Key, params: Params, walls: jax.Array, start: jax.Array, goal: jax.Array,
               distance: jax.Array) -> Scene:  # fmt: skip
        scene, taken = Scene(), (jnp.arange(walls.size) == start) | (jnp.arange(walls.size) == goal)
        if self.drive == "unicycle":
            turn = jax.random.uniform(jax.random.fold_in(key, 0), (), jnp.float32, -math.pi, math.pi)
            scene = scene._replace(heading=turn)
        if self.landmarks:
            spots, kinds = draw_landmarks(key, ~walls.reshape(-1) & ~taken, self.landmarks)
            scene, taken = scene._replace(landmarks=spots, kinds=kinds), taken.at[spots].set(True)
        if self.clutter:
            boxes, later = draw_clutter(key, walls, goal, taken.reshape(walls.shape), self.clutter)
            scene = scene._replace(boxes=boxes, later=later, clock=jnp.zeros((), jnp.int32))
        return scene._replace(walls=walls, distance=distance) if self.changes else scene

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        moves = jnp.asarray(_MOVES if self.drive == "point" else _DRIVES)
        pull = jnp.clip(action, -1, 1) if self.actions == "continuous" else moves[action]
        force, scene = params.force * pull, state.scene
        if self.clutter:
            scene = dropped(scene, state.position, RADIUS, params.drop_step)
        walls = scene.walls if self.changes else params.walls

        def simulate(_, moving):
            position, velocity, collision, heading = moving
            if self.drive == "unicycle":
                heading = heading + params.dt * params.turn_rate * pull[1]
                velocity = params.forward_speed * pull[0] * unit(heading)
            else:
                velocity = jnp.clip(velocity, -params.max_speed, params.max_speed)
                velocity = (params.mass * velocity + params.dt * force) / (
                    params.mass + params.dt * params.damping
                )
            position, velocity, hit = push_out(walls, RADIUS, position + params.dt * velocity, velocity)
            return position, velocity, collision | hit, heading

        begin = (state.position, state.velocity, jnp.zeros((), bool), scene.heading)
        position, velocity, collision, heading = jax.lax.fori_loop(0, self.frame_skip, simulate, begin)
        scene = scene._replace(heading=heading)
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
            scene=scene,
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        sight = self._look(state, params)
        known = sight.goal_visible if self.observation == "local" else jnp.ones((), bool)
        place = state.odometry if self.observation == "local" else state.position
        goal = jnp.append(sight.goal_direction, sight.goal_distance)
        parts = [sight.rays, state.velocity, jnp.where(known, goal, 0), sight.goal_visible[None], place]
        if self.drive == "unicycle":
            parts.append(unit(state.scene.heading))
        if self.landmarks:
            spots = self._landmarks(state, params)
            kind = jax.nn.one_hot(state.scene.kinds, KINDS)
            shown = jnp.concatenate([spots.direction, spots.distance[:, None], kind], 1)
            shown = jnp.where(spots.visible[:, None], shown, 0)
            parts += [shown.reshape(-1), spots.visible.astype(jnp.float32)]
        return jnp.concatenate(parts)

    def features(self, state: State, params: Params) -> Features:
        width = params.walls.shape[1]
        sight = self._look(state, params)
        path_distance, path_direction = along_path(self._ways(state, params), width, state.position)
        more: Features = {}
        if self.drive == "unicycle":
            more["heading"] = unit(state.scene.heading)
        if self.clutter:
            more["clutter_dropped"] = state.scene.clock > params.drop_step
        if self.landmarks:
            spots = self._landmarks(state, params)
            more |= {
                "landmark_kind": state.scene.kinds,
                "landmark_direction": spots.direction,
                "landmark_distance": spots.distance,
                "landmark_visible": spots.visible,
                "landmark_reached": spots.distance <= params.goal_radius,
            }
        return more | {
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
        if self.dense:
            reward = jnp.exp(-next_features["path_distance"])
            return reward, {"closeness": reward}
        reward = next_features["at_goal"].astype(jnp.float32)
        return reward, {"goal": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state, params) & (not self.dense)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state, params)

    def fitness(self, state: State, params: Params) -> jax.Array:
        left, _ = along_path(self._ways(state, params), params.walls.shape[1], state.position)
        return jnp.where(_at_goal(state, params), 1.0, 1.0 - left / jnp.maximum(state.initial_path, 1.0))

    def render(self, state: State, params: Params, size: int = 256, rays: bool = False) -> Any:
        """A view from above; ``rays`` draws the range rays too."""
        from rlkit.envs.pointmaze_picture import picture

        reaches = None
        if rays:
            directions = np.asarray(turned(jnp.asarray(RAY_DIRECTIONS), state.scene.heading))
            reaches = np.asarray(self._look(state, params).rays)[:, None] * directions
        return picture(state, params, size, reaches)

    def _walls(self, state: State, params: Params) -> jax.Array:
        return state.scene.walls if self.changes else params.walls

    def _ways(self, state: State, params: Params) -> jax.Array:
        """Shortest paths to the goal, ``[H*W]``."""
        return state.scene.distance if self.changes else params.distance[state.goal]

    def _landmarks(self, state: State, params: Params) -> Spots:
        walls = self._walls(state, params)
        return see_landmarks(state.scene.landmarks, walls, state.position, REACH, params.sense_radius)

    def _look(self, state: State, params: Params) -> Sight:
        return look(state, params, self._walls(state, params))


def _at_goal(state: State, params: Params) -> jax.Array:
    offset = centre_of(state.goal, params.walls.shape[1]) - state.position
    return jnp.sum(offset**2) <= params.goal_radius**2
