"""Reward models from preferences and from judgements of steps, for trajectories and tokens alike.

The rooms: :mod:`~rlkit.prefs.losses`, :mod:`~rlkit.prefs.heads` and :mod:`~rlkit.prefs.aggregation`, each a
table of pure functions; this module has the types and the way in.
"""

from rlkit.prefs import aggregation, heads, losses
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
    "ensemble",
    "heads",
    "losses",
    "pad",
    "pairs",
    "points",
    "reward_model",
    "segment",
    "steps",
]
