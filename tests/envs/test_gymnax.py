"""Environments of gymnax, whatever its version, against gymnax itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make, reset, step
from rlkit.errors import MissingExtraError, UnknownNameError
from rlkit.spaces import Box, Discrete

try:
    import gymnax
except ImportError:
    gymnax = None

needs_gymnax = pytest.mark.skipif(gymnax is None, reason="gymnax is not installed")
NAMES = ("CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Catch-bsuite", "Breakout-MinAtar")
STEPS = 60


@needs_gymnax
@pytest.mark.parametrize("name", NAMES)
def test_steps_are_those_of_gymnax(name):
    env, (native, params) = make(f"gymnax/{name}"), gymnax.make(name)
    space = env.spec.action_space
    assert isinstance(space, Discrete if hasattr(native.action_space(params), "n") else Box)

    begin, keys = jax.random.key(3), jax.random.split(jax.random.key(4), STEPS)
    actions = jax.vmap(space.sample)(keys)

    @jax.jit
    def ours(params):
        def body(state, x):
            state = env.transition(x[0], state, x[1], params)
            return state, (state.obs, state.reward, state.terminated)

        start = env.initial(begin, params)
        return start.obs, jax.lax.scan(body, start, (keys, actions))[1]

    @jax.jit
    def theirs(params):
        def body(state, x):
            obs, state, reward, *_ = native.step_env(x[0], state, x[1], params)
            return jax.tree.map(lambda new, old: new.astype(old.dtype), state, start), (obs, reward)

        obs, start = native.reset_env(begin, params)
        start = jax.tree.map(jnp.asarray, start)
        return obs, jax.lax.scan(body, start, (keys, actions))[1]

    first, (seen, rewards, terminated) = ours(env.default_params())
    assert seen.shape[1:] == env.spec.observation_space.shape
    expected_first, (expected, expected_rewards) = theirs(params)
    np.testing.assert_allclose(first, expected_first, rtol=1e-6)
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rewards, expected_rewards, rtol=1e-5, atol=1e-5)
    assert terminated.dtype == bool


@needs_gymnax
def test_the_time_limit_truncates_and_does_not_terminate():
    env = make("gymnax/Pendulum-v1")
    assert env.spec.max_steps == 200
    params = env.default_params()._replace(max_steps=jnp.int32(3))
    _, state = reset(env, jax.random.key(0), params)
    flags = []
    for t in range(3):
        out = step(env, jax.random.key(t), state, jnp.zeros((1,)), params)
        state = out.state
        flags.append((bool(out.terminated), bool(out.truncated)))
    assert flags == [(False, False), (False, False), (False, True)]


@needs_gymnax
def test_failure_terminates():
    env = make("gymnax/CartPole-v1")
    params = env.default_params()
    _, state = reset(env, jax.random.key(0), params)
    for t in range(30):
        out = step(env, jax.random.key(t), state, jnp.int32(1), params)
        state = out.state
        if out.terminated:
            break
    assert out.terminated
    assert not out.truncated
    assert float(env.fitness(state.inner, params)) == t + 1


@needs_gymnax
@pytest.mark.parametrize("name", ["CartPole-v1", "Breakout-MinAtar"])
def test_states_keep_their_types_and_ppo_learns_from_them(name):
    env = make(f"gymnax/{name}")
    params = env.default_params()
    _, state = jax.eval_shape(lambda k: reset(env, k, params), jax.random.key(0))
    action = jax.eval_shape(env.spec.action_space.sample, jax.random.key(0))
    after = jax.eval_shape(lambda s, a: step(env, jax.random.key(0), s, a, params).state, state, action)
    assert state == after
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
    agent = ppo(env, dataclasses.replace(PPOConfig(), num_envs=4, num_steps=8))
    _, metrics = jax.jit(agent.step)(jax.jit(agent.init)(jax.random.key(0)))
    assert np.isfinite(metrics["loss/value"])
    picture = env.render(env.initial(jax.random.key(0), params), params, 32)
    assert picture.shape == (32, 32, 3)
    assert picture.dtype == np.uint8


@needs_gymnax
def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'CartPole-v1'"):
        make("gymnax/Cartpole-v1")


@pytest.mark.skipif(gymnax is not None, reason="gymnax is installed")
def test_a_missing_gymnax_is_named():
    with pytest.raises(MissingExtraError, match=r"rlkit-jax\[gymnax\]"):
        make("gymnax/CartPole-v1")
