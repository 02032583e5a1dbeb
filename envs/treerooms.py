"""A tree of rooms with a goal in its farthest corner and nothing that points to it: ``nav/treerooms``."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_layouts import tree_rooms, walking_distance
from rlkit.envs.maze_view import FREE, WALL, check_view, view_of
from rlkit.envs.treerooms_spec import ACTIONS, treerooms_spec
from rlkit.errors import check_count
from rlkit.types import EnvSpec, Features, Key, Terms

_STEPS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)  # (x, y) of each action


class Params(NamedTuple):
    max_steps: jax.Array  # int32 []
    sense_radius: jax.Array  # float32 []: cells; within it, and in sight, the goal is recognised
    slip: jax.Array  # float32 []: probability that a move goes in a random direction


class State(NamedTuple):
    """One maze with its walker; places are int32 ``[2]``, cells (x, y) from the lower left."""

    walls: jax.Array  # uint8 [side, side]
    to_goal: jax.Array  # int16 [side, side]: steps to the goal
    visits: jax.Array  # int16 [side, side]: how often each cell was entered
    position: jax.Array
    start: jax.Array
    goal: jax.Array
    travelled: jax.Array  # int32 []: moves that were not stopped by a wall
    new_cell: jax.Array  # bool []: the last step entered a cell for the first time
    collision: jax.Array  # bool []: the last step ran into a wall


@dataclass(frozen=True)
class TreeRooms:
    """``nav/treerooms``: explore a maze of rooms to find a goal of which nothing is known.

    Doors join the rooms to a tree (:func:`rlkit.envs.maze_layouts.tree_rooms`), so all ways but one end dead,
    and there is always a way to the goal. The maze is new in every episode; the goal is the cell farthest
    from the start on foot. Seen are the cells around that no wall hides, and the displacement from the start.
    The task is ours, for TopoNav (arXiv 2402.04061): there is no bearing or distance to the goal, with which
    a flat policy would need no map.

    Attributes:
      rooms: rooms along a side.
      room_size: cells along a room's side.
      view: cells along the side of the square that is seen, odd.
    """

    rooms: int = 4
    room_size: int = 5
    view: int = 7

    def __post_init__(self) -> None:
        check_count("rooms", self.rooms, 2)
        check_count("room_size", self.room_size, 2)
        check_view(self.view)

    @property
    def spec(self) -> EnvSpec:
        return treerooms_spec(self.rooms, self.room_size, self.view)

    def default_params(self) -> Params:
        return Params(jnp.int32(self.spec.max_steps), jnp.float32(1.5), jnp.float32(0.0))

    def initial(self, key: Key, params: Params) -> State:
        key_maze, key_start = jax.random.split(key)
        walls = tree_rooms(key_maze, self.rooms, self.room_size)
        side = walls.shape[0]

        def place(index: jax.Array) -> jax.Array:
            return jnp.stack([index % side, index // side]).astype(jnp.int32)

        draws = jax.random.uniform(key_start, (side * side,), jnp.float32)
        start = place(jnp.argmax(jnp.where(walls.reshape(-1), -1.0, draws)))
        away = walking_distance(walls, start)
        goal = place(jnp.argmax(jnp.where(walls, -1, away)))
        no = jnp.zeros((), bool)
        return State(
            walls=walls.astype(jnp.uint8),
            to_goal=walking_distance(walls, goal).astype(jnp.int16),
            visits=jnp.zeros(walls.shape, jnp.int16).at[start[1], start[0]].set(1),
            position=start,
            start=start,
            goal=goal,
            travelled=jnp.zeros((), jnp.int32),
            new_cell=no,
            collision=no,
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        slips, other = jax.random.uniform(key, (2,), jnp.float32)
        slipped = jnp.minimum((other * len(ACTIONS)).astype(jnp.int32), len(ACTIONS) - 1)
        ahead = state.position + jnp.asarray(_STEPS)[jnp.where(slips < params.slip, slipped, action)]
        free = state.walls[ahead[1], ahead[0]] == 0
        x, y = position = jnp.where(free, ahead, state.position)
        return state._replace(
            visits=state.visits.at[y, x].add(free.astype(jnp.int16)),
            position=position,
            travelled=state.travelled + free,
            new_cell=state.visits[y, x] == 0,
            collision=~free,
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        seen = self._view(state).reshape(-1)
        visible, offset = self._goal(state, params)
        odometry = (state.position - state.start) / jnp.float32(state.walls.shape[0])
        numbers = jnp.stack([visible, state.collision]).astype(jnp.float32)
        channels = (seen == FREE, seen == WALL, numbers, odometry, offset / jnp.float32(self.view // 2))
        return jnp.concatenate([channel.astype(jnp.float32) for channel in channels])

    def features(self, state: State, params: Params) -> Features:
        x, y = state.position
        visible, offset = self._goal(state, params)
        return {
            "position": state.position.astype(jnp.float32),
            "odometry": (state.position - state.start).astype(jnp.float32),
            "travelled": state.travelled.astype(jnp.float32),
            "view": self._view(state),
            "clearance": jnp.where(state.collision, 0.0, 1.0),
            "collision": state.collision,
            "cell_visits": state.visits[y, x].astype(jnp.int32),
            "cells_visited": jnp.sum(state.visits > 0, dtype=jnp.int32),
            "new_cell": state.new_cell,
            "goal_visible": visible,
            "goal_offset": offset,
            "path_distance": state.to_goal[y, x].astype(jnp.float32),
            "at_goal": _at_goal(state),
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["at_goal"].astype(jnp.float32)
        return reward, {"goal": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _at_goal(next_state)

    def fitness(self, state: State, params: Params) -> jax.Array:
        (x, y), (begin_x, begin_y) = state.position, state.start
        return 1.0 - state.to_goal[y, x] / jnp.maximum(state.to_goal[begin_y, begin_x], 1).astype(jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """The maze from above: visited cells in light blue, the goal in green, the walker in blue."""
        from rlkit.envs import draw

        walls = np.asarray(state.walls) > 0
        image = draw.canvas(size)
        view = draw.fit(size, (0, 0), walls.shape)
        colours = np.full((*walls.shape, 3), draw.PAPER, np.float32)
        colours[np.asarray(state.visits) > 0] = draw.SKY
        colours[walls] = draw.INK
        draw.tiles(image, colours, view)
        draw.disc(image, view(np.asarray(state.goal) + 0.5), 0.45 * view.scale, draw.GREEN)
        draw.disc(image, view(np.asarray(state.position) + 0.5), 0.45 * view.scale, draw.BLUE)
        return draw.finish(image)

    def _view(self, state: State) -> jax.Array:
        return view_of(state.walls, state.position, self.view // 2)

    def _goal(self, state: State, params: Params) -> tuple[jax.Array, jax.Array]:
        """Whether the goal is recognised (bool []), and then its offset (float32 [2], cells)."""
        radius = self.view // 2
        offset = state.goal - state.position
        inside = jnp.all(jnp.abs(offset) <= radius)
        x, y = jnp.clip(offset + radius, 0, self.view - 1)
        near = jnp.sum(offset**2) <= params.sense_radius**2
        visible = inside & near & (self._view(state)[y, x] == FREE)
        return visible, jnp.where(visible, offset, 0).astype(jnp.float32)


def _at_goal(state: State) -> jax.Array:
    return jnp.all(state.position == state.goal)
