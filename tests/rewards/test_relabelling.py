import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlkit.rewards as rw
from rlkit import envs
from rlkit.errors import UsageError
from rlkit.types import Reward, Transition


def mixture(axis_name=None):
    """Sources and transforms with and without memory."""
    paid = rw.weighted(
        task=(1.0, rw.task()), best=(2.0, rw.best_progress("distance")), cost=(-0.1, rw.control_cost())
    )
    return rw.chain(paid, rw.potential_shaping("-distance", 0.9), rw.normalise(0.9, axis_name=axis_name))


def test_rollout_and_relabel_are_a_hand_written_loop(line_env):
    """Stepping one environment by hand and paying each step gives what was recorded and relabelled."""
    env, steps = line_env, 20
    params, reward = env.default_params(), mixture()
    actions = jax.random.uniform(jax.random.key(7), (steps, 1, 2), jnp.float32, -1.0, 1.0)
    slots = envs.start(env, jax.random.key(5), params, 1, auto_reset=envs.Same())
    _, _, trajectory = envs.rollout(
        env,
        lambda carry, obs, first, action: (action, carry, {}),
        (),
        slots,
        jax.random.key(6),
        params,
        steps,
        inputs=actions,
        auto_reset=envs.Same(),
    )
    _, out = rw.relabel(reward, rw.init_slots(reward, jax.random.key(0), 1), trajectory)

    step, apply = jax.jit(lambda s, a: envs.step(env, jax.random.key(0), s, a, params)), jax.jit(reward.apply)
    origin = jax.tree.map(lambda x: x[0], slots.row)
    state, memory, first, ends = origin.state, reward.init(jax.random.key(0)), True, 0
    for t in range(steps):
        before = env.features(state.inner, params)
        done = step(state, actions[t, 0])
        memory, value, terms = apply(
            memory,
            Transition(
                env.observe(jax.random.key(0), state.inner, params),
                actions[t, 0],
                done.obs,
                before,
                done.features,
                done.reward,
                done.terminated,
                done.truncated,
                done.success,
                jnp.asarray(first),
            ),
            reward.params,
        )
        np.testing.assert_allclose(out.reward[t, 0], value, rtol=1e-5, atol=1e-6)
        for name in terms:
            np.testing.assert_allclose(out.terms[name][t, 0], terms[name], rtol=1e-5, atol=1e-6)
        first = bool(done.terminated | done.truncated)
        state = origin.state if first else done.state
        ends += first
    assert ends >= 3
    assert out.terms.keys() == terms.keys()


def test_only_what_is_paid_changes(line):
    _, out = rw.relabel(rw.success(), (), line)
    same = jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), out.transition, line.transition)
    assert all(jax.tree.leaves(same))
    assert out.terms.keys() == {"success"}
    assert out.extras == line.extras


def test_paying_again_starts_from_the_environments_own_reward(line):
    _, once = rw.relabel(rw.scale(10.0), (), line)
    _, twice = rw.relabel(rw.scale(10.0), (), once)
    np.testing.assert_array_equal(once.reward, twice.reward)
    np.testing.assert_allclose(twice.reward, -1.0)


@pytest.mark.parametrize("cut", [1, 13])
def test_two_halves_are_the_whole(cut, line):
    reward = mixture("slots")
    state = rw.init_slots(reward, jax.random.key(0), line.reward.shape[1])
    end, whole = rw.relabel(reward, state, line, axis_name="slots")
    middle, head = rw.relabel(reward, state, jax.tree.map(lambda x: x[:cut], line), axis_name="slots")
    last, tail = rw.relabel(reward, middle, jax.tree.map(lambda x: x[cut:], line), axis_name="slots")
    np.testing.assert_allclose(jnp.concatenate([head.reward, tail.reward]), whole.reward, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), last, end)


@pytest.mark.parametrize("axis_name", [None, "slots"])
def test_one_environment_without_an_axis_of_slots(axis_name, line):
    """``[T, ...]`` with a plain state is ``[T, 1, ...]`` with one slot."""
    reward = mixture(axis_name)
    single = jax.tree.map(lambda x: x[:, 2], line)
    wide = jax.tree.map(lambda x: x[:, 2:3], line)
    state, out = rw.relabel(reward, reward.init(jax.random.key(0)), single, axis_name=axis_name)
    slots = rw.init_slots(reward, jax.random.key(0), 1)
    end, expected = rw.relabel(reward, slots, wide, axis_name=axis_name)
    np.testing.assert_allclose(out.reward, expected.reward[:, 0], rtol=1e-6)
    assert {name: term.shape for name, term in out.terms.items()}.items() >= {("best", out.reward.shape)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-6), state, end)


def test_statistics_are_the_same_in_all_slots(line):
    reward = mixture("slots")
    slots = line.reward.shape[1]
    state, _ = rw.relabel(reward, rw.init_slots(reward, jax.random.key(0), slots), line, axis_name="slots")
    for leaf in state[2].moments:
        assert leaf.shape == (slots,)
        assert np.ptp(leaf) == 0.0


def test_states_of_slots_are_drawn_apart():
    reward = Reward(lambda key: jax.random.normal(key), lambda s, t, p: (s, s, {}))
    state = rw.init_slots(reward, jax.random.key(0), 5)
    assert len(set(state.tolist())) == 5


def test_no_slots():
    with pytest.raises(UsageError, match="num_envs=0"):
        rw.init_slots(rw.success(), jax.random.key(0), 0)


def test_a_state_for_another_number_of_slots(line):
    reward = mixture()
    with pytest.raises(UsageError, match=r"memory.*\(3,\).*init_slots\(reward, key, 4\)"):
        rw.relabel(reward, rw.init_slots(reward, jax.random.key(0), 3), line)


def test_a_state_for_no_slots(line):
    reward = mixture()
    with pytest.raises(UsageError, match="init_slots"):
        rw.relabel(reward, reward.init(jax.random.key(0)), line)


def test_another_axis_in_front(line):
    with pytest.raises(UsageError, match=r"expected \[T\] or \[T, B\]"):
        rw.relabel(rw.success(), (), jax.tree.map(lambda x: x[None], line))
