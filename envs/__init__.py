"""Environments: pure functions over explicit state, adapters, and running them in batches."""

import importlib
from typing import Any

if __name__ != "rlkit.envs":
    raise ImportError("this folder is installed as rlkit.envs: import rlkit.envs instead of envs")

from rlkit.envs.autoreset import AutoReset, Chunk, Fresh, Off, Pool, Same
from rlkit.envs.check import check_environment
from rlkit.envs.core import Advance, Step, advance, reset, step
from rlkit.envs.functional import from_functions
from rlkit.envs.registry import make, names
from rlkit.envs.rollout import Row, Slots
from rlkit.envs.source import Source, host_failures, rollout, source, start, start_keys

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
    "Source",
    "Step",
    "advance",
    "check_environment",
    "from_brax",
    "from_functions",
    "from_gymnasium",
    "from_gymnax",
    "host_failures",
    "make",
    "names",
    "reset",
    "rollout",
    "source",
    "start",
    "start_keys",
    "step",
    "to_gymnasium",
]


_LAZY = {
    "from_brax": "rlkit.envs.brax",
    "from_gymnasium": "rlkit.envs.host",
    "from_gymnax": "rlkit.envs.gymnax",
    "to_gymnasium": "rlkit.envs.gymnasium",
}


def __getattr__(name: str) -> Any:
    """Import what needs other packages when it is first used; an older name of :func:`names`."""
    if name == "list":  # not in __all__, where it would shadow the builtin
        return names
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rlkit.envs' has no attribute {name!r}")
