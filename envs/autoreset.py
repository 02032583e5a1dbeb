"""Automatic reset: what a finished environment slot continues with.

A strategy is data. :func:`rlkit.envs.rollout` asks it for the rows (packed state, observation,
features) that finished slots take over, in the same step in which they finish.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fresh:
    """Every finished slot starts from its own new initial state.

    The states for a whole rollout are drawn in one batch before it: right for environments whose
    reset is cheap (classic control, mazes), wrong for world generation.
    """


@dataclass(frozen=True)
class Pool:
    """Finished slots start from a random one of ``size`` prepared states.

    Attributes:
      size: how many states are prepared.
      refresh: how many of them each rollout replaces by new ones, in turn.
    """

    size: int = 64
    refresh: int = 4

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.refresh <= self.size:
            raise ValueError(
                f"Pool(size={self.size}, refresh={self.refresh}): expected size >= 1 and 0 <= refresh <= size"
            )


@dataclass(frozen=True)
class Chunk:
    """Each step prepares ``size`` new states, one after the other, and hands them out by rank.

    The ``j``-th finished slot of a step (counting from 0) takes state ``j mod size``: with at most
    ``size`` finished slots all starts are distinct.
    """

    size: int = 4

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"Chunk(size={self.size}): expected size >= 1")


@dataclass(frozen=True)
class Same:
    """A finished slot goes back to the state it began with, for ever (brax's training wrapper does this)."""


@dataclass(frozen=True)
class Off:
    """No reset: the environment goes on from its finished state. For evaluation, which masks what follows."""


AutoReset = Fresh | Pool | Chunk | Same | Off
