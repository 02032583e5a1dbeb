"""DQN, PQN and SAC find the exact values and actions of the probe environments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import DISCOUNT, PROBLEMS, Probe

from rlkit.agents import DQNConfig, PQNConfig, SACConfig, dqn, pqn, sac

CUES = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], np.float32)
MINUS, NONE, PLUS, LATER, LAST = range(5)
EXPLORES = {"discount": DISCOUNT, "epsilon_start": 0.5, "epsilon_end": 0.5, "sizes": (16, 16)}
REPLAYS = {"num_envs": 16, "num_steps": 4, "batch_size": 64, "buffer_size": 3200, "learning_starts": 64}
AGENTS = {
    "dqn": (
        dqn,
        DQNConfig(
            learning_rate=3e-3, tau=0.1, target_every=1, updates_to_data=1 / 16, **EXPLORES, **REPLAYS
        ),
        400,
    ),
    "dqn, 3 steps": (
        dqn,
        DQNConfig(
            learning_rate=3e-3, tau=1.0, target_every=20, updates_to_data=1 / 16, n_step=3,
            **(EXPLORES | {"epsilon_start": 0.1, "epsilon_end": 0.1}), **REPLAYS,
        ),
        400,
    ),
    "pqn": (
        pqn,
        PQNConfig(
            learning_rate=1e-2, lambda_=0.5, num_envs=16, num_steps=16, minibatches=4, decay_updates=100.0,
            **EXPLORES,
        ),
        100,
    ),
    "sac": (
        sac,
        SACConfig(
            learning_rate=3e-3, discount=DISCOUNT, tau=0.1, temperature=1e-3, adapt_temperature=False,
            updates_to_data=1 / 16, sizes=(16, 16), **REPLAYS,
        ),
        400,
    ),
}  # fmt: skip


@functools.cache
def solutions(name):
    """For each problem: values and greedy actions at the CUES, ``[5]`` each."""
    make, config, updates = AGENTS[name]
    agent = make(Probe(make is sac), config)

    def learn(params, updates):
        state = agent.init(jax.random.key(0), None, params)
        return jax.lax.fori_loop(0, updates, lambda i, s: agent.step(s)[0], state)

    def answer(state, obs):
        action, _, info = agent.act(agent.policy(state), agent.carry(), obs)
        if make is not sac:
            return info.value, action
        critics, seen = agent.learn.args[0].critics, agent.learn.args[0].seen
        q = critics(state.learner.params.critics, obs, seen(action))
        return q.min(), action[0]

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *PROBLEMS.values())
    states = jax.jit(jax.vmap(learn, (0, None)))(stacked, jnp.int32(updates))
    rows = jax.jit(jax.vmap(jax.vmap(answer, (None, 0)), (0, None)))(states, CUES)
    return {name: tuple(np.asarray(row)[i] for row in rows) for i, name in enumerate(PROBLEMS)}


@pytest.mark.parametrize("name", AGENTS)
def test_values_and_actions_are_found(name):
    found = solutions(name)
    value = {problem: answer[0] for problem, answer in found.items()}
    action = {problem: answer[1] for problem, answer in found.items()}
    np.testing.assert_allclose(value["constant value"][NONE], 1.0, atol=0.02)
    np.testing.assert_allclose(value["value of the observation"][[MINUS, PLUS]], [-1.0, 1.0], atol=0.04)
    np.testing.assert_allclose(value["delayed reward"][[NONE, LATER]], [DISCOUNT, 1.0], atol=0.04)
    np.testing.assert_allclose(value["time limit"][NONE], 1.0 / (1.0 - DISCOUNT), atol=0.06)
    np.testing.assert_allclose(value["value of the action"][NONE], 1.0, atol=0.1)
    np.testing.assert_allclose(value["value of action and observation"][[MINUS, PLUS]], 1.0, atol=0.1)
    alone, both = (
        action["value of the action"][NONE],
        action["value of action and observation"][[MINUS, PLUS]],
    )
    if name == "sac":
        np.testing.assert_allclose([alone, *both], [0.5, -0.5, 0.5], atol=0.15)
    else:
        np.testing.assert_array_equal([alone, *both], [1, 0, 1])


@pytest.mark.slow
def test_memory_answers_a_cue_of_the_past():
    config = PQNConfig(
        learning_rate=3e-3, lambda_=0.9, num_envs=16, num_steps=16, minibatches=4, torso="gru",
        decay_updates=150.0, **EXPLORES,
    )  # fmt: skip
    agent = pqn(Probe(), config)

    def answers(updates, cues):
        state = agent.init(jax.random.key(0), None, PROBLEMS["memory"])
        policy = agent.policy(jax.lax.fori_loop(0, updates, lambda i, s: agent.step(s)[0], state))

        def answer(cue):
            carry = agent.carry()
            for clock in range(3):
                obs = jnp.stack([jnp.where(clock == 0, cue, 0.0), jnp.float32(clock)])
                action, carry, info = agent.act(policy, carry, obs)
            return action, info.value

        return jax.vmap(answer)(cues)

    action, value = jax.jit(answers)(jnp.int32(150), jnp.array([-1.0, 1.0]))
    np.testing.assert_array_equal(action, [0, 1])
    np.testing.assert_allclose(value, 1.0, atol=0.1)
