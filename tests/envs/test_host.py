"""Environments on the host: what arrives on the device is what a hand-written Gymnasium loop sees."""

import functools
import gc
import multiprocessing
import re
import subprocess
import sys
import textwrap
import time
import weakref

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from host_toys import Counter, Failing, Odd, Parts

from rlkit.envs import check_environment, from_gymnasium, make, reset, rollout, source, start
from rlkit.envs.host_batch import HostError
from rlkit.envs.host_worker import COMMON, Blueprint
from rlkit.envs.host_worker import plain as plain_meter
from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import from_function, init_slots, relabel
from rlkit.spaces import Box, Discrete

KEY = jax.random.key(0)


def _constant(env, value):
    def policy(carry, obs, first, x):
        return jnp.broadcast_to(jnp.asarray(value), (obs.shape[0], *env.spec.action_space.shape)), carry, {}

    return policy


def _given(carry, obs, first, action):
    return action, carry, {}


def _run(env, num_envs, num_steps, policy=None, inputs=None, key=KEY):
    slots = start(env, key, env.default_params(), num_envs)
    policy = policy or _constant(env, 3)
    params = env.default_params()
    return rollout(env, policy, (), slots, key, params, num_steps, inputs=inputs)


def _messages(error):
    return re.sub(r"\s+", " ", str(error.value))


