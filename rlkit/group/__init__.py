"""Group-relative policy optimisation: from rewards of groups of completions to gradients, in stages.

A method is a pipeline of stages (rewards, shape, combine, advantage, filters), arguments of a loss and a
controller (:mod:`rlkit.group.types`); :func:`preset` makes those of papers by name. Formulas are functions of
arrays in the modules of this package; they can be used without any of that.
"""

from rlkit.group.advantages import group_advantage
from rlkit.group.aggregation import token_weights
from rlkit.group.config import LossConfig
from rlkit.group.divergence import kl_estimate
from rlkit.group.objective import objective
from rlkit.group.presets import PRESETS, preset
from rlkit.group.rewards import check_batch, check_rewards, columns, scores
from rlkit.group.slots import pipeline
from rlkit.group.stages import chain, identity, masked, named, stateless, switched
from rlkit.group.types import (
    Completions,
    Context,
    Controller,
    Credit,
    Method,
    Plan,
    Stage,
    Update,
)
from rlkit.group.updates import make_update, merge_metrics, micro_batches

__all__ = [
    "PRESETS",
    "Completions",
    "Context",
    "Controller",
    "Credit",
    "LossConfig",
    "Method",
    "Plan",
    "Stage",
    "Update",
    "chain",
    "check_batch",
    "check_rewards",
    "columns",
    "group_advantage",
    "identity",
    "kl_estimate",
    "make_update",
    "masked",
    "merge_metrics",
    "micro_batches",
    "named",
    "objective",
    "pipeline",
    "preset",
    "scores",
    "stateless",
    "switched",
    "token_weights",
]
