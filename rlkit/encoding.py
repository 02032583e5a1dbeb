"""How each kind of space enters a network, and how actions leave it. The one place that says so.

==============================  =================================================================
observation space               what the network sees (float32)
==============================  =================================================================
``Discrete(n, start)``          one-hot ``[n]``; never normalised by running moments
``Box`` of floats               the values
``Box`` of integers or bools    scaled to 0 .. 1 where both bounds are finite (a uint8 image: / 255),
                                else the values
==============================  =================================================================

==============================  =================================================================
action space                    what the environment gets of a policy's ``x``
==============================  =================================================================
``Discrete(n, start)``          ``start + index``
``Box``, entry with two bounds  ``middle + half_width · x``, clipped to the bounds
``Box``, entry with one bound   ``low + softplus(x)``, or ``high - softplus(-x)``: all values are within
                                reach and none is beyond the bound
``Box``, entry without bounds   ``x``
``Box`` of integers             refused: see :func:`action_decoder`
==============================  =================================================================

==============================  =================================================================
action space                    what a network sees of an action that was taken (critics, models)
==============================  =================================================================
``Discrete(n, start)``          one-hot ``[n]``
``Box``, entry with two bounds  scaled to -1 .. 1
``Box``, any other entry        the value
==============================  =================================================================

A bound of the dtype's largest number is none (:class:`rlkit.spaces.Box`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.spaces import Box, Discrete, Space


class ObservationEncoder(NamedTuple):
    """How observations of one space enter a network."""

    shape: tuple[int, ...]
    """Shape of one encoded observation: ``(size,)``, or the space's own for images."""

    normalised: bool
    """Whether running moments may be applied to it; not to one-hot vectors."""

    encode: Callable[[jax.Array], jax.Array]
    """``encode(obs [..., *space.shape]) -> float32 [..., *shape]``"""

    @property
    def size(self) -> int:
        """Number of entries of an encoded observation."""
        return math.prod(self.shape)


class ActionDecoder(NamedTuple):
    """How the numbers of a policy become actions of one space."""

    size: int
    """Entries of the policy's action: ``d`` of a box, 1 for ``Discrete``."""

    decode: Callable[[jax.Array], jax.Array]
    """``decode(x) -> action [..., *space.shape]`` in the environment's units, of the space's dtype: ``x`` is
    float ``[..., d]`` for a box, an index int ``[...]`` for ``Discrete``."""

    encode: Callable[[jax.Array], jax.Array]
    """``encode(action [..., *space.shape]) -> x``: what ``decode`` makes this action of. A value on the bound
    of an entry with one bound, which no ``x`` reaches, counts as 1e-6 inside."""


def observation_encoder(space: Space, *, flat: bool = True) -> ObservationEncoder:
    """The encoder of a space of observations, as the table above says.

    Args:
      space: the space.
      flat: make vectors of boxes; False keeps their shape, for torsos that want images (a box of one axis or
        less is a vector either way).

    Raises:
      UsageError: the space is of another kind, or has no entries.
    """
    if isinstance(space, Discrete):

        def one_hot(obs: jax.Array) -> jax.Array:
            return jax.nn.one_hot(obs - space.start, space.n, dtype=jnp.float32)

        return ObservationEncoder((space.n,), False, _checking(space, one_hot))
    if not isinstance(space, Box):
        raise _unknown_kind("observation", space)
    if not math.prod(space.shape):
        raise UsageError(f"observation_space={space} has no entries; a network needs at least one number")
    shape = (math.prod(space.shape),) if flat or len(space.shape) < 2 else space.shape
    low, scale = _unit_interval(space)

    def values(obs: jax.Array) -> jax.Array:
        x = obs.astype(jnp.float32)
        if scale is not None:
            x = (x - low) * scale
        return x.reshape(*obs.shape[: obs.ndim - len(space.shape)], *shape)

    return ObservationEncoder(shape, True, _checking(space, values))


def _unit_interval(space: Box) -> tuple[np.ndarray, np.ndarray | None]:
    """``low`` and ``1 / (high - low)`` of a box of integers; no scale where values stay as they are."""
    low, high = space.bounds()
    bounded = np.isfinite(low) & np.isfinite(high)
    if not space.integer or not bounded.any():
        return low, None
    width = np.where(bounded & (high > low), high - low, 1.0)
    return np.where(bounded, low, 0.0).astype(np.float32), (1.0 / width).astype(np.float32)