class _Mute(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError("no text")


class _Raising(Counter):
    """Raises ``error`` in reset or step."""

    def __init__(self, where, error):
        super().__init__()
        self.where, self.error = where, error

    def reset(self, *, seed=None, options=None):
        if self.where == "reset":
            raise self.error
        return super().reset(seed=seed, options=options)

    def step(self, action):
        if self.where == "step":
            raise self.error
        return super().step(action)


class TestTrajectories:
    @pytest.mark.parametrize(
        ("id", "theirs", "steps", "size", "least"),
        [
            ("host:CartPole-v1", "CartPole-v1", 60, 3, 3),
            pytest.param("box2d/lunarlander", "LunarLander-v3", 300, 16, 20, marks=pytest.mark.slow),
        ],
    )
    def test_equal_those_of_a_plain_loop(self, id, theirs, steps, size, least):
        """Same seeds, same actions; episodes end by themselves; successors are those before the reset."""
        env = make(id)
        actions = jax.random.randint(KEY, (steps, size), 0, env.spec.action_space.n)
        slots = start(env, KEY, env.default_params(), size)
        _, _, seen = rollout(env, _given, (), slots, KEY, env.default_params(), steps, inputs=actions)
        vector = SyncVectorEnv(
            [functools.partial(gymnasium.make, theirs)] * size, autoreset_mode=AutoresetMode.SAME_STEP
        )
        obs, _ = vector.reset(seed=[int(seed) for seed in slots.seeds])
        ends = 0
        for t, action in enumerate(np.asarray(actions)):
            after, reward, terminated, truncated, info = vector.step(action)
            successor = after.copy()
            for slot in np.flatnonzero(terminated | truncated):
                successor[slot], ends = info["final_obs"][slot], ends + 1
            now = jax.tree.map(lambda x, t=t: np.asarray(x[t]), seen.transition)
            for mine, plain in (
                (now.obs, obs),
                (now.next_obs, successor),
                (now.reward, np.float32(reward)),
                (now.terminated, terminated),
                (now.truncated, truncated),
            ):
                np.testing.assert_array_equal(mine, plain)
            obs = after
        assert ends >= least

    def test_pendulum_equals_the_pure_one_step_by_step(self):
        """From the state that the host shows, the JAX environment makes the same step."""
        env, twin = make("host:Pendulum-v1"), make("classic/pendulum")
        actions = jax.random.uniform(KEY, (30, 2, 1), minval=-2.0, maxval=2.0)
        _, _, seen = _run(env, 2, 30, _given, actions)
        params, t = twin.default_params(), seen.transition
        angle = jnp.arctan2(t.obs[..., 1], t.obs[..., 0])
        states = twin.initial(KEY, params)._replace(physics=jnp.stack([angle, t.obs[..., 2]], -1))
        states = states._replace(upright=t.features["upright_steps"])

        def step(state, action):
            after = twin.transition(KEY, state, action, params)
            before = twin.features(state, params)
            reward, _ = twin.task_reward(before, action, twin.features(after, params), params)
            return twin.observe(KEY, after, params), reward, before, twin.features(after, params)

        pair = jax.vmap(jax.vmap(step))
        obs, reward, before, after = pair(states, t.action)
        np.testing.assert_allclose(t.next_obs, obs, atol=1e-5)
        np.testing.assert_allclose(t.reward, reward, atol=1e-4)
        for name in before:
            np.testing.assert_allclose(t.features[name], before[name], atol=1e-5, err_msg=name)
            np.testing.assert_allclose(t.next_features[name], after[name], atol=1e-4, err_msg=name)

    def test_cartpole_equals_the_pure_one_step_by_step(self):
        env, twin = make("host:CartPole-v1"), make("classic/cartpole")
        _, _, seen = _run(env, 2, 40, _given, jax.random.randint(KEY, (40, 2), 0, 2))
        params, t = twin.default_params(), seen.transition
        state = twin.initial(KEY, params)

        def step(obs, action):
            before = state._replace(physics=obs)
            after = twin.transition(KEY, before, action, params)
            return after.physics, twin.terminated(before, action, after, params)

        obs, terminated = jax.vmap(jax.vmap(step))(t.obs, t.action)
        np.testing.assert_allclose(t.next_obs, obs, atol=1e-6)
        np.testing.assert_array_equal(t.terminated, terminated)
        assert t.terminated.any()

    @pytest.mark.parametrize("truncates", [False, True])
    @pytest.mark.parametrize("dtype", ["float32", "uint8"])
    def test_ends_and_resets(self, truncates, dtype):
        """Observations are (episode, step): successors belong to the old episode, what follows to the new."""
        env = from_gymnasium(lambda: Counter(3, truncates, dtype))
        assert env.spec.observation_space.dtype == dtype
        _, _, seen = _run(env, 2, 7)
        t = jax.tree.map(lambda x: np.asarray(x)[:, 0], seen.transition)
        assert t.obs.dtype == dtype
        np.testing.assert_array_equal(t.obs, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)])
        np.testing.assert_array_equal(t.next_obs, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1)])
        ends = np.array([0, 0, 1, 0, 0, 1, 0], bool)
        np.testing.assert_array_equal(t.truncated if truncates else t.terminated, ends)
        assert not (t.terminated if truncates else t.truncated).any()
        np.testing.assert_array_equal(t.first, [1, 0, 0, 1, 0, 0, 1])
        np.testing.assert_array_equal(t.features["native_reward"], [0, 1, 1, 0, 1, 1, 0])
        np.testing.assert_array_equal(t.next_features["native_reward"], np.ones(7))

    def test_accelerators_call_the_host_with_the_same_result(self, monkeypatch):
        """A CPU writes results into the program's memory; other devices copy them."""
        actions = 3 + jax.random.randint(KEY, (12, 2), 0, 2)
        straight = _run(from_gymnasium(Counter), 2, 12, _given, actions)[2]
        monkeypatch.setattr("rlkit.envs.host_rollout.buffer_callback", None)
        copied = _run(from_gymnasium(Counter), 2, 12, _given, actions)[2]
        jax.tree.map(np.testing.assert_array_equal, straight, copied)

    def test_the_time_limit_of_the_maker_truncates(self):
        env = make("host:Pendulum-v1", max_steps=4)
        assert env.spec.max_steps == 4
        _, _, seen = _run(env, 1, 9, _constant(env, 0.0))
        np.testing.assert_array_equal(seen.transition.truncated[:, 0], [0, 0, 0, 1] * 2 + [0])
        assert not seen.transition.terminated.any()

    def test_success_is_what_the_environment_says(self):
        for says, expected in (("is_success", [0, 1, 0]), ("success", [0, 1, 0]), ("", [0, 0, 0])):
            _, _, seen = _run(from_gymnasium(lambda says=says: Counter(3, says=says)), 1, 3)
            np.testing.assert_array_equal(seen.transition.success[:, 0], expected)

    def test_rewards_that_read_features_pay_host_trajectories(self):
        _, _, seen = _run(from_gymnasium(Counter), 2, 8)
        own = from_function(
            lambda t: t.next_features["observation"][1] - t.features["observation"][1], "gain"
        )
        _, paid = relabel(own, init_slots(own, KEY, 2), seen)
        np.testing.assert_array_equal(paid.reward, np.ones((8, 2)))

    def test_only_what_is_read_is_recorded(self):
        env = make("host:CartPole-v1")
        slots = start(env, KEY, env.default_params(), 2, record=("pole_angle",))
        _, _, seen = rollout(
            env, _constant(env, 0), (), slots, KEY, env.default_params(), 3, record=("pole_angle",)
        )
        kept = {"pole_angle", "native_reward"}  # what was asked for, and what the task's own reward reads
        assert set(seen.transition.features) == kept == set(seen.transition.next_features)


