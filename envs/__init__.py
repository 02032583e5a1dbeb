"""Environments: pure functions over explicit state, adapters, and running them in batches."""

from typing import Any

if __name__ != "rlkit.envs":
    raise ImportError("this folder is installed as rlkit.envs: import rlkit.envs instead of envs")

from rlkit.envs.autoreset import AutoReset, Chunk, Fresh, Off, Pool, Same
from rlkit.envs.core import Advance, Step, advance, reset, step
from rlkit.envs.registry import list, make
from rlkit.envs.rollout import Row, Slots, rollout, start

__all__ = [
    "Advance",
    "AutoReset",
    "Chunk",
    "Fresh",
    "Off",
    "Pool",
    "Row",
    "Same",
    "Slots",
    "Step",
    "advance",
    "list",
    "make",
    "reset",
    "rollout",
    "start",
    "step",
    "to_gymnasium",
]


def __getattr__(name: str) -> Any:
    """Import what needs Gymnasium when it is first used."""
    if name == "to_gymnasium":
        from rlkit.envs.gymnasium import to_gymnasium

        return to_gymnasium
    raise AttributeError(f"module 'rlkit.envs' has no attribute {name!r}")
