"""craft/full against Craftax itself."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import envs
from rlkit.errors import MissingExtraError


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "craftax", None)
    with pytest.raises(MissingExtraError, match=r"craft/full needs .*'rlkit-jax\[craft\]'"):
        envs.make("craft/full")


@pytest.mark.slow
def test_steps_are_craftaxs():
    """Observations, rewards, ends, features in their ranges, and states that keep their types."""
    pytest.importorskip("craftax", reason="needs the craft extra")
    from craftax.craftax.envs.craftax_symbolic_env import CraftaxSymbolicEnvNoAutoReset

    env, native = envs.make("craft/full"), CraftaxSymbolicEnvNoAutoReset()
    params, limits = env.default_params(), native.default_params

    def both(key, theirs, ours, action):
        obs, theirs, reward, done, _ = native.step_env(jax.random.split(key)[0], theirs, action, limits)
        return theirs, (obs, reward, done), envs.step(env, key, ours, action, params)

    def begin(key):
        _, theirs = native.reset_env(jax.random.split(key)[0], limits)
        return theirs, envs.reset(env, key, params)

    theirs, (obs, ours) = jax.jit(begin)(jax.random.key(0))
    assert env.spec.observation_space.contains(obs)
    step, rng, paid = jax.jit(both), np.random.default_rng(0), 0.0
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), ours)
    for i in range(150):
        action = jnp.int32(rng.integers(env.spec.action_space.n))
        theirs, (obs, reward, done), out = step(jax.random.key(i), theirs, ours, action)
        ours = out.state
        np.testing.assert_allclose(out.obs, obs, atol=1e-6)
        np.testing.assert_allclose(out.reward, reward, atol=1e-4)
        assert bool(out.terminated) == bool(done)
        paid += float(reward)
    assert step._cache_size() == 1
    assert jax.tree.map(lambda x: (x.shape, x.dtype), ours) == shapes
    assert paid != 0
    for spec in env.spec.features:
        value = np.asarray(out.features[spec.name])
        assert (value.shape, str(value.dtype)) == (spec.shape, spec.dtype)
        assert spec.low <= value.min() <= value.max() <= spec.high, spec.name
    assert env.render(ours.inner, params, 100).shape == (100, 100, 3)