class TestStreams:
    def test_rollouts_go_on_where_they_ended(self):
        env = make("host:CartPole-v1")
        params = env.default_params()
        slots = start(env, KEY, params, 2)
        whole = rollout(env, _constant(env, 1), (), slots, KEY, params, 30)[2]
        slots = start(env, KEY, params, 2)
        pieces = []
        for _ in range(3):
            slots, _, piece = rollout(env, _constant(env, 1), (), slots, KEY, params, 10)
            pieces.append(piece)
        joined = jax.tree.map(lambda *x: np.concatenate(x), *pieces)
        jax.tree.map(np.testing.assert_array_equal, whole, joined)

    def test_an_old_state_begins_new_episodes_the_same_each_time(self):
        """As a state that a checkpoint restored does."""
        env = make("host:CartPole-v1")
        params = env.default_params()
        slots, _, _ = rollout(env, _constant(env, 1), (), start(env, KEY, params, 2), KEY, params, 5)
        go_on = lambda slots: rollout(env, _constant(env, 1), (), slots, KEY, params, 5)[2]
        ahead, again, third = go_on(slots), go_on(slots), go_on(slots)
        assert not ahead.transition.first[0].any()
        assert again.transition.first[0].all()
        jax.tree.map(np.testing.assert_array_equal, again, third)
        foreign = go_on(slots._replace(stream=jnp.array([1, 2], jnp.uint32)))  # of another process
        jax.tree.map(np.testing.assert_array_equal, again, foreign)

    @pytest.mark.parametrize("how", ["vmap", "map"])
    def test_seeds_do_not_depend_on_their_neighbours(self, how):
        env = make("host:CartPole-v1")

        def one(key):
            slots = start(env, key, env.default_params(), 2)
            for _ in range(2):
                slots, _, seen = rollout(env, _constant(env, 1), (), slots, key, env.default_params(), 7)
            return seen.transition.obs

        keys = jax.random.split(KEY, 3)
        many = jax.jit(jax.vmap(one) if how == "vmap" else lambda k: jax.lax.map(one, k))(keys)
        for key, obs in zip(keys, many, strict=True):
            np.testing.assert_array_equal(jax.jit(one)(key), obs)

    def test_two_states_cannot_share_environments(self):
        env = make("host:CartPole-v1")
        params = env.default_params()
        slots = start(env, KEY, params, 2)

        def one(action):
            return rollout(env, _constant(env, action), (), slots, KEY, params, 3)[2].reward

        with pytest.raises(jax.errors.JaxRuntimeError, match="share one batch"):
            jax.block_until_ready(jax.vmap(one)(jnp.array([0, 1])))

    def test_more_streams_than_allowed_are_refused(self):
        env = from_gymnasium(Counter, max_streams=2)
        params = env.default_params()
        slots = [start(env, k, params, 1) for k in jax.random.split(KEY, 3)]
        slots = [rollout(env, _constant(env, 3), (), s, KEY, params, 2)[0] for s in slots]
        with pytest.raises(jax.errors.JaxRuntimeError, match="more than 2 batches"):
            jax.block_until_ready(rollout(env, _constant(env, 3), (), slots[0], KEY, params, 2)[2].reward)

    def test_what_has_ended_is_used_again(self):
        env = from_gymnasium(Counter)
        for key in jax.random.split(KEY, 4):
            slots, _, _ = _run(env, 2, 3, key=key)
            source(env).end(slots)
        jax.effects_barrier()
        assert len(env.pool._served) == 0
        assert len(env.pool._idle) == 1


