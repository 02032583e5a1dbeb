"""Heads of reward models: flax modules from items to :class:`rlkit.prefs.types.RewardOut`."""

from rlkit.prefs.heads.aspects import AspectHead
from rlkit.prefs.heads.attention import AttentionPool, LayerQueryHead, ProgressiveQuery
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.heads.models import ensemble, reward_model
from rlkit.prefs.heads.outcome import OutcomeHead
from rlkit.prefs.heads.process import BidirectionalProcess, ProcessHead
from rlkit.prefs.heads.tools import ToolHead

__all__ = [
    "AspectHead",
    "AttentionPool",
    "Backbone",
    "BidirectionalProcess",
    "LayerQueryHead",
    "OutcomeHead",
    "ProcessHead",
    "ProgressiveQuery",
    "ToolHead",
    "ensemble",
    "reward_model",
]
