"""The pendulum against Gymnasium's."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, rollout, start
from rlkit.envs.pendulum import Params, State

ENV = make("classic/pendulum")
PARAMS = ENV.default_params()


def _step(params):
    def step(physics, action):
        state = State(physics, jnp.zeros((), jnp.int32))
        new = ENV.transition(jax.random.key(0), state, action, params)
        reward, _ = ENV.task_reward(ENV.features(state, params), action, ENV.features(new, params), params)
        return new.physics, ENV.observe(jax.random.key(0), new, params), reward

    return step


@pytest.fixture(scope="module")
def recorded():
    """20 episodes of 200 steps: states, actions, observations and rewards of Gymnasium's."""
    oracle = gymnasium.make("Pendulum-v1").unwrapped
    rng = np.random.default_rng(0)
    states, actions, observations, rewards = [], [], [], []
    for seed in range(20):
        oracle.reset(seed=seed)
        for _ in range(200):
            states.append(oracle.state.copy())
            actions.append(rng.uniform(-2.5, 2.5, 1).astype(np.float32))  # beyond the limit too
            obs, reward, *_ = oracle.step(actions[-1])
            observations.append(obs)
            rewards.append(reward)
    return tuple(np.array(column) for column in (states, actions, observations, rewards))


def test_equals_gymnasium_step_by_step(recorded):
    states, actions, observations, rewards = recorded
    step = jax.jit(jax.vmap(_step(PARAMS)))
    _, obs, reward = step(jnp.asarray(states, jnp.float32), jnp.asarray(actions))
    assert np.abs(obs - observations).max() <= 5e-6
    assert np.abs(reward - rewards).max() <= 5e-5
    assert reward.dtype == jnp.float32


def test_equals_gymnasium_in_double_precision_without_correction(recorded, x64):
    states, actions, observations, _ = (x.reshape(20, 200, -1) for x in recorded)
    exact = Params(jnp.int32(200), *(jnp.float64(v) for v in (10.0, 1.0, 1.0, 2.0, 8.0, 0.05)))
    step = _step(exact)

    def run(physics, actions):
        return jax.lax.scan(lambda p, a: step(p, a)[:2], physics, actions)[1]

    obs = jax.jit(jax.vmap(run))(jnp.asarray(states[:, 0]), jnp.asarray(actions, jnp.float64))
    assert obs.dtype == jnp.float64
    assert np.abs(obs - observations).max() <= 1e-3


def test_spaces_and_limit_are_gymnasiums():
    oracle = gymnasium.make("Pendulum-v1")
    for ours, theirs in [
        (ENV.spec.observation_space, oracle.observation_space),
        (ENV.spec.action_space, oracle.action_space),
    ]:
        np.testing.assert_array_equal(ours.bounds()[0], theirs.low)
        np.testing.assert_array_equal(ours.bounds()[1], theirs.high)
    assert ENV.spec.max_steps == oracle.spec.max_episode_steps


def test_starts_are_uniform_in_gymnasiums_range():
    states = jax.vmap(lambda k: ENV.initial(k, PARAMS).physics)(jax.random.split(jax.random.key(0), 4000))
    assert (jnp.abs(states).max(0) <= jnp.array([np.pi, 1.0])).all()
    np.testing.assert_allclose(states.std(0), np.array([np.pi, 1.0]) / np.sqrt(3), rtol=0.04)


def test_success_needs_twenty_upright_steps_in_a_row():
    # Held exactly upright: without torque it stays there. A kick at step 10 starts the count anew.
    act = lambda carry, obs, first, push: (push[None, None], carry, {})

    @jax.jit
    def run(pushes):
        slots = start(ENV, jax.random.key(0), PARAMS, 1)
        upright = slots.row.state._replace(inner=State(jnp.zeros((1, 2)), jnp.zeros((1,), jnp.int32)))
        slots = slots.with_row(slots.row._replace(state=upright))
        return rollout(ENV, act, (), slots, jax.random.key(0), PARAMS, 40, inputs=pushes)[2].transition

    still = run(jnp.zeros(40))
    np.testing.assert_array_equal(still.success[:, 0], np.arange(1, 41) >= 20)
    assert not np.asarray(still.terminated).any()
    disturbed = run(jnp.zeros(40).at[10:14].set(2.0))
    assert int(disturbed.next_features["upright_steps"][20:, 0].max()) < 20
    assert not np.asarray(disturbed.success).any()
