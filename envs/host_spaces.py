"""Gymnasium's spaces as ours, and our actions as Gymnasium's."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from rlkit.spaces import Box, Discrete, Space

MOST_COMBINATIONS = 4096
"""Joint actions of several discrete choices are numbered up to this many."""

Decode = Callable[[np.ndarray], np.ndarray]


def observation_space(space: spaces.Space, flattened: bool) -> Space:
    """Our counterpart of a ``Box`` or ``Discrete`` of observations.

    Bounds of flattened spaces with parts are not kept: they mix units.
    """
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n), start=int(space.start))
    assert isinstance(space, spaces.Box)
    if flattened:
        return Box(space.shape)
    return _box(space)


def _box(space: spaces.Box) -> Box:
    low, high = (tuple(np.asarray(b, np.float64).reshape(-1).tolist()) for b in (space.low, space.high))
    if len({*low}) == 1 and len({*high}) == 1:  # one number for all: images have thousands
        return Box(space.shape, low[0], high[0], _dtype(space.dtype))
    return Box(space.shape, low, high, _dtype(space.dtype))


def _dtype(dtype: Any) -> str:
    """The dtype in which values of a Gymnasium space are kept on the device."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return "float32"
    return "int32" if dtype.itemsize > 2 else dtype.name


def action_space(space: spaces.Space, names: tuple[str, ...] = ()) -> tuple[Space, Decode]:
    """Our counterpart of a space of actions, and what makes a batch of Gymnasium's actions of ours.

    Choices side by side (``MultiDiscrete``, ``MultiBinary``) become one: their joint action by number.

    Raises:
      TypeError: a space of another kind, or too many joint actions.
    """
    if isinstance(space, spaces.Discrete):
        named = names if len(names) == space.n else ()
        return Discrete(int(space.n), named, start=int(space.start)), lambda a: a.astype(np.int64)
    if isinstance(space, spaces.Box):
        ours, dtype = _box(space), space.dtype
        return ours, lambda a: a.astype(dtype)
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        binary = isinstance(space, spaces.MultiBinary)
        shape = space.shape
        counts = np.full(math.prod(shape), 2) if binary else np.asarray(space.nvec).reshape(-1)
        begin = np.zeros_like(counts) if binary else np.asarray(space.start).reshape(-1)
        total = math.prod(int(n) for n in counts)
        if total > MOST_COMBINATIONS:
            raise TypeError(
                f"its action space {space} has {total} joint actions; rlkit numbers at most "
                f"{MOST_COMBINATIONS}: wrap it in one with fewer"
            )
        sizes, dtype = tuple(int(n) for n in counts), space.dtype

        def decode(index: np.ndarray) -> np.ndarray:
            choices = np.stack(np.unravel_index(index, sizes), -1) + begin
            return choices.reshape(len(index), *shape).astype(dtype)

        return Discrete(total), decode
    raise TypeError(
        f"its action space is {space}; expected Box, Discrete, MultiDiscrete or MultiBinary: wrap it in one"
    )
