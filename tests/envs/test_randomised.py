"""Parameters that are drawn anew in every episode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make
from rlkit.envs.check import check_environment
from rlkit.envs.randomised import randomised
from rlkit.errors import UnknownNameError, UsageError

PENDULUM = make("classic/pendulum")
ENV = randomised(PENDULUM, {"length": (0.5, 2.0), "mass": (1.0, 3.0)})


def test_parameters_differ_between_episodes_and_not_within_one() -> None:
    params, keys = ENV.default_params(), jax.random.split(jax.random.key(0), 2000)
    states = jax.vmap(ENV.initial, (0, None))(keys, params)
    length, mass = np.asarray(states.memory["length"]), np.asarray(states.memory["mass"])
    assert 0.5 <= length.min() < 0.51 < 1.99 < length.max() <= 2.0
    assert abs(mass.mean() - 2.0) < 4 * (2 / 12**0.5) / 2000**0.5
    assert abs(np.corrcoef(length, mass)[0, 1]) < 4 / 2000**0.5
    one = jax.tree.map(lambda x: x[0], states)
    action = jnp.array([1.5])
    after = ENV.transition(keys[0], one, action, params)
    own = params._replace(length=one.memory["length"], mass=one.memory["mass"])
    plain = PENDULUM.transition(keys[0], one.inner, action, own)
    jax.tree.map(np.testing.assert_array_equal, after.inner, plain)
    assert after.memory == one.memory
    moved = PENDULUM.transition(keys[0], one.inner, action, params)
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(moved, plain, strict=True))


@pytest.mark.slow
def test_it_is_an_environment() -> None:
    check_environment(ENV)


@pytest.mark.parametrize(
    ("ranges", "error", "words"),
    [
        ({}, UsageError, "gravity"),
        ({"lenght": (0.5, 2.0)}, UnknownNameError, "length"),
        ({"max_steps": (10, 20)}, UsageError, "floating-point"),
        ({"length": (2.0, 0.5)}, UsageError, "smaller first"),
        ({"length": (1.0, float("nan"))}, UsageError, "smaller first"),
    ],
)
def test_bad_ranges_are_refused(ranges, error, words) -> None:
    with pytest.raises(error, match=words):
        randomised(PENDULUM, ranges)
