"""Mazes as arrays: named maps, random layouts, and shortest paths between their cells.

A layout is a bool array ``[height, width]``, true where a unit cell is wall. Entry ``[y, x]`` is
the square from ``(x, y)`` to ``(x + 1, y + 1)``; row 0 is at the bottom. The border is wall.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.types import Key

# umaze, medium and large are the maps of the D4RL benchmark (arXiv 2004.07219).
_MAPS = {
    "umaze": """
        #####
        #...#
        ###.#
        #...#
        #####""",
    "medium": """
        ########
        #..##..#
        #..#...#
        ##...###
        #..#...#
        #.#..#.#
        #...#..#
        ########""",
    "large": """
        ############
        #....#.....#
        #.##.#.#.#.#
        #......#...#
        #.####.###.#
        #..#.#.....#
        ##.#.#.#.###
        #..#...#...#
        ############""",
    "rooms": """
        ###########
        #....#....#
        #.........#
        #....#....#
        #....#....#
        ##.#####.##
        #....#....#
        #....#....#
        #....#....#
        #.........#
        ###########""",
    "open": """
        ############
        #..........#
        #..........#
        #..........#
        #..........#
        #..........#
        #..........#
        #..........#
        ############""",
}

NAMES = tuple(_MAPS)


def named_layout(name: str) -> np.ndarray:
    """The walls ``[height, width]`` (bool) of a named map.

    Raises:
      UnknownNameError: ``name`` is not one of ``NAMES``.
    """
    if name not in _MAPS:
        raise unknown_name("layout", name, _MAPS)
    rows = [list(line.strip()) for line in _MAPS[name].strip().splitlines()]
    return (np.array(rows) == "#")[::-1].copy()


