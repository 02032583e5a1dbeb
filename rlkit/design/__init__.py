"""Designing rewards: candidates are proposed, checked, trained side by side, and judged by sparse success."""

from rlkit.design.types import (
    Candidate,
    Check,
    Designer,
    DesignTask,
    History,
    Outcome,
    Record,
    Verdict,
    score,
)

__all__ = [
    "Candidate",
    "Check",
    "DesignTask",
    "Designer",
    "History",
    "Outcome",
    "Record",
    "Verdict",
    "score",
]
