"""Judging and observing a trained policy: fresh episodes, and probe rollouts that record latents."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs import AutoReset, advance, reset, rollout, start
from rlkit.envs.core import features, task_reward
from rlkit.errors import check_count
from rlkit.keys import typed_key
from rlkit.reads import AGENT_LATENT, example_transition, reward_reads, with_latent
from rlkit.rewards import init_slots, relabel
from rlkit.types import Agent, Key, PyTree, Trajectory


class Evaluation(NamedTuple):
    """Outcome of each episode, leaves ``[episodes]``."""

    returned: jax.Array  # float32: undiscounted sum of the environment's own reward
    length: jax.Array  # int32: steps
    success: jax.Array  # bool: the sparse task signal was seen
    fitness: jax.Array  # float32: the environment's fitness, reduced as its specification says


def evaluate(
    agent: Agent, policy: PyTree, key: Key, episodes: int = 64, *, env_params: Any = None, greedy: bool = True
) -> Evaluation:
    """Run whole fresh episodes and judge them by the environment's own signals, never by the reward paid.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)``.
      key: typed PRNG key.
      episodes: how many, side by side.
      env_params: the environment's parameters; None takes the default ones.
      greedy: act by the most likely action instead of sampling.

    Returns:
      The outcomes. Episodes run for at most ``env.spec.max_steps`` steps.
    """
    key, episodes, env = typed_key(key), check_count("episodes", episodes), agent.env
    params = env.default_params() if env_params is None else env_params
    reduce = env.spec.fitness_over

    def episode(key: Key) -> Evaluation:
        key_reset, key_steps = jax.random.split(key)
        obs, state = reset(env, key_reset, params)
        totals = Evaluation(*(jnp.zeros((), d) for d in (jnp.float32, jnp.int32, bool, jnp.float32)))

        def body(loop, key):
            obs, state, carry, alive, totals = loop
            key_act, key_step = jax.random.split(key)
            action, carry, _ = agent.act(policy, carry, obs, None if greedy else key_act)
            out = advance(env, key_step, state, action, params)
            before, after = (features(env, s.inner, params) for s in (state, out.state))
            reward, _ = task_reward(env, before, action, after, params)
            fitness = jnp.asarray(env.fitness(out.state.inner, params), jnp.float32)
            reduced = {
                "mean": totals.fitness + fitness,
                "final": fitness,
                "max": jnp.where(totals.length == 0, fitness, jnp.maximum(totals.fitness, fitness)),
            }[reduce]
            new = Evaluation(
                totals.returned + reward, totals.length + 1, totals.success | out.success, reduced
            )
            totals = jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, totals)
            return (out.obs, out.state, carry, alive & ~(out.terminated | out.truncated), totals), None

        loop = (obs, state, agent.carry(), jnp.ones((), bool), totals)
        (*_, totals), _ = jax.lax.scan(body, loop, jax.random.split(key_steps, env.spec.max_steps))
        if reduce == "mean":
            totals = totals._replace(fitness=totals.fitness / totals.length)
        return totals

    return jax.vmap(episode)(jax.random.split(key, episodes))


def probe(
    agent: Agent,
    policy: PyTree,
    key: Key,
    num_steps: int,
    num_envs: int = 1,
    *,
    env_params: Any = None,
    greedy: bool = False,
    auto_reset: AutoReset | None = None,
) -> Trajectory:
    """Record what a policy does and what happens inside it, without learning.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)``.
      key: typed PRNG key.
      num_steps: ``T``.
      num_envs: ``B``.
      env_params: the environment's parameters; None takes the default ones.
      greedy: act by the most likely action instead of sampling.
      auto_reset: reset strategy; None takes the environment's.

    Returns:
      A trajectory with leaves ``[T, B, ...]``, all features recorded, paid the agent's reward; its
      extras are ``"latent"`` ``[T, B, latent_dim]``, ``"value"`` and ``"log_prob"`` ``[T, B]``.
    """
    key, env = typed_key(key), agent.env
    params = env.default_params() if env_params is None else env_params
    key_start, key_act, key_rollout, key_reward = jax.random.split(key, 4)
    slots = start(env, key_start, params, num_envs, auto_reset=auto_reset)
    fresh = jax.tree.map(lambda m: jnp.broadcast_to(m, (num_envs, *m.shape)), agent.carry())

    def act(carry: PyTree, obs: jax.Array, first: jax.Array, keys: Key):
        carry = jax.tree.map(
            lambda new, old: jnp.where(first.reshape(-1, *[1] * (old.ndim - 1)), new, old), fresh, carry
        )
        if greedy:
            action, carry, info = jax.vmap(lambda c, o: agent.act(policy, c, o))(carry, obs)
        else:
            action, carry, info = jax.vmap(agent.act, (None, 0, 0, 0))(policy, carry, obs, keys)
        extras = info._asdict()
        return action, carry, extras | {"carry": carry} if offer else extras

    offer = _pays_latents(agent, policy)
    keys = jax.random.split(key_act, (num_steps, num_envs))
    _, _, trajectory = rollout(
        env, act, fresh, slots, key_rollout, params, num_steps, inputs=keys, auto_reset=auto_reset
    )
    if offer:
        trajectory = _offer_latents(agent, policy, trajectory)
    reward_state = init_slots(agent.reward, key_reward, num_envs)
    return relabel(agent.reward, reward_state, trajectory, axis_name="slots")[1]


def _pays_latents(agent: Agent, policy: PyTree) -> bool:
    """Whether the agent's reward reads the agent's latents."""
    obs = example_transition(agent.env.spec).obs
    info = jax.eval_shape(lambda p, o: agent.act(p, agent.carry(), o)[2], policy, obs)
    return AGENT_LATENT in reward_reads(agent.reward, with_latent(agent.env.spec, info.latent.shape[0]))


def _offer_latents(agent: Agent, policy: PyTree, trajectory: Trajectory) -> Trajectory:
    """The trajectory with the latents of every observation and its true successor as features."""
    seen, extras = trajectory.transition, dict(trajectory.extras)
    latent = lambda carry, obs: agent.act(policy, carry, obs)[2].latent
    after = jax.vmap(jax.vmap(latent))(extras.pop("carry"), seen.next_obs)
    seen = seen._replace(
        features=seen.features | {AGENT_LATENT: extras["latent"]},
        next_features=seen.next_features | {AGENT_LATENT: after},
    )
    return trajectory._replace(transition=seen, extras=extras)
