"""Rewards: what the agent is paid, composed from small pure functions."""

from typing import Any

from rlkit.rewards.algebra import Part, add, chain, from_function, total, transform, weighted
from rlkit.rewards.reading import read
from rlkit.rewards.relabelling import init_slots, relabel, relabel_replay
from rlkit.rewards.shaping import potential_difference, potential_shaping
from rlkit.rewards.sources import (
    best_progress,
    control_cost,
    distance,
    feature,
    progress,
    reached,
    success,
    survival,
    task,
    time_penalty,
)
from rlkit.rewards.text import SOURCES, TRANSFORMS, names, parse
from rlkit.rewards.transforms import NormaliseState, clip, normalise, scale, squash, symlog

__all__ = [
    "SOURCES",
    "TRANSFORMS",
    "NormaliseState",
    "Part",
    "add",
    "best_progress",
    "chain",
    "clip",
    "control_cost",
    "distance",
    "feature",
    "from_function",
    "init_slots",
    "names",
    "normalise",
    "parse",
    "potential_difference",
    "potential_shaping",
    "progress",
    "reached",
    "read",
    "relabel",
    "relabel_replay",
    "scale",
    "squash",
    "success",
    "survival",
    "symlog",
    "task",
    "time_penalty",
    "total",
    "transform",
    "weighted",
]


def __getattr__(name: str) -> Any:
    """An older name of :func:`names`, not in ``__all__``, where it would shadow the builtin."""
    if name == "list":
        return names
    raise AttributeError(f"module 'rlkit.rewards' has no attribute {name!r}")
