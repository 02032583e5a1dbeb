"""Networks that have learnt nothing, run on observations that trained ones were recorded on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.experiment.training.population import Population
from rlkit.normalize import RunningMoments
from rlkit.parallel import shard_seeds
from rlkit.types import Agent, Key, PyTree


def untrained_latents(
    pop: Population, state: PyTree, obs: np.ndarray, first: np.ndarray, key: Key, networks: int = 20
) -> np.ndarray:
    """Latents of fresh initialisations of the agent's network on recorded observations.

    Args:
      pop: the population.
      state: its state ``[S, ...]``, for statistics of observations alone.
      obs: [S, T, ...] recorded observations.
      first: [S, T] true at the first step of every episode, where memories start anew.
      key: typed PRNG key; network m of row s starts from ``fold_in(fold_in(key, s), m)``.
      networks: M, for every seed.

    Returns:
      [S, M, T, n] latents.
    """
    agent = pop.agent

    def one(item: Any) -> jax.Array:
        trained, obs, first, key = item
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(networks))
        return jax.lax.map(lambda key: replay(agent, _fresh(agent, trained, key), obs, first), keys)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(obs)))
    policies = jax.vmap(agent.policy)(state)
    spread = jax.jit(shard_seeds(one, list(pop.sharding.mesh.devices.flat)))
    return np.asarray(spread((policies, jnp.asarray(obs), jnp.asarray(first), keys)))


def _fresh(agent: Agent, trained: PyTree, key: Key) -> PyTree:
    """The policy of a fresh initialisation, with the trained one's statistics of observations.

    These are data, not what was learnt: with its own, a fresh network would see other inputs.
    """
    counted = lambda x: isinstance(x, RunningMoments)
    fresh = agent.policy(agent.init(key))
    return jax.tree.map(lambda new, old: old if counted(new) else new, fresh, trained, is_leaf=counted)


def replay(agent: Agent, policy: PyTree, obs: jax.Array, first: jax.Array) -> jax.Array:
    """Latents [T, n] of a policy that is shown observations [T, ...], whatever it would have done.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)``.
      obs: [T, ...] observations.
      first: [T] true at the first step of every episode.
    """
    start = agent.carry()

    def step(carry: PyTree, now: tuple[jax.Array, jax.Array]):
        seen, begins = now
        carry = jax.tree.map(lambda new, old: jnp.where(begins, new, old), start, carry)
        _, carry, info = agent.act(policy, carry, seen)
        return carry, info.latent

    return jax.lax.scan(step, start, (obs, first))[1]
