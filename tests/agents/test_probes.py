"""PPO finds the exact values and policies of the probe environments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_envs import DISCOUNT, PROBLEMS, Probe

from rlkit.agents import PPOConfig, ppo

CUES = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], np.float32)
MINUS, NONE, PLUS, LATER, LAST = range(5)
CONFIG = PPOConfig(
    learning_rate=0.01,
    discount=DISCOUNT,
    entropy_coef=0.0,
    decay_updates=150.0,
    num_envs=16,
    num_steps=16,
    sizes=(16,),
)


def solve(continuous, problems, config=CONFIG, updates=150, **static):
    """Policies trained on each of the problems, stacked, by one program."""
    agent = ppo(Probe(continuous), config.replace(**static))

    def learn(params, updates):
        state = agent.init(jax.random.key(0), None, params)
        return agent.policy(jax.lax.fori_loop(0, updates, lambda i, s: agent.step(s)[0], state))

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    return agent, jax.jit(jax.vmap(learn, (0, None)))(stacked, jnp.int32(updates))


@functools.cache
def solutions(continuous):
    """For each problem: values, greedy actions and their probabilities, ``[5]`` each, at the CUES."""
    agent, policies = solve(continuous, list(PROBLEMS.values()))

    def answer(policy, obs):
        action, _, info = agent.act(policy, agent.carry(), obs)
        return info.value, action.reshape(-1)[0], jnp.exp(info.log_prob)

    rows = jax.jit(jax.vmap(jax.vmap(answer, (None, 0)), (0, None)))(policies, CUES)
    return {name: tuple(np.asarray(row)[i] for row in rows) for i, name in enumerate(PROBLEMS)}


@pytest.fixture(params=[False, True], ids=["discrete", "continuous"])
def solved(request):
    return request.param, solutions(request.param)


def test_a_constant_value_is_learned(solved):
    value, _, _ = solved[1]["constant value"]
    assert value[NONE] == pytest.approx(1.0, abs=0.01)


def test_the_value_follows_the_observation(solved):
    value, _, _ = solved[1]["value of the observation"]
    np.testing.assert_allclose(value[[MINUS, PLUS]], [-1.0, 1.0], atol=0.02)


def test_a_reward_to_come_is_discounted_once(solved):
    value, _, _ = solved[1]["delayed reward"]
    np.testing.assert_allclose(value[[NONE, LATER]], [DISCOUNT, 1.0], atol=0.02)


def test_a_time_limit_does_not_end_the_future(solved):
    value, _, _ = solved[1]["time limit"]
    np.testing.assert_allclose(value[NONE], 1.0 / (1.0 - DISCOUNT), atol=0.04)


def expected_merit(mean, density, target):
    """Mean of ``1 - (clip(a) - target)^2`` for a Gaussian ``a`` with the given density at its mean."""
    sigma = 2.0 / (density * np.sqrt(2.0 * np.pi))  # the density is in the policy's units, of 2
    z = np.linspace(-8.0, 8.0, 4001)
    weight = np.exp(-0.5 * z**2)
    return np.average(1.0 - (np.clip(mean + sigma * z, -2.0, 2.0) - target) ** 2, weights=weight)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("value of the action", {NONE: 0.5}),
        ("value of action and observation", {MINUS: -0.5, PLUS: 0.5}),
    ],
)
def test_the_right_action_is_found_and_its_value_known(solved, name, targets):
    continuous, answers = solved
    value, action, density = answers[name]
    for row, target in targets.items():
        if continuous:
            assert action[row] == pytest.approx(target, abs=0.05)
            assert value[row] == pytest.approx(expected_merit(action[row], density[row], target), abs=0.05)
            assert value[row] > 0.5  # 1 - variance: the noise must have shrunk
        else:
            assert action[row] == (target > 0)
            assert density[row] > 0.95
            assert value[row] == pytest.approx(2.0 * density[row] - 1.0, abs=0.03)


def test_without_memory_a_cue_of_the_past_is_lost():
    value, _, _ = solutions(False)["memory"]
    assert abs(value[LAST]) < 0.4  # one action for both cues: right half of the time


@pytest.mark.slow
def test_memory_answers_a_cue_of_the_past():
    agent, policies = solve(False, [PROBLEMS["memory"]], torso="gru")

    def answer(policy, cue):
        carry = agent.carry()
        for clock in range(3):
            obs = jnp.stack([jnp.where(clock == 0, cue, 0.0), jnp.float32(clock)])
            action, carry, info = agent.act(policy, carry, obs)
        return action, info.value

    policy = jax.tree.map(lambda x: x[0], policies)
    action, value = jax.jit(jax.vmap(answer, (None, 0)))(policy, jnp.array([-1.0, 1.0]))
    np.testing.assert_array_equal(action, [0, 1])
    np.testing.assert_allclose(value, 1.0, atol=0.05)
