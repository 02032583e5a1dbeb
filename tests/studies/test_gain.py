"""What an early metric adds to what is known anyway."""

import numpy as np
import pytest
from scipy import stats

from rlkit.analysis.study.alignment import reward_alignment
from rlkit.analysis.study.prediction import predict_final_return
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


@pytest.mark.parametrize("constant", [500.0, 0.1, 487.3, -1000 / 3])
def test_what_does_not_vary_over_seeds_is_no_evidence(constant):
    """Neither has a constant that is no power of two, whose mean is off by rounding: it has no number."""
    rng = np.random.default_rng(3)
    metric, returns, same = rng.normal(size=(8, 11, 2)), rng.normal(size=(8, 11)), np.full((8, 11), constant)
    controls = early_controls(returns, [rng.normal(size=(8, 11))])
    for first, second in ((metric[:, 0, 0], same[:, 0]), (same[:, 0], returns[:, -1])):
        assert np.isnan(partial_correlation(first, second, controls)[:3]).all()
    solved = early_gain(metric[..., 0], same, early_controls(same, [metric[..., 1]]))
    assert np.isnan([solved.gain, solved.partial.p, *solved.interval]).all()
    assert np.isnan(reward_alignment(metric, same).global_alignment).all()
    told = predict_final_return(metric, same, num_resamples=50)
    assert np.isnan([told.r2, told.spearman, *told.r2_interval, *told.spearman_interval]).all()
    # Without any feature the mean of the others is left, whose ranks are the target's, turned over.
    blind = predict_final_return(np.repeat(same[..., None], 2, -1), returns, num_resamples=50)
    np.testing.assert_allclose(blind.r2, 0.0, atol=1e-12)
    assert np.isnan([blind.spearman, *blind.spearman_interval]).all()


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
