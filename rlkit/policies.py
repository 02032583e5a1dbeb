"""The network of an agent as pure functions, from a flax module or written out."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import InvalidRngError

from rlkit.encoding import observation_encoder
from rlkit.errors import UsageError
from rlkit.fields import shown
from rlkit.initialisers import Initialiser, orthogonal, own
from rlkit.memory import restart
from rlkit.networks import GATE_GAINS, ActorCritic, Outputs, torso_encoder
from rlkit.spaces import Box, Space
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
        out: Any = module.apply({"params": params}, carry, x, first, method="unroll")
        return out

    unroll = unroll if hasattr(module, "unroll") else step_by_step(apply, fresh)
    return Network(initialiser, apply, unroll, memory)


def step_by_step(apply: Callable[..., Outputs], fresh: PyTree) -> Callable[..., Outputs]:
    """A :attr:`Network.unroll` of its ``apply``, at one go without memory.

    Args:
      apply: see :class:`Network`.
      fresh: the memory at the start of an episode.
    """

    def unroll(params: PyTree, carry: PyTree, x: jax.Array, first: jax.Array) -> Outputs:
        if not jax.tree.leaves(fresh):
            return apply(params, carry, x)

        def body(carry: PyTree, step: tuple[jax.Array, jax.Array]) -> tuple[PyTree, Outputs]:
            out = apply(params, restart(carry, step[1], fresh), step[0])
            return out.carry, out._replace(carry=())

        carry, outputs = jax.lax.scan(body, carry, (x, first))
        return outputs._replace(carry=carry)

    return unroll


def actor_critic(shape: tuple[int, ...], outputs: int, actions: Space, config: Any) -> Network:
    """An :class:`rlkit.networks.ActorCritic` as a configuration describes it, with orthogonal kernels.

    Args:
      shape: of an encoded observation.
      outputs: parameters of the action distribution; of a box, half of them do not depend on the state.
      actions: the space of actions.
      config: has the fields ``torso``, ``sizes``, ``activation``, ``shared_torso``, ``layer_norm`` and
        ``precision``.
    """
    gaussian = isinstance(actions, Box)
    module = ActorCritic(
        outputs // 2 if gaussian else outputs, gaussian, config.torso, config.sizes, config.activation,
        config.shared_torso, config.layer_norm, config.precision,
    )  # fmt: skip
    gains = GATE_GAINS | {"actor_head": 0.01, "critic_head": 1.0}
    return network_of(module, shape, initialise=functools.partial(orthogonal, gains=gains))


def chosen_network(
    network: nn.Module | Network | None, space: Space, torso: str, usual: Callable[[tuple[int, ...]], Network]
) -> tuple[Network, tuple[int, ...]]:
    """The network of an agent and the shape of the observations that it sees.

    Args:
      network: what the user gave, which sees images as images; None takes the usual one.
      space: of observations.
      torso: name in ``TORSOS``, of the usual one.
      usual: ``usual(shape) -> network``.

    Raises:
      UsageError: the space suits no network, or the module cannot be called.
    """
    if network is None:
        shape = torso_encoder(space, torso).shape
        return usual(shape), shape
    shape = observation_encoder(space, flat=False).shape
    return given_network(network, shape), shape


def given_network(network: nn.Module | Network, shape: tuple[int, ...]) -> Network:
    """The functions of what a user gave as a network, for encoded observations of a shape.

    It sees one observation, or one sequence, at a time (:func:`one_at_a_time`).

    Raises:
      UsageError: it is neither a module nor a :class:`Network`, or the module cannot be called.
    """
    if isinstance(network, Network):
        return one_at_a_time(network, shape)
    if isinstance(network, nn.Module):
        alone = one_at_a_time(network_of(network, shape), shape)
        if hasattr(network, "unroll"):
            return alone
        return alone._replace(unroll=step_by_step(alone.apply, alone.memory()))
    hint = f"; did you mean {network.__name__}(...)?" if isinstance(network, type) else ""
    raise UsageError(
        f"network={shown(network)}: expected a flax module, or a rlkit.policies.Network of pure functions"
        f"{hint}"
    )


def one_at_a_time(network: Network, shape: tuple[int, ...]) -> Network:
    """The same network, which cannot mix environments: leading axes are ``vmap``'s, and it never sees them.

    Args:
      network: any, also one that takes a single observation only, or that would mix a batch.
      shape: of an encoded observation.
    """

    def apply(params: PyTree, carry: PyTree, x: jax.Array) -> Outputs:
        one = functools.partial(network.apply, params)
        for _ in range(x.ndim - len(shape)):
            one = jax.vmap(one)
        return one(carry, x)

    def unroll(params: PyTree, carry: PyTree, x: jax.Array, first: jax.Array) -> Outputs:
        def one(carry: PyTree, x: jax.Array, first: jax.Array) -> Outputs:
            out = network.unroll(params, jax.tree.map(lambda c: c[None], carry), x[:, None], first[:, None])
            sequence = jax.tree.map(lambda y: y[:, 0], out._replace(carry=()))
            return sequence._replace(carry=jax.tree.map(lambda c: c[0], out.carry))

        axes: Any = (1, 1, 1, 0)
        return jax.vmap(one, in_axes=(0, 1, 1), out_axes=Outputs(*axes))(carry, x, first)

    return network._replace(apply=apply, unroll=unroll)


def outputs_over(network: Network, params: PyTree, memory: PyTree, x: jax.Array, first: PyTree) -> Outputs:
    """What a network makes of sequences ``x [T, B, ...]`` that begin with ``memory [B, ...]``; without memory
    of any ``x [..., *shape]``, ``first`` not being used."""
    if jax.tree.leaves(memory):
        return network.unroll(params, memory, x, first)
    return network.apply(params, memory, x)


def latent_pairs(
    network: Network, params: PyTree, memory: PyTree, x: jax.Array, next_x: PyTree, first: PyTree
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Latents ``[N, n]``, those one step later, and whether each is a pair, bool ``[N]``.

    With memory the successor is the next step of a sequence, of which ``x`` has the leaves ``[T, B, ...]``;
    without, the observation ``next_x``.
    """
    latent = outputs_over(network, params, memory, x, first).latent
    if jax.tree.leaves(memory):
        latent, after, mask = latent[:-1], latent[1:], ~first[1:]
    else:
        after = network.apply(params, memory, next_x).latent
        mask = jnp.ones(latent.shape[:-1], bool)
    flat = lambda rows: rows.reshape(-1, rows.shape[-1])
    return flat(latent), flat(after), mask.reshape(-1)


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
    try:
        out: Any = jax.eval_shape(network.apply, network.initialiser.shapes, carry, x)
    except InvalidRngError as error:
        raise UsageError(
            f"the network draws random numbers when it is called ({error}); expected a function of "
            "parameters and observations: leave dropout and noise out (deterministic=True)"
        ) from error
    if not isinstance(out, Outputs):
        raise UsageError(
            f"the network returns {type(out).__name__}; expected rlkit.networks.Outputs(distribution, value, "
            "latent, carry)"
        )
    for name, expected, meaning in (
        ("distribution", (size,), "parameters of the action distribution"),
        ("value", (), "a scalar: index or squeeze the last axis"),
        ("latent", None, "a vector [n]"),
    ):
        found = getattr(out, name)
        if not hasattr(found, "dtype") or not jnp.issubdtype(found.dtype, jnp.floating):
            raise UsageError(
                f"the network's {name} is {_kind(found)}; expected an array of floats, {meaning}"
            )
        if found.shape != expected if expected is not None else len(found.shape) != 1:
            wanted = "" if expected is None else f"{expected}, "
            raise UsageError(f"the network's {name} has shape {found.shape}; expected {wanted}{meaning}")
    like = lambda tree: jax.tree.map(lambda a: (a.shape, str(a.dtype)), tree)
    if like(out.carry) != like(carry):
        raise UsageError(
            f"the network's carry is {like(out.carry)}; expected {like(carry)}, as its memory() says"
        )
    _check_leading_axes(network, carry, shape, out)
    return out.latent.shape[0]


