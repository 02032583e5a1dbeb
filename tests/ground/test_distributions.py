"""Action distributions against SciPy and sampling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import tolerance
from scipy import stats

from rlkit import distributions
from rlkit.distributions import log_softmax
from rlkit.encoding import action_decoder
from rlkit.spaces import Box, Discrete

N = 50_000
LOGITS = jnp.array([[0.0, 1.0, -2.0], [3.0, -1.0, 0.5], [50.0, -50.0, 0.0]])
MEAN, LOG_STD = np.array([0.3, -1.0]), np.array([-0.5, 0.4])
PARAMS = jnp.concatenate([jnp.asarray(MEAN), jnp.asarray(LOG_STD)]).astype(jnp.float32)
BOX = Box((2,), (-1.0, 2.0), (3.0, 6.0))


def compiled(make):
    """The same distributions with their functions compiled whole, as agents use them."""
    make_jitted = lambda dist: dist._replace(
        **{n: jax.jit(f) for n, f in dist._asdict().items() if callable(f)}
    )
    return lambda *args: make_jitted(make(*args))


categorical, gaussian = compiled(distributions.categorical), compiled(distributions.gaussian)
squashed_gaussian = compiled(distributions.squashed_gaussian)
epsilon_greedy, action_distribution = map(
    compiled, (distributions.epsilon_greedy, distributions.action_distribution)
)


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
@pytest.mark.parametrize("make", [action_distribution, "other"])
def test_any_leading_axes_will_do(space, make):
    if make == "other":
        make = (
            squashed_gaussian if isinstance(space, Box) else lambda s: epsilon_greedy(s.n, action_decoder(s))
        )
    dist = make(space)
    params = jax.random.normal(jax.random.key(2), (3, 5, dist.size))
    noise = dist.noise(bits(3, 5, dist.width))
    whole = dist.sample(params, noise)
    assert dist.log_prob(params, whole).shape == dist.entropy(params).shape == (3, 5)
    single = dist.sample(params[1, 2], noise[1, 2])
    near = tolerance(0.0, 1e-6)  # both are differences of numbers near 1: their last bits stay
    np.testing.assert_allclose(whole[1, 2], single, rtol=1e-6, atol=near)
    np.testing.assert_allclose(
        dist.log_prob(params, whole)[1, 2], dist.log_prob(params[1, 2], single), rtol=1e-5, atol=near
    )
    action = dist.to_env(whole)
    assert bool(jax.vmap(jax.vmap(space.contains))(action).all())
    again = dist.from_env(action)
    assert (again.shape, jnp.result_type(again)) == (whole.shape, jnp.result_type(whole))
    exact = {"rtol": 2e-3, "atol": 2e-3} if space.dtype == "float16" else {"rtol": 2e-5, "atol": 2e-5}
    np.testing.assert_allclose(dist.to_env(again), action, **exact)


HALF = Box((2,), (-1.0, -2.0), (math.inf, 3.0))  # one entry that is squashed, one that is not


def test_a_squashed_gaussian_is_a_density_of_the_environments_actions():
    space = Box((1,), -2.0, 6.0)
    dist = squashed_gaussian(space)
    for mean, log_std in ((0.3, -0.5), (-1.5, 0.7), (0.0, -3.0)):
        u = np.linspace(mean - 9 * np.exp(log_std), mean + 9 * np.exp(log_std), 20_001)
        params = jnp.broadcast_to(jnp.array([mean, log_std], jnp.float32), (len(u), 2))
        action = 2.0 + 4.0 * np.tanh(u)  # middle and half width of the space
        np.testing.assert_allclose(
            dist.to_env(jnp.asarray(u, jnp.float32)[:, None])[:, 0], action, rtol=1e-5, atol=1e-5
        )
        density = np.exp(np.asarray(dist.log_prob(params, jnp.asarray(u, jnp.float32)[:, None]), np.float64))
        in_units = density / 4.0  # minus log((high - low) / 2)
        assert np.trapezoid(in_units, action) == pytest.approx(1.0, abs=1e-4)
        wanted = -np.trapezoid(density * np.log(np.maximum(density, 1e-300)), np.tanh(u))
        assert dist.entropy(params[0]) == pytest.approx(wanted, abs=5e-3)


def test_squashed_log_probabilities_in_double_precision_and_where_the_tangent_saturates():
    distrax = pytest.importorskip("distrax")
    dist = squashed_gaussian(BOX)
    u = np.array([[0.0, 0.1], [-1.0, 2.0], [4.0, -5.0], [9.0, -12.0], [-60.0, 80.0]])
    log_prob = dist.log_prob(jnp.broadcast_to(PARAMS, (5, 4)), jnp.asarray(u, jnp.float32))
    normal = stats.norm(MEAN, np.exp(LOG_STD)).logpdf(u)
    slope = 2 * (np.log(2) - np.logaddexp(u, -u))  # log(1 - tanh(u)^2), which float64 cannot subtract
    np.testing.assert_allclose(slope[:2], np.log(1 - np.tanh(u[:2]) ** 2), rtol=1e-6)
    np.testing.assert_allclose(log_prob, (normal - slope).sum(-1), rtol=1e-5)
    theirs = distrax.Transformed(
        distrax.MultivariateNormalDiag(
            jnp.asarray(MEAN, jnp.float32), jnp.exp(jnp.asarray(LOG_STD, jnp.float32))
        ),
        distrax.Block(distrax.Tanh(), 1),
    )
    np.testing.assert_allclose(log_prob[:3], theirs.log_prob(jnp.tanh(u[:3])), rtol=1e-2)
    gradient = jax.jacobian(lambda p: dist.log_prob(p, jnp.asarray(u, jnp.float32)))(PARAMS)
    assert bool(jnp.isfinite(gradient).all())


def test_only_entries_with_two_bounds_are_squashed():
    dist, plain = squashed_gaussian(HALF), gaussian(HALF)
    u = jnp.array([0.5, -0.7])
    change = plain.log_prob(PARAMS, u) - dist.log_prob(PARAMS, u)
    np.testing.assert_allclose(change, np.log(1 - np.tanh(-0.7) ** 2), rtol=1e-5)
    np.testing.assert_allclose(dist.to_env(u)[0], plain.to_env(u)[0], rtol=1e-6, atol=tolerance(0.0, 1e-6))
    np.testing.assert_allclose(dist.to_env(u)[1], 0.5 + 2.5 * np.tanh(-0.7), rtol=1e-6)


def test_epsilon_greedy_probabilities_are_those_of_distrax():
    distrax = pytest.importorskip("distrax")
    values, epsilon, n = jnp.array([0.3, -1.0, 2.0, 0.5]), 0.3, 4
    dist, theirs = epsilon_greedy(n), distrax.EpsilonGreedy(values, epsilon)
    params = jnp.append(values, epsilon)
    actions = jnp.arange(n)
    log_prob = dist.log_prob(jnp.broadcast_to(params, (n, n + 1)), actions)
    np.testing.assert_allclose(log_prob, theirs.log_prob(actions), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(params), theirs.entropy(), rtol=1e-5)
    drawn = dist.sample(params, dist.noise(bits(N, dist.width)))
    p = np.exp(np.asarray(log_prob, np.float64))
    assert stats.chisquare(np.bincount(drawn, minlength=n), N * p / p.sum()).pvalue > 1e-3
    assert dist.mode(params) == 2
    for extreme, entropy in ((0.0, 0.0), (1.0, math.log(4))):
        certain = params.at[n].set(extreme)
        np.testing.assert_allclose(dist.entropy(certain), entropy, atol=1e-6)
        drawn = dist.sample(certain, dist.noise(bits(1000, dist.width)))
        assert set(np.unique(drawn)) == ({2} if extreme == 0.0 else {0, 1, 2, 3})
