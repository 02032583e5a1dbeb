"""The topological map against networkx: any walk through a maze leaves a graph that walls allow."""

import functools

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from every import small

from rlkit.agents.toponav.picture import picture
from rlkit.agents.toponav.topological_map import (
    FAR,
    add_edge,
    cell_of,
    doorway,
    empty_map,
    frontier_cells,
    in_sight,
    look_around,
    nearest_frontier,
    next_hop,
    shortest_paths,
)
from rlkit.envs import draw, make, reset
from rlkit.envs.maze_view import view_of
from rlkit.experiment import render

SLOTS, EXTENT, STEPS, WALKS = 24, 29, 150, 6
ENV = make("nav/treerooms", rooms=3, room_size=3, view=7)
PARAMS = ENV.default_params()


def _walk(slots, owned=True):
    """Random walks that tend to go on straight, with the map after each step; leaves ``[WALKS, STEPS]``."""

    def run(key):
        _, state = reset(ENV, key, PARAMS)
        start = state.inner.position

        def body(carry, k):
            inner, graph, action = carry
            turn = jax.random.bernoulli(k, 0.35)
            action = jnp.where(turn | inner.collision, jax.random.randint(k, (), 0, 4), action)
            inner = ENV.transition(k, inner, action, PARAMS)
            place = (inner.position - start).astype(jnp.float32)
            view = view_of(inner.walls, inner.position, 3)
            graph, news = look_around(graph, place, view, spacing=3.0, owned=owned)
            return (inner, graph, action), (inner.position, graph, news)

        begin = (state.inner, empty_map(slots, EXTENT), jnp.int32(0))
        _, rows = jax.lax.scan(body, begin, jax.random.split(key, STEPS))
        return state.inner, rows

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(3), WALKS)))


@functools.cache
def _walks():
    return _walk(SLOTS)


def _last(graphs, i, t=-1):
    return jax.tree.map(lambda x: x[i, t], graphs)


def _cells(walls):
    grid = networkx.grid_2d_graph(*walls.T.shape)
    return grid.subgraph([(x, y) for x, y in grid if not walls[y, x]])


def test_edges_are_symmetric_and_paths_are_the_shortest():
    _, (_, graphs, _) = _walks()
    for i in range(WALKS):
        for t in (10, 60, STEPS - 1):
            graph = _last(graphs, i, t)
            n = int(graph.nodes)
            assert 0 < n <= SLOTS
            np.testing.assert_array_equal(graph.edge, graph.edge.T)
            assert (np.diag(graph.edge) == FAR).all()
            assert (graph.edge[n:] == FAR).all()
            oracle = networkx.Graph()
            oracle.add_nodes_from(range(n))
            a, b = np.nonzero(graph.edge < FAR)
            oracle.add_weighted_edges_from((j, k, float(graph.edge[j, k])) for j, k in zip(a, b, strict=True))
            lengths = dict(networkx.all_pairs_dijkstra_path_length(oracle))
            expected = [[lengths[j].get(k, FAR) for k in range(n)] for j in range(n)]
            np.testing.assert_allclose(graph.path[:n, :n], expected, rtol=1e-6)
            assert networkx.is_connected(oracle)  # who walks from one to the other leaves an edge
    source = jnp.int32(0)
    np.testing.assert_allclose(shortest_paths(graph.edge, source)[:n], graph.path[0, :n], rtol=1e-6)


def test_ways_are_never_shorter_than_through_the_maze():
    mazes, (_, graphs, _) = _walks()
    for i in range(WALKS):
        graph, walls, start = _last(graphs, i), mazes.walls[i], mazes.start[i]
        cells = _cells(walls)
        places = [tuple(map(int, start + place)) for place in graph.place[: int(graph.nodes)]]
        assert all(not walls[y, x] for x, y in places)
        assert len(set(places)) == len(places)
        for j, k in np.argwhere(graph.path[: len(places), : len(places)] < FAR):
            assert graph.path[j, k] >= networkx.shortest_path_length(cells, places[j], places[k])


