"""Training on host environments: failures keep what was learned, interruptions resume with new episodes."""

import gymnasium
import jax
import numpy as np
import pytest
from toy_agent import same_alone

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import from_gymnasium
from rlkit.envs.host_batch import HostError
from rlkit.experiment.train import train


class _Fails(gymnasium.Env):
    """Ten steps an episode; fails for ever from step ``at`` of an instance on."""

    def __init__(self, at):
        self.at, self.steps = at, 0
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps >= self.at:
            raise ValueError("boom")
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 1.0, self.steps % 10 == 0, False, {}


def _agent(at):
    config = PPOConfig(num_envs=2, num_steps=8, sizes=(4,), minibatches=1, epochs=1)
    return ppo(from_gymnasium(lambda: _Fails(at)), config)


def _train(agent, updates, seeds=2):
    return train(agent, updates, seeds=seeds, progress=False, log_every=1, probes=0, chunk_length=2)


def test_a_failure_keeps_the_training_before_it():
    """Step 35 is in the fifth update of eight steps, the third chunk of two updates."""
    with pytest.raises(HostError, match="slot 0 failed in step: ValueError: boom") as error:
        _train(_agent(35), 20)
    assert error.value.update == 4
    same = _train(_agent(10**6), 4)
    for mine, theirs in zip(
        jax.tree.leaves(_agent(1).policy(error.value.state)),
        jax.tree.leaves(_agent(1).policy(same.state)),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_the_same_key_gives_the_same_training_for_any_number_of_seeds():
    two, again, one = _train(_agent(10**6), 4), _train(_agent(10**6), 4), _train(_agent(10**6), 4, seeds=1)
    for metric in ("loss/policy", "episode/length", "episode/return"):
        np.testing.assert_array_equal(two.curve(metric), again.curve(metric))
        same_alone(one.curve(metric), two.curve(metric)[:, :1])