_AXES = (2, 3)  # of a sequence, and of slots: any two lengths


def _check_leading_axes(network: Network, carry: PyTree, shape: tuple[int, ...], one: Outputs) -> None:
    """Raise a UsageError unless sequences of slots give what one observation does, with two axes more."""
    slots = _AXES[1]
    x = jax.ShapeDtypeStruct((*_AXES, *shape), jnp.float32)
    many = lambda tree, *lead: jax.tree.map(lambda a: jax.ShapeDtypeStruct((*lead, *a.shape), a.dtype), tree)
    first = jax.ShapeDtypeStruct(_AXES, bool)
    run = lambda params, memory, x, first: outputs_over(network, params, memory, x, first)[:3]
    expected, what = many(one[:3], *_AXES), f"observations of shape {(*_AXES, *shape)}"
    try:
        found = jax.eval_shape(run, network.initialiser.shapes, many(carry, slots), x, first)
    except (TypeError, ValueError, IndexError) as error:
        raise UsageError(
            f"the network cannot be called with {what}: {error}; leave leading axes alone"
        ) from error
    for name, given, wanted in zip(Outputs._fields, found, expected, strict=False):
        if given.shape != wanted.shape:
            raise UsageError(
                f"the network's {name} has shape {given.shape} for {what}; expected {wanted.shape}: leave "
                "leading axes alone (index the last ones with [..., i])"
            )


def _kind(value: Any) -> str:
    return f"of {value.dtype}" if hasattr(value, "dtype") else f"a {type(value).__name__}"
