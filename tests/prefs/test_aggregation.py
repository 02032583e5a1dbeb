"""Reductions against NumPy and naive loops."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes import tolerance

from rlkit.errors import UsageError
from rlkit.prefs import aggregation as ag

RNG = np.random.default_rng(0)


def test_steps_reduce_to_what_numpy_says():
    step = RNG.uniform(0.1, 0.9, (5, 6)).astype(np.float32)
    mask = RNG.uniform(size=(5, 6)) < 0.6
    mask[0] = True
    mask[1] = False
    poisoned = np.where(mask, step, np.nan)
    oracle = {
        "min": np.min, "max": np.max, "mean": np.mean, "sum": np.sum, "prod": np.prod,
        "last": lambda x: x[-1],
        "softmin": lambda x: np.sum(x * np.exp(-x / 0.1)) / np.sum(np.exp(-x / 0.1)),
    }  # fmt: skip
    assert set(oracle) == set(ag.REDUCTIONS)
    for how, reduce in oracle.items():
        empty = 1.0 if how == "prod" else 0.0
        wanted = [reduce(s[m]) if m.any() else empty for s, m in zip(step, mask, strict=True)]
        np.testing.assert_allclose(ag.reduce_steps(poisoned, mask, how), wanted, rtol=1e-5, err_msg=how)
    both = ag.step_plus_trajectory(step, mask, jnp.ones(5), 0.25)
    np.testing.assert_allclose(both, 0.75 * ag.reduce_steps(step, mask, "mean") + 0.25, rtol=1e-6)


def test_aspects_and_their_uncertainty():
    a = jnp.array([[1.0, 2.0, 6.0]])
    assert ag.reduce_aspects(a)[0] == 3.0
    np.testing.assert_allclose(ag.reduce_aspects(a, jnp.array([1.0, 1.0, 0.0]))[0], 1.5)
    assert ag.reduce_aspects(a, jnp.array([0.0, 1.0, 1.0]), "min")[0] == 2.0
    mean, log_std = ag.reduce_gaussian_aspects(a, jnp.log(jnp.array([[3.0, 4.0, 1e-9]])), "sum")
    np.testing.assert_allclose((mean[0], np.exp(log_std[0])), (9.0, 5.0), rtol=1e-5)


def test_rules_where_they_hold_and_models_elsewhere():
    rule, valid = jnp.array([1.0, jnp.nan, 0.0]), jnp.array([1.0, 0.0, 0.5])
    np.testing.assert_allclose(ag.hybrid(rule, valid, jnp.full(3, 0.4), 0.1), [1.1, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_allclose(ag.outcome_and_process(jnp.ones(1), jnp.zeros(1), 0.25), [0.75])


def test_bounded_rewards_of_scores():
    gold = jnp.full(5, 3.0)
    said = jnp.array([3.0, 2.0, 5.0, 7.0, 9.0])
    np.testing.assert_allclose(ag.bounded_error(said, gold), 0.25 ** np.array([0, 1, 2, 4, 6]), rtol=1e-5)
    np.testing.assert_allclose(ag.bounded_error(said, gold, "linear"), [1, 0.75, 0.5, 0, 0])
    np.testing.assert_allclose(ag.bounded_error(said, gold, "power"), [1, 0.5625, 0.25, 0, 0])
    np.testing.assert_allclose(ag.bounded_error(said, gold, "exact"), [1, 0, 0, 0, 0])


def test_the_first_rung_that_holds_pays():
    formatted, right, tried, helped = (
        jnp.array(x, bool) for x in np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1)
    )
    paid = ag.ladder([~formatted, right & helped, right, tried], [0.0, 1.5, 1.0, 0.4], 0.3)
    for f, r, t, h, p in zip(formatted, right, tried, helped, paid, strict=True):
        assert p == np.float32(0.0 if not f else 1.5 if r and h else 1.0 if r else 0.4 if t else 0.3)


def test_consistency_pays_only_for_right_results():
    result, c = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.array([1.0, -1.0, 1.0, -1.0])
    np.testing.assert_allclose(ag.consistency_gated(result, c, jnp.ones(4)), [2.0, 1.0, 0.5, 0.5])


def test_lengths():
    length, right = jnp.array([50.0, 100.0, 150.0, 500.0]), jnp.array([0.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(
        ag.length_penalty(length, 100.0, right), [0, 0, -0.5, -0.5], rtol=tolerance(1e-7, 1e-6)
    )
    np.testing.assert_allclose(ag.length_bands(jnp.array([99, 100, 299, 300, 400])), [0.2, 1, 1, 0.5, 0.2])


def test_three_views_fuse_or_the_most_confident_wins():
    answers = jnp.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    confidence = jnp.array([[0.7, 0.9], [0.8, 0.8], [0.9, 0.7]])
    out = ag.reflect(answers, confidence)
    assert out.fused.tolist() == [True, False]
    np.testing.assert_allclose(out.answer, [(0.7 + 1.6 + 2.7) / 2.4, 1.0], rtol=1e-6)


def test_echo_is_the_negative_cross_entropy_of_the_prompt():
    logits, tokens = RNG.normal(size=(3, 7, 11)).astype(np.float32), RNG.integers(0, 11, (3, 7))
    mask = np.arange(7) < np.array([[7], [4], [0]])
    each = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
    wanted = -np.array([np.mean(e[m]) if m.any() else 0 for e, m in zip(np.asarray(each), mask, strict=True)])
    said = ag.token_log_prob(logits, tokens)
    np.testing.assert_allclose(ag.prompt_echo(said, mask), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ag.prompt_echo(said, mask, said), 0.0, atol=1e-6)
    poisoned = jnp.where(mask, said, jnp.nan)
    np.testing.assert_allclose(ag.prompt_echo(poisoned, mask), wanted, rtol=1e-4, atol=1e-6)


def test_sets_that_say_the_same():
    similarity = jnp.array([[0.9, 0.1, 0.1], [0.8, 0.2, 0.1], [0.1, 0.1, 0.2]])
    said, there = jnp.array([True, True, True]), jnp.array([True, True, False])
    out = ag.set_equivalence(similarity, said, there)
    np.testing.assert_allclose(out, (2 / 3 + 1 / 2, 2 / 3, 1 / 2), rtol=1e-6)
    np.testing.assert_allclose(ag.set_equivalence(jnp.eye(3), said, said).reward, 2.0)
    assert ag.set_equivalence(jnp.eye(3), ~said, said).reward == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ag.reduce_steps(jnp.ones(3), jnp.ones(3, bool), "men"), "did you mean 'mean'"),
        (lambda: ag.bounded_error(jnp.ones(1), jnp.ones(1), "expo"), "did you mean 'exp'"),
        (lambda: ag.reduce_aspects(jnp.ones((1, 2)), how="max"), "known"),
        (lambda: ag.ladder([jnp.ones(1, bool)], [1.0, 2.0]), "1 conditions and 2 values"),
        (lambda: ag.reflect(jnp.ones((2, 3)), jnp.ones((2, 3))), "3 thresholds for 2 views"),
        (lambda: ag.length_penalty(jnp.ones(2), 0.0), "reference=0.0"),
        (lambda: ag.length_bands(jnp.ones(2), (2.0, 1.0), (0.0, 1.0, 2.0)), "to rise"),
        (lambda: ag.hybrid(jnp.ones(2), jnp.full(2, 2.0), jnp.ones(2)), "confidence"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()
