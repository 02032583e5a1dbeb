"""Means over seeds and their uncertainty: percentile bootstraps, the same resamples every time."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_RESAMPLES = 2000


class Interval(NamedTuple):
    """A mean over seeds with its 95 % bootstrap interval; NaN if there is nothing to average."""

    mean: float
    low: float
    high: float
    count: int


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Mean and 95 % percentile bootstrap interval over seeds; undefined values are left out.

    Args:
      values: one number per seed.

    Returns:
      The interval; with a single seed it has no ends (NaN).
    """
    known = _known(values)
    mean, low, high = band(known[None])
    return Interval(float(mean[0]), float(low[0]), float(high[0]), known.size)


def difference(values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray) -> Interval:
    """Difference of two means over seeds, ``values`` less ``others``, and its 95 % percentile interval.

    Seeds are resampled within each group: those of two trainings are not pairs.

    Args:
      values: one number per seed; undefined ones are left out.
      others: the same of the other training.

    Returns:
      The interval; ``count`` is the size of the smaller group. It has no ends (NaN) where that is one.
    """
    from scipy.stats import bootstrap

    groups = _known(values), _known(others)
    count = min(group.size for group in groups)
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = float(groups[0].mean() - groups[1].mean())
    if count == 1:
        return Interval(mean, np.nan, np.nan, 1)
    found = bootstrap(
        groups, lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=_RESAMPLES,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(found.low), float(found.high), count)


def without_one(values: Sequence[float] | np.ndarray, others: Sequence[float] | np.ndarray) -> Interval:
    """The difference of two means when any one seed of either group is left out: its extremes.

    Args:
      values: one number per seed; undefined ones are left out.
      others: the same of the other training.

    Returns:
      The difference of all seeds between the smallest and largest difference without one of them; NaN
      ends where a group has a single seed.
    """
    groups = _known(values), _known(others)
    count = min(group.size for group in groups)
    if count == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    mean = groups[0].mean() - groups[1].mean()
    if count == 1:
        return Interval(float(mean), np.nan, np.nan, 1)
    rest = [(group.sum() - group) / (group.size - 1) for group in groups]
    moved = np.concatenate([rest[0] - groups[1].mean(), groups[0].mean() - rest[1]])
    return Interval(float(mean), float(moved.min()), float(moved.max()), count)


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95 % percentile bootstrap interval over seeds at every point.

    Args:
      values: ``[P, S]``; NaN where undefined.

    Returns:
      mean, low and high, ``[P]`` each; NaN where no seed is defined, and the ends with a single seed.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, np.float64)
    nothing = np.full(values.shape[0], np.nan)
    if values.shape[1] == 0:
        return nothing, nothing, nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that no seed defines: NaN is the answer
        mean = np.nanmean(values, axis=1)
        if values.shape[1] == 1:
            return mean, nothing, nothing
        found = bootstrap(
            (values,), np.nanmean, axis=1, n_resamples=_RESAMPLES, batch=200, method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
    return mean, found.low, found.high


def _known(values: Sequence[float] | np.ndarray) -> np.ndarray:
    known = np.asarray(values, np.float64)
    return known[np.isfinite(known)]
