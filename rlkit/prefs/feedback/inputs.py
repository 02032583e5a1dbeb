"""What a reward model sees of a transition."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.encoding import action_encoder, observation_encoder
from rlkit.errors import UsageError, unknown_name
from rlkit.prefs.types import Segment
from rlkit.spaces import Box, Space
from rlkit.types import EnvSpec, Transition

PARTS = ("obs", "action", "next_obs")
"""What every transition has; anything else is the name of a feature, after the step."""


class Inputs(NamedTuple):
    """How transitions become vectors."""

    size: int
    """Entries of a vector."""

    of: Callable[[Transition], jax.Array]
    """``of(transition with leaves [..., ...]) -> float32 [..., size]``"""

    reads: tuple[str, ...]
    """Names of the parts and features."""


def inputs(spec: EnvSpec, reads: Sequence[str] = ("obs", "action")) -> Inputs:
    """The vector that a reward model sees of a transition.

    Numbers with two finite bounds are scaled to -1 .. 1, discrete values are one-hot.

    Args:
      spec: of the environment.
      reads: ``"obs"``, ``"action"``, ``"next_obs"``, and names of features (after the step), in order.

    Raises:
      UnknownNameError: neither a part of a transition nor a feature of the environment.
      UsageError: nothing to read, or a space that no network can see.
    """
    if not reads:
        raise UsageError(f"reads is empty; expected some of {', '.join(PARTS)} or names of features")
    parts = [_part(spec, name) for name in reads]

    def of(transition: Transition) -> jax.Array:
        return jnp.concatenate([read(transition) for _, read in parts], -1)

    return Inputs(sum(size for size, _ in parts), of, tuple(reads))


def _part(spec: EnvSpec, name: str) -> tuple[int, Callable[[Transition], jax.Array]]:
    """The size of one part, and how it is read."""
    if name in ("obs", "next_obs"):
        encode, size = observation_encoder(spec.observation_space), _size(spec.observation_space)
        scale = _scaling(spec.observation_space)
        return size, lambda t: scale(encode.encode(getattr(t, name)))
    if name == "action":
        return _size(spec.action_space), lambda t: action_encoder(spec.action_space)(t.action)
    known = {feature.name: feature for feature in spec.features}
    if name not in known:
        raise unknown_name("part of a transition", name, (*PARTS, *known), where=f"of {spec.id}")
    found = known[name]
    space = Box(found.shape, found.low, found.high)
    scale, ndim = _scaling(space), len(found.shape)

    def read(t: Transition) -> jax.Array:
        value = t.next_features[name].astype(jnp.float32)
        return scale(value.reshape(*value.shape[: value.ndim - ndim], -1))

    return _size(space), read


def _size(space: Space) -> int:
    return space.n if not isinstance(space, Box) else int(np.prod(space.shape, dtype=int))


def _scaling(space: Space) -> Callable[[jax.Array], jax.Array]:
    """From what the encoder gives to -1 .. 1 where there are two bounds; it has scaled integers to 0 .. 1."""
    if not isinstance(space, Box) or space.integer:
        return lambda x: x
    low, high = (bound.reshape(-1) for bound in space.bounds())
    bounded = np.isfinite(low) & np.isfinite(high) & (high > low)
    low, high = np.where(bounded, low, np.float32(-1.0)), np.where(bounded, high, np.float32(1.0))
    middle, half = (low + high) / 2, (high - low) / 2
    return lambda x: (x - middle) / half


def steps_there(done: jax.Array) -> jax.Array:
    """Which steps of a stretch belong to its first episode: bool ``[T, ...]`` from ``done [T, ...]``."""
    return jnp.cumsum(done, 0) - done == 0


def segments(inputs: Inputs, transition: Transition) -> Segment:
    """Stretches of experience as items; each ends where its first episode does.

    Args:
      inputs: what the model sees.
      transition: leaves ``[T, N, ...]``.

    Returns:
      N items of T steps.
    """
    feats = jnp.moveaxis(inputs.of(transition), 0, 1)
    return Segment(feats, jnp.moveaxis(steps_there(transition.done), 0, 1))
