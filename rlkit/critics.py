"""Networks of agents that learn the values of actions: a torso with one head, and ensembles of critics."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.initialisers import Initialiser, orthogonal
from rlkit.networks import GATE_GAINS, MLP, TORSOS, Outputs, dense
from rlkit.policies import Network, network_of
from rlkit.types import PyTree


class HeadedTorso(nn.Module):
    """A torso and a linear head: values of discrete actions, or the parameters of a distribution of actions.

    Attributes:
      outputs: size of the head.
      values: whether the head gives the values of actions, whose largest is that of the state; else the
        network knows no value (NaN).
      torso: name in ``TORSOS``.
      sizes: layer sizes of the torso; the last is the latent's.
      activation: name in ``ACTIVATIONS``.
      layer_norm: normalise the torso's layers.
      precision: of all products, one of :data:`rlkit.products.PRECISIONS`.
    """

    outputs: int
    values: bool = True
    torso: str = "mlp"
    sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    layer_norm: bool = False
    precision: str = "float32"

    def setup(self) -> None:
        self.body = TORSOS[self.torso](self.sizes, self.activation, self.layer_norm, self.precision)
        self.head = dense(self.outputs, self.precision)

    @nn.nowrap
    def memory(self) -> PyTree:
        """The carry at the start of an episode; no arrays if there is no memory."""
        return TORSOS[self.torso](self.sizes, self.activation, self.layer_norm, parent=None).memory()

    def _outputs(self, carry: PyTree, latent: jax.Array) -> Outputs:
        out = self.head(latent)
        value = jnp.max(out, -1) if self.values else jnp.full(out.shape[:-1], jnp.nan, out.dtype)
        return Outputs(out, value, latent, carry)

    def __call__(self, carry: PyTree, x: jax.Array) -> Outputs:
        """``x [..., d]``; the distribution is the head's output ``[..., outputs]``."""
        return self._outputs(*self.body(carry, x))

    def unroll(self, carry: PyTree, x: jax.Array, first: jax.Array) -> Outputs:
        """``x [T, B, d], first [T, B]``: all steps of a sequence; the carry is the last."""
        return self._outputs(*self.body.unroll(carry, x, first))


class Critic(nn.Module):
    """The value of an action in a state, ``Q(s, a)``."""

    sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    layer_norm: bool = False
    precision: str = "float32"

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """``obs [..., d], action [..., k] -> [...]``."""
        x = jnp.concatenate([obs, action], -1)
        _, latent = MLP(self.sizes, self.activation, self.layer_norm, self.precision)((), x)
        return dense(1, self.precision)(latent)[..., 0]


def critics(
    count: int,
    sizes: tuple[int, ...],
    activation: str = "relu",
    layer_norm: bool = False,
    precision: str = "float32",
) -> nn.Module:
    """Several critics of one shape with parameters of their own, which are multiplied together.

    Args:
      count: how many.
      sizes: layer sizes of each.
      activation: name in ``ACTIVATIONS``.
      layer_norm: normalise their layers.
      precision: of their products, one of :data:`rlkit.products.PRECISIONS`.

    Returns:
      A module whose call takes what :class:`Critic`'s does and returns ``[count, ...]``.
    """
    ensemble = nn.vmap(
        Critic, in_axes=None, axis_size=count, variable_axes={"params": 0}, split_rngs={"params": True}
    )
    return ensemble(sizes, activation, layer_norm, precision)


def chosen_critics(
    critic: nn.Module | None, shape: tuple[int, ...], entries: int, config: Any
) -> tuple[Callable[..., jax.Array], Initialiser]:
    """The critics of an agent ``values(params, obs, action)``, and what initialises them, orthogonally.

    Args:
      critic: what the user gave, ``(obs [d], action [k]) -> values [critics]``, called with one of each at a
        time; None: two.
      shape: of an encoded observation.
      entries: k, of an action as critics see it.
      config: has the fields ``sizes``, ``activation``, ``layer_norm`` and ``precision``.

    Raises:
      UsageError: it returns something else.
    """
    module = critic or critics(2, config.sizes, config.activation, config.layer_norm, config.precision)
    first = orthogonal(module, jnp.zeros(shape), jnp.zeros(entries))

    def values(params: PyTree, obs: jax.Array, action: jax.Array) -> Any:
        one = lambda obs, action: module.apply({"params": params}, obs, action)
        for _ in range(0 if critic is None else obs.ndim - len(shape)):
            one = jax.vmap(one, out_axes=1)  # cannot mix environments
        return one(obs, action)

    out: Any = jax.eval_shape(values, first.shapes, jnp.zeros(shape), jnp.zeros(entries))
    if not hasattr(out, "shape") or len(out.shape) != 1:
        found = f"shape {out.shape}" if hasattr(out, "shape") else type(out).__name__
        raise UsageError(f"the critic returns {found}; expected [critics], a value of each for one action")
    return values, first


def headed_network(
    outputs: int,
    shape: tuple[int, ...],
    config: Any,
    *,
    torso: str = "mlp",
    values: bool = True,
    gain: float = 1.0,
) -> Network:
    """A :class:`HeadedTorso` as a configuration describes it, with orthogonal kernels.

    Args:
      outputs: size of the head.
      shape: of an encoded observation.
      config: has the fields ``sizes``, ``activation``, ``layer_norm`` and ``precision``.
      torso: name in ``TORSOS``.
      values: whether the head gives values of actions.
      gain: of the head's kernel.
    """
    module = HeadedTorso(
        outputs, values, torso, config.sizes, config.activation, config.layer_norm, config.precision
    )
    initialise = functools.partial(orthogonal, gains=GATE_GAINS | {"head": gain})
    return network_of(module, shape, initialise=initialise)
