"""Early prediction on planted data and on noise, and the leakage rule."""

import numpy as np
import pytest
import scipy.stats

from rlkit.analysis.study import prediction

SEEDS, CHECKPOINTS = 24, 21
EARLY = 5  # indices 0..4 of a last index 20


def planted(seed=0, noise=0.1):
    """The level of the first feature in the early window decides the final return."""
    rng = np.random.default_rng(seed)
    talent = rng.normal(size=SEEDS)
    metric = rng.normal(size=(SEEDS, CHECKPOINTS, 2)) * noise
    metric[:, :, 0] += talent[:, None]
    returns = np.linspace(0, 1, CHECKPOINTS) * (10 + 3 * talent[:, None])
    return metric, returns + noise * rng.normal(size=returns.shape)


def test_a_planted_relation_is_found_and_noise_is_not():
    metric, returns = planted()
    noise = np.random.default_rng(5).normal(size=(40, SEEDS, CHECKPOINTS, 2))
    result = prediction.predict_final_return(metric, returns)
    assert result.r2 > 0.8
    assert result.spearman > 0.85
    assert result.r2_interval[0] > 0.5
    assert result.r2_interval[0] <= result.r2 <= result.r2_interval[1]
    scores = [prediction.predict_final_return(one, returns, num_resamples=9).r2 for one in noise]
    assert np.mean(scores) < 0.0
    assert np.mean(np.array(scores) > 0.3) <= 0.05


@pytest.mark.parametrize("junk", [1e6, np.nan])
def test_nothing_late_enters_the_features(junk):
    metric, returns = planted()
    late = metric.copy()
    late[:, EARLY:] = junk
    np.testing.assert_array_equal(prediction.early_features(metric), prediction.early_features(late))
    one = prediction.predict_final_return(metric, returns, num_resamples=99)
    other = prediction.predict_final_return(late, returns, num_resamples=99)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)
    # The last early checkpoint does count: the window is not shorter than it says.
    early = metric.copy()
    early[:, EARLY - 1] += np.arange(SEEDS)[:, None]
    assert not np.array_equal(prediction.early_features(metric), prediction.early_features(early))


def test_a_prediction_does_not_depend_on_the_return_of_its_own_seed():
    metric, returns = planted()
    changed = returns.copy()
    changed[4] = 1e3
    one = prediction.predict_final_return(metric, returns, num_resamples=9).predicted
    other = prediction.predict_final_return(metric, changed, num_resamples=9).predicted
    assert one[4] == other[4]
    assert not np.allclose(np.delete(one, 4), np.delete(other, 4))


def test_early_window_counts_checkpoints_by_their_place_in_training():
    assert prediction.early_count(21, 0.2) == 5
    assert prediction.early_count(50, 0.2) == 10
    assert prediction.early_count(2, 0.2) == 1
    assert prediction.early_count(11, 0.3) == 4


def test_features_are_mean_and_slope():
    metric = np.random.default_rng(0).normal(size=(3, CHECKPOINTS, 2))
    features = prediction.early_features(metric)
    early = metric[:, :EARLY]
    slope = [[np.polyfit(np.arange(EARLY), early[s, :, f], 1)[0] for f in range(2)] for s in range(3)]
    np.testing.assert_allclose(features, np.concatenate([early.mean(1), slope], axis=1), rtol=1e-10)
    np.testing.assert_array_equal(prediction.early_features(metric[:, :2])[:, 2:], 0.0)


