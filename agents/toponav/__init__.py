"""TopoNav: exploring on a topological map that grows meanwhile (Hossain et al. 2024, arXiv 2402.04061).

A meta-controller chooses nodes of the map (:mod:`.topological_map`) as sub-goals, a sub-controller walks
to them (h-DQN, Kulkarni et al. 2016, arXiv 1604.06057). The map is the policy's memory, and :mod:`.picture`
draws it. Both controllers learn values by Q(λ) without buffer or targets (PQN, arXiv 2407.04811): the
meta-controller over choices that last for many steps each, paid the task's reward and new cells; the
sub-controller over steps, paid to avoid obstacles, to reach its waypoint, and to discover, in this order
(:mod:`.objectives`). Values of sub-goals start as a score of frontier, novelty and distance
(:mod:`.subgoals`), which learning corrects. The paper publishes no coefficients, formulas or code; these are
ours.

To read it: :mod:`.state` (the types), :mod:`.deciding` (from an observation to an action), :mod:`.learning`
(both returns and the update), :mod:`.agent` (all of it as a :class:`rlkit.types.Agent`).
"""

from rlkit.agents.toponav.agent import toponav
from rlkit.agents.toponav.config import TopoNavConfig
from rlkit.agents.toponav.state import Policy, TopoNavState

__all__ = ["Policy", "TopoNavConfig", "TopoNavState", "toponav"]
