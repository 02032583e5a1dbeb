"""Targets and losses of value learning against rlax and plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit.q_learning import (
    action_value,
    double_q_value,
    last_of,
    linear_epsilon,
    n_step_return,
    soft_value,
    temperature_loss,
    track,
)

N, DISCOUNT = 200, 0.9


def stretches(n, seed=0):
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=(n, N)).astype(np.float32)
    terminated = rng.random((n, N)) < 0.2
    truncated = ~terminated & (rng.random((n, N)) < 0.2)
    value = rng.normal(size=(n, N)).astype(np.float32)
    return reward, terminated, terminated | truncated, value


@pytest.mark.parametrize("n", [1, 3, 5])
def test_n_step_returns_are_those_of_a_loop(n):
    reward, terminated, done, value = stretches(n)
    out = jax.jit(n_step_return)(reward, terminated, done, DISCOUNT)
    mine = out.reward + out.discount * last_of(jnp.asarray(value), out.last)
    wanted = np.zeros(N)
    for i in range(N):
        for k in range(n):
            wanted[i] += DISCOUNT**k * reward[k, i]
            if done[k, i] or k == n - 1:
                wanted[i] += 0.0 if terminated[k, i] else DISCOUNT ** (k + 1) * value[k, i]
                assert out.last[i] == k
                break
    np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
    assert len(set(out.last.tolist())) == n


def test_without_time_limits_n_step_returns_are_those_of_rlax():
    rlax = pytest.importorskip("rlax")
    reward, terminated, _, value = stretches(4, 1)
    out = n_step_return(reward, terminated, terminated, DISCOUNT)
    mine = out.reward + out.discount * last_of(jnp.asarray(value), out.last)
    theirs = jax.vmap(rlax.n_step_bootstrapped_returns, (1, 1, 1, None))(
        reward, DISCOUNT * (1.0 - terminated), value, 4
    )[:, 0]
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_double_q_errors_are_those_of_rlax():
    rlax = pytest.importorskip("rlax")
    keys = jax.random.split(jax.random.key(0), 5)
    q, target, selector = (jax.random.normal(key, (N, 3)) for key in keys[:3])
    action = jax.random.randint(keys[3], (N,), 0, 3)
    reward, discount = jax.random.normal(keys[4], (N,)), jnp.full(N, DISCOUNT)
    mine = reward + discount * double_q_value(selector, target) - action_value(q, action)
    theirs = jax.vmap(rlax.double_q_learning)(q, action, reward, discount, target, selector)
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(double_q_value(target, target), target.max(-1))


def test_soft_values_take_the_smallest_critic():
    q = jnp.array([[1.0, 5.0], [2.0, 3.0]])
    np.testing.assert_allclose(soft_value(q, jnp.array([-1.0, 2.0]), 0.5), [1.5, 2.0])


def test_the_temperature_falls_where_entropy_is_plenty():
    loss = lambda log_alpha, log_prob: temperature_loss(log_alpha, log_prob, -1.0).mean()
    log_prob = jnp.array([-2.0, -1.0])  # entropy about 1.5, wanted -1
    assert jax.grad(loss)(0.3, log_prob) == pytest.approx(np.exp(0.3) * 2.5)
    assert jax.grad(loss)(0.3, -log_prob) == pytest.approx(-np.exp(0.3) * 0.5)
    assert float(jnp.abs(jax.grad(loss, 1)(0.3, log_prob)).max()) == 0.0


def test_targets_follow_slowly_or_in_jumps():
    target, online = {"w": jnp.zeros(3)}, {"w": jnp.ones(3)}
    np.testing.assert_allclose(track(target, online, 0.1, jnp.int32(1))["w"], 0.1)
    jump = jax.jit(lambda update: track(target, online, 1.0, update, 4)["w"])
    moved = [float(jump(jnp.int32(i)).mean()) for i in range(1, 9)]
    assert moved == [0, 0, 0, 1, 0, 0, 0, 1]


def test_epsilon_falls_linearly_and_stays():
    steps = jnp.array([0, 50, 100, 1000], jnp.int32)
    mine = jax.jit(jax.vmap(linear_epsilon, (None, None, None, 0)))(1.0, 0.1, 100.0, steps)
    np.testing.assert_allclose(mine, [1.0, 0.55, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(mine, [optax.linear_schedule(1.0, 0.1, 100)(s) for s in steps], rtol=1e-6)
    assert linear_epsilon(1.0, 0.1, 0.0, jnp.int32(1)) == pytest.approx(0.1)
