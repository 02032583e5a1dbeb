"""Cart-pole against Gymnasium's."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make
from rlkit.envs.cartpole import State

ENV = make("classic/cartpole")
PARAMS = ENV.default_params()


@pytest.fixture(scope="module")
def recorded():
    """States, actions, successors and flags of Gymnasium's environment under random actions."""
    oracle = gymnasium.make("CartPole-v1").unwrapped
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(30):
        obs, _ = oracle.reset(seed=seed)
        for _ in range(60):
            before = np.array(oracle.state, np.float32)
            oracle.state = tuple(before.astype(float))
            action = int(rng.integers(2))
            obs, reward, terminated, _, _ = oracle.step(action)
            rows.append((before, action, obs, terminated, reward))
            if terminated:
                break
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_steps_equal_gymnasiums(recorded):
    before, action, after, terminated, reward = recorded
    states = State(jnp.asarray(before), jnp.zeros(len(before), jnp.int32))

    @jax.jit
    @jax.vmap
    def step(state, action):
        new = ENV.transition(jax.random.key(0), state, action, PARAMS)
        pay, _ = ENV.task_reward({}, action, {}, PARAMS)
        return ENV.observe(jax.random.key(0), new, PARAMS), ENV.terminated(state, action, new, PARAMS), pay

    obs, ended, pay = step(states, jnp.asarray(action, jnp.int32))
    np.testing.assert_allclose(obs, after, atol=2e-6)
    clear = np.abs(np.abs(after[:, 2]) - 0.20943951) > 1e-5
    np.testing.assert_array_equal(np.asarray(ended)[clear], terminated[clear])
    np.testing.assert_array_equal(pay, reward)
    assert terminated.sum() == 30


def test_spaces_and_limit_are_gymnasiums():
    oracle = gymnasium.make("CartPole-v1")
    low, high = ENV.spec.observation_space.bounds()
    np.testing.assert_allclose(low, oracle.observation_space.low)
    np.testing.assert_allclose(high, oracle.observation_space.high)
    assert ENV.spec.action_space.n == oracle.action_space.n
    assert ENV.spec.max_steps == oracle.spec.max_episode_steps


def test_starts_are_uniform_in_gymnasiums_range():
    states = jax.vmap(lambda k: ENV.initial(k, PARAMS).physics)(jax.random.split(jax.random.key(0), 4000))
    assert float(jnp.abs(states).max()) <= 0.05
    np.testing.assert_allclose(states.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(states.std(0), 0.1 / np.sqrt(12), rtol=0.03)


def test_success_and_fitness_count_balanced_steps():
    state = State(jnp.zeros(4), jnp.int32(474))
    new = ENV.transition(jax.random.key(0), state, jnp.int32(0), PARAMS)
    assert bool(ENV.success(state, jnp.int32(0), new, PARAMS))
    assert not bool(ENV.success(state, jnp.int32(0), state, PARAMS))
    assert float(ENV.fitness(new, PARAMS)) == pytest.approx(475 / 500)
