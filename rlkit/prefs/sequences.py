"""Padded sequences: turning the valid part round, bringing it to the front, pooling over it."""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.prefs.checks import axes, same_shape
from rlkit.prefs.types import Segment

POOLS = ("last", "mean")


def reordered(x: jax.Array, index: jax.Array) -> jax.Array:
    """``x [B, T, ...]`` with the steps in the order ``index [B, T]``."""
    return jnp.take_along_axis(x, index.reshape(*index.shape, *[1] * (x.ndim - 2)), 1)


def flip_valid(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The valid steps in reverse order, in the places where valid steps were; the others stay.

    Its own inverse. It is the valid steps that are turned round, not the padded array (arXiv 2508.01682).

    Args:
      x: ``[B, T, ...]``.
      mask: bool ``[B, T]``, of any pattern.

    Returns:
      Shape and dtype of ``x``.
    """
    return reordered(x, _flip_index(mask))


def _flip_index(mask: jax.Array) -> jax.Array:
    """Where each place takes its step from: the k-th valid place from the k-th last valid one."""
    place = jnp.arange(mask.shape[1])
    front = jnp.argsort(~mask, axis=1, stable=True)  # places of valid steps in order, then the others
    rank = jnp.cumsum(mask, 1) - 1
    mirrored = jnp.sum(mask, 1, keepdims=True) - 1 - rank
    partner = jnp.take_along_axis(front, jnp.where(mask, mirrored, 0), 1)
    return jnp.where(mask, partner, place)


def to_front(mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``(index, inverse)``, int32 ``[B, T]``: the first brings valid steps to the front, in order."""
    index = jnp.argsort(~mask, axis=1, stable=True)
    return index, jnp.argsort(index, axis=1)


def pool(h: jax.Array, mask: jax.Array, how: str = "mean") -> jax.Array:
    """One vector per item.

    Args:
      h: ``[B, T, H]``.
      mask: bool ``[B, T]``.
      how: ``"mean"`` over the steps that there are, or the ``"last"`` of them.

    Returns:
      ``[B, H]``; zeros for an item without steps.

    Raises:
      UsageError: another name, or shapes that do not agree.
    """
    axes("pool", "h", h, 3, "[B, T, H]")
    same_shape("pool", h=h[..., 0], mask=mask)
    if how not in POOLS:
        raise unknown_name("pooling", how, POOLS)
    there = jnp.where(mask[..., None], h, 0.0)
    if how == "mean":
        return jnp.sum(there, 1) / jnp.maximum(jnp.sum(mask, 1), 1)[:, None]
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1], 1)
    return jnp.take_along_axis(there, last[:, None, None], 1)[:, 0]


def blanked(item: Segment) -> Segment:
    """The item with zeros where there is no step: no garbage, nor NaN, passes from there."""
    mask = item.mask.reshape(*item.mask.shape, *[1] * (item.feats.ndim - 2))
    return item._replace(feats=jnp.where(mask, item.feats, 0))
