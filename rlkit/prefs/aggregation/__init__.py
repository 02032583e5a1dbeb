"""From many numbers to one reward: over steps, aspects, rules and models, answers."""

from rlkit.prefs.aggregation.aspects import reduce_aspects, reduce_gaussian_aspects
from rlkit.prefs.aggregation.steps import REDUCTIONS, reduce_steps, step_plus_trajectory

__all__ = ["REDUCTIONS", "reduce_aspects", "reduce_gaussian_aspects", "reduce_steps", "step_plus_trajectory"]
