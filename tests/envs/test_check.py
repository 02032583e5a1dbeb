# ruff: noqa: E501 (a table)
"""What is wrong with an environment is said before anything compiles, in a sentence that helps."""

import dataclasses
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain import Params, Plain, State, changed

import rlkit.envs
from rlkit.agents import PPOConfig, ppo
from rlkit.envs import check_environment, rollout, start, wrappers
from rlkit.envs.autoreset import Fresh
from rlkit.errors import InvalidEnvironmentError
from rlkit.spaces import Box, Discrete
from rlkit.types import FeatureSpec

SMALL = PPOConfig(num_envs=2, num_steps=4, minibatches=1)
KEY = jax.random.key(0)


class Other(NamedTuple):
    count: jax.Array


def spec(**changes):
    return changed(spec=property(lambda self: dataclasses.replace(Plain().spec, **changes)))()


def returns(method, value):
    return changed(**{method: lambda self, *_: value() if callable(value) else value})()


def branches(self, key, state, action, params):
    return state if state.count > 3 else State(state.count + 1.0, jnp.ones(()))


Thawed = dataclasses.dataclass(type("Thawed", (), {**vars(Plain), "__hash__": None}))


@dataclasses.dataclass(frozen=True)
class WithField(Plain):
    extra: object = None


class WithArray(NamedTuple):
    max_steps: jax.Array
    name: str