def test_frontier_cells_are_free_unvisited_beside_visited_and_owned_once():
    mazes, (positions, graphs, _) = _walks()
    for i in range(WALKS):
        graph, walls = _last(graphs, i), mazes.walls[i]
        visited = {tuple(map(int, p)) for p in positions[i]}
        free = {(x, y) for y, x in np.argwhere(walls == 0)}
        beside = {(x + dx, y + dy) for x, y in visited for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))}
        expected = (beside & free) - visited
        owned = [np.argwhere(frontier_cells(graph, jnp.int32(j))) for j in range(int(graph.nodes))]
        found = [
            tuple(map(int, mazes.start[i] + cell[::-1] - EXTENT // 2)) for cells in owned for cell in cells
        ]
        assert len(found) == len(set(found))
        assert set(found) == expected
        assert [len(cells) for cells in owned] == graph.frontier[: int(graph.nodes)].tolist()


def test_news_tell_what_happened():
    _, (positions, graphs, news) = _walks()
    for i in range(WALKS):
        count = np.asarray(graphs.nodes[i])
        np.testing.assert_array_equal(news.new_node[i], np.diff(count, prepend=0) > 0)
        np.testing.assert_array_equal(news.entered[i], np.diff(graphs.here[i], prepend=-1) != 0)
        seen, first = set(), []
        for place in positions[i].tolist():
            first.append(tuple(place) not in seen)
            seen.add(tuple(place))
        np.testing.assert_array_equal(news.new_cell[i], first)
        assert int(graphs.visits[i, -1].sum()) == news.entered[i].sum()


def test_a_full_map_goes_on_without_new_nodes():
    _, (_, graphs, news) = _walk(4)
    assert graphs.nodes.max() == 4
    assert news.new_node.sum(1).max() <= 4
    assert ((graphs.here >= 0) & (graphs.here < 4)).all()
    assert (graphs.path[:, -1] <= FAR).all()
    assert np.isfinite(graphs.path).all()


def test_places_behind_a_wall_are_other_nodes_unless_sight_is_ignored():
    view = jnp.ones((5, 5), jnp.int32)
    behind = view.at[:, 1].set(2).at[:, 0].set(0)  # a wall to the left
    for line_of_sight, nodes in ((True, 2), (False, 1)):
        graph, _ = look_around(empty_map(4, 9), jnp.zeros(2), view, spacing=3.0)
        graph, _ = look_around(graph, jnp.array([2.0, 0.0]), behind, spacing=3.0, line_of_sight=line_of_sight)
        assert int(graph.nodes) == nodes


def test_without_owners_frontier_counts_through_walls():
    _, (_, graphs, _) = _walk(SLOTS, owned=False)
    for i in range(WALKS):
        graph = _last(graphs, i)
        frontier = (graph.owner >= 0) & ~graph.visited
        for j in range(int(graph.nodes)):
            x, y = (graph.place[j] + EXTENT // 2).astype(int)
            expected = frontier[y - 3 : y + 4, x - 3 : x + 4].sum()
            assert graph.frontier[j] == expected
            assert np.asarray(frontier_cells(graph, jnp.int32(j), within=3.0)).sum() == expected


def test_doorways_and_sight():
    open_ = jnp.ones((3, 3), jnp.int32)
    assert not doorway(open_)
    assert doorway(open_.at[1, 0].set(2).at[1, 2].set(2))
    assert doorway(open_.at[0, 1].set(2).at[2, 1].set(2))
    assert not doorway(open_.at[0, 1].set(2).at[1, 2].set(2))
    graph = empty_map(4, 9)._replace(nodes=jnp.int32(3))
    graph = graph._replace(place=jnp.array([[0.0, 0], [1, 1], [1, 0], [0, 1]]))
    view = open_.at[1, 2].set(0)  # right of the middle nothing is seen
    assert in_sight(graph, jnp.zeros(2), view).tolist() == [True, True, False, False]


def test_the_next_hop_leads_over_walked_ways():
    graph = empty_map(4, 9)
    for n in range(4):
        graph = graph._replace(nodes=graph.nodes + 1, path=graph.path.at[n, n].set(0.0))
    for a, b, cost in ((0, 1, 2.0), (1, 3, 2.0), (0, 2, 1.0), (2, 3, 5.0)):
        graph = add_edge(graph, jnp.int32(a), jnp.int32(b), jnp.float32(cost))
    graph = graph._replace(here=jnp.int32(0))
    assert int(next_hop(graph, jnp.int32(3))) == 1
    assert float(graph.path[0, 3]) == 4.0
    graph = add_edge(graph, jnp.int32(2), jnp.int32(3), jnp.float32(1.0))  # a cheaper way was found
    assert int(next_hop(graph, jnp.int32(3))) == 2
    assert float(graph.path[3, 0]) == 2.0


def test_the_nearest_frontier_cell():
    graph = empty_map(2, 9)
    view = jnp.ones((3, 3), jnp.int32)
    for x in (0.0, 1.0):
        graph, _ = look_around(graph, jnp.array([x, 0.0]), view, spacing=4.0)
    assert nearest_frontier(graph, jnp.int32(0), jnp.array([1.0, -0.4])).tolist() in ([2.0, 0.0], [1.0, -1.0])
    assert nearest_frontier(graph, jnp.int32(0), jnp.array([-1.2, 0.0])).tolist() == [-1.0, 0.0]
    assert cell_of(graph, jnp.array([100.0, -100.0])).tolist() == [8, 0]  # beyond the memory


def test_a_map_can_be_drawn():
    _, (_, graphs, _) = _walks()
    image = picture(_last(graphs, 0), 96)
    assert (image.shape, image.dtype) == ((96, 96, 3), np.uint8)
    shown = {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
    assert {draw.SKY, draw.GREEN, draw.BLUE} <= shown
    assert picture(empty_map(2, 5), 32).shape == (32, 32, 3)


@pytest.mark.slow
def test_films_show_the_map_beside_the_maze():
    agent = small("toponav").agent
    policy = agent.policy(agent.init(jax.random.key(0)))
    film = render(agent, policy, jax.random.key(1), most=4, size=48)
    assert all(frame.shape == (48, 96, 3) for frame in film)
    assert (film[0][:, 48:] != film[-1][:, 48:]).any()  # the map has grown
