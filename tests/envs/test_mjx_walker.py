"""MJX on Gymnasium's own Walker2d, against Gymnasium."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, mjx_walker, step
from rlkit.errors import UnknownNameError, UsageError
from rlkit.types import EnvState

ENV = make("mujoco/walker2d-v5")


def test_options_and_the_file_are_checked_before_anything_is_loaded(monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean 'faithful'"):
        make("mujoco/walker2d-v5", solver="faithfull")
    monkeypatch.setattr(mjx_walker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs Gymnasium's file walker2d_v5.xml"):
        mjx_walker._file()


def test_falls_and_goals_are_those_of_the_parameters():
    params = ENV.default_params()
    upright = jnp.zeros(9).at[1].set(1.25)
    places = jnp.stack([upright, upright.at[1].set(0.8), upright.at[2].set(1.01), upright.at[1].set(2.1)])
    assert [bool(mjx_walker._healthy(q, params)) for q in places] == [True, False, False, False]
    zero = jnp.float32(0)
    far = upright.at[0].set(4.01)
    state = mjx_walker.State(far, jnp.zeros(9), jnp.zeros(9), jnp.zeros(6), zero, zero, jnp.array(True))
    assert ENV.success(state, None, state, params)
    assert not ENV.success(state, None, state._replace(healthy=jnp.array(False)), params)
    assert not ENV.success(state, None, state._replace(start=jnp.float32(0.1)), params)
    assert ENV.render(state, params, 64).std() > 5


@pytest.mark.slow
def test_steps_are_gymnasiums():
    """From Gymnasium's state: one step differs by float32 alone, 60 steps of three episodes."""
    import gymnasium

    oracle = gymnasium.make("Walker2d-v5").unwrapped
    params = ENV.default_params()
    once = jax.jit(lambda state, action: step(ENV, jax.random.key(0), state, action, params))
    rng, worst = np.random.default_rng(0), np.zeros(3)
    fell = 0
    for seed in range(3):
        oracle.reset(seed=seed)
        start = oracle.data.qpos[0]
        for _ in range(20 + 40 * (seed == 2)):
            to = lambda x: jnp.asarray(x, jnp.float32)
            data, action = oracle.data, rng.uniform(-1, 1, 6)
            inner = mjx_walker.State(
                to(data.qpos), to(data.qvel), to(data.qacc_warmstart), to(np.zeros(6)), to(0.0), to(start),
                jnp.array(True),
            )  # fmt: skip
            out = once(EnvState(inner, jnp.int32(0)), to(action))
            obs, reward, terminated, _, _ = oracle.step(action)
            after = out.state.inner
            error = [np.abs(after.qpos - oracle.data.qpos).max(), np.abs(after.qvel - oracle.data.qvel).max()]
            worst = np.maximum(worst, [*error, abs(float(out.reward) - reward)])
            np.testing.assert_allclose(out.obs, obs, atol=1e-3)
            assert bool(out.terminated) == terminated
            fell += terminated
    assert fell > 0
    assert worst[0] <= 1e-5
    assert worst[1] <= 1e-3
    assert worst[2] <= 1e-3  # a velocity: 1e-5 m in 8 ms
