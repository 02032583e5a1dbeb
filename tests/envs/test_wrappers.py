"""Wrappers change what they say they change, and nothing else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import Counter

from rlkit.envs import Off, make, reset, rollout, start, step
from rlkit.envs.maze_layouts import random_rooms, tree_rooms
from rlkit.envs.wrappers import (
    action_repeat,
    discretise,
    frame_stack,
    observe_features,
    select_observation,
    sticky_actions,
    time_in_observation,
)
from rlkit.errors import UnknownNameError, UsageError

CARTPOLE, PENDULUM = make("classic/cartpole"), make("classic/pendulum")
KEY = jax.random.key(7)
WRAPPED = {
    "select": select_observation(CARTPOLE, (0, 2)),
    "time": time_in_observation(CARTPOLE),
    "repeat2": action_repeat(CARTPOLE, 2),
    "sticky": sticky_actions(CARTPOLE, 0.5),
    "stack3": frame_stack(CARTPOLE, 3),
    "discrete": discretise(PENDULUM, 5),
    "features": observe_features(CARTPOLE, ("pole_angle", "cart_position")),
}


def _run(env, steps=6, params=None):
    """States, observations and results of a few steps with fixed keys and random actions."""
    params = env.default_params() if params is None else params
    actions = [env.spec.action_space.sample(jax.random.fold_in(KEY, i)) for i in range(steps)]
    stepper = jax.jit(lambda k, s, a: step(env, k, s, a, params))
    obs, state = jax.jit(lambda k: reset(env, k, params))(KEY)
    out = []
    for i, action in enumerate(actions):
        result = stepper(jax.random.fold_in(KEY, 100 + i), state, action)
        out.append((obs, action, result))
        obs, state = result.obs, result.state
    return out


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_environments_keep_the_contract(name):
    env = WRAPPED[name]
    spec = env.spec
    assert spec.id == f"{env.env.spec.id}+{name}"
    assert spec.features == env.env.spec.features
    assert spec.auto_reset == env.env.spec.auto_reset
    assert hash(env) == hash(WRAPPED[name])
    for obs, action, result in _run(env, 3):
        assert bool(spec.observation_space.contains(result.obs))
        assert obs.dtype == spec.observation_space.dtype
        assert bool(spec.action_space.contains(action))
        assert set(result.features) == {f.name for f in spec.features}
    params = env.default_params()
    state = jax.eval_shape(lambda k: reset(env, k, params)[1], KEY)
    after = jax.eval_shape(lambda k, s, a: step(env, k, s, a, params).state, KEY, state, action)
    assert jax.tree.structure(state) == jax.tree.structure(after)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, False)
    inner = jax.tree.map(np.asarray, result.state.inner)
    image = env.render(inner, params, 64)
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)


def test_select_shows_the_chosen_entries():
    env = select_observation(CARTPOLE, (2, 0))
    for (obs, _, _), (full, _, _) in zip(_run(env), _run(CARTPOLE), strict=True):
        np.testing.assert_array_equal(obs, full[np.array([2, 0])])
    assert env.spec.partial_obs
    assert env.spec.observation_space.bounds()[1][1] == pytest.approx(4.8)


def test_time_is_the_share_of_the_limit():
    params = CARTPOLE.default_params()._replace(max_steps=jnp.int32(4))
    out = _run(WRAPPED["time"], params=params)
    np.testing.assert_allclose([row[0][-1] for row in out], [0, 0.25, 0.5, 0.75, 1, 1])
    for (obs, _, _), (plain, _, _) in zip(out, _run(CARTPOLE), strict=True):
        np.testing.assert_array_equal(obs[:-1], plain)


def test_repeat_takes_the_action_several_times():
    env = action_repeat(PENDULUM, 3)
    assert env.spec.max_steps == 67  # 200 / 3, rounded up
    assert int(env.default_params().max_steps) == 67
    out = _run(env, 4)
    params = PENDULUM.default_params()
    state = PENDULUM.initial(jax.random.split(KEY)[0], params)
    for _, action, result in out:
        paid = 0.0
        for _ in range(3):
            before = PENDULUM.features(state, params)
            state = PENDULUM.transition(KEY, state, action, params)
            paid += PENDULUM.task_reward(before, action, PENDULUM.features(state, params), params)[0]
        np.testing.assert_allclose(result.reward, paid, rtol=1e-5)
        np.testing.assert_allclose(sum(result.terms.values()), paid, rtol=1e-5)
        np.testing.assert_allclose(result.state.inner.inner.physics, state.physics, rtol=1e-5, atol=1e-6)


def test_repeat_stops_where_the_episode_ends_and_remembers_success():
    env = action_repeat(Counter(), 4)
    params = env.default_params()._replace(end=jnp.int32(6))
    _, state = reset(env, KEY, params)
    flags = []
    for _ in range(2):
        out = step(env, KEY, state, jnp.int32(0), params)
        flags.append((int(out.obs[1]), bool(out.terminated), bool(out.success)))
        state = out.state
    assert flags == [(4, False, False), (6, True, True)]


@pytest.mark.parametrize("limit", [None, 1, 7])
@pytest.mark.parametrize("n", [1, 3, 4])
def test_repeat_pays_the_sum_and_keeps_the_limit(n, limit):
    """In rollouts as in single steps, with the last step cut to what is left of the limit."""
    inner = Counter()
    env = action_repeat(inner, n)
    steps = -(-100 // n) if limit is None else limit
    params = env.default_params()
    params = params if limit is None else params._replace(max_steps=jnp.int32(limit))
    params = params._replace(end=jnp.int32(1000))
    policy = lambda carry, obs, first, x: (jnp.ones(1, jnp.int32), carry, {})
    slots = start(env, KEY, params, 1, auto_reset=Off(), record=())
    seen = rollout(env, policy, (), slots, KEY, params, steps, auto_reset=Off(), record=())[2]
    most = 100 if limit is None else limit * n - (-100 % n)
    counts = np.minimum(np.arange(1, steps + 1) * n, most)
    np.testing.assert_array_equal(seen.transition.next_obs[:, 0, 1], counts)
    np.testing.assert_array_equal(np.flatnonzero(seen.transition.truncated), [steps - 1])
    edges = [0, *counts]
    sums = [sum(range(a + 1, b + 1)) + 100 * (b - a) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(seen.reward[:, 0], sums)
    np.testing.assert_allclose(seen.terms["bonus"][:, 0], 100 * np.diff(edges))


def test_a_repeated_environment_sees_its_limit_in_inner_steps():
    env = action_repeat(time_in_observation(CARTPOLE), 4)
    out = _run(env, 2)
    assert out[1][2].obs[-1] == pytest.approx(8 / 500)
    env = time_in_observation(action_repeat(CARTPOLE, 4))
    assert _run(env, 2)[1][2].obs[-1] == pytest.approx(2 / 125)


def test_sticky_actions_repeat_with_the_given_probability():
    class Seen(Counter):
        def transition(self, key, state, action, params):
            return state._replace(count=action)

    env = sticky_actions(Seen(), 0.3)
    params = env.default_params()

    def run(key):
        asked = jax.random.randint(jax.random.fold_in(key, 1), (20,), 0, 2**30, jnp.int32)
        _, state = reset(env, key, params)

        def body(state, x):
            k, action = x
            out = step(env, k, state, action, params)
            return out.state, out.obs[1]

        return asked, jax.lax.scan(body, state, (jax.random.split(key, 20), asked))[1]

    asked, done = jax.jit(jax.vmap(run))(jax.random.split(KEY, 500))
    np.testing.assert_array_equal(asked[:, 0], done[:, 0])
    stuck = np.asarray(done[:, 1:] == done[:, :-1])
    np.testing.assert_array_equal(np.where(stuck, done[:, 1:], asked[:, 1:]), done[:, 1:])
    assert stuck.mean() == pytest.approx(0.3, abs=0.02)


def test_discretise_covers_the_box_evenly():
    env = discretise(make("nav/pointmaze-open"), 3)
    assert env.spec.action_space.n == 9
    table = np.asarray(env._table())
    np.testing.assert_array_equal(table[:4], [[-1, -1], [-1, 0], [-1, 1], [0, -1]])
    params = PENDULUM.default_params()
    _, _, result = _run(WRAPPED["discrete"], 1)[0]
    for _, action, result in _run(WRAPPED["discrete"], 3):
        torque = np.linspace(-2, 2, 5)[int(action)]
        assert float(result.terms["torque"]) == pytest.approx(-0.001 * torque**2)
    state = PENDULUM.initial(KEY, params)
    ours = WRAPPED["discrete"].transition(KEY, state, jnp.int32(4), params)
    theirs = PENDULUM.transition(KEY, state, jnp.array([2.0]), params)
    np.testing.assert_array_equal(ours.physics, theirs.physics)


def test_frame_stack_shows_the_last_observations():
    plain = [row[0] for row in _run(CARTPOLE)]
    for i, (obs, _, _) in enumerate(_run(WRAPPED["stack3"])):
        np.testing.assert_allclose(obs, np.stack([plain[max(i - d, 0)] for d in (2, 1, 0)]), rtol=1e-6)


def test_wrappers_nest():
    env = select_observation(time_in_observation(sticky_actions(CARTPOLE, 0.1)), (0, 4))
    assert env.spec.id == "classic/cartpole+sticky+time+select"
    _, _, result = _run(env, 1)[0]
    assert result.obs.shape == (2,)
    assert float(result.obs[1]) == pytest.approx(1 / 500)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: select_observation(CARTPOLE, (4,)), r"expected one or more of 0 \.\. 3"),
        (lambda: select_observation(frame_stack(CARTPOLE, 2), (0,)), "observations that are vectors"),
        (lambda: action_repeat(CARTPOLE, 0), "n=0"),
        (lambda: sticky_actions(CARTPOLE, 1.0), r"p=1\.0"),
        (lambda: discretise(CARTPOLE, 3), "bounded box"),
        (lambda: discretise(PENDULUM, 1), "bins=1"),
        (lambda: discretise(PENDULUM, 5000), "at most 4096"),
        (lambda: frame_stack(CARTPOLE, 0), "n=0"),
        (lambda: sticky_actions(CARTPOLE, "x"), "p='x': expected a number"),
        (lambda: select_observation(CARTPOLE, (1.5,)), r"indices=\(1\.5,\): expected one or more"),
        (lambda: select_observation(CARTPOLE, 3), "indices=3: expected one or more"),
        (lambda: observe_features(CARTPOLE, None), r"names=\(\): expected one or more of cart_position"),
        (lambda: frame_stack("classic/cartpole", 2), "did you mean rlkit.envs.make"),
        (lambda: frame_stack(make("host:CartPole-v1"), 2), "runs on the host, where wrappers .* do not"),
        (lambda: random_rooms(jax.random.key(0), (0, 2)), r"rooms\[0\]=0: expected an integer"),
        (lambda: tree_rooms(jax.random.key(0), 2.5), "rooms=2.5: expected an integer of at least 1"),
    ],
)
def test_bad_arguments_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_features_are_shown_after_the_observation_or_instead_of_it():
    for keep in (True, False):
        env = observe_features(CARTPOLE, ("pole_angle", "cart_position"), keep=keep)
        for _, _, out in _run(env, 2):
            shown = [out.features["pole_angle"], out.features["cart_position"]]
            np.testing.assert_array_equal(out.obs[-2:], shown)
            assert out.obs.shape == (4 * keep + 2,)
            if keep:
                np.testing.assert_array_equal(out.obs[:4], out.state.inner.physics)


def test_privileged_features_are_shown_on_demand_only():
    maze = make("nav/keydoor")
    with pytest.raises(UsageError, match="privileged"):
        observe_features(maze, ("steps_left",))
    assert observe_features(maze, "steps_left", privileged=True).spec.observation_space.shape == (15,)
    with pytest.raises(UnknownNameError, match="steps_left"):
        observe_features(maze, ("step_left",))
    with pytest.raises(UsageError, match="expected one or more"):
        observe_features(maze, ())
