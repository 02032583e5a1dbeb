"""Emergence inside training: intrinsic rewards and auxiliary losses."""

from rlkit.analysis.loop.auxiliary import emergence_loss
from rlkit.analysis.loop.intrinsic import emergence_reward

__all__ = [
    "emergence_loss",
    "emergence_reward",
]
