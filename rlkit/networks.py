"""Networks of agents: torsos with a readable latent, actor and critic heads, initialisation."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.types import Key, PyTree

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
}


class MLP(nn.Module):
    """Dense layers with an activation after each: ``[..., d] -> [..., sizes[-1]]``. Has no memory."""

    sizes: tuple[int, ...]
    activation: str = "tanh"

    @nn.compact
    def __call__(self, carry: PyTree, x: jax.Array) -> tuple[PyTree, jax.Array]:
        for size in self.sizes:
            x = ACTIVATIONS[self.activation](nn.Dense(size)(x))
        return carry, x

    @nn.nowrap
    def memory(self) -> PyTree:
        """The carry at the start of an episode: none."""
        return ()


class GRU(nn.Module):
    """Dense layers and a gated recurrent unit (Cho et al. 2014, arXiv 1406.1078).

    The last of ``sizes`` is the number of recurrent units; the others are layers before it. The
    latent is the unit's state.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"

    @nn.compact
    def __call__(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        for size in self.sizes[:-1]:
            x = ACTIVATIONS[self.activation](nn.Dense(size)(x))
        return nn.GRUCell(self.sizes[-1], name="cell")(carry, x)

    @nn.nowrap
    def memory(self) -> jax.Array:
        """The carry at the start of an episode: zeros ``[sizes[-1]]``."""
        return jnp.zeros(self.sizes[-1])


TORSOS: dict[str, type[nn.Module]] = {"mlp": MLP, "gru": GRU}


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
        self.actor_head = nn.Dense(self.outputs)
        self.critic_head = nn.Dense(1)
        if self.gaussian:
            self.log_std = self.param("log_std", nn.initializers.zeros, (self.outputs,))

    @nn.nowrap
    def memory(self) -> tuple[PyTree, PyTree]:
        """The carry at the start of an episode: (actor's, critic's); no arrays if there is no memory."""
        one = TORSOS[self.torso](self.sizes, self.activation, parent=None).memory()
        return one, (() if self.shared else one)

    def act(
        self, carry: tuple[PyTree, PyTree], obs: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], jax.Array, jax.Array]:
        """``obs [..., d] -> (carry, distribution parameters [..., size], latent [..., sizes[-1]])``.

        Only the actor's part of the carry advances.
        """
        actor, latent = self.actor_torso(carry[0], obs)
        out = self.actor_head(latent)
        if self.gaussian:
            out = jnp.concatenate([out, jnp.broadcast_to(self.log_std, out.shape)], -1)
        return (actor, carry[1]), out, latent

    def value(self, carry: tuple[PyTree, PyTree], obs: jax.Array) -> jax.Array:
        """``obs [..., d] -> value [...]``, from the carry before ``obs``."""
        _, hidden = self.actor_torso(carry[0], obs) if self.shared else self.critic_torso(carry[1], obs)
        return self.critic_head(hidden)[..., 0]

    def __call__(
        self, carry: tuple[PyTree, PyTree], obs: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], jax.Array, jax.Array, jax.Array]:
        """``obs [..., d] -> (carry, distribution parameters, value, latent)``."""
        (actor, critic), out, latent = self.act(carry, obs)
        hidden = latent
        if not self.shared:
            critic, hidden = self.critic_torso(critic, obs)
        return (actor, critic), out, self.critic_head(hidden)[..., 0], latent


def initialise(module: nn.Module, key: Key, *example: Any, gains: dict[str, float] | None = None) -> PyTree:
    """Initialise a module's parameters: orthogonal kernels, zero biases and other vectors.

    Equivalent to ``module.init`` with orthogonal initialisers (Saxe et al. 2014, arXiv 1312.6120),
    but with one random draw and one QR decomposition for all kernels of one size: initialising
    layer by layer compiles for longer than the training step.

    Args:
      module: a flax module whose kernels are matrices.
      key: typed PRNG key.
      *example: arguments of the module's call, arrays or ``jax.ShapeDtypeStruct``.
      gains: factor for the kernels whose path contains the given name; others get ``sqrt(2)``.

    Returns:
      The parameters, structured as ``module.init(...)["params"]``.
    """
    shapes = jax.eval_shape(module.init, jax.eval_shape(lambda: jax.random.key(0)), *example)["params"]
    leaves, treedef = jax.tree_util.tree_flatten_with_path(shapes)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, (_, leaf) in enumerate(leaves):
        if leaf.ndim == 2:
            groups[max(leaf.shape)].append(index)
    out: list[Any] = [jnp.zeros(leaf.shape, leaf.dtype) for _, leaf in leaves]
    total = sum(size * size * len(members) for size, members in groups.items())
    draws = jax.random.normal(key, (total,))
    start = 0
    for size, members in groups.items():
        stop = start + size * size * len(members)
        q, r = jnp.linalg.qr(draws[start:stop].reshape(len(members), size, size))
        q = q * jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1))[:, None, :]  # uniform over rotations
        start = stop
        for slot, index in enumerate(members):
            path, leaf = leaves[index]
            gain = _gain(jax.tree_util.keystr(path), gains or {})
            rows, columns = leaf.shape
            out[index] = (gain * q[slot, :rows, :columns]).astype(leaf.dtype)
    return jax.tree.unflatten(treedef, out)


def _gain(path: str, gains: dict[str, float]) -> float:
    return next((gain for name, gain in gains.items() if f"'{name}'" in path), math.sqrt(2))


def check_choice(kind: str, name: str, table: dict[str, Any]) -> None:
    """Raise with a suggestion if ``name`` is not in ``table``."""
    if name not in table:
        raise unknown_name(kind, name, table)