def random_rooms(key: Key, rooms: tuple[int, int] = (2, 2), room_size: int = 4) -> jax.Array:
    """A grid of square rooms; every wall between two rooms has one door at a random place.

    Args:
      key: typed PRNG key.
      rooms: rooms from bottom to top and from left to right (static).
      room_size: cells along a room's side (static).

    Returns:
      Walls, bool ``[rooms[0] * (room_size + 1) + 1, rooms[1] * (room_size + 1) + 1]``. The default
      shape is that of the map ``"rooms"``.
    """
    if not isinstance(rooms, tuple) or len(rooms) != 2:
        raise UsageError(f"rooms={rooms!r}: expected two numbers, from bottom to top and from left to right")
    rooms = check_count("rooms[0]", rooms[0]), check_count("rooms[1]", rooms[1])
    pitch = check_count("room_size", room_size) + 1
    height, width = (n * pitch + 1 for n in rooms)
    y, x = np.mgrid[:height, :width]
    walls = (y % pitch == 0) | (x % pitch == 0)
    key_side, key_up = jax.random.split(key)
    room_y, room_x = np.minimum(y // pitch, rooms[0] - 1), np.minimum(x // pitch, rooms[1] - 1)
    # the door in the wall to the left of, and in the one below, each room
    left = 1 + jax.random.randint(key_side, rooms, 0, room_size)
    below = 1 + jax.random.randint(key_up, rooms, 0, room_size)
    inside_x, inside_y = (x > 0) & (x < width - 1), (y > 0) & (y < height - 1)
    door = (x % pitch == 0) & inside_x & (y % pitch == left[room_y, room_x])
    door |= (y % pitch == 0) & inside_y & (x % pitch == below[room_y, room_x])
    return walls & ~door


def tree_rooms(key: Key, rooms: int = 4, room_size: int = 5) -> jax.Array:
    """A square of square rooms that doors join to a tree: between two rooms there is one way, ends are dead.

    The tree is drawn uniformly from all there are: a random walk over the rooms opens a door wherever it
    enters one for the first time (Aldous 1990, Broder 1989). Each door is one cell at a random place of the
    wall. So every free cell can be reached from every other.

    Args:
      key: typed PRNG key.
      rooms: rooms along a side (static).
      room_size: cells along a room's side (static).

    Returns:
      Walls, bool ``[rooms * (room_size + 1) + 1, rooms * (room_size + 1) + 1]``.
    """
    rooms, room_size = check_count("rooms", rooms), check_count("room_size", room_size)
    pitch, side = room_size + 1, rooms * (room_size + 1) + 1
    lines = np.arange(side) % pitch == 0
    steps = jnp.array([[1, 0], [-1, 0], [0, 1], [0, -1]], jnp.int32)  # (row, column)
    key_start, key_walk, key_door = jax.random.split(key, 3)
    place = 1 + jax.random.randint(
        key_door, (rooms, rooms), 0, room_size
    )  # of the door that leads into a room

    def walk(moving):
        room, entered, walls, t = moving
        step = steps[jax.random.randint(jax.random.fold_in(key_walk, t), (), 0, 4)]
        following = jnp.clip(room + step, 0, rooms - 1)
        first = ~entered[following[0], following[1]]
        # The wall between both lies on the line below, or to the left of, the upper or right one of them.
        along = place[following[0], following[1]]
        door = jnp.where(step != 0, jnp.maximum(room, following) * pitch, room * pitch + along)
        walls = walls.at[door[0], door[1]].min(~first)
        return following, entered.at[following[0], following[1]].set(True), walls, t + 1

    start = jax.random.randint(key_start, (2,), 0, rooms)
    entered = jnp.zeros((rooms, rooms), bool).at[start[0], start[1]].set(True)
    begin = start, entered, jnp.asarray(lines[:, None] | lines), jnp.int32(0)
    return jax.lax.while_loop(lambda moving: ~moving[1].all(), walk, begin)[2]


def walking_distance(walls: jax.Array, cell: jax.Array) -> jax.Array:
    """Steps from every cell to one cell, moving to free cells above, below and beside.

    Args:
      walls: bool ``[height, width]``.
      cell: int32 ``[2]``: x, y of a free cell.

    Returns:
      int32 ``[height, width]``; ``height * width`` where there is no way, and for walls.
    """
    far = walls.size
    begin = jnp.full(walls.shape, far, jnp.int32).at[cell[1], cell[0]].set(0)

    def spread(found):
        distance, _ = found
        padded = jnp.pad(distance, 1, constant_values=far)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        nearer = jnp.minimum(distance, 1 + functools.reduce(jnp.minimum, sides))
        nearer = jnp.where(walls, far, nearer)
        return nearer, jnp.any(nearer != distance)

    return jax.lax.while_loop(lambda found: found[1], spread, (begin, jnp.ones((), bool)))[0]


def random_clutter(
    key: Key, shape: tuple[int, int] = (9, 12), boxes: int = 7, box_size: int = 2
) -> jax.Array:
    """An open field with randomly placed boxes, which may overlap.

    Args:
      key: typed PRNG key.
      shape: ``(height, width)`` with the border (static). The default is that of the map ``"open"``.
      boxes: how many boxes (static).
      box_size: largest side of a box in cells; sides are uniform on ``1 .. box_size`` (static).

    Returns:
      Walls, bool ``shape``. Some free cells may be cut off from others.
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    border = (y == 0) | (x == 0) | (y == shape[0] - 1) | (x == shape[1] - 1)
    key_corner, key_side = jax.random.split(key)
    corner = jax.random.randint(key_corner, (boxes, 2, 1, 1), 1, jnp.array(shape).reshape(2, 1, 1) - 1)
    side = jax.random.randint(key_side, (boxes, 2, 1, 1), 1, box_size + 1)
    place = jnp.stack([jnp.asarray(y), jnp.asarray(x)])
    inside = jnp.all((place >= corner) & (place < corner + side), axis=1)
    return border | jnp.any(inside, axis=0)


def shortest_paths(walls: jax.Array) -> jax.Array:
    """Lengths of the shortest paths between the centres of all cells.

    A path moves between neighbouring free cells: 1 m sideways, √2 m diagonally where both cells
    beside the diagonal are free too.

    Args:
      walls: bool ``[height, width]``.

    Returns:
      float32 ``[height * width, height * width]``; infinite where there is no path, and for walls.
    """
    height, width = walls.shape
    y, x = (np.ravel(axis) for axis in np.mgrid[:height, :width])
    dy, dx = np.abs(y[:, None] - y), np.abs(x[:, None] - x)
    free = ~walls
    ends = free[y, x][:, None] & free[y, x]
    beside = free[y[:, None], x] & free[y, x[:, None]]
    length = jnp.where(ends & (dy + dx == 1), jnp.float32(1), jnp.float32(jnp.inf))
    length = jnp.where(ends & beside & (dy == 1) & (dx == 1), jnp.float32(np.sqrt(2)), length)
    length = jnp.where(ends & (dy + dx == 0), jnp.float32(0), length)

    def through(k, d):  # Floyd & Warshall: let paths pass through cell k
        return jnp.minimum(d, d[:, k, None] + d[None, k, :])

    return jax.lax.fori_loop(0, height * width, through, length)


def paths_to(walls: jax.Array, cell: jax.Array) -> jax.Array:
    """Lengths of the shortest paths from the centres of all cells to that of one: a row of
    :func:`shortest_paths`, without the others.

    Args:
      walls: bool ``[height, width]``.
      cell: int32 ``[]``: index ``y * width + x`` of a free cell.

    Returns:
      float32 ``[height * width]``; infinite where there is no path, and for walls.
    """
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    free = jnp.pad(~walls, 1)
    inner = lambda padded, dy, dx: padded[
        1 + dy : padded.shape[0] - 1 + dy, 1 + dx : padded.shape[1] - 1 + dx
    ]
    allowed = [inner(free, dy, 0) & inner(free, 0, dx) & inner(free, dy, dx) & ~walls for dy, dx in steps]
    begin = jnp.where(jnp.arange(walls.size).reshape(walls.shape) == cell, jnp.float32(0), jnp.inf)

    def spread(found):
        padded = jnp.pad(found[0], 1, constant_values=jnp.inf)
        through = [
            jnp.where(open_, inner(padded, dy, dx) + jnp.float32(np.hypot(dy, dx)), jnp.inf)
            for open_, (dy, dx) in zip(allowed, steps, strict=True)
        ]
        nearer = functools.reduce(jnp.minimum, through, found[0])
        return nearer, jnp.any(nearer < found[0])

    return jax.lax.while_loop(lambda found: found[1], spread, (begin, jnp.ones((), bool)))[0].reshape(-1)


def check_layout(layout: jax.Array | np.ndarray) -> None:
    """Refuse walls that leave no way from any cell to another; what is traced is not looked at.

    Raises:
      UsageError: no matrix, an opening in the border, or no two free cells with a path between them.
    """
    if isinstance(layout, jax.core.Tracer):
        return
    walls = np.asarray(layout)
    if walls.ndim != 2 or min(walls.shape, default=0) < 3:
        raise UsageError(f"walls of shape {walls.shape}: expected [height, width], at least 3 x 3")
    walls = walls.astype(bool)
    if not (walls[[0, -1]].all() and walls[:, [0, -1]].all()):
        raise UsageError("walls: the border of a layout must be wall, or discs leave it")
    sides = (~walls[1:] & ~walls[:-1]).any() or (~walls[:, 1:] & ~walls[:, :-1]).any()
    if not sides:
        raise UsageError(
            f"walls: {int((~walls).sum())} free cells, none beside another: there is no path from a start to "
            "a goal; leave at least two neighbouring cells free"
        )
