"""Networks of agents: torsos with a readable latent, actor and critic heads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.memory import restart
from rlkit.products import matmul
from rlkit.types import PyTree

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
}


def dense(size: int) -> nn.Dense:
    """A dense layer whose kernel an initialiser fills later: tracing flax's own takes long.

    Products have full precision on every device: by default, accelerators round to 8 or 10 bits, and the
    probabilities of a rollout then differ from those of the same policy in an update by a per mille.
    """
    return nn.Dense(size, kernel_init=nn.initializers.zeros, precision=jax.lax.Precision.HIGHEST)


class MLP(nn.Module):
    """Dense layers with an activation after each: ``[..., d] -> [..., sizes[-1]]``. Has no memory.

    With ``layer_norm`` each layer is normalised before its activation (Ba et al. 2016, arXiv 1607.06450).
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        for size in self.sizes:
            x = dense(size)(x)
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

    def setup(self) -> None:
        units, zeros = self.sizes[-1], nn.initializers.zeros
        self.layers = [dense(size) for size in self.sizes[:-1]]
        self.norms = [nn.LayerNorm() for _ in self.sizes] if self.layer_norm else []
        self.gates = dense(3 * units)
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
        product = matmul(h, kernel)
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


TORSOS: dict[str, type[nn.Module]] = {"mlp": MLP, "gru": GRU}

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
    """

    outputs: int
    gaussian: bool
    torso: str
    sizes: tuple[int, ...]
    activation: str
    shared: bool

    def setup(self) -> None:
        def torso() -> nn.Module:
            return TORSOS[self.torso](self.sizes, self.activation)

        self.actor_torso = torso()
        if not self.shared:
            self.critic_torso = torso()
        self.actor_head = dense(self.outputs)
        self.critic_head = dense(1)
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
