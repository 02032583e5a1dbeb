"""Designing rewards: candidates are proposed, checked, trained side by side, and judged by sparse success."""

from rlkit.design.audit import Audit, audit
from rlkit.design.designing import design_reward
from rlkit.design.detectors import hacking
from rlkit.design.evidence import Evidence, gather
from rlkit.design.scoring import score
from rlkit.design.screen import Screen, screen
from rlkit.design.types import Candidate, Check, Designer, DesignTask, History, Outcome, Record, Verdict

__all__ = [
    "Audit",
    "Candidate",
    "Check",
    "DesignTask",
    "Designer",
    "Evidence",
    "History",
    "Outcome",
    "Record",
    "Screen",
    "Verdict",
    "audit",
    "design_reward",
    "gather",
    "hacking",
    "score",
    "screen",
]