FLOAT = jnp.zeros((), jnp.float32)
WRONG = {
    # states
    "another dtype": (returns("initial", lambda: State(jnp.int32(0), FLOAT)), ".count as float32.*as int32"),
    "another shape": (returns("transition", lambda: State(jnp.zeros(2), FLOAT)), r"leaf .count as float32\[2\]"),
    "another structure": (returns("transition", lambda: Other(FLOAT)), "lacks .paid"),
    "another type": (returns("transition", lambda: (FLOAT, FLOAT)), "another structure than initial"),
    "Python float": (returns("initial", State(0.0, 0.0)), r"leaf .count is the Python number 0.0.*jnp.float32\(0.0\)"),
    "Python int": (returns("initial", State(0, 0.0)), r"jnp.int32\(0\)"),
    "Python bool": (returns("transition", State(FLOAT, True)), r"transition.*leaf .paid.*jnp.bool_\(True\)"),
    "NumPy's double": (returns("initial", State(np.zeros(()), np.zeros(()))), "float64.* of NumPy"),
    "text": (returns("initial", State("a", FLOAT)), "leaf .count is of type str"),
    "key": (returns("initial", lambda: State(jax.random.key(0), FLOAT)), "is a PRNG key"),
    # observations
    "observation's shape": (returns("observe", lambda: jnp.ones(4)), r"observe\(\) is float32\[4\].*float32\[1\]"),
    "observation's dtype": (returns("observe", lambda: jnp.ones(1, int)), r"observe\(\) is int32\[1\]"),
    "half observation": (returns("observe", lambda: jnp.ones(1, "float16")), r"observe\(\) is float16\[1\]"),
    "dictionary": (returns("observe", lambda: {"a": FLOAT}), "is a dictionary; expected one array"),
    "float for Discrete": (Plain(seen=Discrete(3)), r"float32\[1\].*int32\[\]"),
    # features
    "feature lacks": (returns("features", dict), r"features\(\) lacks paid"),
    "feature more": (returns("features", lambda: {"paid": FLOAT, "other": FLOAT}), "returns other, which"),
    "feature's shape": (returns("features", lambda: {"paid": jnp.ones(2)}), r"'paid' is float32\[2\]"),
    "feature's dtype": (returns("features", lambda: {"paid": jnp.int32(1)}), r"'paid' is int32\[\]"),
    "no dictionary": (returns("features", lambda: FLOAT), "expected a dictionary"),
    # rewards and flags
    "reward alone": (returns("task_reward", lambda: FLOAT), "return reward, {}"),
    "integer reward": (returns("task_reward", lambda: (jnp.int32(1), {})), r"reward of .*\.astype\(jnp.float32\)"),
    "reward's shape": (returns("task_reward", lambda: (jnp.ones(1), {})), "take one entry, or sum"),
    "term's shape": (returns("task_reward", lambda: (FLOAT, {"a": jnp.ones(2)})), "the term 'a'"),
    "float flag": (returns("terminated", lambda: FLOAT), r"terminated\(\) is float32.*bool\[\]"),
    "flag's shape": (returns("success", lambda: jnp.zeros(1, bool)), r"success\(\) is bool\[1\].*\.any\(\)"),
    "integer fitness": (returns("fitness", lambda: jnp.int32(1)), r"fitness\(\) is int32"),
    # parameters
    "no max_steps": (returns("default_params", lambda: Other(FLOAT)), "without max_steps"),
    "None": (returns("default_params", None), "without max_steps"),
    "float limit": (returns("default_params", lambda: Params(FLOAT)), r"max_steps is float32\[\].*jnp.int32\(10\)"),
    "text parameter": (returns("default_params", lambda: WithArray(jnp.int32(3), "a")), ".name is of type str"),
    # tracing
    "branch": (changed(transition=branches)(), r"transition\(\) cannot be traced.*jnp.where"),
    "typo": (changed(observe=lambda self, key, state, params: state.cuont)(), r"observe\(\) raises AttributeError"),
    "arguments": (changed(success=lambda self, state: True)(), r"success\(\) raises TypeError"),
    # objects
    "not frozen": (Thawed(), r"must be hashable; write @dataclass\(frozen=True\) above class Thawed"),
    "list field": (WithField(extra=[1, 2]), r"its field extra=\[1, 2\] is not: use a tuple"),
    "array field": (WithField(extra=jnp.zeros(2)), "its field extra=.*arrays belong to the parameters"),
    "class": (Plain, r"did you mean Plain\(\)\?"),
    "name": ("CartPole-v1", r"did you mean rlkit.envs.make\('classic/cartpole'\)"),
    "number": (3, "without a spec"),
    "lacks": (type("Bare", (), {"spec": Plain().spec})(), r"lacks default_params\(\), initial\(\)"),
    # specifications
    "space": (Plain(action=None), "spec.action_space=None; expected rlkit.spaces.Box or Discrete"),
    "empty space": (Plain(seen=Box((0,))), "has no entries"),
    "gymnasium's space": (Plain(seen=gymnasium.spaces.Discrete(2)), "spec.observation_space=Discrete"),
    "limit": (spec(max_steps=0), "spec.max_steps=0"),
    "fitness_over": (spec(fitness_over="sum"), "'mean', 'final' or 'max'"),
    "reset": (spec(auto_reset="fresh"), "spec.auto_reset='fresh'"),
    "twice": (spec(features=(FeatureSpec("a"),) * 2), "each name once"),
    "feature's range": (spec(features=(FeatureSpec("paid", low=1.0, high=0.0),)), "'paid'.*must be ordered"),
    "feature's kind": (spec(features=("paid",)), "FeatureSpec"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_environment_is_refused_everywhere(case):
    env, message = WRONG[case]
    for use in (check_environment, lambda env: start(env, KEY, None, 2), lambda env: ppo(env, SMALL)):
        with pytest.raises(InvalidEnvironmentError, match=message) as caught:
            use(env)
        assert "my/plain" in str(caught.value) or case in ("name", "class", "number")
        assert len(str(caught.value)) < 500


RIGHT = {
    "as it is": Plain(),
    "reset named": spec(auto_reset=Fresh()),
    "Python flags and rewards": changed(
        terminated=lambda self, *_: False, success=lambda self, *_: True, fitness=lambda self, *_: 0.5,
        task_reward=lambda self, *_: (1.0, {"a": 1.0}),
    )(),
    "Python parameters": returns("default_params", Params(7)),
    "images": changed(observe=lambda self, *_: jnp.zeros((4, 5, 3), "uint8"))(seen=Box((4, 5, 3), 0, 255, "uint8")),
    "numbers": changed(observe=lambda self, key, state, params: state.count.astype(int))(seen=Discrete(11)),
    "half": changed(observe=lambda self, *_: jnp.zeros((), "bfloat16"))(seen=Box((), dtype="bfloat16")),
    "counts": changed(observe=lambda self, *_: jnp.zeros(2, "int8"))(seen=Box((2,), dtype="int8")),
    "integer actions": wrappers.discretise(Plain(action=Box((2,), 0, 2, "int32"))),
    "matrix of actions": Plain(action=Box((2, 3), -1.0, (1.0,) * 5 + (float("inf"),))),
    "one action": Plain(action=Box((), 0.0)),
    "from one": Plain(action=Discrete(2, start=1)),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_environment_learns(case):
    env = RIGHT[case]
    check_environment(env)
    agent = ppo(env, SMALL)
    state, metrics = jax.jit(agent.step)(agent.init(KEY))
    assert np.isfinite(metrics["loss/value"])
    assert jax.tree.structure(jax.eval_shape(agent.step, state)[0]) == jax.tree.structure(state)


def test_the_state_of_a_rollout_is_that_of_single_steps():
    """A dtype that changes is refused, one that stays gives both the same numbers."""
    env = changed(
        transition=lambda self, key, state, action, params: State(state.count + 0.5, jnp.ones(()))
    )()
    params = env.default_params()
    policy = lambda carry, obs, first, x: (jnp.zeros(1, jnp.int32), carry, {})
    _, _, seen = rollout(env, policy, (), start(env, KEY, params, 1), KEY, params, 5)
    np.testing.assert_array_equal(seen.transition.next_obs.ravel(), [0.5, 1.0, 1.5, 2.0, 2.5])


def test_gymnasium_environments_point_to_ours():
    with pytest.raises(
        InvalidEnvironmentError, match=r"CartPole-v1 .*did you mean rlkit.envs.make\('classic/cart"
    ):
        ppo(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize("key", [0, np.int64(3), jax.random.PRNGKey(0), jax.random.key(1)], ids=str)
def test_any_key_starts_an_environment(key):
    env = Plain()
    params = env.default_params()
    rlkit.envs.step(env, key, rlkit.envs.reset(env, key, params)[1], jnp.int32(0), params)
    policy = lambda carry, obs, first, x: (jnp.zeros(1, jnp.int32), carry, {})
    rollout(env, policy, (), start(env, key, params, 1), key, params, 5)


@pytest.mark.parametrize("env", [Plain(), rlkit.envs.make("classic/pendulum")], ids=["own", "ours"])
def test_64_bit_jax_changes_no_width(x64, env):
    """An own environment's defaults are doubles then; what leaves it is what its specification says."""
    params = env.default_params()
    policy = lambda carry, obs, first, x: (jnp.zeros((2, *env.spec.action_space.shape), int), carry, {})
    seen = rollout(env, policy, (), start(env, KEY, params, 2), KEY, params, 3)[2]
    assert (seen.transition.obs.dtype, seen.reward.dtype) == (jnp.float32, jnp.float32)
    assert all(seen.transition.features[spec.name].dtype == spec.dtype for spec in env.spec.features)
    agent = ppo(env, SMALL)
    metrics = agent.step(agent.init(KEY))[1]
    assert np.isfinite(metrics["loss/value"])
