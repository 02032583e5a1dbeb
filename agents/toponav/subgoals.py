"""Choosing and following sub-goals on a topological map.

A sub-goal is a node; pursuing it is to walk to the node over the map and to visit a frontier cell of it, or
the goal once that is known. What the walker is told is a waypoint: the next node on the shortest path, and at
the node its nearest frontier cell.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.agents.toponav.topological_map import (
    FAR,
    News,
    TopologicalMap,
    in_sight,
    nearest_frontier,
    next_hop,
)

NODE_FEATURES = 9


class Sight(NamedTuple):
    """What the agent sees, taken out of an observation."""

    place: jax.Array  # float32 [2]: displacement since the start
    view: jax.Array  # int32 [V, V], see `rlkit.envs.maze_view`
    clearance: jax.Array  # float32 []
    collision: jax.Array  # bool []
    goal_visible: jax.Array  # bool []
    goal_offset: jax.Array  # float32 [2]
    bearing: jax.Array  # float32 [2]: unit vector to the goal if the task gives one, else 0


class Preferences(NamedTuple):
    """How sub-goals are chosen; float32 []."""

    frontier: jax.Array
    novelty: jax.Array
    distance: jax.Array  # per cell of the way
    bearing: jax.Array
    epsilon: jax.Array  # share of random choices
    patience: jax.Array  # steps after which a sub-goal is given up
    spacing: jax.Array  # cells between nodes


class Pursuit(NamedTuple):
    """The sub-goal that is being pursued."""

    target: jax.Array  # int32 []: a node, -1 before the first choice
    waypoint: jax.Array  # float32 [2]: where to walk now
    age: jax.Array  # int32 []: steps since the choice
    arrived: jax.Array  # bool []: the agent has been at the target since
    goal: jax.Array  # float32 [2]: place of the task's goal, once seen
    goal_node: jax.Array  # int32 []: the node from which it was seen first, -1: not yet


def no_pursuit() -> Pursuit:
    """Nothing is pursued, and the goal is unknown."""
    none, nowhere = jnp.int32(-1), jnp.zeros(2, jnp.float32)
    return Pursuit(none, nowhere, jnp.int32(0), jnp.zeros((), bool), nowhere, none)


def candidates(graph: TopologicalMap, pursuit: Pursuit) -> jax.Array:
    """Nodes that may be chosen, bool ``[N]``: reachable, with frontier cells or the goal; else all there
    are."""
    slots = jnp.arange(len(graph.place))
    reachable = graph.path[graph.here] < FAR
    worth = reachable & ((graph.frontier > 0) | (slots == pursuit.goal_node))
    return jnp.where(jnp.any(worth), worth, reachable)


def subgoal_score(graph: TopologicalMap, bearing: jax.Array, preferences: Preferences) -> jax.Array:
    """How promising each node is: ``w_f min(f, 3)/3 + w_n/(1 + visits) + w_g (1 + cos)/2 - w_d D``, ``[N]``.

    ``f`` are its frontier cells, ``D`` is the length of the path to it. The novelty term is TopoNav's idea
    (arXiv 2402.04061); this form of it, and the rest, is ours.

    Args:
      graph: the map.
      bearing: float32 ``[2]``, unit vector towards the goal; zeros where the task gives none.
      preferences: the weights.
    """
    offset = graph.place - graph.place[graph.here]
    cosine = jnp.sum(offset * bearing, -1) / jnp.maximum(jnp.linalg.norm(offset, axis=-1), 1e-6)
    towards = jnp.where(jnp.any(bearing != 0), (1 + cosine) / 2, 0.0)
    return (
        preferences.frontier * jnp.minimum(graph.frontier, 3) / 3
        + preferences.novelty / (1.0 + graph.visits)
        + preferences.bearing * towards
        - preferences.distance * jnp.minimum(graph.path[graph.here], 1e3)
    )


def node_features(
    graph: TopologicalMap, pursuit: Pursuit, bearing: jax.Array, novelty: jax.Array
) -> jax.Array:
    """What the meta-controller sees of each node, float32 ``[N, NODE_FEATURES]``, about 0 to 2 each.

    ``novelty`` 0 hides how often nodes were visited.
    """
    slots = jnp.arange(len(graph.place))
    way = jnp.minimum(graph.path[graph.here], 60.0)
    offset = graph.place - graph.place[graph.here]
    cosine = jnp.sum(offset * bearing, -1) / jnp.maximum(jnp.linalg.norm(offset, axis=-1), 1e-6)
    frontier = graph.frontier.astype(jnp.float32)
    columns = (
        jnp.minimum(frontier, 3.0) / 3.0,
        jnp.log1p(frontier) / 3.0,
        (novelty > 0) / (1.0 + graph.visits),
        way / 30.0,
        jnp.exp(-way / 5.0),
        slots == graph.here,
        slots == pursuit.goal_node,
        jnp.full(len(slots), graph.nodes / len(slots)),
        cosine,
    )
    return jnp.stack([column.astype(jnp.float32) for column in columns], -1)


def over(graph: TopologicalMap, pursuit: Pursuit, news: News, patience: jax.Array) -> jax.Array:
    """Whether the pursuit has ended, bool []: a frontier cell of its node was visited, there are none left,
    the goal came into sight, or patience did."""
    target = jnp.maximum(pursuit.target, 0)
    for_goal = (pursuit.target == pursuit.goal_node) & (pursuit.goal_node >= 0)
    visited = news.new_cell & (news.owner == target)
    done = (visited | (graph.frontier[target] == 0)) & ~for_goal
    seen = (pursuit.goal_node >= 0) & ~for_goal
    return (pursuit.target < 0) | done | seen | (pursuit.age >= patience)


def note_goal(graph: TopologicalMap, pursuit: Pursuit, sight: Sight) -> Pursuit:
    """Remember where the goal is when it is seen."""
    first = sight.goal_visible & (pursuit.goal_node < 0)
    return pursuit._replace(
        goal=jnp.where(sight.goal_visible, sight.place + sight.goal_offset, pursuit.goal),
        goal_node=jnp.where(first, graph.here, pursuit.goal_node),
    )


def choose(value: jax.Array, mask: jax.Array, noise: jax.Array, epsilon: jax.Array) -> jax.Array:
    """The candidate of largest value with probability ``1 - ε``, else any, int32 [].

    Args:
      value: float32 ``[N]``.
      mask: bool ``[N]``, at least one true.
      noise: float32 ``[2]``, uniform on [0, 1).
      epsilon: float32 [].
    """
    rank = jnp.cumsum(mask) - 1
    pick = jnp.floor(noise[1] * jnp.sum(mask)).astype(rank.dtype)
    anything = jnp.argmax(mask & (rank == pick))
    best = jnp.argmax(jnp.where(mask, value, -FAR))
    return jnp.where(noise[0] < epsilon, anything, best).astype(jnp.int32)


REACHED = 0.5
"""Distance from a waypoint, cells, at which it is reached."""


def pursue(
    graph: TopologicalMap,
    pursuit: Pursuit,
    sight: Sight,
    target: jax.Array,
    chose: jax.Array,
    within: jax.Array | float,
) -> Pursuit:
    """The pursuit of a node, just chosen or not, with the waypoint to walk to now.

    On the way that is the next node of the shortest path if it is in sight or the agent stands on the one
    before (from there it was walked to), else the node that the agent is nearest to. At the node it is the
    goal, or the nearest frontier cell. A waypoint is kept until it is reached: taken anew from every step, it
    would change between two sides of the border between two nodes for ever.

    Args:
      graph: the map.
      pursuit: of the step before.
      sight: what is seen.
      target: the node, int32 [].
      chose: whether it was chosen just now.
      within: see :func:`rlkit.agents.toponav.topological_map.frontier_cells`.
    """
    arrived = (graph.here == target) | (pursuit.arrived & ~chose)
    reached = jnp.linalg.norm(pursuit.waypoint - sight.place) < REACHED
    renew = chose | reached | (arrived & ~pursuit.arrived)
    hop = next_hop(graph, target)
    standing = jnp.linalg.norm(graph.place[graph.here] - sight.place) < REACHED
    direct = standing | in_sight(graph, sight.place, sight.view)[hop]
    way = graph.place[jnp.where(direct, hop, graph.here)]
    for_goal = (target == pursuit.goal_node) & (pursuit.goal_node >= 0)
    cell = jnp.where(for_goal, pursuit.goal, nearest_frontier(graph, target, sight.place, within=within))
    return pursuit._replace(
        target=target,
        waypoint=jnp.where(renew, jnp.where(arrived, cell, way), pursuit.waypoint),
        age=jnp.where(chose, 0, pursuit.age + 1),
        arrived=arrived,
    )
