import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from plain import State, changed

from rlkit import envs
from rlkit.envs.gymnasium import to_gymnasium
from rlkit.envs.registry import TABLE
from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import scale
from rlkit.spaces import Box, Discrete
from rlkit.types import Reward

IDS = ("classic/cartpole", "classic/pendulum", "nav/pointmaze-umaze", "craft/mini")
_SIMULATED = ("craft/", "mujoco/")  # compile long: one of each
OTHERS = [id for id in TABLE if id not in IDS and not id.startswith(("box2d/", "host:", *_SIMULATED))]
OTHERS += ["craft/classic", "mujoco/ant"]


@pytest.mark.parametrize("name", [*IDS, *(pytest.param(id, marks=pytest.mark.slow) for id in OTHERS)])
def test_gymnasiums_checker_accepts_the_export(name):
    env = to_gymnasium(envs.make(name), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It has no registered spec to make variants from; infinite bounds and actions in newtons are meant.
        for message in (".*alternative render modes.*", ".*infinity.*", ".*normalized space.*"):
            warnings.filterwarnings("ignore", message=message)
        check_env(env, skip_close_check=True)


def scripted(env, seed, actions):
    obs, _ = env.reset(seed=seed)
    rows = [obs]
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        rows.append((obs, reward, terminated, truncated, info["success"]))
        if terminated or truncated:
            rows.append(env.reset()[0])
    return rows


def test_seeds_repeat_and_differ():
    env = to_gymnasium(envs.make("classic/cartpole"))
    actions = np.random.default_rng(0).integers(2, size=60)
    one, two = scripted(env, 3, actions), scripted(env, 3, actions)
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert not np.array_equal(one[0], env.reset(seed=4)[0])


def test_vector_slots_are_single_environments_and_final_obs_is_the_true_successor():
    source = envs.make("classic/cartpole")
    params = source.default_params()._replace(max_steps=jnp.int32(20))
    vector = to_gymnasium(source, 3, params=params, autoreset_mode="same_step")
    assert vector.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    single = [to_gymnasium(source, params=params) for _ in range(3)]
    actions = np.random.default_rng(1).integers(2, size=(60, 3))
    actions[:, 0] = np.arange(60) % 2  # balances until the time limit
    obs, _ = vector.reset(seed=7)
    np.testing.assert_allclose(obs, [env.reset(seed=7 + i)[0] for i, env in enumerate(single)], rtol=1e-6)
    ends = {"terminated": 0, "truncated": 0}
    for row in actions:
        obs, reward, terminated, truncated, infos = vector.step(row)
        ends["terminated"] += int(terminated.sum())
        ends["truncated"] += int(truncated.sum())
        for i, env in enumerate(single):
            alone = env.step(row[i])
            assert (reward[i], terminated[i], truncated[i]) == alone[1:4]
            if terminated[i] or truncated[i]:
                np.testing.assert_allclose(infos["final_obs"][i], alone[0], rtol=1e-5, atol=1e-6)
                assert infos["_final_obs"][i]
                assert infos["final_info"]["success"][i] == alone[4]["success"]
                np.testing.assert_allclose(obs[i], env.reset()[0], rtol=1e-6)
            else:
                np.testing.assert_allclose(obs[i], alone[0], rtol=1e-5, atol=1e-6)
                assert not infos.get("_final_obs", np.zeros(3, bool))[i]
    assert ends["terminated"] > 0
    assert ends["truncated"] > 0


def test_final_obs_equals_the_rollouts_next_obs():
    """The same transition, once through the export and once through the pure functions."""
    source = envs.make("classic/cartpole")
    params = source.default_params()._replace(max_steps=jnp.int32(1))
    vector = to_gymnasium(source, 2, params=params, autoreset_mode="same_step")
    first, _ = vector.reset(seed=0)
    obs, _, _, truncated, infos = vector.step(np.array([1, 0]))
    assert truncated.all()
    key = jax.random.key(0)
    _, start = envs.reset(source, key, params)
    for i, action in enumerate((1, 0)):
        state = start._replace(inner=start.inner._replace(physics=jnp.asarray(first[i])))
        out = envs.step(source, key, state, jnp.int32(action), params)
        np.testing.assert_allclose(infos["final_obs"][i], out.obs, rtol=1e-6)
        assert np.abs(obs[i]).max() <= 0.05  # a fresh start


def counting_reward() -> Reward:
    """Pays how many steps it has seen in its life, and in the episode."""

    def apply(state, transition, params):
        life, episode = state
        episode = jnp.where(transition.first, 0.0, episode) + 1.0
        life = life + 1.0
        terms = {"life": life, "episode": episode * (transition.next_features["cart_position"] < 100)}
        return (life, episode), life + terms["episode"], terms

    zero = jnp.zeros((), jnp.float32)
    return Reward(lambda key: (zero, zero), apply)


def test_another_weight_compiles_nothing_anew():
    source, reward, paid, sizes = envs.make("classic/cartpole"), scale(jnp.array(2.0)), [], []
    for weight in (2.0, 5.0):
        env = to_gymnasium(source, reward=reward._replace(params={"factor": weight}))
        env.reset(seed=0)
        paid.append(env.step(0)[1])
        sizes.append(env._run.step._cache_size())
    assert paid == [2.0, 5.0]
    assert sizes == [1, 1]


def test_a_reward_with_memory_is_paid_instead():
    source = envs.make("classic/cartpole")
    params = source.default_params()._replace(max_steps=jnp.int32(2))
    reward = counting_reward()
    same = {"params": params, "reward": reward, "autoreset_mode": "same_step"}
    for env, pick in (
        (to_gymnasium(source, params=params, reward=reward), lambda x: float(x)),
        (
            to_gymnasium(source, 1, **same),
            lambda x: float(x[0]),
        ),
    ):
        vectorised = env.metadata.get("autoreset_mode") is not None
        action = np.array([0]) if vectorised else 0
        env.reset(seed=0)
        paid = []
        for _ in range(5):
            _, value, _, truncated, _ = env.step(action)
            paid.append(pick(value))
            if not vectorised and truncated:
                env.reset()
        assert paid == [1 + 1, 2 + 2, 3 + 1, 4 + 2, 5 + 1]
        env.reset(seed=0)
        assert pick(env.step(action)[1]) == 2


def limited(mode, steps=5, slots=3):
    source = envs.make("classic/cartpole")
    params = source.default_params()._replace(max_steps=jnp.int32(steps))
    return to_gymnasium(source, slots, params=params, autoreset_mode=mode)


def test_the_modes_give_the_same_episodes():
    """Same seeds and actions: next-step has one row more at each end, disabled a masked reset."""
    same, later, off = (limited(mode) for mode in ("same_step", AutoresetMode.NEXT_STEP, "disabled"))
    assert [env.metadata["autoreset_mode"].name for env in (same, later, off)] == [
        "SAME_STEP", "NEXT_STEP", "DISABLED",
    ]  # fmt: skip
    starts = [env.reset(seed=1)[0] for env in (same, later, off)]
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0], starts[2])
    action = np.array([0, 1, 1])
    for step in range(12):
        obs, reward, terminated, truncated, info = same.step(action)
        ended = terminated | truncated
        assert ended.all() == (step % 5 == 4)  # too short to fall
        next_obs, next_reward, *flags, next_info = later.step(action)
        np.testing.assert_array_equal(flags, [terminated, truncated])
        np.testing.assert_array_equal(next_reward, reward)
        off_obs, *_ = off.step(action)
        np.testing.assert_array_equal(off_obs, next_obs)
        if ended.any():
            np.testing.assert_array_equal(np.stack(info["final_obs"]), next_obs)
            assert next_info["success"].shape == (3,)
            fresh, zero, *flags, nothing = later.step(action)
            np.testing.assert_array_equal(fresh, obs)
            assert not np.any([zero, *flags])
            assert nothing == {}
            with pytest.raises(gymnasium.error.ResetNeeded, match=r"slots \[0, 1, 2\] are over"):
                off.step(action)
            np.testing.assert_array_equal(off.reset(options={"reset_mask": ended})[0], obs)
        else:
            np.testing.assert_array_equal(next_obs, obs)


