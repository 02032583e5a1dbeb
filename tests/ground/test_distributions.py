"""Action distributions against SciPy and sampling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit.distributions import action_distribution, categorical, gaussian, log_softmax
from rlkit.spaces import Box, Discrete

N = 50_000
LOGITS = jnp.array([[0.0, 1.0, -2.0], [3.0, -1.0, 0.5], [50.0, -50.0, 0.0]])
MEAN, LOG_STD = np.array([0.3, -1.0]), np.array([-0.5, 0.4])
PARAMS = jnp.concatenate([jnp.asarray(MEAN), jnp.asarray(LOG_STD)]).astype(jnp.float32)
BOX = Box((2,), (-1.0, 2.0), (3.0, 6.0))


def bits(*shape):
    return jax.random.bits(jax.random.key(0), shape)


def test_categorical_log_probabilities_and_entropy():
    dist = categorical(3)
    p = np.exp(np.asarray(LOGITS, np.float64))
    p /= p.sum(-1, keepdims=True)
    actions = jnp.arange(3)
    log_prob = jax.vmap(dist.log_prob, (None, 0))(LOGITS, jnp.broadcast_to(actions[:, None], (3, 3)))
    np.testing.assert_allclose(log_prob.T, np.log(p), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dist.entropy(LOGITS), stats.entropy(p, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dist.mode(LOGITS), [1, 0, 0])
    gradient = jax.jit(jax.grad(lambda logits: dist.log_prob(logits, jnp.int32(2))))(LOGITS[0])
    np.testing.assert_allclose(gradient, np.eye(3)[2] - p[0], atol=1e-6)
    assert bool(jnp.isfinite(jax.jit(jax.jacobian(dist.entropy))(LOGITS)).all())


def test_both_at_once_are_the_same_with_the_same_gradients():
    cases = ((categorical(3), LOGITS, jnp.array([2, 0, 1])), (gaussian(BOX), PARAMS, jnp.ones(2)))
    for dist, params, action in cases:
        one = lambda p, d=dist, a=action: (
            jnp.sum(d.log_prob_and_entropy(p, a)[0] * 0.3) + jnp.sum(d.log_prob_and_entropy(p, a)[1] * 0.7)
        )
        two = lambda p, d=dist, a=action: jnp.sum(d.log_prob(p, a) * 0.3) + jnp.sum(d.entropy(p) * 0.7)
        for mine, theirs in zip(
            jax.value_and_grad(one)(params), jax.value_and_grad(two)(params), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_log_softmax_has_the_derivatives_of_the_library():
    weight = jnp.array([0.5, -1.0, 2.0])
    for derivative in (jax.grad, jax.hessian):
        mine, theirs = (
            jax.jit(derivative(lambda x, f=f: f(x) @ weight)) for f in (log_softmax, jax.nn.log_softmax)
        )
        np.testing.assert_allclose(mine(LOGITS[0]), theirs(LOGITS[0]), atol=1e-5)


def test_categorical_samples_follow_the_logits():
    dist = categorical(3)
    action = dist.sample(LOGITS[:2, None], dist.noise(bits(2, N, dist.width)))
    assert action.shape == (2, N)
    assert action.dtype == jnp.int32
    np.testing.assert_array_equal(dist.to_env(action), action)
    for row, logits in zip(action, LOGITS, strict=False):
        p = np.exp(np.asarray(jax.nn.log_softmax(logits), np.float64))
        counts = np.bincount(row, minlength=3)
        assert stats.chisquare(counts, N * p / p.sum()).pvalue > 1e-3


def test_gaussian_log_probabilities_and_entropy():
    dist = gaussian(BOX)
    law = stats.multivariate_normal(MEAN, np.diag(np.exp(2 * LOG_STD)))
    actions = np.random.default_rng(0).normal(size=(7, 2))
    log_prob = dist.log_prob(jnp.broadcast_to(PARAMS, (7, 4)), jnp.asarray(actions, jnp.float32))
    np.testing.assert_allclose(log_prob, law.logpdf(actions), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(PARAMS), law.entropy(), rtol=1e-6)
    np.testing.assert_allclose(dist.mode(PARAMS), MEAN, rtol=1e-6)


def test_gaussian_samples_have_its_moments():
    dist = gaussian(BOX)
    action = np.asarray(dist.sample(PARAMS, dist.noise(bits(N, dist.width))), np.float64)
    for i in range(2):
        assert stats.kstest(action[:, i], stats.norm(MEAN[i], np.exp(LOG_STD[i])).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(action.T)[0, 1]) < 5 / math.sqrt(N)


def test_spaces_choose_their_distribution():
    assert action_distribution(Discrete(5)).size == 5
    assert action_distribution(Box((3,), -1.0, 1.0)).size == 6


@pytest.mark.parametrize(
    "space",
    [
        Discrete(4),
        Discrete(3, start=-5),
        BOX,
        Box((), -1.0, 2.0),
        Box((2, 1, 3), 0.0),
        Box((2,), dtype="float16"),
    ],
    ids=str,
)
def test_any_leading_axes_will_do(space):
    dist = action_distribution(space)
    params = jax.random.normal(jax.random.key(2), (3, 5, dist.size))
    noise = dist.noise(bits(3, 5, dist.width))
    whole = dist.sample(params, noise)
    assert dist.log_prob(params, whole).shape == dist.entropy(params).shape == (3, 5)
    single = dist.sample(params[1, 2], noise[1, 2])
    np.testing.assert_allclose(whole[1, 2], single, rtol=1e-6)
    np.testing.assert_allclose(
        dist.log_prob(params, whole)[1, 2], dist.log_prob(params[1, 2], single), rtol=1e-5
    )
    assert bool(jax.vmap(jax.vmap(space.contains))(dist.to_env(whole)).all())
