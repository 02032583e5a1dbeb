"""Parameters of an environment that are changed: read, fitted, and put where a state holds them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.design.curriculum import changed, now, read_stage, with_params
from rlkit.errors import UnknownNameError, UsageError


class Inner(NamedTuple):
    gravity: object = np.float32(10)
    goal: object = np.zeros(2, np.float32)


class Params(NamedTuple):
    max_steps: object = np.int32(200)
    inner: Inner = Inner()


class Held(NamedTuple):
    env_params: Params
    other: object


def test_values_take_the_types_of_what_they_replace() -> None:
    found = changed(Params(), {"max_steps": 50.0, "gravity": (3.0,), "goal": [1, 2]}, "here")
    assert (found.max_steps.dtype, int(found.max_steps)) == (jnp.int32, 50)
    assert (found.inner.gravity.shape, float(found.inner.gravity)) == ((), 3.0)
    assert found.inner.goal.tolist() == [1.0, 2.0]
    for wrong in ({"max_steps": 1.5}, {"goal": 1.0}, {"gravity": [1.0, 2.0]}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            changed(Params(), wrong, "here")
    with pytest.raises(UnknownNameError, match="gravity"):
        changed(Params(), {"max_steps": 1, "gravty": 1.0}, "here")
    with pytest.raises(UsageError, match="named tuple"):
        changed({}, {"gravity": 1.0}, "here")


def test_stages_end_at_their_share() -> None:
    stages = [read_stage("0.5:gravity=1"), read_stage("0.25:goal=1,2")]
    assert [float(now(Params(), stages, done).inner.gravity) for done in (0.0, 0.4, 0.5)] == [1, 1, 10]
    assert [now(Params(), stages, done).inner.goal.tolist() for done in (0.0, 0.25)] == [[1, 2], [0, 0]]
    assert now(Params(), stages, 0.9) == Params()


def test_a_state_goes_on_with_other_parameters() -> None:
    state = ({"a": Held(Params(), 5)}, 7)
    found = with_params(state, changed(Params(), {"gravity": 2.0}, "here"))
    assert float(found[0]["a"].env_params.inner.gravity) == 2.0
    assert (found[0]["a"].other, found[1]) == (5, 7)
    with pytest.raises(UsageError, match="does not hold"):
        with_params((1, 2), Params())
