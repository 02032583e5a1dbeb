"""A topological map of fixed capacity that grows while an agent explores, as a pytree of arrays.

Nodes are places, edges are ways that were walked and cost what was walked, and every frontier cell (free,
next to a visited one, not visited itself) belongs to the node from whose surroundings it was seen first.
After TopoNav (Hossain et al. 2024, arXiv 2402.04061); what the paper leaves open is defined here. Two details
carry the gain: a place is merged only with nodes *in line of sight*, and frontier cells are *owned*: counted
by distance instead, cells behind a wall keep calling the agent to the wrong side of it.

Places are float32 ``[2]`` (x, y) in the frame of the episode's start, in units of a cell's side; cells are
the integer lattice of that frame. Costs are walked lengths, horizontal plus vertical.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.maze_view import FREE, WALL

FAR = 1e9
"""The cost of what cannot be reached: finite, because differences of infinities are no numbers."""

_SIDES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)


class TopologicalMap(NamedTuple):
    """``N`` slots for nodes, ``G x G`` cells of memory with the start in the middle."""

    place: jax.Array  # float32 [N, 2]
    visits: jax.Array  # int32 [N]: how often the node was entered
    frontier: jax.Array  # int32 [N]: frontier cells that belong to the node
    edge: jax.Array  # float32 [N, N]: least walked cost between neighbours, FAR where nobody walked
    path: jax.Array  # float32 [N, N]: lengths of the shortest paths over edges, FAR where there is none
    nodes: jax.Array  # int32 []: how many there are, the first slots
    here: jax.Array  # int32 []: the node that the agent is at, -1 before the first
    since: jax.Array  # float32 []: cost from `here` to the agent
    last: jax.Array  # float32 [2]: where the agent was seen last
    visited: jax.Array  # bool [G, G], entry [y, x]
    owner: jax.Array  # int16 [G, G]: the node that a cell belonged to when it became frontier, else -1


class News(NamedTuple):
    """What a look around added to a map."""

    new_node: jax.Array  # bool []
    entered: jax.Array  # bool []: the agent came to another node
    new_cell: jax.Array  # bool []: a cell was visited for the first time
    owner: jax.Array  # int32 []: the node that this cell belonged to, -1: none


def empty_map(capacity: int, extent: int) -> TopologicalMap:
    """A map without nodes.

    Args:
      capacity: ``N``.
      extent: ``G``, odd: cells along a side of the memory, the start in the middle.
    """
    nothing = jnp.full((capacity, capacity), FAR, jnp.float32)
    zeros = jnp.zeros(capacity, jnp.int32)
    return TopologicalMap(
        place=jnp.zeros((capacity, 2), jnp.float32),
        visits=zeros,
        frontier=zeros,
        edge=nothing,
        path=nothing,
        nodes=jnp.int32(0),
        here=jnp.int32(-1),
        since=jnp.float32(0.0),
        last=jnp.zeros(2, jnp.float32),
        visited=jnp.zeros((extent, extent), bool),
        owner=jnp.full((extent, extent), -1, jnp.int16),
    )


def cell_of(graph: TopologicalMap, place: jax.Array) -> jax.Array:
    """The cell (x, y) of the memory that a place lies in, int32 ``[..., 2]``; beyond its border the last
    one."""
    size = graph.visited.shape[0]
    return jnp.clip(jnp.round(place).astype(jnp.int32) + size // 2, 0, size - 1)


def in_sight(graph: TopologicalMap, place: jax.Array, view: jax.Array) -> jax.Array:
    """Which nodes are seen from a place, bool ``[N]``: their cell is in the view, and free.

    Args:
      graph: the map.
      place: float32 ``[2]``.
      view: int ``[V, V]``, see :func:`rlkit.envs.maze_view.view_of`.
    """
    radius = view.shape[0] // 2
    offset = jnp.round(graph.place).astype(jnp.int32) - jnp.round(place).astype(jnp.int32)
    x, y = jnp.clip(offset + radius, 0, 2 * radius).T
    inside = jnp.all(jnp.abs(offset) <= radius, -1) & (jnp.arange(len(graph.place)) < graph.nodes)
    return inside & ((view[y, x] == FREE) | jnp.all(offset == 0, -1))


def doorway(view: jax.Array) -> jax.Array:
    """Whether the middle of a view lies between two walls and open on the other two sides, bool []."""
    m = view.shape[0] // 2
    across, along = (view[m, [m - 1, m + 1]], view[[m - 1, m + 1], m])
    narrow = lambda walls, ways: jnp.all(walls == WALL) & jnp.all(ways == FREE)
    return narrow(across, along) | narrow(along, across)


def look_around(
    graph: TopologicalMap,
    place: jax.Array,
    view: jax.Array,
    *,
    spacing: jax.Array | float,
    line_of_sight: bool = True,
    owned: bool = True,
) -> tuple[TopologicalMap, News]:
    """Enter into the map what is seen from a place.

    The place belongs to the nearest node in line of sight within ``spacing`` (half of it in a doorway); if
    there is none, it becomes a node, as long as there are slots (afterwards it belongs to the nearest in
    sight, or to the node the agent came from). Between two nodes that the agent was at one after the other
    there is an edge that costs what it walked.

    Args:
      graph: the map.
      place: float32 ``[2]``, where the agent is.
      view: int ``[V, V]``, see :func:`rlkit.envs.maze_view.view_of`.
      spacing: distance from which a place is a node of its own.
      line_of_sight: False merges through walls.
      owned: False counts frontier cells near a node, whatever is between, instead of those it owns.

    Returns:
      The map and what is new.
    """
    slots = jnp.arange(len(graph.place))
    known = slots < graph.nodes
    seen = in_sight(graph, place, view) if line_of_sight else known
    distance = jnp.where(seen, jnp.linalg.norm(graph.place - place, axis=-1), FAR)
    nearest = jnp.argmin(distance).astype(jnp.int32)
    least = distance[nearest]
    limit = jnp.where(doorway(view), spacing / 2, spacing)
    new_node = (least > limit) & (graph.nodes < len(graph.place))
    here = jnp.where(new_node, graph.nodes, jnp.where(least < FAR, nearest, graph.here))
    spot = new_node & (slots == graph.nodes)
    graph = graph._replace(
        place=jnp.where(spot[:, None], place, graph.place),
        path=jnp.where(spot[:, None] & spot, 0.0, graph.path),
        nodes=graph.nodes + new_node,
    )
    walked = _walked(graph, place, seen)
    entered = here != graph.here
    rest = jnp.where(new_node | (least == FAR), 0.0, jnp.sum(jnp.abs(graph.place[here] - place)))
    graph = add_edge(graph, graph.here, here, jnp.where(entered & (graph.here >= 0), walked + rest, FAR))
    graph = graph._replace(
        visits=graph.visits + ((slots == here) & entered),
        here=here,
        since=jnp.where(entered, rest, walked),
        last=place,
    )
    graph, new_cell, owner = _visit(graph, place, view)
    if not owned:
        graph = graph._replace(frontier=_frontier_nearby(graph, spacing))
    return graph, News(new_node, entered, new_cell, owner)


def _walked(graph: TopologicalMap, place: jax.Array, seen: jax.Array) -> jax.Array:
    """Cost from the node that the agent was at: what it walked since, or less if the node is still in
    sight."""
    step = jnp.sum(jnp.abs(place - graph.last))
    direct = jnp.sum(jnp.abs(place - graph.place[graph.here]))
    return jnp.where(seen[graph.here], jnp.minimum(graph.since + step, direct), graph.since + step)


def add_edge(graph: TopologicalMap, a: jax.Array, b: jax.Array, cost: jax.Array) -> TopologicalMap:
    """A way between two nodes in both directions, unless there is a cheaper one; FAR adds nothing.

    Because edges only appear or get cheaper, the lengths of all shortest paths stay exact with one pass over
    them: a path that is now shorter goes through the new edge, once.
    """
    direct = jnp.minimum(graph.edge[a, b], cost)
    edge = graph.edge.at[a, b].set(direct).at[b, a].set(direct)
    to_a, to_b = graph.path[:, a, None], graph.path[:, b, None]
    forth, back = to_a + cost + graph.path[b], to_b + cost + graph.path[a]
    path = jnp.minimum(graph.path, jnp.minimum(forth, back))
    return graph._replace(edge=edge, path=path)


def shortest_paths(edge: jax.Array, source: jax.Array) -> jax.Array:
    """Lengths of the shortest paths from one node by relaxation (Bellman & Ford), from the edges alone.

    For maps whose edges may disappear; :func:`add_edge` keeps ``path`` up to date otherwise.

    Args:
      edge: float32 ``[N, N]``, FAR where there is none.
      source: int32 [].

    Returns:
      float32 ``[N]``, FAR where there is no path.
    """
    begin = jnp.where(jnp.arange(len(edge)) == source, 0.0, FAR).astype(edge.dtype)
    relax = lambda _, d: jnp.minimum(d, jnp.min(d[:, None] + edge, 0))
    return jax.lax.fori_loop(0, len(edge) - 1, relax, begin)


def next_hop(graph: TopologicalMap, target: jax.Array) -> jax.Array:
    """The neighbour of the agent's node through which the shortest path to a node goes, int32 []."""
    return jnp.argmin(graph.edge[graph.here] + graph.path[:, target]).astype(jnp.int32)


