"""Resetting and stepping one environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import Counter, CounterParams

from rlkit.envs import advance, reset, step

ENV = Counter()


def test_reset_starts_at_time_zero_with_the_first_observation():
    obs, state = reset(ENV, jax.random.key(3), ENV.default_params())
    assert int(state.t) == 0
    np.testing.assert_array_equal(obs, [state.inner.episode, 0])


def test_keys_are_split_in_the_documented_order():
    key = jax.random.key(5)
    _, state = reset(ENV, key, ENV.default_params())
    expected = ENV.initial(jax.random.split(key)[0], ENV.default_params())
    assert int(state.inner.episode) == int(expected.episode)


@pytest.mark.parametrize(
    ("end", "limit", "flags"),
    [(5, 5, (False, False)), (1, 5, (True, False)), (5, 1, (False, True)), (1, 1, (True, True))],
)
def test_termination_and_time_limit_are_told_apart(end, limit, flags):
    params = CounterParams(jnp.int32(limit), jnp.int32(end))
    _, state = reset(ENV, jax.random.key(0), params)
    out = step(ENV, jax.random.key(1), state, jnp.int32(0), params)
    assert (bool(out.terminated), bool(out.truncated)) == flags
    assert bool(out.success) == flags[0]
    assert int(out.state.t) == 1


def test_step_does_not_reset_and_pays_terms_that_sum_to_the_reward():
    params = CounterParams(jnp.int32(1), jnp.int32(1))
    _, state = reset(ENV, jax.random.key(0), params)
    for count in (1, 2, 3):
        out = step(ENV, jax.random.key(count), state, jnp.int32(1), params)
        np.testing.assert_array_equal(out.obs, [state.inner.episode, count])
        assert float(out.reward) == 100 + count == sum(float(term) for term in out.terms.values())
        assert int(out.features["count"]) == count
        state = out.state


def test_advance_is_step_without_pay():
    params = ENV.default_params()
    _, state = reset(ENV, jax.random.key(0), params)
    paid = step(ENV, jax.random.key(1), state, jnp.int32(1), params)
    plain = advance(ENV, jax.random.key(1), state, jnp.int32(1), params)
    for name in plain._fields:
        a, b = getattr(plain, name), getattr(paid, name)
        jax.tree.map(np.testing.assert_array_equal, a, b)
