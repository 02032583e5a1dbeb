"""Losses against optax, choix, closed forms, enumeration and naive loops."""

import choix
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit.errors import UsageError
from rlkit.prefs import losses

RNG = np.random.default_rng(0)
MARGIN = RNG.normal(0, 3, 64).astype(np.float32)
LABEL = RNG.integers(0, 2, 64).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_bradley_terry_is_the_cross_entropy_of_the_margin():
    soft = RNG.uniform(size=64).astype(np.float32)
    for label in (LABEL, soft):
        wanted = optax.sigmoid_binary_cross_entropy(MARGIN, label)
        np.testing.assert_allclose(losses.pairwise_logistic(MARGIN, label), wanted, rtol=1e-5, atol=1e-6)
    p = sigmoid(MARGIN - 0.7)
    np.testing.assert_allclose(losses.pairwise_logistic(MARGIN, 1.0, 0.7), -np.log(p), rtol=1e-4)


def test_fitted_strengths_are_those_of_choix():
    data = [tuple(RNG.choice(6, 2, replace=False)) for _ in range(200)]
    first, second = np.array(data).T
    penalty = 1e-3

    def objective(strength):
        margin = strength[first] - strength[second]
        return jnp.sum(losses.pairwise_logistic(margin)) + penalty * jnp.sum(strength**2)

    with jax.enable_x64(True):
        strength = jnp.zeros(6)
        newton = jax.jit(lambda s: s - jnp.linalg.solve(jax.hessian(objective)(s), jax.grad(objective)(s)))
        for _ in range(20):
            strength = newton(strength)
    oracle = choix.opt_pairwise(6, data, alpha=penalty)
    np.testing.assert_allclose(strength, oracle - oracle.mean(), atol=1e-4)


def test_probabilities_of_rao_kupper_sum_to_one_and_are_its_own():
    log_k, margin = np.log(3.0), np.linspace(-6, 6, 25, dtype=np.float32)
    p = [np.exp(-losses.rao_kupper(margin, np.full(25, y, np.float32), log_k)) for y in (1.0, 0.5, 0.0)]
    np.testing.assert_allclose(sum(p), 1.0, rtol=1e-5)
    strength = np.exp(margin.astype(np.float64))  # the first's, against 1
    np.testing.assert_allclose(p[0], strength / (strength + 3.0), rtol=1e-4)
    np.testing.assert_allclose(p[2], 1.0 / (1.0 + 3.0 * strength), rtol=1e-4)


def test_ties_pull_together_and_the_released_form_is_theirs():
    tie = np.full(64, 0.5, np.float32)
    slope = jax.vmap(jax.grad(losses.win_tie))(MARGIN, tie)
    assert np.all(np.sign(slope) == np.sign(MARGIN))
    released = -np.log(sigmoid(MARGIN - 3.0)) - np.log(sigmoid(-MARGIN - 3.0))
    np.testing.assert_allclose(losses.win_tie(MARGIN, tie, 2.0, 3.0), released, rtol=1e-4)
    decided = losses.win_tie(MARGIN, LABEL, 2.0, 3.0)
    np.testing.assert_allclose(decided, losses.pairwise_logistic(MARGIN, LABEL, 3.0), rtol=1e-6)


def test_gaussian_comparisons_by_quadrature():
    margin = np.repeat(np.linspace(-3, 3, 7, dtype=np.float32), 4)
    std = np.tile(np.array([0.1, 0.7, 1.5, 3.0]), 7)
    log_std = np.log(std / np.sqrt(2)).astype(np.float32)
    x, step = np.linspace(-12, 12, 20001, retstep=True)
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * step
    z = margin[:, None] + std[:, None] * x
    ours = losses.gaussian_pairwise(margin, log_std, log_std)
    np.testing.assert_allclose(np.exp(-ours), sigmoid(z) @ density, atol=1e-3)
    released = losses.gaussian_pairwise_released(margin, log_std, log_std)
    np.testing.assert_allclose(released, np.logaddexp(0, -z) @ density, atol=5e-3)


