"""What an early metric adds to what is known anyway."""

import numpy as np
from scipy import stats

from rlkit.studies.gain import early_controls, early_gain, early_mean, partial_correlation, pooled


def test_partial_correlations_are_those_of_residuals():
    rng = np.random.default_rng(0)
    metric, target, controls = rng.normal(size=(12,)), rng.normal(size=(12,)), rng.normal(size=(12, 3))
    design = np.column_stack([np.ones(12), controls])
    left = [x - design @ np.linalg.lstsq(design, x, rcond=None)[0] for x in (metric, target)]
    found = partial_correlation(metric, target, controls)
    np.testing.assert_allclose(found.r, np.corrcoef(*left)[0, 1], rtol=1e-9)
    assert found.freedom == 12 - 3 - 2
    plain = stats.pearsonr(metric, target, alternative="greater")
    alone = partial_correlation(metric, target, np.zeros((12, 0)))
    np.testing.assert_allclose([alone.r, alone.p], [plain.statistic, plain.pvalue], rtol=1e-9)
    both = stats.pearsonr(metric, target)
    np.testing.assert_allclose(alone.p_two, both.pvalue, rtol=1e-9)


def test_controls_that_say_nothing_new_cost_nothing():
    rng = np.random.default_rng(1)
    metric, target, control = rng.normal(size=(8,)), rng.normal(size=(8,)), rng.normal(size=(8, 1))
    one = partial_correlation(metric, target, control)
    more = np.column_stack([control, np.full(8, 3.0), 2 * control + 1, np.zeros(8)])
    np.testing.assert_allclose(partial_correlation(metric, target, more), one, rtol=1e-7)
    assert np.isnan(partial_correlation(control[:, 0], target, control).r)  # nothing is left of it
    assert np.isnan(partial_correlation(metric, target, rng.normal(size=(8, 6))).p)  # no freedom is left


def test_p_is_uniform_where_a_metric_only_knows_the_controls():
    """At eight seeds, with the controls that a study has."""
    rng = np.random.default_rng(2)
    p = []
    for _ in range(2000):
        controls = rng.normal(size=(8, 4))
        target = controls @ rng.normal(size=4) + rng.normal(size=8)
        metric = controls @ rng.normal(size=4) + rng.normal(size=8)
        p.append(partial_correlation(metric, target, controls).p)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 0.015


def test_pooling_is_stouffers():
    p = [0.2, 0.03, 0.6]
    np.testing.assert_allclose(pooled(p), stats.combine_pvalues(p, method="stouffer").pvalue, rtol=1e-9)
    assert pooled([*p, np.nan]) == pooled(p)
    assert np.isnan(pooled([]))


def test_only_early_checkpoints_and_the_end_are_read():
    rng = np.random.default_rng(3)
    metric, returns, rank = rng.normal(size=(3, 10, 21))
    controls = early_controls(returns, [rank])
    found = early_gain(metric, returns, controls)
    other = [x.copy() for x in (metric, returns, rank)]
    for x in other:
        x[:, 5:19] = 1e6 * rng.normal(size=(10, 14))
    other[0][:, 5:], other[2][:, 5:] = np.nan, np.nan
    np.testing.assert_array_equal(early_controls(other[1], [other[2]]), controls)
    again = early_gain(other[0], other[1], early_controls(other[1], [other[2]]))
    np.testing.assert_array_equal(np.hstack(again[:4]), np.hstack(found[:4]))
    np.testing.assert_array_equal(early_mean(metric), metric[:, :5].mean(1))


def test_a_metric_that_knows_the_end_gains_and_noise_does_not():
    rng = np.random.default_rng(4)
    returns = rng.normal(size=(30, 11))
    returns[:, -1] = talent = rng.normal(size=30)
    knows = talent[:, None] + 0.3 * rng.normal(size=(30, 11))
    controls = early_controls(returns, [rng.normal(size=(30, 11))])
    found, noise = (
        early_gain(knows, returns, controls),
        early_gain(rng.normal(size=(30, 11)), returns, controls),
    )
    assert found.gain > 0.7
    assert found.interval[0] > 0.4
    assert found.partial.p < 1e-6
    assert noise.gain < 0.1
    np.testing.assert_allclose(found.gain, found.with_metric - found.without)