class TestSpaces:
    def test_parts_are_flattened_and_joint_actions_numbered(self):
        env = from_gymnasium(Parts)
        assert env.spec.action_space == Discrete(6)
        assert env.spec.observation_space == Box((5,))
        actions = jnp.arange(6)[:, None]
        _, _, seen = _run(env, 1, 6, _given, actions)
        np.testing.assert_array_equal(seen.reward[:, 0], [10, 11, 12, 20, 21, 22])
        np.testing.assert_array_equal(seen.transition.obs[0, 0], [0, 1, 0, 0.5, -0.5])
        np.testing.assert_array_equal(seen.transition.obs[1, 0], [0, 0, 1, 0, 0])

    def test_discrete_observations_and_shifted_actions(self):
        env = make("host:FrozenLake-v1", is_slippery=False)
        assert env.spec.observation_space == Discrete(16)
        _, _, seen = _run(env, 1, 3, _constant(env, 2))
        np.testing.assert_array_equal(seen.transition.next_obs[:, 0], [1, 2, 3])
        assert seen.transition.obs.dtype == np.int32
        counter = from_gymnasium(Counter)
        assert counter.spec.action_space == Discrete(2, start=3)
        np.testing.assert_array_equal(_run(counter, 1, 2, _constant(counter, 4))[2].reward, [[2], [2]])

    def test_what_cannot_be_batched_is_refused(self):
        class Words(Counter):
            def __init__(self):
                super().__init__()
                self.observation_space = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))

        class Many(Counter):
            def __init__(self):
                super().__init__()
                self.action_space = gymnasium.spaces.MultiBinary(20)

        with pytest.raises(UsageError, match="no fixed size"):
            from_gymnasium(Words)
        with pytest.raises(UsageError, match="1048576 joint actions"):
            from_gymnasium(Many)


