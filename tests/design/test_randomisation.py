"""How far parameters may go for a trained policy, and designs with parameters that differ by episode."""

import math

import jax
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.design.config import DesignConfig
from rlkit.design.randomisation import feasible
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError


@pytest.fixture(scope="module")
def untrained():
    agent = ppo(make("classic/pendulum"), PPOConfig(num_envs=1, num_steps=8, minibatches=1, sizes=(4,)))
    return agent, agent.init(jax.random.key(0))


def test_bounds_are_the_ends_of_what_passes(untrained) -> None:
    """Length of episodes is known: the time limit."""
    tried = {"max_steps": [5, 20, 10], "gravity": [1.0, 20.0]}
    found = feasible(*untrained, jax.random.key(1), tried, passes=10.0, curve="length", episodes=2)
    assert found["max_steps"] == (10.0, 20.0, (5.0, 20.0, 10.0), (5.0, 20.0, 10.0))
    assert found["gravity"].scores == (200.0, 200.0)
    found = feasible(
        *untrained, jax.random.key(1), {"max_steps": [5, 20, 10], "gravity": [1.0, 2.0]},
        passes=500.0, curve="length", episodes=2,
    )  # fmt: skip
    assert all(math.isnan(bounds.low) and math.isnan(bounds.high) for bounds in found.values())


def test_what_cannot_be_tried_is_refused(untrained) -> None:
    with pytest.raises(UnknownNameError, match="length"):
        feasible(*untrained, jax.random.key(1), {"lenght": [1.0]})
    with pytest.raises(UsageError, match="values"):
        feasible(*untrained, jax.random.key(1), {"length": []})
    with pytest.raises(UnknownNameError, match="success"):
        feasible(*untrained, jax.random.key(1), {"length": [1.0]}, curve="sucess")


def test_a_design_may_randomise_its_environment() -> None:
    task = DesignConfig(randomise=("length=0.5:2",)).task()
    assert task.env.spec.id == "classic/pendulum+randomised"
    state = task.env.initial(jax.random.key(0), task.params)
    assert 0.5 <= float(state.memory["length"]) <= 2.0
    with pytest.raises(UsageError, match="NAME=LOW:HIGH"):
        DesignConfig(randomise=("length=0.5",))
    with pytest.raises(UnknownNameError, match="length"):
        DesignConfig(randomise=("lenght=0.5:2",)).task()