def test_leave_one_out_ridge_equals_a_loop_of_normal_equations():
    rng = np.random.default_rng(2)
    features, target = rng.normal(size=(9, 4)) * [1, 5, 0.1, 2] + 3, rng.normal(size=9)
    expected = []
    for s in range(9):
        x, y = np.delete(features, s, 0), np.delete(target, s)
        mean, spread = x.mean(0), x.std(0)
        x = (x - mean) / spread
        weights = np.linalg.solve(x.T @ x + 0.7 * np.eye(4), x.T @ (y - y.mean()))
        expected.append(y.mean() + (features[s] - mean) / spread @ weights)
    full = prediction.leave_one_out_ridge(features, target, ridge=0.7, dims=None)
    np.testing.assert_allclose(full, expected, rtol=1e-9)
    # Ridge does not see rotations, so all principal components give the same predictions.
    np.testing.assert_allclose(
        prediction.leave_one_out_ridge(features, target, 0.7, dims=4), expected, rtol=1e-9
    )
    huge = prediction.leave_one_out_ridge(features, target, 1e12)
    np.testing.assert_allclose(huge, (target.sum() - target) / 8, rtol=1e-6)


def test_scores_equal_their_definitions():
    metric, returns = planted(noise=1.0)
    result = prediction.predict_final_return(metric, returns, num_resamples=99)
    np.testing.assert_allclose(result.target, returns[:, -2:].mean(axis=1))
    np.testing.assert_allclose(result.spearman, scipy.stats.spearmanr(result.predicted, result.target)[0])
    others = np.array([np.delete(result.target, s).mean() for s in range(SEEDS)])
    expected = 1 - ((result.target - result.predicted) ** 2).sum() / ((result.target - others) ** 2).sum()
    np.testing.assert_allclose(result.r2, expected)


def test_intervals_equal_a_plain_percentile_bootstrap():
    metric, returns = planted(noise=1.0)
    result = prediction.predict_final_return(metric, returns, num_resamples=4000)
    rng = np.random.default_rng(77)
    drawn = []
    for _ in range(4000):
        index = rng.integers(0, SEEDS, SEEDS)
        drawn.append(scipy.stats.spearmanr(result.predicted[index], result.target[index])[0])
    np.testing.assert_allclose(result.spearman_interval, np.percentile(drawn, [2.5, 97.5]), atol=0.03)


def test_metrics_of_any_width_are_compared_by_one_recipe():
    metric, returns = planted()
    wide = np.concatenate([metric, np.random.default_rng(1).normal(size=(SEEDS, CHECKPOINTS, 6))], axis=2)
    table = prediction.compare_predictors(
        {"metric": metric, "wide": wide, "constant": np.ones_like(metric)}, returns, num_resamples=49
    )
    assert list(table) == ["metric", "wide", "constant"]
    assert table["metric"].r2 > table["wide"].r2
    np.testing.assert_allclose(table["constant"].r2, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: prediction.early_features(np.ones((3, 4))), "seeds, checkpoints, features"),
        (lambda: prediction.early_features(np.full((3, 4, 1), np.nan)), "early window"),
        (lambda: prediction.early_count(10, 1.5), "fraction is 1.5"),
        (lambda: prediction.leave_one_out_ridge(np.ones((2, 1)), np.ones(2)), "S >= 3"),
        (lambda: prediction.leave_one_out_ridge(np.ones((4, 1)), np.ones(4), 0.0), "positive penalty"),
        (lambda: prediction.leave_one_out_ridge(np.ones((4, 1)), np.full(4, np.nan)), "NaN"),
        (lambda: prediction.final_return(np.ones(3)), "seeds, checkpoints"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_counts_as_constant_is_a_matter_of_rounding_not_of_scale():
    """The rule of all of the analysis: a feature of any scale that varies counts, rounding does not."""
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(12, 3)), rng.normal(size=12)
    features[:, 0] += target
    wanted = prediction.leave_one_out_ridge(features, target)
    for scale in (1e-14, 1e14):
        np.testing.assert_allclose(
            prediction.leave_one_out_ridge(features * scale, target), wanted, rtol=1e-9
        )
    constant = np.full((12, 1), 0.1) * (1 + np.finfo(float).eps * rng.integers(-1, 2, (12, 1)))
    more = np.concatenate([features, constant], 1)
    np.testing.assert_allclose(prediction.leave_one_out_ridge(more, target), wanted, rtol=1e-9)
