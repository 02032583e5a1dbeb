"""Whole episodes end when they end: by the limit of the parameters, and no later than the last one."""

import jax
import jax.numpy as jnp
import numpy as np
from probe_envs import Probe, problem
from small import Restless, jit

from rlkit.agents import PPOConfig, evaluate, ppo
from rlkit.agents.episodes import run_episodes
from rlkit.experiment.reports.animation import record


def agent_of(limit=500):
    agent = ppo(Restless(), PPOConfig(num_envs=2, num_steps=4, minibatches=1, sizes=(8,)))
    params = Restless().default_params()._replace(max_steps=jnp.int32(limit))
    return agent, agent.policy(jit(agent.init)(jax.random.key(0))), params


def test_the_limit_of_the_parameters_may_exceed_the_specification():
    agent = ppo(Probe(), PPOConfig(num_envs=2, num_steps=4, minibatches=1, sizes=(8,)))
    policy = agent.policy(jit(agent.init)(jax.random.key(0)))
    assert agent.env.spec.max_steps == 100
    run = lambda limit: evaluate(
        agent, policy, jax.random.key(1), 2, env_params=problem(length=1000, max_steps=limit)
    )
    found = jit(jax.vmap(run))(jnp.int32([3, 100, 250]))
    assert found.length.tolist() == [[3, 3], [100, 100], [250, 250]]
    assert found.fitness.tolist() == [[2.0, 2.0], [50.5, 50.5], [125.5, 125.5]]  # mean of the steps taken


def test_no_step_is_taken_after_the_last_episode_has_ended():
    agent, policy, params = agent_of(40)
    taken = []

    def see(count, moment):
        jax.debug.callback(lambda t: taken.append(int(t)), moment.before.t)
        return count + 1

    run = lambda key: run_episodes(agent, policy, key, 3, params, lambda s: jnp.int32(0), see)
    lengths = jit(run)(jax.random.key(2))
    jax.effects_barrier()
    assert max(taken) + 1 == int(lengths.max()) < 40
    assert len(taken) == 3 * int(lengths.max())


def test_recorded_states_are_those_of_the_judged_episodes():
    agent, policy, params = agent_of(30)
    key = jax.random.key(3)
    states, lengths = record(agent, policy, key, 4, env_params=params)
    found = jit(lambda: evaluate(agent, policy, key, 4, env_params=params))()
    np.testing.assert_array_equal(lengths, found.length)
    assert states.physics.shape[:2] == (4, lengths.max() + 1)
    seen = np.abs(states.physics[..., 0]) > 0.12  # what Restless calls a success
    for i, length in enumerate(lengths):
        assert seen[i, 1 : length + 1].any() == bool(found.success[i])
