"""Networks of agents: torsos with a readable latent, actor and critic heads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.encoding import ObservationEncoder, observation_encoder
from rlkit.errors import UsageError, unknown_name
from rlkit.memory import restart
from rlkit.products import layer_options, matmul
from rlkit.spaces import Space
from rlkit.types import PyTree

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
}


def dense(size: int, precision: str = "float32") -> nn.Dense:
    """A dense layer whose kernel an initialiser fills later: tracing flax's own takes long.

    Products have full precision on every device unless another one is asked for: with the 8 or 10 bits of
    accelerators the probabilities of a rollout differ from those of the same policy in an update by a per
    mille.
    """
    return nn.Dense(size, kernel_init=nn.initializers.zeros, **layer_options(precision))


class MLP(nn.Module):
    """Dense layers with an activation after each: ``[..., d] -> [..., sizes[-1]]``. Has no memory.

    With ``layer_norm`` each layer is normalised before its activation (Ba et al. 2016, arXiv 1607.06450).
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    layer_norm: bool = False
    precision: str = "float32"

    @nn.compact
    def __call__(self, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        for size in self.sizes:
            x = dense(size, self.precision)(x)
            x = nn.LayerNorm()(x) if self.layer_norm else x
            x = ACTIVATIONS[self.activation](x)
        return carry, x

    def unroll(self, carry: PyTree, x: jax.Array, first: jax.Array) -> tuple[PyTree, jax.Array]:
        """The same for a sequence ``[T, B, d]``."""
        return self(carry, x)

    @nn.nowrap
    def memory(self) -> PyTree:
        """The carry at the start of an episode: none."""
        return ()


class GRU(nn.Module):
    """Dense layers and a gated recurrent unit (Cho et al. 2014, arXiv 1406.1078; reset after, as cuDNN).

    The last of ``sizes`` is the number of recurrent units; the others are layers before it. The
    latent is the unit's state. Unrolled over a sequence, everything but the recurrent product is
    computed for all steps at once. With ``layer_norm`` the layers before the unit are normalised as those of
    :class:`MLP`, and so is what enters the gates.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    layer_norm: bool = False
    precision: str = "float32"

    def setup(self) -> None:
        units, zeros = self.sizes[-1], nn.initializers.zeros
        self.layers = [dense(size, self.precision) for size in self.sizes[:-1]]
        self.norms = [nn.LayerNorm() for _ in self.sizes] if self.layer_norm else []
        self.gates = dense(3 * units, self.precision)
        self.recurrent = [
            self.param(f"recurrent_{g}", zeros, (units, units)) for g in ("reset", "update", "new")
        ]
        self.new_bias = self.param("new_bias", zeros, (units,))

    def _project(self, x: jax.Array) -> jax.Array:
        for i, layer in enumerate(self.layers):
            x = layer(x)
            x = self.norms[i](x) if self.layer_norm else x
            x = ACTIVATIONS[self.activation](x)
        x = self.gates(x)
        return self.norms[-1](x) if self.layer_norm else x

    def _cell(self, kernel: jax.Array, h: jax.Array, projected: jax.Array) -> jax.Array:
        units = self.sizes[-1]
        product = matmul(h, kernel, self.precision)
        opened = nn.sigmoid(projected[..., : 2 * units] + product[..., : 2 * units])
        reset, update = opened[..., :units], opened[..., units:]
        new = nn.tanh(projected[..., 2 * units :] + reset * (product[..., 2 * units :] + self.new_bias))
        return (1.0 - update) * new + update * h

    def __call__(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = self._cell(jnp.concatenate(self.recurrent, -1), carry, self._project(x))
        return h, h

    def unroll(self, carry: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The same for a sequence ``[T, B, d]``, forgetting where ``first [T, B]``."""
        kernel = jnp.concatenate(self.recurrent, -1)

        def body(h: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            projected, begins = inputs
            h = self._cell(kernel, restart(h, begins, self.memory()), projected)
            return h, h

        return jax.lax.scan(body, carry, (self._project(x), first))

    @nn.nowrap
    def memory(self) -> jax.Array:
        """The carry at the start of an episode: zeros ``[sizes[-1]]``."""
        return jnp.zeros(self.sizes[-1])


class CNN(nn.Module):
    """Three convolutions and dense layers: ``[..., height, width, channels] -> [..., sizes[-1]]``. No memory.

    The convolutions are 3 × 3 with 16, 32 and 32 features, and halve the image as long as its shorter side
    is at least 8: right for pictures from a small grid world's to 84 × 84. The definition is ours. With
    ``layer_norm`` every layer is normalised before its activation.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    layer_norm: bool = False
    precision: str = "float32"

    @nn.compact
    def __call__(self, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        options = layer_options(self.precision, "conv_general_dilated")
        for features in (16, 32, 32):
            stride = 2 if min(x.shape[-3:-1]) >= 8 else 1
            x = nn.Conv(features, (3, 3), stride, kernel_init=nn.initializers.zeros, **options)(x)
            x = nn.LayerNorm()(x) if self.layer_norm else x
            x = ACTIVATIONS[self.activation](x)
        x = x.reshape(*x.shape[:-3], -1)
        return MLP(self.sizes, self.activation, self.layer_norm, self.precision)(carry, x)

    def unroll(self, carry: PyTree, x: jax.Array, first: jax.Array) -> tuple[PyTree, jax.Array]:
        """The same for a sequence ``[T, B, height, width, channels]``."""
        return self(carry, x)

    @nn.nowrap
    def memory(self) -> PyTree:
        """The carry at the start of an episode: none."""
        return ()


TORSOS: dict[str, type[nn.Module]] = {"mlp": MLP, "gru": GRU, "cnn": CNN}


def torso_encoder(space: Space, torso: str) -> ObservationEncoder:
    """How observations of a space enter a torso: as images into ``"cnn"``, as vectors into others.

    Raises:
      UsageError: the space suits no network, or images are wanted and these are none.
    """
    if torso != "cnn":
        return observation_encoder(space)
    if len(space.shape) != 3:
        raise UsageError(
            f"torso='cnn' wants images [height, width, channels]; observations have the shape {space.shape}: "
            "choose torso='mlp'"
        )
    return observation_encoder(space, flat=False)


GATE_GAINS = {"gates": 1.0} | {f"recurrent_{gate}": 1.0 for gate in ("reset", "update", "new")}
"""Gains of the kernels of a :class:`GRU`, for :func:`rlkit.initialisers.orthogonal`."""


class Outputs(NamedTuple):
    """What the network of an agent makes of observations."""

    distribution: jax.Array  # [..., size]: parameters of the action distribution
    value: jax.Array  # [...]: estimate of the return to come
    latent: jax.Array  # [..., n]: what the distribution is made of, z_t
    carry: PyTree = ()  # memory after the observation


class ActorCritic(nn.Module):
    """Policy and value network.

    Attributes:
      outputs: size of the actor head: logits, or means of a Gaussian.
      gaussian: append state-independent log standard deviations to the actor's output.
      torso: name in ``TORSOS``.
      sizes: layer sizes of a torso.
      activation: name in ``ACTIVATIONS``.
      shared: one torso for actor and critic, else one each.
      layer_norm: normalise the torsos' layers.
      precision: of all products, one of :data:`rlkit.products.PRECISIONS`.
    """

    outputs: int
    gaussian: bool
    torso: str
    sizes: tuple[int, ...]
    activation: str
    shared: bool
    layer_norm: bool = False
    precision: str = "float32"

    def setup(self) -> None:
        def torso() -> nn.Module:
            return TORSOS[self.torso](self.sizes, self.activation, self.layer_norm, self.precision)

        self.actor_torso = torso()
        if not self.shared:
            self.critic_torso = torso()
        self.actor_head = dense(self.outputs, self.precision)
        self.critic_head = dense(1, self.precision)
        if self.gaussian:
            self.log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))

    @nn.nowrap
    def memory(self) -> tuple[PyTree, PyTree]:
        """The carry at the start of an episode: (actor's, critic's); no arrays if there is no memory."""
        one = TORSOS[self.torso](self.sizes, self.activation, parent=None).memory()
        return one, (() if self.shared else one)

    def _distribution(self, latent: jax.Array) -> jax.Array:
        out = self.actor_head(latent)
        if not self.gaussian:
            return out
        return jnp.concatenate([out, jnp.broadcast_to(self.log_std, out.shape)], -1)

    def __call__(self, carry: tuple[PyTree, PyTree], x: jax.Array) -> Outputs:
        """``x [..., d]``; the value is that of ``x`` seen with the carry before it."""
        actor, latent = self.actor_torso(carry[0], x)
        critic, hidden = (carry[1], latent) if self.shared else self.critic_torso(carry[1], x)
        value = self.critic_head(hidden)[..., 0]
        return Outputs(self._distribution(latent), value, latent, (actor, critic))

    def unroll(self, carry: tuple[PyTree, PyTree], x: jax.Array, first: jax.Array) -> Outputs:
        """``x [T, B, d], first [T, B]``: all steps of a sequence; the carry is the last."""
        actor, latent = self.actor_torso.unroll(carry[0], x, first)
        critic, hidden = carry[1], latent
        if not self.shared:
            critic, hidden = self.critic_torso.unroll(carry[1], x, first)
        value = self.critic_head(hidden)[..., 0]
        return Outputs(self._distribution(latent), value, latent, (actor, critic))


def check_choice(kind: str, name: str, table: dict[str, Any]) -> None:
    """Raise with a suggestion if ``name`` is not in ``table``."""
    if name not in table:
        raise unknown_name(kind, name, table)
