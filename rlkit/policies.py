"""The network of an agent as pure functions, from a flax module or written out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.initialisers import Initialiser, own
from rlkit.memory import restart
from rlkit.networks import Outputs
from rlkit.types import PyTree


class Network(NamedTuple):
    """A policy and value network; :func:`network_of` makes it of a flax module."""

    initialiser: Initialiser

    apply: Callable[[PyTree, PyTree, jax.Array], Outputs]
    """``apply(params, carry, x [..., *shape]) -> outputs``, the carry with the same leading axes"""

    unroll: Callable[[PyTree, PyTree, jax.Array, jax.Array], Outputs]
    """``unroll(params, carry [B, ...], x [T, B, *shape], first [T, B]) -> outputs [T, B, ...]``: a sequence,
    forgetting where an episode begins; the carry is the last."""

    memory: Callable[[], PyTree] = lambda: ()
    """``memory() -> carry`` at the start of an episode, without leaves if there is no memory."""


def network_of(
    module: nn.Module, shape: tuple[int, ...], *, initialise: Callable[..., Initialiser] = own
) -> Network:
    """The functions of a flax module.

    Args:
      module: its call takes ``(carry, x)`` and returns :class:`rlkit.networks.Outputs`. A module with memory
        has a method ``memory()``, and may have ``unroll(carry, x, first)``, without which sequences run
        step by step.
      shape: of an encoded observation.
      initialise: ``initialise(module, carry, x) -> initialiser``; the module's own by default.

    Raises:
      UsageError: the module cannot be called so, or has variables beside its parameters.
    """
    memory = getattr(module, "memory", lambda: ())
    fresh = memory()
    try:
        initialiser = initialise(module, fresh, jax.ShapeDtypeStruct(shape, jnp.float32))
    except TypeError as error:
        raise UsageError(
            f"{type(module).__name__} cannot be called with (carry, x), x of shape {shape}: {error}; define "
            "__call__(self, carry, x) that returns rlkit.networks.Outputs"
        ) from error

    def apply(params: PyTree, carry: PyTree, x: jax.Array) -> Outputs:
        out: Any = module.apply({"params": params}, carry, x)
        return out

    def unroll(params: PyTree, carry: PyTree, x: jax.Array, first: jax.Array) -> Outputs:
        if hasattr(module, "unroll"):
            out: Any = module.apply({"params": params}, carry, x, first, method="unroll")
            return out
        if not jax.tree.leaves(fresh):
            return apply(params, carry, x)

        def body(carry: PyTree, step: tuple[jax.Array, jax.Array]) -> tuple[PyTree, Outputs]:
            out = apply(params, restart(carry, step[1], fresh), step[0])
            return out.carry, out._replace(carry=())

        carry, outputs = jax.lax.scan(body, carry, (x, first))
        return outputs._replace(carry=carry)

    return Network(initialiser, apply, unroll, memory)


def check_network(network: Network, shape: tuple[int, ...], size: int) -> int:
    """Check what a network returns for one observation, without compiling.

    Args:
      network: the network.
      shape: of an encoded observation.
      size: parameters of the action distribution.

    Returns:
      The length of its latent.

    Raises:
      UsageError: something has another type or shape than it should; says which, and what was expected.
    """
    carry = jax.eval_shape(network.memory)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    out: Any = jax.eval_shape(network.apply, network.initialiser.shapes, carry, x)
    if not isinstance(out, Outputs):
        raise UsageError(
            f"the network returns {type(out).__name__}; expected rlkit.networks.Outputs(distribution, value, "
            "latent, carry)"
        )
    for name, expected, meaning in (
        ("distribution", (size,), "parameters of the action distribution"),
        ("value", (), "a scalar: index or squeeze the last axis"),
    ):
        found = getattr(out, name).shape
        if found != expected:
            raise UsageError(f"the network's {name} has shape {found}; expected {expected}, {meaning}")
    if len(out.latent.shape) != 1:
        raise UsageError(f"the network's latent has shape {out.latent.shape}; expected a vector [n]")
    like = lambda tree: jax.tree.map(lambda a: (a.shape, str(a.dtype)), tree)
    if like(out.carry) != like(carry):
        raise UsageError(
            f"the network's carry is {like(out.carry)}; expected {like(carry)}, as its memory() says"
        )
    return out.latent.shape[0]