class TestMaking:
    def test_instances_are_copied_or_made_anew(self):
        instance = Counter(limit=2)
        env = from_gymnasium(instance)
        _run(env, 3, 3)
        assert instance.t == 0
        assert env.spec.id == "host:Counter"
        wrapped = gymnasium.wrappers.RescaleAction(
            gymnasium.make("Pendulum-v1"), np.float32(-1), np.float32(1)
        )
        env = from_gymnasium(wrapped)
        assert env.spec.action_space == Box((1,), -1.0, 1.0)
        assert env.spec.max_steps == 200

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda: make("host:CartPol-v1"), UnknownNameError, "did you mean 'CartPole-v1'"),
            (lambda: make("host:CartPole-v1", colour=1), UsageError, "unexpected keyword argument 'colour'"),
            (lambda: make("host:CartPole-v1", vectorization="asink"), UnknownNameError, "'async'"),
            (lambda: make("host:CartPole-v1", time_limit=0), UsageError, "time_limit=0"),
            (lambda: from_gymnasium(3), UsageError, "expected a Gymnasium environment or what makes one"),
            (lambda: from_gymnasium(lambda: 3), UsageError, "made a int"),
            (lambda: from_gymnasium(gymnasium.Env), UsageError, "Env has no observation_space"),
            (lambda: from_gymnasium(Counter, max_streams=1.5), UsageError, "max_streams=1.5"),
            (lambda: from_gymnasium(lambda: Failing()), UsageError, "cannot be made: TypeError"),
        ],
    )
    def test_mistakes_are_one_sentence(self, call, error, message):
        with pytest.raises(error, match=re.escape(message)):
            call()

    def test_it_is_an_environment_but_no_function(self):
        env = make("host:CartPole-v1")
        check_environment(env)
        assert env.spec.family == "host"
        assert not env.spec.pure
        assert env == env
        assert env != make("host:CartPole-v1")
        with pytest.raises(UsageError, match="runs on the host and is no function of a state"):
            reset(env, KEY, env.default_params())

    @pytest.mark.parametrize(
        "id",
        [
            "box2d/lunarlander",
            "box2d/lunarlander-continuous",
            "box2d/bipedalwalker",
            "host:Ant-v5",
            "host:HalfCheetah-v5",
            "host:Hopper-v5",
            "host:InvertedPendulum-v5",
            "host:Walker2d-v5",
            pytest.param("host:Humanoid-v5", marks=pytest.mark.slow),
        ],
    )
    def test_registered_environments_keep_what_their_specification_says(self, id):
        pytest.importorskip("Box2D" if "box2d" in id else "mujoco")
        env = make(id)
        spec = env.spec
        assert spec.id == id
        assert all((spec.task, spec.success, spec.fitness, spec.native_reward))
        actions = jax.vmap(jax.vmap(spec.action_space.sample))(jax.random.split(KEY, (90, 2)))
        _, _, seen = jax.jit(lambda: _run(env, 2, 90, _given, actions))()
        t = seen.transition
        assert set(t.features) == {f.name for f in spec.features}
        for feature in spec.features:
            for values in (t.features[feature.name], t.next_features[feature.name]):
                assert values.shape == (90, 2, *feature.shape), feature.name
                assert values.dtype == feature.dtype, feature.name
                assert (np.asarray(values, float) >= feature.low).all(), feature.name
                assert (np.asarray(values, float) <= feature.high).all(), feature.name
        assert t.terminated.any() or "HalfCheetah" in id
        goes_on = ~np.asarray(t.done)[:-1]
        for name in t.features:  # what follows a step is what the next one starts from
            after, before = np.asarray(t.next_features[name])[:-1], np.asarray(t.features[name])[1:]
            np.testing.assert_array_equal(after[goes_on], before[goes_on], err_msg=name)

    def test_robots_measure_what_gymnasium_says(self):
        pytest.importorskip("mujoco")
        env = make("host:Walker2d-v5")
        actions = jax.random.uniform(KEY, (20, 1, 6), minval=-1.0, maxval=1.0)
        slots = start(env, KEY, env.default_params(), 1)
        _, _, seen = rollout(env, _given, (), slots, KEY, env.default_params(), 20, inputs=actions)
        plain = gymnasium.make("Walker2d-v5")
        plain.reset(seed=int(slots.seeds[0]))
        x0 = plain.unwrapped.data.qpos[0]
        f = jax.tree.map(lambda x: np.asarray(x)[:, 0], seen.transition.next_features)
        for t, action in enumerate(np.asarray(actions)[:, 0]):
            obs, _, _, _, info = plain.step(action)
            np.testing.assert_allclose(f["forward_velocity"][t], info["x_velocity"], rtol=1e-5)
            np.testing.assert_allclose(f["x_displacement"][t], info["x_position"] - x0, atol=1e-5)
            np.testing.assert_allclose(f["torso_position"][t, 2], obs[0], atol=1e-5)
            np.testing.assert_allclose(f["torso_up"][t], np.cos(obs[1]), atol=1e-5)
            np.testing.assert_allclose(f["joint_angles"][t], obs[2:8], atol=1e-5)


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ("crash", "host:Failing: slot 3 failed in step: ValueError: boom"),
            ("hang", "host:Failing: slot 3 took longer than 0.5 s to step"),
            ("nan", "host:Failing: slot 3 returned an observation or a reward that is not finite"),
            ("reset", "host:Failing: slot 0 failed in reset: KeyError: 'no such level'"),
        ],
    )
    def test_are_named_and_do_not_block(self, how, message):
        Failing.made = 3  # one is made to be looked at: the slots are 0 to 3 after it
        env = from_gymnasium(functools.partial(Failing, how), time_limit=0.5)
        with pytest.raises(jax.errors.JaxRuntimeError) as error:
            jax.block_until_ready(_run(env, 4, 10)[2].reward)
        assert message in _messages(error)
        assert isinstance(env.failure(error.value), HostError)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"reward": None}, "slot 0 returned the reward None; expected a number"),
            ({"reward": np.ones(1)}, "slot 0 returned the reward array([1.]); expected a number"),
            ({"reward": float("nan")}, "slot 0 returned the reward nan, which is not finite in float32"),
            ({"reward": 1e300}, "slot 0 returned the reward 1e+300, which is not finite in float32"),
            ({"obs": np.zeros(1, np.float32)}, "an observation of shape (1,); expected (2,)"),
            ({"obs": None}, "an observation of shape (); expected (2,)"),
            ({"terminated": "False"}, "slot 0 returned terminated='False'; expected True or False"),
            ({"terminated": None}, "slot 0 returned terminated=None; expected True or False"),
            ({"truncated": np.array([False, True])}, "slot 0 returned truncated=array([False,  True])"),
            ({"info": None}, "slot 0 returned info=None; expected a dict"),
            ({"info": {"success": "no"}}, "slot 0 returned success='no'; expected True or False"),
            ({"info": {"success": float("nan")}}, "slot 0 returned success=nan"),
        ],
    )
    def test_what_is_no_answer_is_said(self, changes, message):
        """None of these may become a number: texts and NaN are true, and one entry fills two."""
        slot = Blueprint(functools.partial(Odd, changes), 0, plain_meter, len(COMMON))()
        slot.reset(seed=0)
        slot.step(3)
        with pytest.raises(RuntimeError, match=re.escape(message)):
            slot.step(3)

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (SystemExit(0), "SystemExit: 0"),
            (GeneratorExit("x"), "GeneratorExit: x"),
            (_Mute(), "_Mute"),
        ],
    )
    @pytest.mark.parametrize("where", ["reset", "step"])
    def test_that_are_no_exceptions_are_told_alike(self, error, told, where):
        env = from_gymnasium(functools.partial(_Raising, where, error))
        with pytest.raises(jax.errors.JaxRuntimeError) as caught:
            jax.block_until_ready(_run(env, 1, 3)[2].reward)
        assert f"host:_Raising: slot 0 failed in {where}: {told}" in _messages(caught)
        assert isinstance(env.failure(caught.value), HostError)
        env.close()

    @pytest.mark.parametrize("where", ["reset", "step"])
    def test_an_interruption_is_none(self, where):
        make = functools.partial(_Raising, where, KeyboardInterrupt())
        slot = Blueprint(make, 0, plain_meter, len(COMMON))()
        if where == "step":
            slot.reset(seed=0)
        with pytest.raises(KeyboardInterrupt):
            slot.step(3) if where == "step" else slot.reset(seed=0)

    def test_a_maker_that_exits_is_told(self):
        with pytest.raises(UsageError, match="cannot be made: SystemExit: 0"):
            from_gymnasium(lambda: sys.exit(0))

    def test_pictures_are_bytes_and_paid_in_numbers(self):
        for changes, message in (
            ({"obs": np.full(2, 0.5)}, "no array of bytes"),
            ({"reward": float("nan")}, "the reward nan"),
        ):
            slot = Blueprint(functools.partial(Odd, changes, "uint8"), 0, plain_meter, len(COMMON))()
            slot.reset(seed=0)
            slot.step(3)
            with pytest.raises(RuntimeError, match=message):
                slot.step(3)

    def test_after_a_failure_a_state_can_be_run_again(self):
        Failing.made = 3
        env = from_gymnasium(functools.partial(Failing, "crash"))
        params = env.default_params()
        slots = start(env, KEY, params, 4)
        with pytest.raises(jax.errors.JaxRuntimeError):
            jax.block_until_ready(rollout(env, _constant(env, 3), (), slots, KEY, params, 10)[2].reward)
        _, _, seen = rollout(env, _constant(env, 3), (), slots, KEY, params, 5)
        assert seen.transition.first[0].all()


