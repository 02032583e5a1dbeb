"""Training some units only: the most synergistic, the most redundant, or any.

What has been reported of language models (arXiv 2601.06851: learning by reward gains more from synergistic
parts than from redundant ones), asked of small agents. From a point of training on, only the weights into and
out of the chosen units of the policy's latent change, and the critic. Which units these are is decided inside
the agent, from the latents of its own training until then, so that arms share everything up to that point.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlkit.analysis.atoms.gaussian import all_pairs_atoms
from rlkit.analysis.moments.lagged import Moments, merge_moments
from rlkit.analysis.moments.streaming import decay_moments, pair_moments, zero_moments
from rlkit.errors import unknown_name
from rlkit.types import Agent, Key, PyTree, Trajectory

CHOICES = ("all", "synergistic", "redundant", "random")
_DECAY = 0.9  # weight that earlier latents keep per update


class Masked(NamedTuple):
    """The state of an agent of which some units alone are trained.

    Attributes:
      inner: the agent's own state.
      moments: of latents and their successors, of late.
      lot: [n] random numbers, which the random choice goes by.
      chosen: [n] 1 for units that are trained, 0 for others; all 1 before the choice.
      update: int32 []: updates made.
    """

    inner: Any
    moments: Moments
    lot: jax.Array
    chosen: jax.Array
    update: jax.Array


def masking(
    optimiser: Callable[[Any, jax.Array], optax.GradientTransformation],
) -> Callable[[Any, jax.Array], optax.GradientTransformation]:
    """An optimiser whose state ends in a mask of the parameters: 1 where they may change, 0 where not.

    Gradients are masked before the inner transformation, so that it clips by what is left, and its updates
    after, so that momentum moves nothing.
    """

    def masked(config: Any, update: jax.Array) -> optax.GradientTransformation:
        inner = optimiser(config, update)

        def init(params: PyTree) -> PyTree:
            return inner.init(params), jax.tree.map(jnp.ones_like, params)

        def step(updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
            moments, mask = state
            kept: Any = jax.tree.map(jnp.multiply, updates, mask)
            found, moments = inner.update(kept, moments, params)
            return jax.tree.map(jnp.multiply, found, mask), (moments, mask)

        return optax.GradientTransformation(init, step)

    return masked


def training_some(agent: Agent, units: int, choice: str, share: float, begin: int) -> Agent:
    """An agent that from an update on trains some of its units only.

    Args:
      agent: PPO with the optimiser of :func:`masking` that reports its latents, its torsos not shared.
      units: n, of its latent.
      choice: one of :data:`CHOICES`.
      share: of the units, those that are trained, rounded to at least one.
      begin: the update after which the choice is made.

    Raises:
      UnknownNameError: no such choice.
    """
    if choice not in CHOICES:
        raise unknown_name("choice of units", choice, CHOICES)
    count = max(1, round(share * units))

    def init(key: Key, *settings: Any) -> Masked:
        lot = jax.random.uniform(jax.random.fold_in(key, 0xA5C), (units,))
        ones, zero = jnp.ones(units), jnp.zeros((), jnp.int32)
        return Masked(agent.init(key, *settings), zero_moments(units), lot, ones, zero)

    def collect(state: Masked):
        inner, trajectory, metrics = _given(agent.collect)(state.inner)
        return state._replace(inner=inner), trajectory, metrics

    def learn(state: Masked, trajectory: Trajectory):
        mask = unit_mask(state.inner.params, state.chosen, state.update >= begin)
        inner = state.inner._replace(optimiser=(state.inner.optimiser[0], mask))
        inner, metrics = _given(agent.learn)(inner, trajectory)
        moments = _seen(state.moments, trajectory)
        now = chosen_units(choice, moments, state.lot, count)
        chosen = jnp.where(state.update + 1 == begin, now, state.chosen)
        metrics = metrics | {"units/trained": chosen.sum()}
        return Masked(inner, moments, state.lot, chosen, state.update + 1), metrics

    def step(state: Masked):
        state, trajectory, metrics = collect(state)
        state, learned = learn(state, trajectory)
        return state, metrics | learned

    return agent._replace(
        init=init,
        step=step,
        collect=collect,
        learn=learn,
        policy=lambda state: agent.policy(state.inner),
        settings=lambda state: agent.settings(state.inner),
    )


def _given(function: Any) -> Any:
    assert function is not None
    return function


def _seen(moments: Moments, trajectory: Trajectory) -> Moments:
    """The moments with those of the latents ``[T, B, n]`` of an update."""
    latent, first = trajectory.extras["latent"], trajectory.transition.first
    flat = lambda x: x.reshape(-1, x.shape[-1])
    new = pair_moments(flat(latent[:-1]), flat(latent[1:]), ~first[1:].reshape(-1), None)
    return merge_moments(decay_moments(moments, _DECAY), new)


def chosen_units(choice: str, moments: Moments, lot: jax.Array, count: int) -> jax.Array:
    """[n] 1 for the ``count`` units that are trained, 0 for the others.

    A unit's synergy and redundancy are the means of sts and rtr over its pairs, and its place is the rank of
    the one less the rank of the other (Luppi et al. 2022).
    """
    units = lot.shape[0]
    if choice == "all":
        return jnp.ones(units)
    if choice == "random":
        score = lot
    else:
        atoms = all_pairs_atoms(moments, shrinkage=1e-3)
        rank = lambda x: jnp.argsort(jnp.argsort(jnp.nan_to_num(x, nan=0.0)))
        score = (rank(_mean_of_pairs(atoms.sts)) - rank(_mean_of_pairs(atoms.rtr))).astype(jnp.float32)
        score = score if choice == "synergistic" else -score
    order = jnp.argsort(-score)
    return jnp.zeros(units).at[order[:count]].set(1.0)


def _mean_of_pairs(values: jax.Array) -> jax.Array:
    """[n] mean over the pairs of each unit of ``[n, n]``; the diagonal and NaN are left out."""
    other = ~jnp.eye(values.shape[0], dtype=bool) & jnp.isfinite(values)
    return jnp.where(other, values, 0.0).sum(1) / other.sum(1)


def unit_mask(params: PyTree, chosen: jax.Array, on: jax.Array) -> PyTree:
    """1 for parameters that may change, 0 for others, of the actor-critic's parameters.

    Of the actor: the weights into the chosen units and from them to the head; earlier layers rest. Everything
    else (critic, biases of the head, spread of the actions) goes on.

    Args:
      params: of :class:`rlkit.networks.ActorCritic`, torsos ``mlp`` or ``gru``.
      chosen: [n].
      on: bool []: whether the mask holds; else everything may change.
    """
    torso, units = params["actor_torso"], chosen.shape[0]
    last = max((name for name in torso if name.startswith("Dense_")), default="", key=lambda n: int(n[6:]))

    def one(path: Any, leaf: jax.Array) -> jax.Array:
        names = [str(getattr(part, "key", part)) for part in path]
        if names[0] == "actor_head" and names[-1] == "kernel":
            mask = jnp.broadcast_to(chosen[:, None], leaf.shape)
        elif names[0] != "actor_torso":
            return jnp.ones_like(leaf)
        elif names[1] in (last, "gates") or names[1].startswith(("recurrent_", "new_bias")):
            mask = jnp.broadcast_to(jnp.tile(chosen, leaf.shape[-1] // units), leaf.shape)
        else:
            mask = jnp.zeros_like(leaf)
        return jnp.where(on, mask, 1.0).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, params)
