"""Returns and advantages against NumPy in double precision, and against rlax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.returns import (
    discounted_returns,
    explained_variance,
    gae,
    lambda_returns,
    linear_recurrence,
    td_error,
)

T, B = 37, 5
DISCOUNT, LAMBDA = 0.97, 0.9


def _data(seed=0):
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, T, B))
    terminated = rng.random((T, B)) < 0.1
    truncated = rng.random((T, B)) < 0.1
    # Within an episode the next row's value is that of the successor.
    goes_on = ~(terminated | truncated)
    next_value[:-1] = np.where(goes_on[:-1], value[1:], next_value[:-1])
    return reward, value, next_value, terminated, terminated | truncated


def _single(*arrays):
    return [jnp.asarray(a, jnp.float32) if a.dtype == float else jnp.asarray(a) for a in arrays]


def _numpy_gae(reward, value, next_value, terminated, done):
    out, following = np.zeros_like(reward), np.zeros(reward.shape[1:])
    for t in reversed(range(len(reward))):
        delta = reward[t] + DISCOUNT * (1 - terminated[t]) * next_value[t] - value[t]
        following = delta + DISCOUNT * LAMBDA * (1 - done[t]) * following
        out[t] = following
    return out


def test_gae_equals_numpy_with_terminations_and_time_limits():
    reward, value, next_value, terminated, done = _data()
    ours = jax.jit(gae)(*_single(reward, value, next_value, terminated, done), DISCOUNT, LAMBDA)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, _numpy_gae(reward, value, next_value, terminated, done), atol=1e-5)


def test_gae_in_double_precision(x64):
    data = _data(1)
    ours = gae(*(jnp.asarray(x) for x in data), DISCOUNT, LAMBDA)
    assert ours.dtype == jnp.float64
    np.testing.assert_allclose(ours, _numpy_gae(*data), rtol=1e-12)


def test_advantage_plus_value_is_the_lambda_return():
    reward, value, next_value, terminated, done = _single(*_data(2))
    advantage = gae(reward, value, next_value, terminated, done, DISCOUNT, LAMBDA)
    returns = lambda_returns(reward, next_value, terminated, done, DISCOUNT, LAMBDA)
    np.testing.assert_allclose(advantage + value, returns, atol=1e-5)


def test_lambda_returns_of_extreme_lambdas():
    reward, _, next_value, terminated, done = _single(*_data(3))
    one_step = lambda_returns(reward, next_value, terminated, done, DISCOUNT, 0.0)
    bootstrap = DISCOUNT * jnp.where(terminated, 0, next_value)
    np.testing.assert_allclose(one_step, reward + bootstrap, atol=1e-6)
    # λ = 1: the discounted sum to the end of the episode, and the bootstrap there unless terminated
    cut = np.asarray(done).copy()
    cut[-1] = True
    whole = discounted_returns(reward + jnp.where(cut, bootstrap, 0), jnp.asarray(cut), DISCOUNT)
    np.testing.assert_allclose(
        lambda_returns(reward, next_value, terminated, done, DISCOUNT, 1.0), whole, atol=1e-5
    )


def test_discounted_returns_equal_numpy():
    reward, _, bootstrap, _, done = _data(4)
    expected, following = np.zeros_like(reward), bootstrap[0]
    for t in reversed(range(T)):
        following = reward[t] + DISCOUNT * (1 - done[t]) * following
        expected[t] = following
    ours = discounted_returns(*_single(reward, done), DISCOUNT, *_single(bootstrap[0]))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    sums = discounted_returns(jnp.ones((4,)), jnp.zeros((4,), bool), 1.0)
    np.testing.assert_array_equal(sums, [4, 3, 2, 1])


@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrence_solves_its_equation(reverse):
    rng = np.random.default_rng(5)
    x, c = rng.normal(size=(2, T, B)).astype(np.float32)
    initial = rng.normal(size=B).astype(np.float32)
    y = np.asarray(linear_recurrence(x, c, initial, reverse=reverse))
    before = np.concatenate([y[1:], initial[None]]) if reverse else np.concatenate([initial[None], y[:-1]])
    np.testing.assert_allclose(y, x + c * before, rtol=1e-5, atol=1e-5)
    scalar = linear_recurrence(jnp.ones((3,)), jnp.float32(0.5), jnp.float32(8.0))
    np.testing.assert_allclose(scalar, [5.0, 3.5, 2.75])


def test_time_limits_bootstrap_and_terminations_do_not():
    """A reward of 1 for ever is worth 1 / (1 - γ); an episode cut by a time limit does not change that."""
    gamma, limit = 0.99, 50
    reward, value = jnp.ones(200), jnp.full(200, 1 / (1 - gamma))
    ends = (jnp.arange(200) % limit) == limit - 1
    no = jnp.zeros(200, bool)
    truncated = gae(reward, value, value, no, ends, gamma, 0.95)
    np.testing.assert_allclose(truncated, 0, atol=1e-5)
    terminated = gae(reward, value, value, ends, ends, gamma, 0.95)
    np.testing.assert_allclose((terminated + value)[limit - 1 :: limit], 1.0, atol=1e-5)
    assert float(terminated[0]) < -1
    assert float(td_error(jnp.float32(1), value[0], value[0], jnp.array(True), gamma)) == pytest.approx(
        1 - 100
    )


def test_equal_rlax():
    rlax = pytest.importorskip("rlax")
    reward, value, next_value, terminated, _ = (x[:, 0] for x in _data(6))
    # rlax has one chain of values and folds the end of an episode into the discount: no time limits.
    end = terminated
    values = np.append(value, next_value[-1]).astype(np.float32)
    successors = values[1:]
    discounts = (DISCOUNT * ~end).astype(np.float32)
    theirs = rlax.truncated_generalized_advantage_estimation(
        reward.astype(np.float32), discounts, LAMBDA, values
    )
    ours = gae(*_single(reward, value), successors, jnp.asarray(end), jnp.asarray(end), DISCOUNT, LAMBDA)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    theirs = rlax.lambda_returns(reward.astype(np.float32), discounts, successors, LAMBDA)
    ours = lambda_returns(*_single(reward), successors, jnp.asarray(end), jnp.asarray(end), DISCOUNT, LAMBDA)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    last = np.zeros(T, np.float32)
    last[-1] = successors[-1]
    theirs = rlax.discounted_returns(reward.astype(np.float32), discounts, last)
    ours = discounted_returns(*_single(reward), jnp.asarray(end), DISCOUNT, successors[-1])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


FLAT, COLUMN = jnp.zeros(5), jnp.zeros((5, 1))
NO, INTS = jnp.zeros(5, bool), jnp.zeros(5, int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gae(FLAT, COLUMN, FLAT, NO, NO, 0.9, 0.9),
            r"gae: value has shape \(5, 1\); expected",
        ),
        (lambda: gae(FLAT, FLAT, COLUMN, NO, NO, 0.9, 0.9), "gae: next_value has shape"),
        (lambda: gae(COLUMN, FLAT, FLAT, NO, NO, 0.9, 0.9), r"value has shape \(5,\); expected \(5, 1\)"),
        (lambda: gae(FLAT, FLAT, FLAT, NO[:1], NO, 0.9, 0.9), "terminated has shape"),
        (lambda: gae(FLAT, FLAT, FLAT, NO, NO[:, None], 0.9, 0.9), "done has shape"),
        (lambda: gae(FLAT, FLAT, FLAT, FLAT, NO, 0.9, 0.9), "terminated is float32; expected bool"),
        (lambda: gae(INTS, FLAT, FLAT, NO, NO, 0.9, 0.9), "reward is int32; expected floats"),
        (lambda: gae(FLAT, FLAT, FLAT, NO, NO, FLAT, 0.9), "discount has shape .* expected a scalar"),
        (lambda: gae(FLAT[0], FLAT[0], FLAT[0], NO[0], NO[0], 0.9, 0.9), "reward is a scalar"),
        (lambda: td_error(FLAT, COLUMN, FLAT, NO, 0.9), "td_error: value"),
        (lambda: td_error(FLAT, FLAT, FLAT, INTS, 0.9), "terminated is int32"),
        (lambda: lambda_returns(FLAT, COLUMN, NO, NO, 0.9, 0.9), "lambda_returns: next_value"),
        (lambda: lambda_returns(FLAT, FLAT, NO, INTS, 0.9, 0.9), "done is int32"),
        (lambda: lambda_returns(FLAT, FLAT, NO, NO, 0.9, COLUMN), "lambda_ has shape"),
        (lambda: discounted_returns(INTS, NO, 0.9), "discounted_returns: reward is int32"),
        (lambda: discounted_returns(FLAT, NO[:, None], 0.9), "done has shape"),
        (lambda: discounted_returns(FLAT, NO, 0.9, FLAT), "bootstrap has shape"),
        (lambda: explained_variance(FLAT, COLUMN), "explained_variance: value"),
    ],
)
def test_shapes_that_would_broadcast_and_other_dtypes_are_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
