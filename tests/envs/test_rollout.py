"""A rollout is the loop that one would write by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import Off, make, rollout, start
from rlkit.envs.core import advance_with, reset_with
from rlkit.errors import UnknownNameError

ENV = make("classic/cartpole")
STEPS, SLOTS = 60, 3


def _policy(carry, obs, first, noise):
    action = (noise + obs[:, 2] > 0).astype(jnp.int32)
    return action, carry + 1, {"noise": noise}


@pytest.fixture(scope="module")
def run():
    params = ENV.default_params()._replace(max_steps=jnp.int32(17))
    key = jax.random.key(4)
    noise = jax.random.normal(jax.random.key(5), (STEPS, SLOTS))

    @jax.jit
    def whole():
        slots = start(ENV, jax.random.key(6), params, SLOTS)
        return slots, *rollout(ENV, _policy, jnp.int32(0), slots, key, params, STEPS, inputs=noise)

    @jax.jit
    def halves():
        slots = start(ENV, jax.random.key(6), params, SLOTS, record=())
        out = []
        carry = jnp.int32(0)
        for k, x in zip(jax.random.split(key), (noise[:30], noise[30:]), strict=True):
            slots, carry, trajectory = rollout(
                ENV, _policy, carry, slots, k, params, STEPS // 2, inputs=x, record=()
            )
            out.append(trajectory)
        return out

    return params, key, noise, whole(), halves()


def test_equals_a_hand_written_loop(run):
    params, key, noise, (slots, after, carry, trajectory), _ = run
    keys = jax.random.split(key, (STEPS, SLOTS, 4))
    advance = jax.jit(lambda k, s, a: advance_with(ENV, k, s, a, params))
    restart = jax.jit(lambda k: reset_with(ENV, k, params))
    assert int(carry) == STEPS
    t = trajectory.transition
    ends = 0
    for b in range(SLOTS):
        state = jax.tree.map(lambda x: x[b], slots.row.state)  # noqa: B023
        obs, first = slots.row.obs[b], True
        for i in range(STEPS):
            row = jax.tree.map(lambda x: x[i, b], t)  # noqa: B023
            np.testing.assert_allclose(row.obs, obs, rtol=1e-6, atol=1e-6)
            assert bool(row.first) == first
            action = int(noise[i, b] + obs[2] > 0)
            assert int(row.action) == action
            out = advance(keys[i, b, :2], state, jnp.int32(action))
            np.testing.assert_allclose(row.next_obs, out.obs, rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(row.next_features["pole_angle"], out.obs[2], rtol=1e-6, atol=1e-6)
            assert bool(row.terminated) == bool(out.terminated)
            assert bool(row.truncated) == bool(out.truncated)
            assert float(row.reward) == 1.0
            first = bool(row.done)
            ends += first
            obs, state = restart(keys[i, b, 2:]) if first else (out.obs, out.state)
        np.testing.assert_allclose(after.row.obs[b], obs, rtol=1e-6, atol=1e-6)
        assert bool(after.first[b]) == first
    assert ends >= SLOTS * (STEPS // 17)


def test_pays_the_environments_reward_and_reports_what_the_policy_said(run):
    _, _, noise, (_, _, _, trajectory), _ = run
    np.testing.assert_array_equal(trajectory.extras["noise"], noise)
    np.testing.assert_array_equal(trajectory.reward, trajectory.transition.reward)
    np.testing.assert_array_equal(trajectory.terms["alive"], trajectory.reward)


def test_rollouts_continue_where_the_last_one_stopped(run):
    _, _, _, _, (one, two) = run
    last, begin = one.transition, two.transition
    goes_on = ~np.asarray(last.done[-1])
    np.testing.assert_array_equal(begin.first[0], ~goes_on)
    np.testing.assert_array_equal(begin.obs[0][goes_on], last.next_obs[-1][goes_on])


def test_only_the_features_asked_for_are_recorded(run):
    _, _, _, (_, _, _, everything), (nothing, _) = run
    assert nothing.transition.features == {}  # cart-pole's own reward reads none
    assert set(everything.transition.features) == {spec.name for spec in ENV.spec.features}


def test_features_that_the_task_reward_reads_are_recorded_always():
    env = make("classic/pendulum")

    def run():
        slots = start(env, jax.random.key(0), env.default_params(), 2, record=("height",))
        act = lambda carry, obs, first, _: (jnp.zeros((2, 1)), carry, {})
        return rollout(env, act, (), slots, jax.random.key(0), env.default_params(), 3, record=("height",))

    features = jax.eval_shape(run)[2].transition.next_features
    assert set(features) == {"angle", "velocity", "height"}


def test_an_unknown_feature_is_an_error_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'pole_angle'"):
        start(ENV, jax.random.key(0), ENV.default_params(), 2, record=("pole_angel",))


def test_off_continues_from_finished_states():
    env = make("classic/pendulum")
    params = env.default_params()._replace(max_steps=jnp.int32(2))
    act = lambda carry, obs, first, _: (jnp.zeros((2, 1)), carry, {})

    @jax.jit
    def run():
        slots = start(env, jax.random.key(0), params, 2, auto_reset=Off(), record=())
        return rollout(env, act, (), slots, jax.random.key(0), params, 6, auto_reset=Off(), record=())[2]

    t = run().transition
    np.testing.assert_array_equal(t.obs[1:], t.next_obs[:-1])
    np.testing.assert_array_equal(t.truncated[:, 0], np.arange(1, 7) >= 2)
    assert not np.asarray(t.first[1:]).any()