def _children():
    return {p.pid for p in multiprocessing.active_children()}


@pytest.mark.slow
class TestProcesses:
    def test_give_the_same_trajectories(self):
        actions = jax.random.randint(KEY, (40, 2), 0, 2)
        one, other = (
            _run(make("host:CartPole-v1", vectorization=v), 2, 40, _given, actions)[2]
            for v in ("sync", "async")
        )
        jax.tree.map(np.testing.assert_array_equal, one, other)

    def test_end_when_closed_and_when_collected(self):
        env = make("host:CartPole-v1", vectorization="async")
        before = _children()
        _run(env, 2, 3, _constant(env, 0))
        assert len(_children() - before) == 2
        env.close()
        assert not _children() - before
        _run(env, 2, 3, _constant(env, 0))  # opens them anew
        assert len(_children() - before) == 2
        gone = weakref.ref(env)
        del env
        jax.clear_caches()
        gc.collect()
        assert gone() is None
        assert not _children() - before

    def test_import_no_jax_and_not_the_main_module(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            textwrap.dedent("""
            print("main")
            import sys, gymnasium, jax, numpy as np
            from rlkit.envs import from_gymnasium, start, rollout

            class Own(gymnasium.Env):
                observation_space = gymnasium.spaces.Box(0, 1, (1,))
                action_space = gymnasium.spaces.Discrete(2)
                def reset(self, *, seed=None, options=None):
                    return np.zeros(1, np.float32), {}
                def step(self, action):
                    return np.array([float("jax" in sys.modules)], np.float32), 0.0, False, False, {}

            env = from_gymnasium(Own, vectorization="async")
            key, params = jax.random.key(0), env.default_params()
            act = lambda carry, obs, first, x: (np.zeros(2, np.int32), carry, {})
            seen = rollout(env, act, (), start(env, key, params, 2), key, params, 2)[2]
            print(seen.transition.next_obs.sum())
            """)
        )
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
        assert done.stdout.split() == ["main", "0.0"], done.stderr

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ("crash", "slot 3 failed in step: ValueError: boom"),
            ("hang", "slot 3 took longer than 2 s to step"),
            ("die", "the process of slot 3 ended (exit code 3) while it had to step"),
        ],
    )
    def test_that_fail_are_named_and_ended(self, how, message):
        before = _children()
        env = from_gymnasium(functools.partial(Failing, how), vectorization="async", time_limit=2.0)
        begin = time.monotonic()
        with pytest.raises(jax.errors.JaxRuntimeError) as error:
            jax.block_until_ready(_run(env, 4, 10)[2].reward)
        assert message in _messages(error)
        assert time.monotonic() - begin < 100
        assert not _children() - before


