import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit.errors import UnknownNameError, UsageError


def paid(reward, trajectory):
    state = rw.init_slots(reward, jax.random.key(0), trajectory.reward.shape[1])
    return np.asarray(rw.relabel(reward, state, trajectory)[1].reward, np.float64)


def closeness(fn):
    return lambda t: fn(np.asarray(t.next_features["distance"], np.float64) / 0.5)


ORACLES = {
    "task": (rw.task(), lambda t: np.full(t.reward.shape, -0.1)),
    "success": (rw.success(3.0), lambda t: 3.0 * t.success),
    "feature": (rw.feature("zone"), lambda t: np.floor(t.next_features["distance"])),
    "feature entry": (rw.feature("place", -1), lambda t: t.next_features["place"][..., 1]),
    "progress": (
        rw.progress("distance", 2.0),
        lambda t: 2.0 * (t.features["distance"] - t.next_features["distance"]),
    ),
    "limited progress": (
        rw.progress("distance", 2.0, limit=0.3),
        lambda t: np.clip(2.0 * (t.features["distance"] - t.next_features["distance"]), -0.3, 0.3),
    ),
    "linear": (rw.distance("distance", temperature=0.5), closeness(lambda x: -x)),
    "exp": (rw.distance("distance", "exp", 0.5), closeness(lambda x: np.exp(-x))),
    "tanh": (rw.distance("distance", "tanh", 0.5), closeness(lambda x: 1 - np.tanh(x))),
    "reciprocal": (rw.distance("distance", "reciprocal", 0.5), closeness(lambda x: 1 / (1 + x))),
    "reached": (rw.reached("distance", 1.5), lambda t: t.next_features["distance"] <= 1.5),
    "control_cost": (rw.control_cost(), lambda t: np.sum(np.square(t.action), -1)),
    "survival": (rw.survival(), lambda t: 1.0 - t.terminated),
    "time_penalty": (rw.time_penalty(), lambda t: np.full(t.reward.shape, -1.0)),
}


@pytest.mark.parametrize("case", ORACLES)
def test_value(case, line):
    reward, oracle = ORACLES[case]
    expected = np.asarray(oracle(line.transition), np.float64)
    assert case in ("task", "time_penalty") or np.ptp(expected) > 0
    np.testing.assert_allclose(paid(reward, line), expected, atol=2e-6)


def test_best_progress(line):
    seen, expected = line.transition, np.zeros(line.reward.shape)
    for slot in range(expected.shape[1]):
        for step in range(expected.shape[0]):
            if seen.first[step, slot]:
                best = float(seen.features["distance"][step, slot])
            after = float(seen.next_features["distance"][step, slot])
            expected[step, slot] = max(0.0, best - after)
            best = min(best, after)
    np.testing.assert_allclose(paid(rw.best_progress("distance"), line), expected, atol=1e-6)


def test_best_progress_in_the_middle_of_an_episode(one_step):
    """Without a first step, what came before counts from the first one seen."""
    reward = rw.best_progress("distance")
    state = reward.init(jax.random.key(0))
    values = []
    for before, after in [(3.0, 2.0), (2.0, 4.0), (4.0, 1.5)]:
        features, after = ({"distance": jnp.float32(d)} for d in (before, after))
        state, value, _ = reward.apply(state, one_step(features=features, next_features=after), reward.params)
        values.append(float(value))
    assert values == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: rw.success(float("inf")), r"scale=inf \(infinite in float32\): expected a finite number"),
        (lambda: rw.progress(""), "expected the name of a feature"),
        (lambda: rw.progress("distance", limit=0.0), "limit=0.0: expected a number greater than 0"),
        (lambda: rw.distance("distance", temperature=-1.0), "temperature=-1.0"),
        (lambda: rw.distance("distance", "expp"), "did you mean 'exp'"),
        (lambda: rw.feature("place", 0.5), "index=0.5: expected an integer"),
        (lambda: rw.clip(1.0, -1.0), "expected low < high"),
        (lambda: rw.normalise(1.5), "discount=1.5: expected a number between 0.0 and 1.0"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(UsageError, match=message):
        build()


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        (rw.progress("distnace"), UnknownNameError, "did you mean 'distance'"),
        (rw.feature("plcae", 0), UnknownNameError, "did you mean 'place'"),
        (rw.progress("place"), UsageError, r"'place' has shape \(2,\)"),
        (rw.feature("place", 2), UsageError, "it has 2 entries"),
    ],
)
def test_features_that_do_not_fit(reward, error, message, one_step):
    with pytest.raises(error, match=message):
        reward.apply((), one_step(), ())


def test_control_cost_of_discrete_actions(one_step):
    with pytest.raises(UsageError, match="continuous"):
        rw.control_cost().apply((), one_step(action=jnp.int32(1)), ())
