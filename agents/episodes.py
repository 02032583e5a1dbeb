"""Whole fresh episodes of a policy, side by side, until the last of them has ended."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs import Advance, advance, reset, source
from rlkit.memory import side_by_side
from rlkit.types import Agent, EnvState, Key, PyTree


class Moment(NamedTuple):
    """One step of one episode."""

    before: EnvState
    action: jax.Array
    after: Advance


class Episode(NamedTuple):
    """One episode on its way."""

    obs: jax.Array
    state: EnvState
    carry: PyTree
    alive: jax.Array  # bool []
    gathered: PyTree


def episode_functions(
    agent: Agent,
    policy: PyTree,
    env_params: Any,
    start: Callable[[EnvState], PyTree],
    see: Callable[[PyTree, Moment], PyTree],
    *,
    greedy: bool = True,
) -> tuple[Callable[[Key], tuple[Episode, Key]], Callable[[Episode, Key, jax.Array], Episode]]:
    """How one episode begins and goes on; arguments as in :func:`run_episodes`.

    Returns:
      ``begin(key) -> (episode, key of its steps)`` and ``step(episode, key of its steps, t) -> episode``,
      which leaves what is gathered as it is once the episode has ended.
    """
    env = agent.env

    def begin(key: Key) -> tuple[Episode, Key]:
        key_reset, key_steps = jax.random.split(key)
        obs, state = reset(env, key_reset, env_params)
        return Episode(obs, state, agent.carry(), jnp.ones((), bool), start(state)), key_steps

    def step(episode: Episode, key: Key, t: jax.Array) -> Episode:
        obs, state, carry, alive, gathered = episode
        key_act, key_step = jax.random.split(jax.random.fold_in(key, t))
        action, carry, _ = agent.act(policy, carry, obs, None if greedy else key_act)
        out = advance(env, key_step, state, action, env_params)
        new = see(gathered, Moment(state, action, out))
        gathered = jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, gathered)
        return Episode(out.obs, out.state, carry, alive & ~(out.terminated | out.truncated), gathered)

    return begin, step


def run_episodes(
    agent: Agent,
    policy: PyTree,
    key: Key,
    count: int,
    env_params: Any,
    start: Callable[[EnvState], PyTree],
    see: Callable[[PyTree, Moment], PyTree],
    *,
    greedy: bool = True,
) -> PyTree:
    """Run episodes to their ends and let each gather something on its way.

    The cost is that of the longest episode. Time limits are those of ``env_params``. The keys of step ``t``
    of an episode do not depend on how long it, or any other, lasts.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)``.
      key: typed PRNG key.
      count: how many episodes, side by side.
      env_params: the environment's parameters.
      start: ``start(first state) -> gathered``, for one episode.
      see: ``see(gathered, moment) -> gathered``, for one step of one episode that has not ended before it.
      greedy: act by the most likely action instead of sampling.

    Returns:
      What was gathered, leaves ``[count, ...]``.
    """
    if not agent.env.spec.pure:
        return _on_host(agent, policy, key, count, env_params, start, see, greedy)
    begin, step = episode_functions(agent, policy, env_params, start, see, greedy=greedy)
    running, keys = jax.vmap(begin)(jax.random.split(key, count))

    def body(x: tuple[Episode, jax.Array]) -> tuple[Episode, jax.Array]:
        running, t = x
        return jax.vmap(step, (0, 0, None))(running, keys, t), t + 1

    running, _ = jax.lax.while_loop(lambda x: x[0].alive.any(), body, (running, jnp.zeros((), jnp.int32)))
    return running.gathered


def _on_host(
    agent: Agent,
    policy: PyTree,
    key: Key,
    count: int,
    env_params: Any,
    start: Callable[[EnvState], PyTree],
    see: Callable[[PyTree, Moment], PyTree],
    greedy: bool,
) -> PyTree:
    """:func:`run_episodes` of an environment on the host: what is stepped is the batch.

    Loops that call the host must end together under ``vmap``: this one always has ``max_steps`` turns, and
    the host rests when all episodes are over.
    """
    run = source(agent.env)

    def act(carry: PyTree, obs: jax.Array, key: Key) -> tuple[jax.Array, PyTree]:
        return agent.act(policy, carry, obs, None if greedy else key)[:2]

    def gather(gathered: PyTree, alive: jax.Array, moment: Moment) -> PyTree:
        return jax.tree.map(lambda a, b: jnp.where(alive, a, b), see(gathered, moment), gathered)

    def body(t: jax.Array, loop: tuple[Episode, PyTree]) -> tuple[Episode, PyTree]:
        (obs, state, carry, alive, gathered), world = loop
        keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, t)))(key_steps)
        action, carry = jax.vmap(act)(carry, obs, keys[:, 0])
        out, world = run.advance(world, keys[:, 1], state, action, env_params, alive.any())
        gathered = jax.vmap(gather)(gathered, alive, Moment(state, action, out))
        alive = alive & ~(out.terminated | out.truncated)
        return Episode(out.obs, out.state, carry, alive, gathered), world

    key_reset, key_steps = jnp.moveaxis(jax.vmap(jax.random.split)(jax.random.split(key, count)), 1, 0)
    obs, state, world = run.begin(key_reset, env_params)
    carry, alive = side_by_side(agent.carry(), count), jnp.ones(count, bool)
    running = Episode(obs, state, carry, alive, jax.vmap(start)(state))
    running, world = jax.lax.fori_loop(0, run.spec.max_steps, body, (running, world))
    run.end(world)
    return running.gathered
