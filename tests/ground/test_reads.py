"""Which features a reward reads is found out by tracing it once."""

import jax
import jax.numpy as jnp
import pytest

from rlkit.envs import make
from rlkit.errors import UnknownNameError
from rlkit.reads import example_transition, reward_reads, task_reads
from rlkit.types import Reward

PENDULUM, MAZE = make("classic/pendulum"), make("nav/pointmaze-umaze")


def _reward(read, terms=lambda t: {}):
    return Reward(lambda key: (), lambda state, t, p: (state, read(t), terms(t)))


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (lambda t: t.reward, ()),
        (lambda t: t.features["angle"], ("angle",)),
        (lambda t: t.next_features["height"] - t.features["angle"], ("angle", "height")),
        (lambda t: t.features.get("height", 0.0), ("height",)),
        (lambda t: t.features.get("nothing", jnp.float32(0)), ()),
        (lambda t: sum(v.astype(float) for v in t.features.values()), None),
        (lambda t: sum(v.astype(float) for _, v in t.features.items()), None),
        (lambda t: sum(t.features[name].astype(float) for name in t.features), None),
        (lambda t: jnp.float32("height" in t.features), ()),
    ],
)
def test_every_way_of_reading_is_seen(read, names):
    everything = tuple(sorted(f.name for f in PENDULUM.spec.features))
    assert reward_reads(_reward(read), PENDULUM.spec) == (everything if names is None else names)


def test_terms_count_too():
    reward = _reward(lambda t: t.reward, lambda t: {"x": t.features["velocity"]})
    assert reward_reads(reward, PENDULUM.spec) == ("velocity",)


def test_task_rewards():
    assert task_reads(PENDULUM) == ("angle", "velocity")
    assert task_reads(MAZE) == ("at_goal",)
    assert task_reads(make("classic/cartpole")) == ()


def test_unknown_features_are_an_error_before_anything_compiles():
    with pytest.raises(UnknownNameError, match=r"unknown feature 'heigth' of classic/pendulum; did you mean"):
        reward_reads(_reward(lambda t: t.features["heigth"]), PENDULUM.spec)


def test_rewards_must_be_scalars():
    with pytest.raises(ValueError, match=r"'reward' has shape \(2,\)"):
        reward_reads(_reward(lambda t: t.features["position"]), MAZE.spec)
    with pytest.raises(ValueError, match=r"'x' has shape \(3,\)"):
        reward_reads(_reward(lambda t: t.reward, lambda t: {"x": jnp.zeros(3)}), MAZE.spec)


def test_example_transitions_have_the_shapes_of_the_environment():
    example = example_transition(MAZE.spec)
    assert example.obs.shape == MAZE.spec.observation_space.shape
    assert example.action.shape == (2,)
    assert {name: (x.shape, x.dtype.name) for name, x in example.next_features.items()} == {
        f.name: (f.shape, f.dtype) for f in MAZE.spec.features
    }
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(example))
