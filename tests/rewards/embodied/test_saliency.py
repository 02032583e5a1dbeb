"""Weights of examples and of their parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.rewards import embodied


def test_reliability():
    r = jnp.array([-1.0, 0.0, 0.5, 3.0])
    np.testing.assert_allclose(embodied.published_reliability(r), np.exp(2 * np.asarray(r)), rtol=1e-6)
    weight = embodied.reliability_weight(r)
    np.testing.assert_allclose(weight.mean(), 1.0, rtol=1e-6)
    assert (np.diff(weight) > 0).all()
    np.testing.assert_allclose(embodied.reliability_weight(10 * r + 3), weight, rtol=1e-4)
    np.testing.assert_allclose(embodied.reliability_weight(jnp.ones(3)), 1.0)
    z = (np.asarray(r) - r.mean()) / np.std(r)
    raw = np.exp(2 * z)
    np.testing.assert_allclose(weight, raw / raw.mean(), rtol=1e-4)


def test_saliency_weights_in_numpy():
    S = np.random.default_rng(0).random((4, 3, 5))
    time = S.mean((1, 2))
    time = np.maximum((time - time.min()) / np.ptp(time), 0.2)
    time /= time.mean()
    space = np.stack([np.maximum((s - s.min()) / np.ptp(s), 0.15) for s in S])
    space /= space.mean((1, 2), keepdims=True)
    exact = time[:, None, None] * space
    weight = jax.jit(embodied.saliency_weight)
    np.testing.assert_allclose(weight(jnp.asarray(S)), exact / exact.mean(), rtol=1e-4)
    np.testing.assert_allclose(weight(jnp.full((4, 3, 5), 0.3)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(weight(jnp.zeros((4, 3, 5))), 1.0, rtol=1e-6)
    with pytest.raises(UsageError, match=r"expected \[frames, places"):
        embodied.saliency_weight(jnp.ones(4))


def test_saliency_finds_what_a_reward_looks_at():
    reward = lambda x: jnp.sum(x[2:4] ** 2)
    x = jnp.linspace(1, 2, 8).reshape(8, 1) * jnp.ones((8, 3))
    found = embodied.gradient_saliency(reward, x)
    np.testing.assert_allclose(found, np.where((np.arange(8) // 2 == 1)[:, None], 2 * x, 0.0), rtol=1e-6)
    both = embodied.fuse_saliency(jnp.stack([found, jnp.ones_like(found)]), jnp.array([0.0, 5.0]))
    w = np.exp([0.0, -5.0]) / np.exp([0.0, -5.0]).sum()
    np.testing.assert_allclose(both, w[0] * found + w[1], rtol=1e-5)


def test_balance_penalty():
    history = np.zeros((10, 3))
    history[5:] = [0.3, 0.1, -0.1]
    np.testing.assert_allclose(
        embodied.balance_penalty(jnp.asarray(history)), 0.5 * np.std([0.3, 0.1, -0.1], ddof=1), rtol=1e-5
    )
    with pytest.raises(UsageError, match="at least two"):
        embodied.balance_penalty(jnp.zeros((1, 3)))


def test_the_loss_pulls_along_the_step_and_passes_no_gradient_to_weights():
    x = jnp.ones((2, 3))
    g = jnp.arange(6.0).reshape(2, 3)
    w, W = jnp.array([1.0, 2.0]), jnp.full((2, 3), 3.0)
    value, slope = jax.value_and_grad(embodied.weighted_distillation_loss)(x, g, w, W)
    np.testing.assert_allclose(value, 0.5 * np.mean(w * (3 * g**2).mean(1)), rtol=1e-6)
    np.testing.assert_allclose(slope, 3 * g * w[:, None] / 6, rtol=1e-6)
