"""Weights of concepts, against the release's formula in NumPy and known cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.rewards import embodied

advantages = jax.jit(embodied.correlation_weighted_advantage, static_argnames="weighted")
weights = jax.jit(embodied.correlation_weights, static_argnames="shrink")


def _released(R, tau):
    """NumPy, with its corrcoef."""
    K = R.shape[1]
    with np.errstate(all="ignore"):
        C = np.nan_to_num(np.corrcoef(R.T))
    np.fill_diagonal(C, 1.0)
    bind = (C.sum(1) - 1) / (K - 1)
    bind[R.std(0) <= 1e-6] = 1.0
    w = np.exp((1 - bind) / tau)
    return w / w.sum()


def test_weights_are_those_of_the_release():
    rng = np.random.default_rng(0)
    for K in (2, 7):
        R = rng.random((12, K))
        R[:, 0] = 0.5  # says nothing
        np.testing.assert_allclose(weights(jnp.asarray(R), 0.5), _released(R, 0.5), atol=1e-5)


def test_concepts_in_conflict_get_more():
    rng = np.random.default_rng(1)
    a, easy = rng.random(64), rng.random(64)
    R = np.stack([a, 1 - a, easy, easy + 0.1 * rng.random(64)], 1)
    weight = np.asarray(weights(jnp.asarray(R)))
    assert weight[:2].min() > weight[2:].max() + 0.05
    flat = np.asarray(weights(jnp.asarray(R), shrink=True))
    assert np.ptp(flat) < np.ptp(weight)


def test_degenerate_groups():
    """One concept, no variation, a group of one: finite, and nothing is learnt from what does not vary."""
    np.testing.assert_allclose(weights(jnp.ones((4, 1))), [1.0])
    np.testing.assert_allclose(weights(jnp.ones((4, 3))), np.full(3, 1 / 3), rtol=1e-6)
    np.testing.assert_array_equal(advantages(jnp.ones((2, 4, 3))), np.zeros((2, 4)))
    with pytest.raises(UsageError, match=r"expected \[group, concepts\]"):
        embodied.correlation_weights(jnp.ones(4))
    with pytest.raises(UsageError, match=r"expected \[groups, completions, concepts\]"):
        embodied.correlation_weighted_advantage(jnp.ones((2, 4)))


def test_advantages():
    rng = np.random.default_rng(2)
    R = rng.random((3, 8, 4)).astype(np.float32)
    R[1, :, 3] = embodied.MISSING
    found = np.asarray(advantages(jnp.asarray(R)))
    z = (R - R.mean(1, keepdims=True)) / np.sqrt(R.var(1, keepdims=True) + 1e-8)
    raw = np.stack([z[0] @ _released(R[0], 0.5), z[1, :, :3].mean(1), z[2] @ _released(R[2], 0.5)])
    np.testing.assert_allclose(found, (raw - raw.mean()) / raw.std(), atol=1e-4)
    plain = np.asarray(advantages(jnp.asarray(R), weighted=False))
    raw = np.stack([z[0].mean(1), z[1, :, :3].mean(1), z[2].mean(1)])
    np.testing.assert_allclose(plain, (raw - raw.mean()) / raw.std(), atol=1e-4)
