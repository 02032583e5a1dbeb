"""Trees of rooms: solvable by construction, seen as walls allow, and hard for chance."""

import functools

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest

from rlkit.envs import make, reset, step
from rlkit.envs.maze_layouts import tree_rooms, walking_distance
from rlkit.envs.maze_view import FREE, UNSEEN, WALL, view_of
from rlkit.envs.treerooms import TreeRooms
from rlkit.errors import UsageError

ROOMS, SIZE = 3, 3
ENV = make("nav/treerooms", rooms=ROOMS, room_size=SIZE, view=5)
PARAMS = ENV.default_params()
MAZES = 40
STEP = jax.jit(lambda state, action, params: step(ENV, jax.random.key(0), state, action, params))


@functools.cache
def _starts():
    begin = jax.jit(jax.vmap(lambda key: reset(ENV, key, PARAMS)[1]))
    return jax.tree.map(np.asarray, begin(jax.random.split(jax.random.key(0), MAZES)))


def _graph(walls):
    """The free cells (x, y) of a maze and the steps between them."""
    grid = networkx.grid_2d_graph(*walls.T.shape)
    return grid.subgraph([(x, y) for x, y in grid if not walls[y, x]])


def test_rooms_are_joined_to_a_tree():
    for walls in _starts().inner.walls:
        cells = _graph(walls)
        assert networkx.is_connected(cells)
        pitch = SIZE + 1
        doors = [cell for cell in cells if cell[0] % pitch == 0 or cell[1] % pitch == 0]
        assert len(doors) == ROOMS**2 - 1
        rooms = cells.subgraph(set(cells) - set(doors))
        assert networkx.number_connected_components(rooms) == ROOMS**2  # so without doors they are apart
        assert len(rooms) == ROOMS**2 * SIZE**2


def test_all_trees_are_equally_likely():
    walls = jax.jit(jax.vmap(lambda key: tree_rooms(key, 2, 2)))(jax.random.split(jax.random.key(1), 4000))
    walls = np.asarray(walls)
    left_out = [
        walls[:, 1:3, 3].all(1),
        walls[:, 4:6, 3].all(1),
        walls[:, 3, 1:3].all(1),
        walls[:, 3, 4:6].all(1),
    ]
    np.testing.assert_allclose(np.mean(left_out, 1), 0.25, atol=0.03)  # of four walls one has no door


def test_distances_are_those_of_a_search_and_the_goal_is_farthest():
    starts = _starts().inner
    for i in range(MAZES):
        state = jax.tree.map(lambda x, i=i: x[i], starts)
        cells = _graph(state.walls)
        lengths = networkx.single_source_shortest_path_length(cells, tuple(map(int, state.goal)))
        assert all(state.to_goal[y, x] == length for (x, y), length in lengths.items())
        away = networkx.single_source_shortest_path_length(cells, tuple(map(int, state.start)))
        assert away[tuple(map(int, state.goal))] == max(away.values())
    unreachable = walking_distance(jnp.ones((3, 3), bool).at[1, 1].set(False), jnp.array([1, 1]))
    assert unreachable.tolist() == [[9, 9, 9], [9, 0, 9], [9, 9, 9]]


def test_sight_ends_at_walls():
    walls = np.zeros((7, 7), bool)
    walls[3, 4] = walls[2, 2] = walls[1, 3] = True  # right of, diagonally below and two below the middle
    seen = np.asarray(view_of(jnp.asarray(walls), jnp.array([3, 3]), 3))
    assert seen[3, 3] == FREE
    assert (seen[3, 4], seen[2, 2], seen[1, 3]) == (WALL, WALL, WALL)
    assert (seen[3, 5:] == UNSEEN).all()
    assert (seen[1, 1], seen[0, 0], seen[0, 3]) == (UNSEEN, UNSEEN, UNSEEN)
    assert (seen[4:] != UNSEEN).sum() >= 18
    closed = np.zeros((7, 7), bool)
    closed[3, 4] = closed[4, 3] = True  # two walls that touch at a corner
    assert np.asarray(view_of(jnp.asarray(closed), jnp.array([3, 3]), 3))[4, 4] == UNSEEN
    closed[4, 3] = False
    assert np.asarray(view_of(jnp.asarray(closed), jnp.array([3, 3]), 3))[4, 4] == FREE


def test_sight_is_mutual():
    walls = _starts().inner.walls[0]
    free = [(x, y) for y, x in np.argwhere(walls == 0)]
    views = jax.jit(jax.vmap(lambda cell: view_of(jnp.asarray(walls), cell, 2)))(jnp.array(free))
    sees = {}
    for (x, y), view in zip(free, np.asarray(views), strict=True):
        for (row, column), kind in np.ndenumerate(view):
            sees[(x, y), (x + column - 2, y + row - 2)] = kind
    for (a, b), kind in sees.items():
        if b in free:
            assert (kind == FREE) == (sees[b, a] == FREE), (a, b)


def test_the_goal_is_recognised_in_sight_and_near_alone():
    starts = _starts().inner
    shown = jax.jit(jax.vmap(lambda state: ENV.features(state, PARAMS)))
    for dx, dy in ((0, 0), (1, 0), (1, 1), (2, 0)):
        there = starts._replace(position=starts.goal + np.array([dx, dy], np.int32))
        x, y = np.clip(there.position, 0, starts.walls.shape[1] - 1).T
        free = starts.walls[np.arange(MAZES), y, x] == 0
        seen = shown(there)
        near = dx * dx + dy * dy <= 1.5**2
        straight = starts.walls[np.arange(MAZES), y, np.clip(x - 1, 0, None)] == 0 if dx == 2 else True
        visible = np.asarray(seen["goal_visible"])
        if dx == dy == 1:  # past a corner, unless both cells beside the diagonal are walls
            assert visible[free].mean() > 0.5
        else:
            np.testing.assert_array_equal(visible[free], (free & near & straight)[free])
        np.testing.assert_array_equal(
            seen["goal_offset"], np.where(visible[:, None], [-dx, -dy], 0).astype(np.float32)
        )


def test_walls_stop_and_visits_count():
    state = jax.tree.map(lambda x: x[0], _starts())
    x, y = (int(v) for v in state.inner.position)
    walls = np.asarray(state.inner.walls)
    seen = {(x, y): 1}
    rng = np.random.default_rng(0)
    for action in rng.integers(0, 4, 60):
        out = STEP(state, jnp.int32(action), PARAMS)
        dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[action]
        free = not walls[y + dy, x + dx]
        x, y = (x + dx, y + dy) if free else (x, y)
        new = free and (x, y) not in seen
        seen[x, y] = seen.get((x, y), 0) + free
        features = out.features
        assert features["position"].tolist() == [x, y]
        assert (bool(features["collision"]), float(features["clearance"])) == (not free, float(free))
        assert int(features["cell_visits"]) == seen[x, y]
        assert int(features["cells_visited"]) == len(seen)
        assert bool(features["new_cell"]) == new
        state = out.state


def test_bad_sizes_are_refused():
    for options, word in (({"rooms": 1}, "rooms"), ({"room_size": 1}, "room_size"), ({"view": 4}, "view")):
        with pytest.raises(UsageError, match=word):
            TreeRooms(**options)
