"""Parameters that are handed in instead of the defaults: checked against them, and of their types."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.fields import check, shown
from rlkit.types import PyTree


def resolve(name: str, own: PyTree, given: PyTree = None) -> PyTree:
    """Parameters that something is to be run with: its own, or others of the same structure and shapes.

    Args:
      name: of the argument, for messages.
      own: the defaults, a pytree of arrays or numbers.
      given: others; None takes ``own``.

    Returns:
      Strongly typed arrays, in the dtypes of ``own``.

    Raises:
      UsageError: ``given`` differs from ``own`` in structure or in a shape, or a value that is known is NaN,
        no number, or no integer where the default is one.
    """
    own = jax.tree.map(jnp.asarray, own)
    given = own if given is None else given
    if jax.tree.structure(own) != jax.tree.structure(given):
        raise UsageError(
            f"{name} has the structure {jax.tree.structure(given)}; expected that of the defaults, "
            f"{jax.tree.structure(own)}: change their leaves"
        )
    places = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(own)]
    for place, mine, leaf in zip(places, jax.tree.leaves(own), jax.tree.leaves(given), strict=True):
        if jnp.shape(leaf) != mine.shape:
            raise UsageError(
                f"{name}{place} has shape {jnp.shape(leaf)}; expected {mine.shape}, that of the default: "
                "vmap over a leading axis"
            )
        if (why := _unlike(leaf, mine)) is not None:
            raise UsageError(f"{name}{place}={shown(leaf)}: {why}")
    return jax.tree.map(lambda leaf, mine: jax.lax.convert_element_type(leaf, mine.dtype), given, own)


def _unlike(leaf: Any, mine: jax.Array) -> str | None:
    """Why a value, if it is known, cannot stand for a default; None if it can."""
    if isinstance(leaf, jax.core.Tracer) or not jnp.issubdtype(mine.dtype, jnp.number):
        return None
    value = np.asarray(leaf)
    if not jnp.issubdtype(value.dtype, jnp.number) and value.dtype != bool:
        return f"expected numbers, as the default has {mine.dtype}"
    if jnp.issubdtype(mine.dtype, jnp.integer):
        bounds = jnp.iinfo(mine.dtype)
        if not ((value >= bounds.min) & (value <= bounds.max) & (value == np.round(value))).all():
            return f"expected integers of {mine.dtype}, as the default has"
    elif np.isnan(value).any() and not np.isnan(np.asarray(mine)).any():
        return "expected a number, and this is none (NaN)"
    return None


def hyperparameters(default: Any, config: Any = None) -> Any:
    """The configuration that a state is to be built with, its numbers as float32 arrays.

    Args:
      default: the one that the agent was built with.
      config: another one, maybe with mapped or traced numbers; None takes ``default``.

    Raises:
      UsageError: ``config`` differs from ``default`` in a static field, or a number that is known is out of
        its range.
    """
    config = default if config is None else config
    if jax.tree.structure(config) != jax.tree.structure(default):
        raise UsageError(f"config={config}: its static fields must be those the agent was built with")
    if dataclasses.is_dataclass(config):
        check(config)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), config)
