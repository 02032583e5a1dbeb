"""The hyper-parameters of TopoNav."""

from dataclasses import dataclass

import jax

from rlkit.agents.hyperparameters import shared
from rlkit.fields import Config, leaf, static


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TopoNavConfig(Config):
    """Hyper-parameters of TopoNav. The float fields are pytree leaves: ``vmap`` over them is a sweep."""

    learning_rate: float = leaf(1e-3, "step size of RAdam", low=0.0)
    decay_updates: float = shared("decay_updates", 0.0)
    discount: float = leaf(0.99, "discount factor γ of the meta-controller, per step", low=0.0, high=1.0)
    sub_discount: float = leaf(0.85, "discount factor of the sub-controller", low=0.0, high=1.0)
    lambda_: float = shared("lambda_", 0.65)
    epsilon_start: float = shared("epsilon_start", 1.0)
    epsilon_end: float = shared("epsilon_end", 0.02)
    epsilon_steps: float = shared("epsilon_steps", 50_000)
    subgoal_epsilon: float = leaf(0.01, "share of random sub-goals", low=0.0, high=1.0)
    spacing: float = leaf(4.0, "cells from which a place becomes a node of its own", low=0.5)
    patience: float = leaf(60.0, "steps after which a sub-goal is given up", low=1.0)
    explore: float = leaf(0.05, "what a new cell is worth to the meta-controller", low=0.0)
    frontier_weight: float = leaf(1.0, "of the score: frontier cells of a node, up to three", low=0.0)
    novelty_weight: float = leaf(0.5, "of the score: 1 / (1 + visits of a node); 0 hides visits", low=0.0)
    distance_weight: float = leaf(0.2, "of the score, subtracted: per cell of the way", low=0.0)
    bearing_weight: float = leaf(0.5, "of the score: direction of the goal, where the task gives it", low=0.0)
    score_weight: float = leaf(0.1, "of the score in the value of a sub-goal", low=0.0)
    node_bonus: float = leaf(0.5, "what a new node is worth to the sub-controller", low=0.0)
    subgoal_bonus: float = leaf(1.0, "what it is worth to reach the waypoint", low=0.0)
    progress_bonus: float = leaf(0.2, "what it is worth to come one cell nearer to it", low=0.0)
    novelty_bonus: float = leaf(0.1, "what it is worth to enter a node, divided by √(1 + visits)", low=0.0)
    step_cost: float = leaf(0.01, "what a step costs the sub-controller", low=0.0)
    safe_clearance: float = leaf(0.3, "cells of free space below which safety rules", above=0.0)
    safe_softness: float = leaf(0.05, "how gradually it does, cells", above=0.0)
    max_grad_norm: float = shared("max_grad_norm", 10.0)
    num_envs: int = shared("num_envs", 16)
    num_steps: int = static(64, "steps of each environment per update", low=2)
    epochs: int = shared("epochs", 4)
    minibatches: int = shared("minibatches", 8)
    capacity: int = static(64, "nodes of the map", low=2, high=4096)
    extent: int = static(51, "cells along a side of the memory, the start in the middle; odd", low=3)
    line_of_sight: bool = static(True, "merge places with nodes that are seen from them, not through walls")
    owned_frontier: bool = static(True, "frontier cells belong to a node; off: to all that are near")
    sizes: tuple[int, ...] = static((64, 64), "layers of the sub-controller; the last is the latent's", low=1)
    meta_sizes: tuple[int, ...] = static((32,), "layers of the meta-controller", low=1)
    activation: str = shared("activation", "relu")
    layer_norm: bool = shared("layer_norm", True)
    precision: str = shared("precision", "float32")
