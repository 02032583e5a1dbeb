"""Optimisers of agents."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rlkit.packing import packing
from rlkit.types import PyTree


def packed(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation that sees one vector per dtype instead of a tree, and gives the same updates.

    For transformations that treat all entries alike or look at global norms only (Adam, clipping by the
    global norm), whose many small programs, one a leaf, then become one.
    """

    def init(params: PyTree) -> PyTree:
        return inner.init(packing(params).pack(params))

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
        layout = packing(updates)
        vector, state = inner.update(
            layout.pack(updates), state, None if params is None else layout.pack(params)
        )
        return layout.unpack(vector), state

    return optax.GradientTransformation(init, update)


def decayed_adam(config: Any, update: jax.Array | int = 0) -> optax.GradientTransformation:
    """Adam behind clipping by the global norm, with a learning rate that may fall linearly to 0.

    Args:
      config: has the fields ``learning_rate``, ``decay_updates`` (0: constant) and ``max_grad_norm``.
      update: updates made before.
    """
    left = 1.0 - update / jnp.maximum(config.decay_updates, 1.0)
    rate = config.learning_rate * jnp.where(config.decay_updates > 0, jnp.maximum(left, 0.0), 1.0)
    return packed(optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(rate, eps=1e-5)))
