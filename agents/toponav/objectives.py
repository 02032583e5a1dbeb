"""What TopoNav's sub-controller is paid: to avoid first, then to reach its sub-goal, then to explore.

The structure is that of Hossain et al. 2024 (arXiv 2402.04061), who publish neither formulas nor
coefficients; both are ours. All functions are elementwise over any leading axes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Incentives(NamedTuple):
    """What each thing is worth; float32 []."""

    node: jax.Array | float = 0.5  # a new node of the map
    subgoal: jax.Array | float = 1.0  # to reach the sub-goal
    progress: jax.Array | float = 0.2  # to come one cell nearer to it
    novelty: jax.Array | float = 0.1  # to enter a node for the first time; less each time
    step: jax.Array | float = 0.01  # a step costs


def intrinsic_reward(
    incentives: Incentives,
    *,
    distance: jax.Array,
    next_distance: jax.Array,
    reached: jax.Array,
    new_node: jax.Array,
    entered: jax.Array,
    visits: jax.Array,
    discount: jax.Array | float,
) -> jax.Array:
    """``b_node·new + b_sub·reached + b_prog·(d - γ d') + b_nov·entered/√(1 + visits) - c_step``.

    The progress term is a difference of potentials (Ng et al. 1999), so that going to and fro pays nothing.

    Args:
      incentives: the coefficients.
      distance: to the sub-goal before the step, cells.
      next_distance: to the same sub-goal after it.
      reached: bool: the step reached it; to be true once for each sub-goal.
      new_node: bool: the step made a new node.
      entered: bool: the step led to another node.
      visits: how often that one had been entered.
      discount: γ of the sub-controller.
    """
    return (
        incentives.node * new_node
        + incentives.subgoal * reached
        + incentives.progress * (distance - discount * jnp.where(reached, 0.0, next_distance))
        + incentives.novelty * entered / jnp.sqrt(1.0 + visits)
        - incentives.step
    )


def hierarchical_objective(
    pursuit: jax.Array,
    *,
    clearance: jax.Array,
    collision: jax.Array,
    safe: jax.Array | float,
    softness: jax.Array | float,
) -> jax.Array:
    """``(1 - λ)·pursuit + λ·safety`` with ``λ = sigmoid((safe - clearance)/softness)``: the nearest task
    first.

    Near an obstacle nothing counts but to get away from it: safety is -1 on a collision, else
    ``-exp(-clearance/safe)``.

    Args:
      pursuit: what reaching and exploring pay.
      clearance: free space after the step, cells.
      collision: bool: the step ran into something.
      safe: clearance below which safety rules.
      softness: how gradually, cells.
    """
    rule = jax.nn.sigmoid((safe - clearance) / softness)
    safety = jnp.where(collision, -1.0, -jnp.exp(-clearance / safe))
    return (1.0 - rule) * pursuit + rule * safety
