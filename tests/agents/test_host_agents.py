"""Agents run environments on the host as they run pure ones."""

import jax
import numpy as np
import pytest
from small import jit

from rlkit.agents import DQNConfig, PPOConfig, PQNConfig, SACConfig, dqn, ppo, pqn, sac
from rlkit.envs import make
from rlkit.replay import stored_steps

ON_POLICY = {"num_envs": 2, "num_steps": 4, "minibatches": 2, "sizes": (4,)}
REPLAY = {"num_envs": 2, "num_steps": 4, "batch_size": 4, "buffer_size": 32, "sizes": (4,)}
REPLAY |= {"updates_to_data": 0.25, "learning_starts": 8}
AGENTS = {
    "ppo": lambda: ppo(make("host:CartPole-v1"), PPOConfig(**ON_POLICY)),
    "pqn": lambda: pqn(make("host:CartPole-v1"), PQNConfig(**ON_POLICY)),
    "dqn": lambda: dqn(make("host:CartPole-v1"), DQNConfig(**REPLAY)),
    "sac": lambda: sac(make("host:Pendulum-v1"), SACConfig(**REPLAY)),
}


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_takes_them(name):
    agent = AGENTS[name]()
    state = jax.eval_shape(agent.init, jax.random.key(0))
    after, _ = jax.eval_shape(agent.step, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    agent.env.close()


def test_steps_of_the_host_are_stored_and_learned_from():
    agent = AGENTS["sac"]()
    state, step = jit(agent.init)(jax.random.key(0)), jit(agent.step)
    for _ in range(3):
        state, metrics = step(state)
    rows = stored_steps(state.buffer).transition
    np.testing.assert_array_equal(rows.obs[1:12], rows.next_obs[:11])  # one episode of 200 steps
    np.testing.assert_array_equal(rows.reward[:12], rows.next_features["native_reward"][:12])
    assert np.isfinite(float(metrics["loss/critic"]))
    agent.env.close()
