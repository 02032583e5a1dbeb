"""Rewards: what the agent is paid, composed from small pure functions."""

from rlkit.rewards.algebra import add, chain, from_function, transform, weighted
from rlkit.rewards.relabelling import init_slots, relabel
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
from rlkit.rewards.transforms import NormaliseState, clip, normalise, scale, squash, symlog

__all__ = [
    "NormaliseState",
    "add",
    "best_progress",
    "chain",
    "clip",
    "control_cost",
    "distance",
    "feature",
    "from_function",
    "init_slots",
    "normalise",
    "potential_difference",
    "potential_shaping",
    "progress",
    "reached",
    "relabel",
    "scale",
    "squash",
    "success",
    "survival",
    "symlog",
    "task",
    "time_penalty",
    "transform",
    "weighted",
]
