"""rlkit: a JAX functional RL toolkit.

What should the agent be paid for (:mod:`rlkit.rewards`), how well does it learn
(:mod:`rlkit.agents`), and what happened inside it (:mod:`rlkit.analysis`)? Environments are in
:mod:`rlkit.envs`, run folders and reports in :mod:`rlkit.experiment`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rlkit.errors import MissingExtraError, RlkitError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from rlkit.rewards import chain
    from rlkit.types import (
        ActInfo,
        Agent,
        Auxiliary,
        Environment,
        EnvSpec,
        EnvState,
        FeatureSpec,
        Reward,
        Trajectory,
        Transition,
    )

__version__ = "0.1.0"

_SUBPACKAGES = (
    *("agents", "analysis", "design", "envs", "experiment", "group", "jobs", "prefs", "rewards", "studies"),
)
_TYPES = (
    *("ActInfo", "Agent", "Auxiliary", "EnvSpec", "EnvState", "Environment", "FeatureSpec", "Reward"),
    *("Trajectory", "Transition"),
)

__all__ = [
    "ActInfo",
    "Agent",
    "Auxiliary",
    "EnvSpec",
    "EnvState",
    "Environment",
    "FeatureSpec",
    "MissingExtraError",
    "Reward",
    "RlkitError",
    "Trajectory",
    "Transition",
    "UnknownNameError",
    "UsageError",
    "__version__",
    "chain",
]


def __getattr__(name: str) -> Any:
    """Import what is first used then: ``import rlkit`` and ``rlkit --help`` do not wait for jax."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"rlkit.{name}")
    if name in _TYPES:
        return getattr(importlib.import_module("rlkit.types"), name)
    if name == "chain":
        return importlib.import_module("rlkit.rewards").chain
    raise AttributeError(f"module 'rlkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBPACKAGES, *__all__})