def _visit(
    graph: TopologicalMap, place: jax.Array, view: jax.Array
) -> tuple[TopologicalMap, jax.Array, jax.Array]:
    """Mark the agent's cell and give free cells beside it to the node that it is at."""
    x, y = cell = cell_of(graph, place)
    new_cell, owner = ~graph.visited[y, x], graph.owner[y, x].astype(jnp.int32)
    visited = graph.visited.at[y, x].set(True)
    sides = jnp.asarray(_SIDES)
    middle = view.shape[0] // 2
    free = view[middle + sides[:, 1], middle + sides[:, 0]] == FREE
    side_x, side_y = (cell + sides).T
    gets = free & ~visited[side_y, side_x] & (graph.owner[side_y, side_x] < 0)
    owners = jnp.where(gets, graph.here.astype(jnp.int16), graph.owner[side_y, side_x])
    slots = jnp.arange(len(graph.place))
    lost, won = new_cell & (slots == owner), (slots == graph.here) * jnp.sum(gets, dtype=jnp.int32)
    graph = graph._replace(
        visited=visited,
        owner=graph.owner.at[side_y, side_x].set(owners),
        frontier=graph.frontier - lost + won,
    )
    return graph, new_cell, jnp.where(new_cell, owner, -1)


def frontier_cells(graph: TopologicalMap, node: jax.Array, *, within: jax.Array | float = 0.0) -> jax.Array:
    """The frontier cells of a node, bool ``[G, G]``: those it owns, or with ``within > 0`` all so near to
    it."""
    frontier = (graph.owner >= 0) & ~graph.visited
    side = jnp.arange(len(graph.visited))
    x, y = cell_of(graph, graph.place[node])
    near = (jnp.abs(side - x) <= within) & (jnp.abs(side - y) <= within)[:, None]
    return frontier & jnp.where(jnp.asarray(within) > 0, near, graph.owner == node)


