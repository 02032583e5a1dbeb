"""Paths in a graph of entities and relations as a search problem (RTSoG, arXiv 2505.12476)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import axes, in_range
from rlkit.prefs.search.tree import Evaluation, Problem


class Graph(NamedTuple):
    """Padded adjacency: the ways out of each of ``N`` entities, at most ``D``."""

    neighbour: jax.Array  # int32 [N, D]
    relation: jax.Array  # int32 [N, D]
    mask: jax.Array  # bool [N, D]


class Path(NamedTuple):
    """A path through a graph that visits no entity twice."""

    node: jax.Array  # int32 [L + 1]: entities from the start; -1 behind the end
    relation: jax.Array  # int32 [L]: how they were reached; -1 behind the end
    length: jax.Array  # int32 []: number of steps

    @property
    def last(self) -> jax.Array:
        """The entity where it ends, int32 []."""
        return self.node[self.length]


def graph(edges: Any, nodes: int, degree: int | None = None, acyclic: bool = False) -> Graph:
    """A graph from triples, on the host.

    Cycles are allowed: paths visit nothing twice. Ask for ``acyclic=True`` where a scorer or a backup relies
    on there being none.

    Args:
      edges: integer ``[E, 3]``: (from, relation, to); directed.
      nodes: N.
      degree: D; None: the largest number of ways out.
      acyclic: refuse graphs with cycles.

    Raises:
      UsageError: no edges, an entity that is not one of the N, a negative relation, more ways out than
        ``degree``, or a cycle where there should be none; the message names one.
    """
    table = np.asarray(edges)
    if table.size == 0:
        raise UsageError(
            "graph: edges is empty; expected at least one (from, relation, to): there is no path"
        )
    axes("graph", "edges", table, 2, "[E, 3]")
    if table.shape[1] != 3 or not np.issubdtype(table.dtype, np.integer):
        raise UsageError(
            f"graph: edges has shape {table.shape} and dtype {table.dtype}; expected integers [E, 3]"
        )
    ends = table[:, [0, 2]]
    if ends.min() < 0 or ends.max() >= check_count("nodes", nodes):
        bad = int(np.flatnonzero((ends < 0).any(1) | (ends >= nodes).any(1))[0])
        raise UsageError(
            f"graph: edges[{bad}]={table[bad].tolist()}: expected entities from 0 to {nodes - 1}"
        )
    if table[:, 1].min() < 0:
        raise UsageError("graph: edges has a negative relation; expected integers of at least 0")
    out = np.bincount(table[:, 0], minlength=nodes)
    width = int(out.max()) if degree is None else check_count("degree", degree)
    if out.max() > width:
        raise UsageError(
            f"graph: entity {int(out.argmax())} has {out.max()} ways out; degree={width}: give more"
        )
    if acyclic:
        _refuse_cycles(table, nodes)
    table = table[np.argsort(table[:, 0], kind="stable")]
    column = np.arange(len(table)) - (np.cumsum(out) - out)[table[:, 0]]
    neighbour, relation = np.zeros((2, nodes, width), np.int32)
    mask = np.zeros((nodes, width), bool)
    place = table[:, 0], column
    neighbour[place], relation[place], mask[place] = table[:, 2], table[:, 1], True
    return Graph(jnp.asarray(neighbour), jnp.asarray(relation), jnp.asarray(mask))


def _refuse_cycles(table: np.ndarray, nodes: int) -> None:
    """Peel off entities that nothing leads to (Kahn 1962); what is left holds a cycle."""
    left = np.ones(len(table), bool)
    while True:
        reached = np.zeros(nodes, bool)
        reached[table[left, 2]] = True
        removable = left & ~reached[table[:, 0]]
        if not removable.any():
            break
        left &= ~removable
    if left.any():
        before = {int(b): int(a) for a, _, b in table[left]}  # each that is reached has one that leads to it
        walk = [next(iter(before))]
        while walk[-1] not in walk[:-1]:
            walk.append(before[walk[-1]])
        cycle = walk[walk.index(walk[-1]) :][::-1]
        raise UsageError(
            f"graph: edges hold the cycle {' -> '.join(map(str, cycle))}; expected none with acyclic=True"
        )


def child_values(entity: jax.Array, relation: jax.Array) -> jax.Array:
    """RTSoG's value of a way on before it is visited: ``2/3 entity + 1/3 relation``, all ``[A]``."""
    return (2.0 * entity + relation) / 3.0


def start_path(node: jax.Array | int, max_length: int, graph: Graph | None = None) -> Path:
    """The path that has not left an entity yet.

    Args:
      node: the entity.
      max_length: steps that it can take.
      graph: where it begins, if the entity shall be looked for in it. A search from an entity that its graph
        does not have ends at once: it has no way on.

    Raises:
      UsageError: a known entity is negative or not in the graph, or there are no steps.
    """
    last = np.inf if graph is None else graph.mask.shape[0] - 1
    in_range("start_path", "node", node, 0, last, hint="the entities of the graph" if graph else "")
    check_count("max_length", max_length)
    nodes = jnp.full(max_length + 1, -1, jnp.int32).at[0].set(node)
    return Path(nodes, jnp.full(max_length, -1, jnp.int32), jnp.int32(0))


def graph_problem(
    graph: Graph,
    edge_score: Callable[[Path, jax.Array, jax.Array], jax.Array],
    critic: Callable[[Path], tuple[jax.Array, jax.Array]],
    temperature: float = 0.15,
) -> Problem:
    """Paths in a graph for :func:`rlkit.prefs.search.tree_search`, from :func:`start_path`.

    An evaluation costs a call for the critic and one for each way on that is scored; what the critic ends is
    not scored further.

    Args:
      graph: see :class:`Graph`.
      edge_score: ``(path, relation [D], neighbour [D]) -> [D]`` in [0, 1].
      critic: ``path -> (value [] in [0, 1], ended bool [])``.
      temperature: the prior is ``softmax(score / temperature)``.
    """
    if temperature <= 0:
        raise UsageError(f"graph_problem: temperature={temperature}: expected a number above 0")

    def step(path: Path, action: jax.Array) -> Path:
        after = path.length + 1
        return Path(
            path.node.at[after].set(graph.neighbour[path.last, action]),
            path.relation.at[path.length].set(graph.relation[path.last, action]),
            after,
        )

    def evaluate(path: Path) -> Evaluation:
        value, ended = critic(path)
        room = path.length < path.relation.shape[0]
        neighbour, relation = graph.neighbour[path.last], graph.relation[path.last]
        fresh = jnp.all(neighbour[:, None] != path.node[None], 1)
        there = (path.last >= 0) & (path.last < graph.mask.shape[0])  # indexing would take the nearest entity
        valid = graph.mask[path.last] & fresh & room & ~ended & there
        score = edge_score(path, relation, neighbour)
        terminal = ended | ~room | ~jnp.any(valid)
        calls = jnp.sum(valid, dtype=jnp.int32) + 1
        return Evaluation(value, terminal, score / temperature, score, valid, calls)

    return Problem(step, evaluate, 1 + jnp.max(jnp.sum(graph.mask, 1, dtype=jnp.int32)))
