"""Reward models from preferences and from judgements of steps, for trajectories and tokens alike.

The rooms: :mod:`~rlkit.prefs.losses`, :mod:`~rlkit.prefs.heads`, :mod:`~rlkit.prefs.curation`,
:mod:`~rlkit.prefs.aggregation`, :mod:`~rlkit.prefs.users`, :mod:`~rlkit.prefs.search` and
:mod:`~rlkit.prefs.metrics`, each a table of pure functions; this module has the types and the way in.
"""

from rlkit.prefs import aggregation, curation, heads, losses, metrics, search, users
from rlkit.prefs.heads.models import ensemble, reward_model
from rlkit.prefs.types import (
    PairBatch,
    PointBatch,
    RewardModel,
    RewardOut,
    Scorer,
    Segment,
    StepBatch,
    pad,
    pairs,
    points,
    segment,
    steps,
)

__all__ = [
    "PairBatch",
    "PointBatch",
    "RewardModel",
    "RewardOut",
    "Scorer",
    "Segment",
    "StepBatch",
    "aggregation",
    "curation",
    "ensemble",
    "heads",
    "losses",
    "metrics",
    "pad",
    "pairs",
    "points",
    "reward_model",
    "search",
    "segment",
    "steps",
    "users",
]