def test_only_the_papers_gaussian_loss_learns_uncertainty():
    """Answers 70 : 30 at a margin of 3: the paper's loss falls with the spread, the released one never."""
    margin, label = jnp.float32(3.0), jnp.float32(0.7)
    spreads = jnp.linspace(-4, 2, 13)
    both = losses.gaussian_pairwise, losses.gaussian_pairwise_released
    values = jax.jit(jax.vmap(lambda s: [loss(margin, s, s, label) for loss in both]))(spreads)
    assert np.argmin(values[0]) not in (0, 12)
    assert np.all(np.diff(values[1]) > 0)


def test_expectation_of_the_backward_loss_over_noise_is_the_clean_loss():
    fn, fp = 0.3, 0.15
    one, zero = (losses.pairwise_logistic(MARGIN, y) for y in (1.0, 0.0))
    at = [losses.noise_backward(one, zero, jnp.full(64, y), fn, fp) for y in (0.0, 1.0)]
    np.testing.assert_allclose((1 - fn) * at[1] + fn * at[0], one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((1 - fp) * at[0] + fp * at[1], zero, rtol=1e-4, atol=1e-5)
    bounded = losses.noise_backward_logistic(MARGIN, LABEL, 0.2, 0.2, bound=30.0)
    np.testing.assert_allclose(bounded, losses.noise_backward(one, zero, LABEL, 0.2, 0.2), rtol=1e-6)


def test_the_forward_loss_and_contamination():
    p = 0.7 * sigmoid(MARGIN) + 0.15 * sigmoid(-MARGIN)
    wanted = -np.where(LABEL > 0, np.log(p), np.log(1 - p))
    np.testing.assert_allclose(losses.noise_forward_logistic(MARGIN, LABEL, 0.3, 0.15), wanted, rtol=1e-4)
    p = 0.9 * sigmoid(MARGIN) + 0.05
    wanted = -np.where(LABEL > 0, np.log(p), np.log(1 - p))
    np.testing.assert_allclose(losses.contaminated_logistic(MARGIN, LABEL), wanted, rtol=1e-4)
    clean = losses.noise_forward_logistic(MARGIN, LABEL, 0.0, 0.0)
    np.testing.assert_allclose(clean, losses.pairwise_logistic(MARGIN, LABEL), rtol=1e-5)


def test_propensity_weights_are_unbiased_on_an_enumerated_population():
    loss, imputed = RNG.uniform(0, 2, (2, 5)).astype(np.float32)
    propensity = np.array([0.1, 0.4, 0.9, 0.5, 0.2], np.float32)
    masks = np.array(np.meshgrid(*[[0, 1]] * 5)).reshape(5, -1).T.astype(np.float32)
    chance = np.prod(np.where(masks > 0, propensity, 1 - propensity), 1)
    weighted = np.asarray(jax.vmap(lambda o: losses.ips(loss, o, propensity).mean())(masks))
    np.testing.assert_allclose(chance @ weighted, loss.mean(), rtol=1e-5)
    robust = np.asarray(jax.vmap(lambda o: losses.doubly_robust(loss, imputed, o, propensity).mean())(masks))
    np.testing.assert_allclose(chance @ robust, loss.mean(), rtol=1e-5)
    wrong = np.clip(propensity * 1.7, 0, 1)  # wrong propensities, right imputation
    robust = np.asarray(jax.vmap(lambda o: losses.doubly_robust(loss, loss, o, wrong).mean())(masks))
    np.testing.assert_allclose(chance @ robust, loss.mean(), rtol=1e-5)


def naive_q_ranking(q, correct, mask, zeta):
    right = [i for i in range(len(q)) if mask[i] and correct[i]]
    wrong = [i for i in range(len(q)) if mask[i] and not correct[i]]
    terms = []
    for t in range(0 if wrong else 1, len(right) + 1):
        values = [0.0, *(q[i] for i in right)]
        below = sum(np.exp(v) for v in values[: t + 1]) + sum(np.exp(q[i] + zeta) for i in wrong)
        terms.append(-np.log(np.exp(values[t]) / below))
    return np.mean(terms) if terms else 0.0


def test_step_losses_against_loops():
    q = RNG.normal(size=(40, 6)).astype(np.float32)
    correct = RNG.uniform(size=(40, 6)) < 0.6
    correct[0], correct[6] = True, False
    mask = np.arange(6) < np.arange(40)[:, None] % 7
    wanted = [naive_q_ranking(*row, 4.0) for row in zip(q.astype(np.float64), correct, mask, strict=True)]
    np.testing.assert_allclose(losses.step_q_ranking(q, correct, mask), wanted, rtol=1e-4, atol=1e-6)
    wanted = np.where(mask, optax.sigmoid_binary_cross_entropy(q, correct), 0)
    np.testing.assert_allclose(losses.step_logistic(q, correct, mask), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        losses.step_mse(q, correct, mask),
        np.where(mask, (sigmoid(q) - correct) ** 2, 0),
        rtol=1e-4,
        atol=1e-6,
    )


def test_traces_and_both_orders():
    logits, tokens = RNG.normal(size=(3, 5, 7)), RNG.integers(0, 7, (3, 5))
    mask = np.arange(5) < np.array([[5], [2], [0]])
    logits[~mask] = np.nan
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = [
        -np.mean([log[b, t, tokens[b, t]] for t in range(n)]) if n else 0.0 for b, n in enumerate((5, 2, 0))
    ]
    fn = lambda x: losses.trace_loss(x, tokens, mask)
    np.testing.assert_allclose(fn(jnp.float32(logits)), wanted, rtol=1e-4)
    gradient = jax.grad(lambda x: fn(x).sum())(jnp.float32(logits))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~mask].any()
    m, n, y = RNG.normal(size=(3, 6))
    y = sigmoid(y)
    wanted = -(y * np.log(sigmoid(m) * sigmoid(-n)) + (1 - y) * np.log(sigmoid(-m) * sigmoid(n))) / 2
    np.testing.assert_allclose(
        losses.symmetrised_logistic(m, n, y, 0.3), wanted + 0.3 * (m + n) ** 2, rtol=1e-4
    )
    np.testing.assert_allclose(
        losses.symmetrised_logistic(m, -m, y), losses.pairwise_logistic(m, y), rtol=1e-5
    )


