"""A benchmark of reward models with named scenarios: where one is at chance shows, whatever it does on
average.

The shape is that of RAG-RewardBench (arXiv 2412.13746): pairs by scenario, and accuracy by scenario. Items
are trajectories of a point that has to reach a goal, avoid a hazard, or stay where it is; everything is
generated from a seed, and the scenarios are ours.
"""

from rlkit.prefs.prefbench.judging import Verdict, judge, tabulate
from rlkit.prefs.prefbench.scenarios import SCENARIOS, Bench, prefbench
from rlkit.prefs.prefbench.world import FEATURES, Trajectories, trajectories

__all__ = [
    "FEATURES",
    "SCENARIOS",
    "Bench",
    "Trajectories",
    "Verdict",
    "judge",
    "prefbench",
    "tabulate",
    "trajectories",
]
