"""Optimisers of agents."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rlkit.errors import UsageError
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
        found: Any = inner.update(
            layout.pack(updates), state, None if params is None else layout.pack(params)
        )
        vector, state = found
        return layout.unpack(vector), state

    return optax.GradientTransformation(init, update)


def check_optimiser(optimiser: Callable[..., Any], config: Any, params: PyTree) -> None:
    """Check the optimiser of an agent, without compiling.

    Args:
      optimiser: ``optimiser(config, update) -> transformation``.
      config: the agent's.
      params: shapes of parameters that it is for.

    Raises:
      UsageError: it is no such function, or what it gives is no transformation.
    """
    wanted = "expected a function optimiser(config, update) that returns an optax.GradientTransformation"
    if hasattr(optimiser, "update") or not callable(optimiser):
        hint = "; did you mean lambda config, update: ...?" if hasattr(optimiser, "update") else ""
        raise UsageError(f"optimiser={optimiser!r:.80}: {wanted}{hint}")
    try:
        found = optimiser(config, jnp.zeros((), jnp.int32))
    except TypeError as error:
        raise UsageError(f"optimiser cannot be called with (config, update): {error}; {wanted}") from error
    if not callable(getattr(found, "init", None)) or not callable(getattr(found, "update", None)):
        raise UsageError(f"optimiser returns {found!r:.80}; {wanted}")
    jax.eval_shape(found.init, params)


def adam(config: Any, update: jax.Array | int = 0) -> optax.GradientTransformation:
    """Adam with a constant rate, the field ``learning_rate`` of ``config``."""
    return packed(optax.adam(config.learning_rate))


def decayed_adam(config: Any, update: jax.Array | int = 0) -> optax.GradientTransformation:
    """Adam behind clipping by the global norm, with a learning rate that may fall linearly to 0.

    Args:
      config: has the fields ``learning_rate``, ``decay_updates`` (0: constant) and ``max_grad_norm``.
      update: updates made before.
    """
    return _decayed(config, update, functools.partial(optax.adam, eps=1e-5))


def decayed_radam(config: Any, update: jax.Array | int = 0) -> optax.GradientTransformation:
    """The same with rectified Adam (Liu et al. 2020, arXiv 1908.03265)."""
    return _decayed(config, update, optax.radam)


def _decayed(
    config: Any, update: jax.Array | int, make: Callable[[Any], optax.GradientTransformation]
) -> optax.GradientTransformation:
    left = 1.0 - update / jnp.maximum(config.decay_updates, 1.0)
    rate = config.learning_rate * jnp.where(config.decay_updates > 0, jnp.maximum(left, 0.0), 1.0)
    return packed(optax.chain(optax.clip_by_global_norm(config.max_grad_norm), make(rate)))


def descend(
    loss: Callable[[PyTree], tuple[jax.Array, Any]],
    optimiser: optax.GradientTransformation,
    params: PyTree,
    state: PyTree,
    axis_name: str | None = None,
) -> tuple[PyTree, PyTree, Any]:
    """One gradient step.

    Args:
      loss: ``loss(params) -> (loss [], found)``.
      optimiser: of the parameters.
      params: what to change.
      state: of the optimiser.
      axis_name: mapped axis over which the gradient and ``found`` are averaged.

    Returns:
      ``(params, state, found)``.
    """
    gradient, found = jax.grad(loss, has_aux=True)(params)
    if axis_name is not None:
        gradient, found = jax.lax.pmean((gradient, found), axis_name)
    change, state = optimiser.update(gradient, state, params)
    return optax.apply_updates(params, change), state, found