def test_rankings_are_choixs_and_with_two_items_bradley_terrys():
    scores = RNG.normal(size=(8, 5)).astype(np.float32)
    order = np.stack([RNG.permutation(5) for _ in range(8)])
    wanted = [-choix.log_likelihood_rankings([tuple(o)], s) for o, s in zip(order, scores, strict=True)]
    np.testing.assert_allclose(losses.plackett_luce(scores, order), wanted, rtol=1e-4)
    two = losses.plackett_luce(scores[:, :2], np.tile([1, 0], (8, 1)))
    np.testing.assert_allclose(two, losses.pairwise_logistic(scores[:, 1] - scores[:, 0]), rtol=1e-4)
    three = np.arange(5) < 3
    best = losses.plackett_luce(scores, order, np.tile(three, (8, 1)))
    wanted = [-choix.log_likelihood_rankings([tuple(o[:3])], s) for o, s in zip(order, scores, strict=True)]
    np.testing.assert_allclose(best, wanted, rtol=1e-4)


def test_gradients_are_finite_at_any_margin():
    margin = jnp.array([-1e4, -50.0, 0.0, 50.0, 1e4])
    spread = jnp.array([-5.0, 0.0, 3.0, 3.0, -5.0])
    mask = jnp.ones((1, 5), bool)

    def total(m, s, label):
        each = [
            losses.pairwise_logistic(m, label),
            losses.win_tie(m, label, 2.0, 3.0),
            losses.rao_kupper(m, label),
            losses.gaussian_pairwise(m, s, s, label),
            losses.gaussian_pairwise_released(m, s, s, label),
            losses.noise_backward_logistic(m, label, 0.3, 0.2),
            losses.noise_forward_logistic(m, label, 0.0, 0.2),
            losses.contaminated_logistic(m, label),
            losses.step_logistic(m[None], label[None], mask)[0],
            losses.step_mse(m[None], label[None], mask)[0],
            losses.step_q_ranking(m[None], label[None] > 0.5, mask),
            losses.plackett_luce(m[None], jnp.arange(5)[None]),
            losses.reward_centering(m, m),
        ]
        return jnp.stack([jnp.sum(x) for x in each])

    def both(y):
        label = jnp.full(5, y)
        return total(margin, spread, label), jax.jacrev(total, (0, 1))(margin, spread, label)

    numbers = jax.jit(jax.vmap(both))(jnp.array([0.0, 0.5, 1.0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(numbers))


def test_masked_steps_have_no_gradient_whatever_stands_there():
    mask = np.arange(6) < np.array([[3], [6], [1], [0]])
    correct = RNG.uniform(size=(4, 6)) < 0.5
    each = (losses.step_logistic, losses.step_mse, losses.step_q_ranking)
    totals = lambda q: jnp.stack([jnp.sum(loss(q, correct, mask)) for loss in each])
    slopes = jax.jit(jax.vmap(jax.jacrev(totals)))
    filled = jnp.stack([jnp.where(mask, 0.3, filler) for filler in (0.0, 1e4, np.nan)])
    slope = np.asarray(slopes(filled))
    assert np.isfinite(slope).all()
    assert np.any(slope[..., mask] != 0)
    assert np.all(slope[..., ~mask] == 0)


def test_what_was_not_observed_does_not_enter():
    loss, seen = jnp.array([1.0, jnp.nan, 3.0]), jnp.array([1.0, 0.0, 1.0])
    half = jnp.full(3, 0.5)
    np.testing.assert_allclose(losses.ips(loss, seen, half), [2.0, 0.0, 6.0])
    np.testing.assert_allclose(losses.ips(loss, seen, half, self_normalise=True), [1.5, 0.0, 4.5])
    np.testing.assert_allclose(losses.doubly_robust(loss, half, seen, half), [1.5, 0.5, 5.5])
    assert losses.weighted_mean(loss, seen) == 2.0
    assert losses.weighted_mean(loss, jnp.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: losses.noise_forward_logistic(MARGIN, LABEL, 0.6, 0.4), "false_neg \\+ false_pos = 1"),
        (lambda: losses.noise_backward(MARGIN, MARGIN, LABEL, -0.1, 0.4), "false_neg=-0.1"),
        (lambda: losses.ips(MARGIN, LABEL, np.zeros(64)), "never observed"),
        (lambda: losses.doubly_robust(MARGIN, MARGIN, LABEL, np.full(64, 1.5)), "propensity"),
        (lambda: losses.rao_kupper(MARGIN, LABEL, 0.0), "log_k"),
        (lambda: losses.pairwise_logistic(MARGIN, LABEL[:3]), "label has shape \\(3,\\)"),
        (lambda: losses.plackett_luce(np.zeros((1, 2)), np.zeros((1, 2), int)), "permutation"),
        (lambda: losses.contaminated_logistic(MARGIN, LABEL, 1.0), "eps=1.0"),
        (lambda: losses.gaussian_pairwise(MARGIN, MARGIN, MARGIN, order=0), "order=0"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_trace_and_the_rewards_at_its_end_are_learnt_together():
    first, second, margin = (jnp.array(x) for x in ([1.0, 2.0], [3.0, 4.0], [0.5, -1.0]))
    wanted = [2.0 + 0.5 * np.log1p(np.exp(-0.5)), 3.0 + 0.5 * np.log1p(np.exp(1.0))]
    np.testing.assert_allclose(losses.trace_and_comparison(first, second, margin), wanted, rtol=1e-6)
