"""Bootstrap intervals over seeds, against SciPy's."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from rlkit.experiment.reports.intervals import band, difference, interval, without_one

RNG = np.random.default_rng(1)


def test_intervals_are_scipys():
    values = np.array([0.1, 0.4, 0.35, 0.8, np.nan])
    found = interval(values)
    oracle = bootstrap(
        (values[:4],), np.mean, method="percentile", n_resamples=20000, rng=RNG
    ).confidence_interval
    assert found.mean == pytest.approx(values[:4].mean())
    assert found.low == pytest.approx(oracle.low, abs=0.02)
    assert found.high == pytest.approx(oracle.high, abs=0.02)
    assert found.count == 4
    assert np.isnan(interval([0.5]).low)
    assert interval([]).count == 0
    assert interval([None, 1.0, 1.0])[:3] == (1.0, 1.0, 1.0)


def test_a_band_is_an_interval_at_every_point():
    values = np.array([[0.1, 0.4, 0.35], [1.0, 3.0, 2.0], [np.nan, np.nan, np.nan]])
    mean, low, high = band(values)
    for i in range(2):
        found = interval(values[i])
        np.testing.assert_allclose([mean[i], low[i], high[i]], found[:3])
    assert np.isnan([mean[2], low[2], high[2]]).all()


def test_a_difference_is_that_of_two_independent_groups():
    values, others = np.array([0.9, 1.0, 0.95, 1.0, np.nan]), np.array([0.1, 0.4, 0.35])
    found = difference(values, others)
    draws = [RNG.choice(values[:4], (20000, 4)).mean(1), RNG.choice(others, (20000, 3)).mean(1)]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    assert found.mean == pytest.approx(values[:4].mean() - others.mean())
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)
    assert found.count == 3
    assert difference(others, values).mean == pytest.approx(-found.mean)
    assert np.isnan(difference([1.0], others).low)
    assert difference([], others).count == 0


def test_leaving_out_one_seed_moves_a_difference_to_its_extremes():
    values, others = np.array([1.0, 2.0, 6.0]), np.array([0.0, 1.0])
    found = without_one(values, others)
    moved = [np.delete(values, i).mean() - others.mean() for i in range(3)]
    moved += [values.mean() - np.delete(others, i).mean() for i in range(2)]
    assert found.mean == pytest.approx(2.5)
    assert (found.low, found.high) == (pytest.approx(min(moved)), pytest.approx(max(moved)))
    assert np.isnan(without_one([1.0], others).low)
