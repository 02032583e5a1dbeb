"""From many numbers to one reward: over steps, aspects, rules and models, answers, tokens, sets."""

from rlkit.prefs.aggregation.answers import Reflection, reflect
from rlkit.prefs.aggregation.aspects import reduce_aspects, reduce_gaussian_aspects
from rlkit.prefs.aggregation.bounded import bounded_error, consistency_gated, ladder
from rlkit.prefs.aggregation.echo import prompt_echo, token_log_prob
from rlkit.prefs.aggregation.lengths import length_bands, length_penalty
from rlkit.prefs.aggregation.mixing import hybrid, outcome_and_process
from rlkit.prefs.aggregation.sets import SetEquivalence, set_equivalence
from rlkit.prefs.aggregation.steps import REDUCTIONS, reduce_steps, step_plus_trajectory

__all__ = [
    "REDUCTIONS",
    "Reflection",
    "SetEquivalence",
    "bounded_error",
    "consistency_gated",
    "hybrid",
    "ladder",
    "length_bands",
    "length_penalty",
    "outcome_and_process",
    "prompt_echo",
    "reduce_aspects",
    "reduce_gaussian_aspects",
    "reduce_steps",
    "reflect",
    "set_equivalence",
    "step_plus_trajectory",
    "token_log_prob",
]
