import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from rlkit import envs
from rlkit.envs.gymnasium import to_gymnasium
from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import scale
from rlkit.types import Reward

IDS = ("classic/cartpole", "classic/pendulum", "nav/pointmaze-umaze", "craft/mini")


@pytest.mark.parametrize("name", IDS)
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
    vector = to_gymnasium(source, 3, params=params)
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
    vector = to_gymnasium(source, 2, params=params)
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
    for env, pick in (
        (to_gymnasium(source, params=params, reward=reward), lambda x: float(x)),
        (to_gymnasium(source, 1, params=params, reward=reward), lambda x: float(x[0])),
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


def test_bad_input_says_what_to_do():
    source = envs.make("classic/cartpole")
    with pytest.raises(UsageError, match="rgb_array"):
        to_gymnasium(source, render_mode="human")
    with pytest.raises(UsageError, match="num_envs=0"):
        to_gymnasium(source, 0)
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