@pytest.mark.parametrize("mode", ["next_step", "same_step", "disabled"])
def test_masked_slots_start_anew_and_the_others_go_on(mode):
    env, twin = limited(mode, 50), limited(mode, 50)
    for each in (env, twin):
        each.reset(seed=np.int64(0))
        for _ in range(3):
            obs, *_ = each.step(np.array([0, 1, 0]))
    mask = np.array([True, False, True])
    going_on = twin.step(np.zeros(3, int))[0][1]
    after, _ = env.reset(seed=[7, 8, None], options={"reset_mask": mask})
    np.testing.assert_array_equal(after[1], obs[1])
    np.testing.assert_array_equal(after[0], limited(mode, 50).reset(seed=7)[0][0])
    np.testing.assert_array_equal(twin.reset(seed=0)[0], limited(mode, 50).reset(seed=0)[0])
    assert np.abs(after[2] - obs[2]).max() > 1e-3
    np.testing.assert_array_equal(env.step(np.zeros(3, int))[0][1], going_on)
    for mask in ([True, False], [1, 0, 0], np.ones((3, 1), bool)):
        with pytest.raises(UsageError, match=r"reset_mask is .* expected bool\[3\]"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(gymnasium.error.ResetNeeded, match="first reset"):
        limited(mode).reset(options={"reset_mask": np.array([True, False, False])})


@pytest.mark.parametrize("mode", ["next_step", "same_step"])
def test_gymnasiums_vector_wrappers_fit(mode):
    from gymnasium.wrappers import vector

    env = vector.RecordEpisodeStatistics(limited(mode))
    env = vector.NormalizeReward(vector.ClipReward(env, -1, 1))
    if mode == "next_step":
        env = vector.NormalizeObservation(env)
    env.reset(seed=0)
    infos = [env.step(np.zeros(3, int))[-1] for _ in range(12)]
    lengths = [info["episode"]["l"] for info in infos if "episode" in info]
    assert len(lengths) == 2
    np.testing.assert_array_equal(lengths[0], 5)


KINDS = {
    "discrete": (Discrete(16), lambda count: count.astype(jnp.int32)),
    "from 1": (Discrete(16, start=1), lambda count: 1 + count.astype(jnp.int32)),
    "below 0": (Discrete(16, start=-3), lambda count: count.astype(jnp.int32) - 3),
    "integers": (Box((1,), dtype="int32"), lambda count: count.astype(jnp.int32)[None]),
    "half-bounded integers": (Box((2,), (0, -np.inf), dtype="int16"), lambda c: jnp.zeros(2, "int16")),
    "large integers": (Box((), 0, 2**31 - 1, "int32"), lambda count: jnp.int32(2**31 - 1)),
    "image": (Box((2, 2, 3), 0, 255, "uint8"), lambda count: jnp.full((2, 2, 3), 255, "uint8")),
    "bools": (Box((3,), dtype="bool"), lambda count: jnp.array([True, False, True])),
    "one bool": (Box((), dtype="bool"), lambda count: jnp.ones((), bool)),
    "number": (Box(()), lambda count: count),
    "half": (Box((2,), -1, 1, "float16"), lambda count: jnp.ones(2, "float16")),
    "brain": (Box((2,), dtype="bfloat16"), lambda count: jnp.ones(2, "bfloat16")),
    "double": (Box((2,), 0, 1, "float64"), lambda count: jnp.ones(2, float)),
    "largest float": (Box((1,), -3.4028235e38, 3.4028235e38), lambda count: count[None]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_observations_of_every_kind_are_elements_of_the_exported_space(kind):
    space, obs_of = KINDS[kind]
    source = changed(observe=lambda self, key, state, params: obs_of(state.count))(seen=space)
    env = to_gymnasium(source)
    vector = to_gymnasium(source, np.int64(2))
    for obs, place in (
        (env.reset(seed=np.int32(0))[0], env.observation_space),
        (env.step(env.action_space.sample())[0], env.observation_space),
        (vector.reset(seed=0)[0], vector.observation_space),
        (vector.step(vector.action_space.sample())[0], vector.observation_space),
    ):
        assert place.contains(obs), (obs, place)
    assert isinstance(env.reset()[0], int | np.integer) == isinstance(space, Discrete)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True, skip_close_check=True)


@pytest.mark.parametrize(
    "space",
    [
        *(Discrete(3, start=1), Box((2,), dtype="bool"), Box((1,), 0, 4, "int32")),
        *(Box((2, 2), 0.0), Box((), -1.0, 1.0)),
    ],
    ids=str,
)
def test_actions_of_every_kind_arrive_as_they_are(space):
    def transition(self, key, state, action, params):
        assert (action.shape, action.dtype) == (space.shape, space.dtype)
        return State(state.count, jnp.sum(action).astype(jnp.float32))

    source = changed(transition=transition)(action=space)
    for env, total in (
        (to_gymnasium(source), lambda a: np.sum(a)),
        (to_gymnasium(source, 2), lambda a: np.sum(np.reshape(a, (2, -1)), 1)),
    ):
        env.reset(seed=0)
        env.action_space.seed(1)
        for _ in range(3):
            action = env.action_space.sample()
            np.testing.assert_allclose(env.step(action)[1], total(np.asarray(action, float)), rtol=1e-5)
    if isinstance(space, Discrete):
        env = to_gymnasium(source)
        env.reset()
        with pytest.raises(ValueError, match=r"outside 1 \.\. 3"):
            env.step(0)


def test_bad_input_says_what_to_do():
    source = envs.make("classic/cartpole")
    with pytest.raises(UsageError, match="rgb_array"):
        to_gymnasium(source, render_mode="human")
    for count in (0, 1.5, True):
        with pytest.raises(UsageError, match=f"num_envs={count}"):
            to_gymnasium(source, count)
    with pytest.raises(UnknownNameError, match="did you mean 'next_step'"):
        to_gymnasium(source, 2, autoreset_mode="nextstep")
    env = to_gymnasium(source)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"outside 0 \.\. 1"):
        env.step(2)
    with pytest.raises(ValueError, match=r"expected \(\)"):
        env.step(np.zeros(2))
    vector = to_gymnasium(source, 2)
    with pytest.raises(UsageError, match="3 entries"):
        vector.reset(seed=[1, 2, 3])
    reads_nothing_real = Reward(lambda key: (), lambda state, t, p: (state, t.features["cart_positon"], {}))
    with pytest.raises(UnknownNameError, match="cart_position"):
        to_gymnasium(source, reward=reads_nothing_real)


def test_frames_are_images():
    env = to_gymnasium(envs.make("craft/mini"), 2, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert len(frames) == 2
    assert all(f.shape == (256, 256, 3) and f.dtype == np.uint8 and f.std() > 10 for f in frames)
    assert not np.array_equal(*frames)
