"""Group-relative policy optimisation: from rewards of groups of completions to gradients, in stages.

A method is a pipeline of stages (rewards, shape, combine, advantage, filters), arguments of a loss and a
controller (:mod:`rlkit.group.types`); :func:`preset` makes those of papers by name. Formulas are functions of
arrays in the modules of this package; they can be used without any of that.
"""

import importlib
from typing import Any

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

_LAZY = {
    "GroupConfig": "rlkit.group.trainer_config",
    "GroupTrainer": "rlkit.group.training",
    "trainer": "rlkit.group.training",
    "train": "rlkit.experiment.grouped",  # by name only: nothing of this floor uses what is above it
    "RecordedConfig": "rlkit.group.trainer_config",
    "Fitter": "rlkit.group.fitting",
    "fitter": "rlkit.group.fitting",
    "fit": "rlkit.experiment.grouped",
    "read_rows": "rlkit.group.rows",
    "rows_digest": "rlkit.group.rows",
    "from_text": "rlkit.group.judging",
    "on_device": "rlkit.group.judging",
    "spread": "rlkit.group.spreading",
    "evaluate_policy": "rlkit.group.evaluation",
    "pass_at_k": "rlkit.group.evaluation",
    "majority_at_k": "rlkit.group.evaluation",
    "preference_batch": "rlkit.group.recorded",
    "warm_started": "rlkit.group.imitation",
}


def __getattr__(name: str) -> Any:
    """Import what trains when it is first used: formulas alone need no networks."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rlkit.group' has no attribute {name!r}")


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
