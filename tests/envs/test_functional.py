# ruff: noqa: E501 (tables)
"""Environments from two functions, and from objects of other packages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, evaluate, ppo
from rlkit.envs import Off, from_functions, reset, rollout, start, step
from rlkit.errors import InvalidEnvironmentError, UsageError
from rlkit.spaces import Box, Discrete
from rlkit.types import FeatureSpec

KEY = jax.random.key(0)
SMALL = PPOConfig(num_envs=2, num_steps=4, minibatches=1)


def begin(key):
    return jnp.zeros(2), {"x": 0.0, "steps": 0}


def go(key, state, action):
    state = {"x": state["x"] + action, "steps": state["steps"] + 1}
    return jnp.stack([state["x"], 1.0]), state, -state["x"], state["x"] >= 3


def made(reset=begin, step=go, **options):
    return from_functions(reset, step, **{"action_space": Discrete(2), "max_steps": 5, **options})


def test_defaults_are_what_the_functions_return():
    env = made()
    assert env.spec.observation_space == Box((2,))
    assert [f.name for f in env.spec.features] == ["native_reward", "observation"]
    assert env.spec.feature("observation").shape == (2,)
    params = env.default_params()
    obs, state = reset(env, KEY, params)
    np.testing.assert_array_equal(obs, [0, 0])
    rows = []
    for _ in range(3):
        out = step(env, KEY, state, jnp.int32(1), params)
        state = out.state
        rows.append(
            (
                float(out.obs[0]),
                float(out.reward),
                bool(out.terminated),
                float(env.fitness(state.inner, params)),
            )
        )
    assert rows == [(1, -1, False, -1), (2, -2, False, -3), (3, -3, True, -6)]
    assert not bool(out.success)
    assert env.render(state.inner, params, 32).shape == (32, 32, 3)


def test_everything_can_be_given():
    env = made(
        id="own/walk", task="Walk.", observation_space=Box((2,), -9, 9), success=lambda s: s["x"] >= 2,
        fitness=lambda s: 0.5 * s["x"], features=lambda s: {"x": s["x"], "steps": s["steps"]},
        feature_specs=[FeatureSpec("x", low=0.0, unit="m", meaning="place")],
        render=lambda s, size: np.zeros((size, size, 3), np.uint8), auto_reset=Off(),
    )  # fmt: skip
    assert env.spec.feature("x").unit == "m"
    assert env.spec.feature("steps").dtype == "int32"
    assert env.spec.feature("observation").high == 9
    params = env.default_params()
    _, state = reset(env, KEY, params)
    for _ in range(2):
        out = step(env, KEY, state, jnp.int32(1), params)
        state = out.state
    assert bool(out.success)
    assert float(env.fitness(state.inner, params)) == 1.0
    assert float(out.features["x"]) == 2.0


def test_parameters_are_the_last_argument_and_may_vary():
    env = made(
        reset=lambda key, p: (jnp.zeros(2) + p["start"], p["start"]),
        step=lambda key, s, a, p: (jnp.zeros(2) + s, s * p["rate"], s, False),
        params={"start": 1.0, "rate": 2.0},
    )
    agent = ppo(env, SMALL)
    policy = agent.policy(agent.init(KEY))
    params = env.default_params()
    other = params._replace(own={"start": jnp.float32(1.0), "rate": jnp.float32(1.0)})
    assert evaluate(agent, policy, KEY, 1, env_params=params).returned.tolist() == [31.0]
    assert evaluate(agent, policy, KEY, 1, env_params=other).returned.tolist() == [5.0]


@pytest.mark.parametrize("kind", ["image", "number", "index"])
def test_observations_of_every_kind_learn(kind):
    space = {"image": Box((2, 3, 1), 0, 255, "uint8"), "number": None, "index": Discrete(9, start=1)}[kind]
    shown = {
        "image": lambda s: jnp.full((2, 3, 1), s["steps"]).astype("uint8"),
        "number": lambda s: jnp.asarray(s["x"], jnp.float32),
        "index": lambda s: jnp.asarray(s["steps"] + 1, jnp.int32),
    }[kind]

    def first(key):
        state = begin(key)[1]
        return shown(state), state

    def then(key, state, action):
        _, state, reward, ended = go(key, state, action)
        return shown(state), state, reward, ended

    agent = ppo(made(first, then, observation_space=space), SMALL)
    assert np.isfinite(jax.jit(agent.step)(agent.init(KEY))[1]["loss/value"])


WRONG = {
    "two values": ({"step": lambda key, s, a: (jnp.zeros(2), s)}, r"step returns 2 values; expected \(obs, state, r"),
    "five values": ({"step": lambda key, s, a: (*go(key, s, a), {})}, "step returns 5 values"),
    "no tuple": ({"reset": lambda key: jnp.zeros(2)}, "reset returns a .*; expected \\(obs, state\\)"),
    "swapped": ({"reset": lambda key: begin(key)[::-1]}, "own/environment: reset raises"),
    "grows": ({"step": lambda key, s, a: (jnp.zeros(3), s, 0.0, False)}, r"leaf .obs as float32\[3\]"),
    "dtype": ({"step": lambda key, s, a: (jnp.zeros(2), {**s, "steps": 0.5 * a}, 0.0, False)}, r"leaf .inner\['steps'\] as float32.*int32"),
    "flag": ({"step": lambda key, s, a: (*go(key, s, a)[:3], 0.0)}, r"leaf .terminated as float32"),
    "arguments": ({"reset": lambda: begin(0)}, "reset raises TypeError"),
    "space": ({"observation_space": Discrete(3)}, r"observe\(\) is float32\[2\]; the specification says int32\[\]"),
    "action space": ({"action_space": 3}, "spec.action_space=3"),
    "limit": ({"max_steps": 0}, "max_steps=0"),
    "branch": ({"step": lambda key, s, a: go(key, s, a) if s["x"] > 0 else None}, "cannot be traced"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_said_when_it_is_made(case):
    options, message = WRONG[case]
    with pytest.raises(UsageError, match=message):
        made(**options)


def test_objects_of_gymnax_with_their_parameters():
    gymnax = pytest.importorskip("gymnax")
    from rlkit.envs import from_gymnax, make

    native, params = gymnax.make("Pendulum-v1")
    env, registered = from_gymnax(native, params.replace(g=0.0)), make("gymnax/Pendulum-v1")
    assert env.spec == registered.spec
    assert {env: 1}[env] == 1
    assert float(env.default_params().gymnax.g) == 0.0
    one, two = (rollout_of(e) for e in (env, registered))
    assert one.transition.obs.shape == two.transition.obs.shape
    assert np.abs(np.asarray(one.transition.obs[1:] - two.transition.obs[1:])).max() > 0.01
    np.testing.assert_array_equal(one.transition.obs[0], two.transition.obs[0])
    with pytest.raises(UsageError, match="expected an environment of gymnax"):
        from_gymnax(3)
    with pytest.raises(InvalidEnvironmentError, match=r"did you mean rlkit.envs.from_gymnax"):
        ppo(native)


def rollout_of(env, steps=5):
    params = env.default_params()
    policy = lambda carry, obs, first, x: (jnp.ones((1, *env.spec.action_space.shape)), carry, {})
    return rollout(env, policy, (), start(env, KEY, params, 1), KEY, params, steps)[2]


def test_objects_of_brax_take_its_steps():
    brax_envs = pytest.importorskip("brax.envs")
    from rlkit.envs import from_brax

    native = brax_envs.get_environment("fast")
    env = from_brax(native, max_steps=7)
    assert env.spec.max_steps == 7
    seen = rollout_of(env)
    state = native.reset(KEY)
    for t in range(5):
        state = native.step(state, jnp.ones(env.spec.action_space.shape))
        np.testing.assert_allclose(seen.transition.next_obs[t, 0], state.obs)
        np.testing.assert_allclose(seen.reward[t, 0], state.reward)
    with pytest.raises(UsageError, match="expected an environment of brax"):
        from_brax(3)
    with pytest.raises(InvalidEnvironmentError, match=r"did you mean rlkit.envs.from_brax"):
        ppo(native)