def test_an_environment_that_nobody_uses_is_gone():
    env = make("host:CartPole-v1")
    _run(env, 2, 3, _constant(env, 0))
    gone = weakref.ref(env)
    del env
    jax.clear_caches()
    gc.collect()
    assert gone() is None


def test_a_class_of_ones_own_is_named_by_its_module():
    env = make("host_toys:Counter")  # this folder is on the path
    assert env.spec.id == "host_toys:Counter"
    assert not env.spec.pure
    with pytest.raises(UsageError, match="from_gymnasium"):
        check_environment(Counter())


@pytest.mark.slow
@pytest.mark.parametrize("id", ["host:PointMaze_UMaze-v3", "host:AntMaze_UMaze-v5"])
def test_mazes_of_gymnasium_robotics_say_where_the_goal_is(id):
    pytest.importorskip("gymnasium_robotics")
    env = make(id)
    native = env.make()
    try:
        obs, _ = native.reset(seed=0)
        flat = gymnasium.spaces.flatten(native.observation_space, obs)
        features = env.layout.features(jnp.asarray(flat), jnp.zeros(4))
        np.testing.assert_array_equal(features["position"], obs["achieved_goal"].astype(np.float32))
        np.testing.assert_array_equal(features["goal_position"], obs["desired_goal"].astype(np.float32))
        away = np.linalg.norm(obs["desired_goal"] - obs["achieved_goal"])
        np.testing.assert_allclose(features["goal_distance"], away, rtol=1e-5)
        assert features["body"].shape == env.spec.feature("body").shape
    finally:
        native.close()
