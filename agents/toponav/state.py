"""What TopoNav keeps, knows and decides: its types, before the functions that use them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from rlkit.agents.collecting import Collector, Experience
from rlkit.agents.toponav.config import TopoNavConfig
from rlkit.agents.toponav.subgoals import Preferences, Pursuit, Sight
from rlkit.agents.toponav.topological_map import TopologicalMap
from rlkit.distributions import ActionDistribution
from rlkit.policies import Network
from rlkit.types import Key, PyTree


class TopoNavState(NamedTuple):
    """Everything that learning needs; save it whole and the run continues to the bit."""

    config: TopoNavConfig
    experience: Experience
    params: PyTree  # of both controllers
    optimiser: PyTree
    key: Key  # of the next update
    update: jax.Array  # int32 []: updates made


class Policy(NamedTuple):
    """What acting needs."""

    params: PyTree
    epsilon: jax.Array  # float32 []: share of random actions
    preferences: Preferences
    score_weight: jax.Array


class Mind(NamedTuple):
    """The policy's memory."""

    graph: TopologicalMap
    pursuit: Pursuit


class Decision(NamedTuple):
    """What was seen, known and chosen before an action: what learning needs of it."""

    value: jax.Array  # float32 []: of the sub-goal, by the meta-controller
    nodes: jax.Array  # float32 [N, NODE_FEATURES]: what it saw of the nodes
    score: jax.Array  # float32 [N]: what values begin with
    mask: jax.Array  # bool [N]: nodes that could be chosen
    target: jax.Array  # int32 []: the sub-goal
    chose: jax.Array  # bool []: it was chosen just now
    waypoint: jax.Array  # float32 [2]
    new_node: jax.Array  # bool []: of the step before
    entered: jax.Array  # bool []: likewise
    visits: jax.Array  # float32 []: of the node, before it was entered
    new_cell: jax.Array  # bool []


class Spec(NamedTuple):
    """The static side of the agent."""

    collector: Collector
    look: Callable[[jax.Array], Sight]
    sub: Network
    meta: Network
    dist: ActionDistribution
    memory: Callable[[], Mind]
    optimiser: Callable[[TopoNavConfig, jax.Array], optax.GradientTransformation]
    static: TopoNavConfig
    axis_name: str | None
    latents: bool
