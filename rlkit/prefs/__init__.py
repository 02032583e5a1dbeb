"""Reward models from preferences and from judgements of steps, for trajectories and tokens alike.

The rooms: :mod:`~rlkit.prefs.losses`, :mod:`~rlkit.prefs.heads`, :mod:`~rlkit.prefs.curation`,
:mod:`~rlkit.prefs.aggregation`, :mod:`~rlkit.prefs.users`, :mod:`~rlkit.prefs.search`,
:mod:`~rlkit.prefs.metrics` and :mod:`~rlkit.prefs.feedback`, each a table of pure functions; this module has
the types and the way in.
"""

from rlkit.prefs import aggregation, curation, feedback, heads, losses, metrics, search, users
from rlkit.prefs.feedback import FitConfig, fit, inputs, scorer
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
    "FitConfig",
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
    "feedback",
    "fit",
    "heads",
    "inputs",
    "losses",
    "metrics",
    "pad",
    "pairs",
    "points",
    "reward_model",
    "scorer",
    "search",
    "segment",
    "steps",
    "users",
]
