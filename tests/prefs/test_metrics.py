"""Measures against enumeration, scipy and naive loops."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from rlkit.errors import UsageError
from rlkit.prefs import metrics

RNG = np.random.default_rng(0)


def test_best_of_n_is_the_mean_over_all_subsets():
    proxy, gold = RNG.normal(size=(3, 6)).astype(np.float32), RNG.normal(size=(3, 6)).astype(np.float32)
    proxy[1] = np.round(proxy[1])  # ties: each of the best is taken as often
    ns = (1, 2, 4, 6)
    curve = np.asarray(metrics.best_of_n_curve(proxy, gold, ns))
    for row, (p, g) in enumerate(zip(proxy, gold, strict=True)):
        for column, n in enumerate(ns):
            subsets = [np.array(s) for s in itertools.combinations(range(6), n)]
            wanted = np.mean([np.mean(g[s[p[s] == p[s].max()]]) for s in subsets])
            if row != 1 or n in (1, 6):
                np.testing.assert_allclose(curve[row, column], wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics.best_of_n_weights(500, 64).sum(), 1.0, rtol=1e-9)


def test_ties_of_the_proxy_do_not_depend_on_the_order():
    proxy, gold = jnp.zeros((1, 5)), jnp.arange(5.0)[None]
    np.testing.assert_allclose(metrics.best_of_n_curve(proxy, gold, (1, 3, 5)), 2.0, rtol=1e-6)
    both = jnp.array([[1.0, 1.0, 0.0, 0.0]]), jnp.array([[0.0, 1.0, 0.3, 0.7]])
    for order in itertools.permutations(range(4)):
        curve = metrics.best_of_n_curve(both[0][:, order], both[1][:, order], (2,))
        np.testing.assert_allclose(curve, 0.5, rtol=1e-6)


def test_pairs_by_group():
    margin = jnp.array([1.0, -1.0, 0.0, 2.0, -3.0])
    label = jnp.array([1.0, 1.0, 0.0, 0.5, 0.0])
    for ties, wanted in (("half", 2.5 / 4), ("wrong", 2 / 4), ("skip", 2 / 3)):
        np.testing.assert_allclose(metrics.pair_accuracy(margin, label, ties=ties), wanted, rtol=1e-6)
    weighted = metrics.pair_accuracy(margin, label, jnp.array([3.0, 1.0, 0.0, 9.0, 0.0]))
    np.testing.assert_allclose(weighted, 0.75)
    value, group = jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.array([0, 0, 0, 2])
    out = metrics.macro_by_group(value, group, 3)
    np.testing.assert_allclose(out.by_group, [1.0, np.nan, 0.0])
    np.testing.assert_allclose((out.macro, out.worst), (0.5, 0.0))


def test_calibration():
    probability = RNG.uniform(size=500)
    label = (RNG.uniform(size=500) < probability**2).astype(float)
    index = np.minimum((probability * 10).astype(int), 9)
    wanted = sum(abs((label - probability)[index == b].sum()) for b in range(10)) / 500
    np.testing.assert_allclose(
        metrics.ece(jnp.asarray(probability), jnp.asarray(label), 10), wanted, atol=1e-3
    )
    np.testing.assert_allclose(
        metrics.brier(probability, label), np.mean((probability - label) ** 2), rtol=1e-5
    )
    margin = np.log(probability / (1 - probability))
    wanted = -np.mean(np.where(label > 0, np.log(probability), np.log(1 - probability)))
    np.testing.assert_allclose(metrics.nll(jnp.asarray(margin), jnp.asarray(label)), wanted, rtol=1e-4)


def test_first_errors():
    p = jnp.array([[0.9, 0.2, 0.1], [0.9, 0.9, 0.1], [0.9, 0.9, 0.9], [0.1, 0.9, 0.9]])
    mask = jnp.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]], bool)
    found = metrics.first_error(p, mask)
    assert found.tolist() == [1, -1, -1, 0]
    out = metrics.first_error_f1(found, jnp.array([1, -1, 2, 1]))
    np.testing.assert_allclose(out, (2 * (1 / 3) / (4 / 3), 1 / 3, 1.0), rtol=1e-6)
    assert metrics.first_error_f1(jnp.array([0, 0]), jnp.array([1, -1])).f1 == 0.0


def test_ranks_and_spread():
    a, b = RNG.integers(0, 4, (2, 3, 30)).astype(np.float32)
    wanted = [scipy.stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(metrics.rank_correlation(a, b), wanted, rtol=1e-4)
    assert np.isnan(metrics.rank_correlation(jnp.ones(4), jnp.arange(4.0)))
    group = jnp.array([[0.0] * 255 + [1.0]])
    np.testing.assert_allclose(metrics.advantage_spread(group), 15.97, rtol=1e-3)
    reward, passed = jnp.array([1.0, 3.0, -1.0, -3.0]), jnp.array([True, True, False, False])
    np.testing.assert_allclose(metrics.collapse_ratio(reward, passed), 0.25)


def test_position_and_process_preference():
    forward, backward = jnp.array([1.0, 1.0, -2.0, 0.0]), jnp.array([-1.0, 1.0, 3.0, 1.0])
    assert metrics.position_consistency(forward, backward) == 0.5
    np.testing.assert_allclose(metrics.prm_preference(jnp.ones((2, 3)), jnp.zeros((2, 3))), 1.0)
    assert metrics.best_of_n(jnp.array([[1.0, 3.0, 2.0]]), jnp.array([[True, False, True]])).tolist() == [2]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.best_of_n_curve(jnp.ones((1, 3)), jnp.ones((1, 3)), (4,)), "n=4"),
        (lambda: metrics.pair_accuracy(jnp.ones(2), jnp.ones(2), ties="hlf"), "did you mean 'half'"),
        (lambda: metrics.macro_by_group(jnp.ones(2), jnp.array([0, 2]), 2), r"group\[1\]=2"),
        (lambda: metrics.ece(jnp.array([1.5]), jnp.ones(1)), "probability"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_scores_that_are_no_numbers_are_not_counted_as_wrong_or_right():
    """Comparing hides NaN, and a broken model looks like a mediocre one."""
    nan = jnp.nan
    margin, label = jnp.array([1.0, nan, -1.0]), jnp.array([1.0, 0.0, 0.0])
    assert np.isnan(metrics.pair_accuracy(margin, label))
    assert metrics.pair_accuracy(margin, label, jnp.array([1.0, 0.0, 1.0])) == 1.0  # it does not count
    assert metrics.pair_accuracy(margin, label.at[1].set(0.5)) == 1.0
    assert np.isnan(metrics.position_consistency(margin, -label))
    assert metrics.best_of_n(jnp.array([0.1, nan, 0.3, 0.2])) == 2
    proxy = jnp.array([[1.0, nan, 3.0], [1.0, 2.0, 3.0]])
    curve = metrics.best_of_n_curve(proxy, jnp.ones((2, 3)), (1, 2))
    np.testing.assert_array_equal(np.isnan(curve), [[True] * 2, [False] * 2])
    grouped = metrics.macro_by_group(jnp.array([1.0, nan, 0.5]), jnp.array([0, 1, 3]), 4)
    assert np.isnan(grouped.macro)
    assert np.isnan(grouped.worst)
    assert np.isnan(metrics.rank_correlation(margin, label))
    with pytest.raises(UsageError, match=r"probability\[0, 1\]=nan: expected numbers in \[0, 1\]"):
        metrics.first_error(jnp.array([[0.9, nan]]), jnp.ones((1, 2), bool))
    assert metrics.first_error(jnp.array([[0.9, nan]]), jnp.array([[True, False]])) == -1


def test_questions_where_process_scores_have_the_edge_are_selected():
    process, outcome = np.random.default_rng(0).normal(size=(2, 7, 4)).astype(np.float32)
    process[3, 1] = np.nan
    edge = np.where(np.arange(7) == 3, -np.inf, (process - outcome).mean(1))
    chosen = metrics.select_hard(jnp.asarray(process), jnp.asarray(outcome), 3)
    assert set(np.flatnonzero(chosen)) == set(np.argsort(-edge)[:3])
    with pytest.raises(UsageError, match="count=8: expected at most 7"):
        metrics.select_hard(jnp.asarray(process), jnp.asarray(outcome), 8)