def _checking(space: Space, encode: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """``encode`` with a sentence for what is no observation of the space."""

    def checked(obs: Any) -> jax.Array:
        ndim = len(space.shape)
        if not hasattr(obs, "shape") or obs.ndim < ndim or obs.shape[obs.ndim - ndim :] != space.shape:
            got = f"shape {obs.shape}" if hasattr(obs, "shape") else f"type {type(obs).__name__}"
            raise UsageError(
                f"an observation has {got}; expected an array [..., *{space.shape}], as its space says"
            )
        return encode(obs)

    return checked


def action_decoder(space: Space) -> ActionDecoder:
    """The decoder of a space of actions, as the table above says.

    Raises:
      UsageError: a box of integers, a space of another kind, or one without entries.
    """
    if isinstance(space, Discrete):
        start = space.start
        # An index is its own action where numbering starts at 0.
        shifted = lambda shift: lambda index: index + jnp.int32(shift) if shift else index
        return ActionDecoder(1, shifted(start), shifted(-start))
    if not isinstance(space, Box):
        raise _unknown_kind("action", space)
    if space.integer:
        raise UsageError(_integers(space))
    size = math.prod(space.shape)
    if not size:
        raise UsageError(f"action_space={space} has no entries; an agent needs something to choose")
    low, high = (bound.reshape(-1) for bound in space.bounds())
    below, above = np.isfinite(low), np.isfinite(high)
    bottom = np.where(below & above, low, np.float32(-1.0))
    top = np.where(below & above, high, np.float32(1.0))
    middle, half = bottom / 2 + top / 2, top / 2 - bottom / 2
    start, one_sided = np.where(below, low, high), below != above
    sign = np.where(below, np.float32(1.0), np.float32(-1.0))

    def decode(x: jax.Array) -> jax.Array:
        action = middle + half * x
        if one_sided.any():
            action = jnp.where(one_sided, start + sign * jax.nn.softplus(sign * x), action)
        action = jnp.clip(action, low, high).astype(jax.dtypes.canonicalize_dtype(space.dtype))
        return action.reshape(*action.shape[:-1], *space.shape)

    def encode(action: jax.Array) -> jax.Array:
        flat = action.reshape(*action.shape[: action.ndim - len(space.shape)], size).astype(jnp.float32)
        x = (flat - middle) / np.where(half > 0, half, np.float32(1.0))
        if one_sided.any():
            inside = jnp.maximum(sign * (flat - start), 1e-6)
            x = jnp.where(one_sided, sign * (inside + jnp.log(-jnp.expm1(-inside))), x)
        return x

    return ActionDecoder(size, decode, encode)


def action_encoder(space: Space) -> Callable[[jax.Array], jax.Array]:
    """How actions of a space enter a network, as the table above says.

    Returns:
      ``encode(action [..., *space.shape], in the environment's units) -> float32 [..., d]``, differentiable
      for a box of real numbers.

    Raises:
      UsageError: a space of another kind, or one without entries.
    """
    if isinstance(space, Discrete):
        return lambda action: jax.nn.one_hot(action - space.start, space.n, dtype=jnp.float32)
    if not isinstance(space, Box):
        raise _unknown_kind("action", space)
    if not math.prod(space.shape):
        raise UsageError(f"action_space={space} has no entries; an agent needs something to choose")
    low, high = (bound.reshape(-1) for bound in space.bounds())
    bounded = np.isfinite(low) & np.isfinite(high) & (high > low)
    low, high = np.where(bounded, low, np.float32(-1.0)), np.where(bounded, high, np.float32(1.0))
    middle, half = low / 2 + high / 2, high / 2 - low / 2

    def encode(action: jax.Array) -> jax.Array:
        flat = action.reshape(*action.shape[: action.ndim - len(space.shape)], -1).astype(jnp.float32)
        return (flat - middle) / half

    return encode


def _integers(space: Box) -> str:
    low, high = space.bounds()
    sentence = f"action_space={space} is a box of integers, but policies give a box real numbers; "
    wrap = "wrap the environment in rlkit.envs.wrappers.discretise(env)"
    if math.prod(space.shape) == 1 and space.bounded:
        first, last = int(low.item()), int(high.item())
        start = f", start={first}" if first else ""
        return f"{sentence}say Discrete({last - first + 1}{start}), or {wrap}"
    return sentence + (wrap if space.bounded else f"give it finite bounds and {wrap}")


def _unknown_kind(role: str, space: Any) -> UsageError:
    return UsageError(
        f"{role}_space={space!r} is of type {type(space).__name__}; expected rlkit.spaces.Box or Discrete"
        + (": flatten what has parts into one Box" if role == "observation" else "")
    )
