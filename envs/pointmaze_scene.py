"""What may differ from episode to episode in a point maze: walls, clutter that drops, landmarks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.maze_geometry import cast_rays, centre_of
from rlkit.envs.maze_layouts import paths_to, random_rooms, walking_distance
from rlkit.types import Key

KINDS = 3  # of landmarks
_ROOMS, _PAIR, _LANDMARKS, _KINDS, _CLUTTER = range(1, 6)  # numbers of derived keys


class Scene(NamedTuple):
    """``()`` stands for what an environment does not have."""

    heading: Any = ()  # float32 []: of a unicycle, rad
    landmarks: Any = ()  # int32 [K]: their cells
    kinds: Any = ()  # int32 [K]: below KINDS
    walls: Any = ()  # bool [H, W]: as they are now
    distance: Any = ()  # float32 [H*W]: shortest paths to the goal around them
    boxes: Any = ()  # bool [H, W]: where clutter will drop
    later: Any = ()  # float32 [H*W]: shortest paths once all of it has
    clock: Any = ()  # int32 []: steps


class Spots(NamedTuple):
    """Landmarks as they are seen from a place."""

    direction: jax.Array  # float32 [K, 2]: unit vectors
    distance: jax.Array  # float32 [K]: m
    visible: jax.Array  # bool [K]


def draw_rooms(key: Key, min_path: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Rooms with random doors, and two cells at least ``min_path`` m of way apart (or as far as there are).

    Returns:
      ``(walls, start, goal, distance)``; the last are the shortest paths to the goal, ``[H*W]``.
    """
    walls = random_rooms(jax.random.fold_in(key, _ROOMS))
    key_goal, key_start = jax.random.split(jax.random.fold_in(key, _PAIR))
    within = lambda distance: jnp.where(jnp.isfinite(distance), distance, 0)
    goal = _any_of(key_goal, ~walls.reshape(-1))
    away = within(paths_to(walls, goal))
    goal = jnp.where(jnp.max(away) < min_path, jnp.argmax(away).astype(jnp.int32), goal)  # too central
    distance = paths_to(walls, goal)
    apart = jnp.isfinite(distance) & (distance >= jnp.minimum(min_path, jnp.max(within(distance))) - 1e-3)
    return walls, _any_of(key_start, apart), goal, distance


def draw_landmarks(key: Key, free: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Different cells (while there are some) and kinds, int32 ``[count]``; ``free``: bool ``[H*W]``."""
    score = jax.random.uniform(jax.random.fold_in(key, _LANDMARKS), free.shape) + free
    kinds = jax.random.randint(jax.random.fold_in(key, _KINDS), (count,), 0, KINDS, jnp.int32)
    return jax.lax.top_k(score, count)[1].astype(jnp.int32), kinds


def draw_clutter(
    key: Key, walls: jax.Array, goal: jax.Array, kept: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """Cells where boxes will drop, and the shortest paths to the goal after that.

    A box is placed where every cell that stays free still has a way to the goal, and no two stand side by
    side: so the goal can be reached from wherever the agent is, also if the box above it does not drop.

    Args:
      key: PRNG key.
      walls: bool ``[H, W]``.
      goal: int32 ``[]``, its cell.
      kept: bool ``[H, W]``: cells that get no box.
      count: most boxes (static); fewer where places for more are rare.

    Returns:
      bool ``[H, W]`` and float32 ``[H*W]``, finite in cells of boxes too (of those that do not drop).
    """
    height, width = walls.shape
    cell = jnp.stack([goal % width, goal // width])

    def place(boxes: jax.Array, key: Key) -> tuple[jax.Array, None]:
        beside = jnp.pad(boxes, 1)
        beside = beside[:-2, 1:-1] | beside[2:, 1:-1] | beside[1:-1, :-2] | beside[1:-1, 2:]
        fits = ~(walls | boxes | beside | kept)
        spot = _any_of(key, fits.reshape(-1))
        more = boxes.reshape(-1).at[spot].set(True).reshape(walls.shape)
        reached = walking_distance(walls | more, cell) < walls.size
        wanted = jnp.any(fits) & (jnp.sum(boxes) < count)
        return jnp.where(wanted & jnp.all(walls | more | reached), more, boxes), None

    keys = jax.random.split(jax.random.fold_in(key, _CLUTTER), 2 * count)  # some places cut off others
    boxes, _ = jax.lax.scan(place, jnp.zeros_like(walls), keys)
    later = paths_to(walls | boxes, goal).reshape(height, width)
    near = jnp.pad(later, 1, constant_values=jnp.inf)
    near = jnp.stack([near[:-2, 1:-1], near[2:, 1:-1], near[1:-1, :-2], near[1:-1, 2:]]).min(0)
    return boxes, jnp.where(boxes, near + 1, later).reshape(-1)


def dropped(scene: Scene, position: jax.Array, radius: float, drop_step: jax.Array) -> Scene:
    """The scene after a step: at ``drop_step`` boxes drop, save those that the disc would be under."""
    height, width = scene.walls.shape
    low = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), -1).astype(jnp.float32)
    gap = position - jnp.clip(position, low, low + 1)
    falls = scene.boxes & (jnp.sum(gap**2, -1) > radius**2) & (scene.clock == drop_step)
    walls = scene.walls | falls
    distance = jnp.where(walls.reshape(-1), jnp.inf, scene.later)
    now = scene.clock == drop_step
    return scene._replace(
        walls=walls, distance=jnp.where(now, distance, scene.distance), clock=scene.clock + 1
    )


def see_landmarks(
    cells: jax.Array, walls: jax.Array, position: jax.Array, reach: int, within: jax.Array
) -> Spots:
    """Where landmarks are: seen if they are near and no wall is between."""
    offset = jax.vmap(lambda cell: centre_of(cell, walls.shape[1]))(cells) - position
    distance = jnp.sqrt(jnp.sum(offset**2, -1))
    direction = offset / jnp.maximum(distance, 1e-6)[:, None]
    clear = cast_rays(walls, position, direction, reach) >= distance
    return Spots(direction, distance, clear & (distance <= within))


def _any_of(key: Key, mask: jax.Array) -> jax.Array:
    """The index (int32) of a random true entry; of any entry if there is none."""
    return jnp.argmax(jax.random.uniform(key, mask.shape) + mask).astype(jnp.int32)