def nearest_frontier(
    graph: TopologicalMap, node: jax.Array, place: jax.Array, *, within: jax.Array | float = 0.0
) -> jax.Array:
    """The place (float32 ``[2]``) of a node's frontier cell that is nearest to a place; any if it has none.

    ``within`` as in :func:`frontier_cells`.
    """
    side = jnp.arange(len(graph.visited))
    x, y = cell_of(graph, place)
    steps = jnp.abs(side - x) + jnp.abs(side - y)[:, None]
    best = jnp.argmin(jnp.where(frontier_cells(graph, node, within=within), steps, 1 << 20))
    cell = jnp.stack([best % len(side), best // len(side)]) - len(side) // 2
    return cell.astype(jnp.float32)


def _frontier_nearby(graph: TopologicalMap, spacing: jax.Array | float) -> jax.Array:
    """Frontier cells in the square around each node, whoever owns them, int32 ``[N]``."""
    size = len(graph.visited)
    frontier = ((graph.owner >= 0) & ~graph.visited).astype(jnp.int32)
    total = jnp.pad(jnp.cumsum(jnp.cumsum(frontier, 0), 1), ((1, 0), (1, 0)))
    reach = jnp.asarray(jnp.floor(spacing), jnp.int32)
    low, high = (
        jnp.clip(cell_of(graph, graph.place) + step, 0, size).T for step in (-reach, reach + 1)
    )  # ([N], [N]) each: x, y
    counts = total[high[1], high[0]] - total[low[1], high[0]] - total[high[1], low[0]] + total[low[1], low[0]]
    return jnp.where(jnp.arange(len(graph.place)) < graph.nodes, counts, 0)
