"""Laws that hold for every registered environment."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, reset, step
from rlkit.envs.registry import TABLE
from rlkit.spaces import Box
from rlkit.types import Environment

LANES, STEPS = 64, 160
# These share their programs with the ones that are tested always, or need a simulator that compiles long.
_QUICK = (
    "classic/cartpole",
    "classic/pendulum",
    "nav/pointmaze-umaze",
    "nav/pointmaze-large-far",
    "nav/keydoor",
    "craft/mini",
)
# Environments on the host are no functions of a state (test_host.py); the whole of Craftax takes minutes to
# compile once (test_craftax_full.py).
_ELSEWHERE = ("box2d/", "host:", "craft/full")
_SLOW = [id for id in TABLE if id not in _QUICK and not id.startswith(_ELSEWHERE)]
IDS = [id for id in _QUICK if id in TABLE] + [pytest.param(id, marks=pytest.mark.slow) for id in _SLOW]
LANES_OF = {"mujoco": 4, "craft": 8}


class Case(NamedTuple):
    env: Environment
    params: object
    begin: object  # jitted reset
    once: object  # jitted step
    many: object  # jitted: LANES x STEPS random steps


@functools.cache
def _case(id):
    env = make(id)
    params = env.default_params()
    lanes = LANES_OF.get(env.spec.family, LANES)

    def run(key, params):
        obs, state = reset(env, key, params)

        def body(carry, k):
            state, obs, features = carry
            action = env.spec.action_space.sample(jax.random.fold_in(k, 1))
            out = step(env, k, state, action, params)
            row = {"obs": obs, "action": action, "before": features, "out": out._replace(state=())}
            return (out.state, out.obs, out.features), row

        carry = (state, obs, env.features(state.inner, params))
        (last, _, _), rows = jax.lax.scan(body, carry, jax.random.split(key, STEPS))
        return state, last, rows

    if lanes == LANES:
        many = jax.jit(jax.vmap(run, (0, None)))
    else:  # resetting these in a batch is slow
        many = jax.jit(lambda keys, params: jax.lax.map(lambda k: run(k, params), keys))
    begin = jax.jit(lambda k, p: reset(env, k, p))
    once = jax.jit(lambda k, s, a, p: step(env, k, s, a, p))
    return Case(env, params, begin, once, many)


@functools.cache
def _sample(id):
    case = _case(id)
    lanes = LANES_OF.get(case.env.spec.family, LANES)
    return case.many(jax.random.split(jax.random.key(0), lanes), case.params)


def _close(a, b, tolerance=1e-5):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(np.asarray(x, float), np.asarray(y, float), rtol=tolerance, atol=tolerance)


def _equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("id", IDS)
def test_specification_says_everything(id):
    env = make(id)
    spec = env.spec
    assert spec.id == id
    for text in (spec.task, spec.success, spec.fitness, spec.native_reward):
        assert len(text.split()) >= 3
    assert spec.max_steps >= 1
    assert spec.auto_reset is not None
    names = [f.name for f in spec.features]
    assert len(set(names)) == len(names) > 0
    for feature in spec.features:
        assert feature.name.isidentifier()
        assert feature.meaning
        assert feature.unit
        assert feature.low < feature.high


@pytest.mark.parametrize("id", IDS)
def test_environments_are_values(id):
    env, again = make(id), make(id)
    assert env == again
    assert hash(env) == hash(again)
    assert env.spec == again.spec
    assert env != make("nav/pointmaze-medium" if id != "nav/pointmaze-medium" else "classic/cartpole")


@pytest.mark.parametrize("id", IDS)
def test_structure_is_stable_and_strongly_typed(id):
    env, params, *_ = _case(id)
    key = jax.random.key(0)
    for leaf in jax.tree.leaves(params):
        assert isinstance(leaf, jax.Array)
        assert not leaf.weak_type
    assert params.max_steps.dtype == jnp.int32
    obs, state = jax.eval_shape(lambda k: reset(env, k, params), key)
    space, action_space = env.spec.observation_space, env.spec.action_space
    assert (obs.shape, obs.dtype) == (space.shape, space.dtype)
    action = jax.ShapeDtypeStruct(action_space.shape, action_space.dtype)
    out = jax.eval_shape(lambda k, s, a: step(env, k, s, a, params), key, state, action)
    assert jax.tree.structure(state) == jax.tree.structure(out.state)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(out.state), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert not a.weak_type
        assert not b.weak_type
    assert (out.obs.shape, out.obs.dtype) == (obs.shape, obs.dtype)
    assert (out.reward.shape, out.reward.dtype) == ((), jnp.float32)
    assert all((term.shape, term.dtype) == ((), jnp.float32) for term in out.terms.values())
    for flag in (out.terminated, out.truncated, out.success):
        assert (flag.shape, flag.dtype) == ((), bool)
    fitness = jax.eval_shape(lambda s: env.fitness(s.inner, params), state)
    assert (fitness.shape, fitness.dtype) == ((), jnp.float32)
    specs = {f.name: (f.shape, jnp.dtype(f.dtype)) for f in env.spec.features}
    assert {name: (x.shape, x.dtype) for name, x in out.features.items()} == specs


@pytest.mark.parametrize("id", IDS)
def test_values_are_in_their_spaces_and_ranges(id):
    env = _case(id).env
    rows = jax.tree.map(np.asarray, _sample(id)[2])
    ended = np.cumsum(rows["out"].terminated, axis=1)
    playing = ended - rows["out"].terminated == 0  # the random steps go on after the end of an episode
    space = env.spec.observation_space
    low, high = space.bounds() if isinstance(space, Box) else (0, space.n - 1)
    for obs in (rows["obs"][playing], rows["out"].obs[playing]):
        assert np.isfinite(obs).all()
        assert (obs >= low).all()
        assert (obs <= high).all()
    for features in (rows["before"], rows["out"].features):
        for spec in env.spec.features:
            values = features[spec.name][playing]
            assert np.isfinite(values).all(), spec.name
            assert values.min() >= spec.low, (spec.name, values.min())
            assert values.max() <= spec.high, (spec.name, values.max())


@pytest.mark.parametrize("id", IDS)
def test_task_reward_is_a_function_of_features(id):
    env, params, *_ = _case(id)
    rows = _sample(id)[2]
    recompute = jax.jit(jax.vmap(jax.vmap(lambda f, a, g: env.task_reward(f, a, g, params))))
    reward, terms = recompute(rows["before"], rows["action"], rows["out"].features)
    _close(reward, rows["out"].reward)
    _close(sum(terms.values()), rows["out"].reward)
    _equal(sorted(terms), sorted(rows["out"].terms))


@pytest.mark.parametrize("id", IDS)
def test_time_limit_and_termination(id):
    params = _case(id).params
    rows = jax.tree.map(np.asarray, _sample(id)[2])
    expected = np.arange(1, STEPS + 1) >= int(params.max_steps)
    np.testing.assert_array_equal(
        rows["out"].truncated, np.broadcast_to(expected, rows["out"].truncated.shape)
    )


@pytest.mark.parametrize("id", IDS)
def test_scan_equals_the_loop_and_vmap_the_single_environment(id):
    case = _case(id)
    lanes = LANES_OF.get(case.env.spec.family, LANES)
    first, _, rows = _sample(id)
    lane = lanes - 1
    key = jax.random.split(jax.random.key(0), lanes)[lane]
    obs, state = case.begin(key, case.params)
    _close(state, jax.tree.map(lambda x: x[lane], first))
    # Contact and unstable equilibria magnify the rounding differences between the two programs.
    for i, k in enumerate(jax.random.split(key, STEPS)[:5]):
        row = jax.tree.map(lambda x: x[lane, i], rows)  # noqa: B023
        _close(obs, row["obs"], 1e-4)
        out = case.once(k, state, row["action"], case.params)
        _close(out._replace(state=()), row["out"], 1e-4)
        obs, state = out.obs, out.state
    one = jax.tree.map(lambda x: x[None], (state, row["action"], key))
    batched = jax.vmap(lambda s, a, k: step(case.env, k, s, a, case.params))
    shapes = jax.eval_shape(batched, *one)
    single = jax.eval_shape(case.once, key, state, row["action"], case.params)
    assert [x.shape for x in jax.tree.leaves(shapes)] == [(1, *x.shape) for x in jax.tree.leaves(single)]


@pytest.mark.parametrize("id", IDS)
def test_pure_and_compiled_once(id):
    case = _case(id)
    key = jax.random.key(1)
    action = case.env.spec.action_space.sample(key)
    _, state = case.begin(key, case.params)
    before = jax.tree.map(np.array, (state, case.params))
    one, two = (case.once(key, state, action, case.params) for _ in range(2))
    _equal(one, two)
    _equal(before, (state, case.params))
    for _ in range(3):
        state = case.once(key, state, action, case.params).state
    assert case.once._cache_size() == 1
    assert case.begin._cache_size() == 1


@pytest.mark.parametrize("id", ["classic/cartpole", "classic/pendulum", "nav/pointmaze-umaze"])
def test_jit_changes_nothing(id):
    case = _case(id)
    key = jax.random.key(2)
    action = case.env.spec.action_space.sample(key)
    _, state = case.begin(key, case.params)
    compiled = case.once(key, state, action, case.params)
    with jax.disable_jit():
        plain = step(case.env, key, state, action, case.params)
    _close(compiled, plain)


@pytest.mark.parametrize("id", IDS)
def test_every_parameter_can_be_batched(id):
    env, params, *_ = _case(id)
    key = jax.random.key(0)

    def episode(key, params):
        _, state = reset(env, key, params)
        return step(env, key, state, env.spec.action_space.sample(key), params)

    expected = jax.eval_shape(episode, key, params)
    fields = params._fields if env.spec.family != "mujoco" else ("max_steps",)
    for name in fields:
        axes = params._replace(
            **{f: jax.tree.map(lambda _: None, getattr(params, f)) for f in params._fields}
        )
        axes = axes._replace(**{name: jax.tree.map(lambda _: 0, getattr(params, name))})
        batched = params._replace(**{name: jax.tree.map(lambda x: jnp.stack([x, x]), getattr(params, name))})
        out = jax.eval_shape(jax.vmap(episode, (None, axes)), key, batched)
        for one, two in zip(jax.tree.leaves(expected), jax.tree.leaves(out), strict=True):
            assert (two.shape, two.dtype) == ((2, *one.shape), one.dtype), name


def test_batched_gravity_gives_each_its_own_motion():
    case = _case("classic/pendulum")
    gravity = jnp.array([0.0, 10.0, 20.0])
    _, state = case.begin(jax.random.key(0), case.params)
    spin = jax.vmap(
        lambda g: step(case.env, jax.random.key(0), state, jnp.zeros(1), case.params._replace(gravity=g))
    )(gravity).features["velocity"]
    angle, velocity = state.inner.physics
    np.testing.assert_allclose(spin, velocity + 1.5 * gravity * jnp.sin(angle) * 0.05, rtol=1e-5)


def test_batched_time_limits_and_goal_radii():
    case = _case("nav/pointmaze-umaze")
    _, state = case.begin(jax.random.key(0), case.params)

    def flags(limit, radius):
        params = case.params._replace(max_steps=limit, goal_radius=radius)
        out = step(case.env, jax.random.key(0), state, jnp.zeros(2), params)
        return out.truncated, out.success

    limits, radii = jnp.array([1, 2], jnp.int32), jnp.array([100.0, 0.0])
    truncated, success = jax.vmap(flags)(limits, radii)
    assert truncated.tolist() == [True, False] == success.tolist()


def test_feature_ranges_are_finite_where_they_can_be():
    ranges = [(f.low, f.high) for f in make("nav/pointmaze-large").spec.features]
    assert sum(math.isfinite(low) and math.isfinite(high) for low, high in ranges) >= 15
