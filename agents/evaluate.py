"""Judging and observing a trained policy: fresh episodes, and probe rollouts that record latents."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.agents.collecting import collector
from rlkit.agents.episodes import Moment, run_episodes
from rlkit.envs import AutoReset, source
from rlkit.envs.core import features, task_reward
from rlkit.errors import check_count
from rlkit.keys import typed_key
from rlkit.parameters import resolve
from rlkit.types import Agent, EnvState, Key, PyTree, Trajectory


class Evaluation(NamedTuple):
    """Outcome of each episode, leaves ``[episodes]``."""

    returned: jax.Array  # float32: undiscounted sum of the environment's own reward
    length: jax.Array  # int32: steps
    success: jax.Array  # bool: the sparse task signal was seen
    fitness: jax.Array  # float32: the environment's fitness, reduced as its specification says


def evaluate(
    agent: Agent,
    policy: PyTree,
    key: Key,
    episodes: int = 64,
    *,
    env_params: Any = None,
    greedy: bool = True,
) -> Evaluation:
    """Run whole fresh episodes and judge them by the environment's own signals, never by the reward paid.

    Args:
      agent: the agent.
      policy: ``agent.policy(state)``.
      key: typed PRNG key.
      episodes: how many, side by side; the cost is that of the longest one.
      env_params: the environment's parameters, with the time limit; None takes the default ones, and
        ``agent.settings(state).env_params`` are those that a state was trained with.
      greedy: act by the most likely action instead of sampling.

    Returns:
      The outcomes.

    Raises:
      UsageError: ``env_params`` do not fit the environment.
    """
    key, episodes, env = typed_key(key), check_count("episodes", episodes), agent.env
    params = resolve("env_params", env.default_params(), env_params)
    reduce = env.spec.fitness_over

    def start(state: EnvState) -> Evaluation:
        return Evaluation(*(jnp.zeros((), d) for d in (jnp.float32, jnp.int32, bool, jnp.float32)))

    def see(totals: Evaluation, moment: Moment) -> Evaluation:
        before, after = (features(env, s.inner, params) for s in (moment.before, moment.after.state))
        reward, _ = task_reward(env, before, moment.action, after, params)
        fitness = jnp.asarray(env.fitness(moment.after.state.inner, params), jnp.float32)
        reduced = {
            "mean": totals.fitness + fitness,
            "final": fitness,
            "max": jnp.where(totals.length == 0, fitness, jnp.maximum(totals.fitness, fitness)),
        }[reduce]
        success = totals.success | moment.after.success
        return Evaluation(totals.returned + reward, totals.length + 1, success, reduced)

    found: Evaluation = run_episodes(agent, policy, key, episodes, params, start, see, greedy=greedy)
    return found._replace(fitness=found.fitness / found.length) if reduce == "mean" else found


def probe(
    agent: Agent,
    policy: PyTree,
    key: Key,
    num_steps: int,
    num_envs: int = 1,
    *,
    env_params: Any = None,
    reward_params: PyTree = None,
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
      env_params: the environment's parameters; None takes the default ones. What a state was trained with
        is ``agent.settings(state)``.
      reward_params: the reward's parameters, likewise.
      greedy: act by the most likely action instead of sampling.
      auto_reset: reset strategy; None takes the environment's.

    Returns:
      A trajectory with leaves ``[T, B, ...]``, all features recorded, paid the agent's reward; its
      extras are ``"latent"`` ``[T, B, latent_dim]``, ``"value"`` and ``"log_prob"`` ``[T, B]``, and what
      else the agent offers.

    Raises:
      UsageError: parameters do not fit environment or reward.
    """
    key_start, key_act, key_rollout, key_reward = jax.random.split(typed_key(key), 4)
    collects = collector(
        agent.env, agent.reward, num_envs=num_envs, num_steps=num_steps, carry=agent.carry,
        offers=agent.offers, record=None, auto_reset=auto_reset,
    )  # fmt: skip
    drawn = {"start": jax.random.split(key_start, collects.draws["start"].shape), "reward": key_reward}
    experience = collects.init(drawn, env_params, reward_params)

    def behave(carry: PyTree, obs: jax.Array, keys: Key):
        one = lambda carry, obs, key: agent.act(policy, carry, obs, None if greedy else key)
        action, carry, info = jax.vmap(one)(carry, obs, keys)
        return action, carry, info.report()

    def foresee(carry: PyTree, obs: jax.Array) -> dict[str, jax.Array]:
        one = lambda carry, obs: agent.act(policy, carry, obs)[2].report()
        return jax.vmap(jax.vmap(one))(carry, obs)

    keys = jax.random.split(key_rollout, collects.steps.shape)
    inputs = jax.random.split(key_act, (num_steps, num_envs))
    experience, trajectory, _ = collects.collect(experience, behave, keys, inputs, foresee=foresee)
    source(agent.env).end(experience.slots)
    extras = {name: x for name, x in trajectory.extras.items() if name not in ("memory", "carry")}
    return trajectory._replace(extras=extras)
