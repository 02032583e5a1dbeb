"""How well does the beginning of training predict its end?

The recipe is the same for every metric and every baseline, so that only the metric differs: features of the
first checkpoints, standardised and reduced to the same number on the training seeds, ridge regression,
leave-one-seed-out. Regression model and tests of arXiv 2605.06746 were not found; the recipe is ours.

Leakage: this module reads nothing of a metric after its early window. What the caller computes per checkpoint
must obey the same rule: partition, moments and rank transforms of an early checkpoint from early data only.
Statistics of small arrays on the host: NumPy float64 and SciPy.
"""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlkit.analysis.moments.variation import varies


class Prediction(NamedTuple):
    """Out-of-sample prediction of the final return from early checkpoints.

    Attributes:
      predicted: ``[S]``, prediction for each seed by the model of the other seeds.
      target: ``[S]``, final returns.
      r2: 1 - Σ(y - ŷ)² / Σ(y - mean of the other seeds)²: 0 for predicting the mean of the other seeds,
        negative for less; at most 1.
      r2_interval: ``[2]``, percentile bootstrap interval over seeds.
      spearman: rank correlation of prediction and target; NaN if either, or the metric, is constant.
        Predictions that hardly leave the mean of the other seeds have -1 by construction: see ``r2``.
      spearman_interval: ``[2]``.
    """

    predicted: np.ndarray
    target: np.ndarray
    r2: float
    r2_interval: np.ndarray
    spearman: float
    spearman_interval: np.ndarray


def early_count(num_checkpoints: int, fraction: float = 0.2) -> int:
    """Number of checkpoints with index k <= fraction·K, K the last index (at least the first).

    Raises:
      ValueError: unless 0 < fraction < 1.
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction is {fraction}; expected a number between 0 and 1")
    # The last index times the fraction may be an integer short of one rounding error.
    return int(np.floor(fraction * (num_checkpoints - 1) + 1e-9)) + 1


def early_features(metric: np.ndarray, fraction: float = 0.2) -> np.ndarray:
    """Mean and slope of every feature over the early window; later checkpoints are not read.

    Args:
      metric: ``[S, K, F]``.
      fraction: part of training that counts as early.

    Returns:
      ``[S, 2F]``: means, then least-squares slopes per checkpoint (0 for a window of one checkpoint).

    Raises:
      ValueError: for the wrong rank, or if early values are not finite.
    """
    metric = np.asarray(metric)
    if metric.ndim != 3:
        raise ValueError(f"metric has shape {metric.shape}; expected [seeds, checkpoints, features]")
    early = np.asarray(metric[:, : early_count(metric.shape[1], fraction)], dtype=np.float64)
    if not np.isfinite(early).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(early))[0])
        raise ValueError(
            f"metric is not finite at index {where}, inside the early window; drop that run first"
        )
    time = np.arange(early.shape[1]) - (early.shape[1] - 1) / 2
    slope = np.einsum("k,skf->sf", time, early) / max(float(time @ time), 1.0)
    return np.concatenate([early.mean(axis=1), slope], axis=1)


def final_return(returns: np.ndarray, fraction: float = 0.1) -> np.ndarray:
    """Mean return over the last ``fraction`` of checkpoints (at least the last): ``[S, K] -> [S]``."""
    returns = np.asarray(returns, dtype=np.float64)
    if returns.ndim != 2:
        raise ValueError(f"returns has shape {returns.shape}; expected [seeds, checkpoints]")
    count = max(1, round(fraction * returns.shape[1]))
    return returns[:, -count:].mean(axis=1)


def leave_one_out_ridge(
    features: np.ndarray, target: np.ndarray, ridge: float = 1.0, dims: int | None = 4
) -> np.ndarray:
    """Predict every seed by ridge regression on the others.

    Standardisation, principal components and regression are all fitted without the seed that is predicted.

    Args:
      features: ``[S, F]``, S >= 3.
      target: ``[S]``.
      ridge: penalty λ in |y - Xw|² + λ|w|² with standardised features and centred target.
      dims: number of principal components to regress on, equal for metrics of different width; None for all
        features.

    Returns:
      ``[S]`` predictions.

    Raises:
      ValueError: for fewer than 3 seeds, shapes that disagree, values that are not finite, or ridge <= 0.
    """
    features, target = np.asarray(features, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if features.ndim != 2 or target.shape != features.shape[:1] or len(target) < 3:
        raise ValueError(
            f"features is {features.shape} and target is {target.shape}; expected [S, F] and [S], S >= 3"
        )
    if not (np.isfinite(features).all() and np.isfinite(target).all()):
        raise ValueError("features or target has a NaN or infinite entry; drop that run first")
    if not ridge > 0:
        raise ValueError(f"ridge is {ridge}; expected a positive penalty")
    seeds = np.arange(len(target))
    return np.array([_ridge_fold(features, target, seeds != seed, ridge, dims)[seed] for seed in seeds])


def predict_final_return(
    metric: np.ndarray,
    returns: np.ndarray,
    *,
    fraction: float = 0.2,
    ridge: float = 1.0,
    dims: int | None = 4,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Prediction:
    """Predict the final return from the early part of a metric, and say how sure that is.

    The bootstrap resamples seeds with their leave-one-out predictions (models are not refitted).

    Args:
      metric: ``[S, K, F]``.
      returns: ``[S, K]``; only its end is used, as the target.
      fraction: part of training that counts as early.
      ridge, dims: see ``leave_one_out_ridge``.
      num_resamples: bootstrap resamples.
      confidence: of the intervals.
      seed: of the bootstrap.

    Returns:
      ``Prediction``.
    """
    target = final_return(returns)
    features = early_features(metric, fraction)
    predicted = leave_one_out_ridge(features, target, ridge, dims)
    others = (target.sum() - target) / (len(target) - 1)
    rows = (predicted, target, others)
    r2_interval = _bootstrap(rows, _r2, num_resamples, confidence, seed)
    rank, rank_interval = float("nan"), np.full(2, np.nan)
    # Features that do not vary leave the mean of the other seeds, whose order is that of the target reversed.
    if varies(features.var(0), features.mean(0)).any():
        rank = float(_spearman(*rows))
        rank_interval = _bootstrap(rows, _spearman, num_resamples, confidence, seed)
    return Prediction(predicted, target, float(_r2(*rows)), r2_interval, rank, rank_interval)


def compare_predictors(
    metrics: Mapping[str, np.ndarray], returns: np.ndarray, **options
) -> dict[str, Prediction]:
    """``predict_final_return`` of several metrics with one recipe: name -> ``Prediction``."""
    return {name: predict_final_return(metric, returns, **options) for name, metric in metrics.items()}


def _ridge_fold(
    features: np.ndarray, target: np.ndarray, train: np.ndarray, ridge: float, dims: int | None
) -> np.ndarray:
    mean, spread = features[train].mean(axis=0), features[train].std(axis=0)
    dead = ~varies(spread**2, mean)
    scaled = np.where(dead, 0.0, (features - mean) / np.where(dead, 1.0, spread))
    if dims is not None:
        _, _, axes = np.linalg.svd(scaled[train], full_matrices=False)
        scaled = scaled @ axes[:dims].T
    design, centre = scaled[train], target[train].mean()
    gram = design.T @ design + ridge * np.eye(design.shape[1])
    return centre + scaled @ np.linalg.solve(gram, design.T @ (target[train] - centre))


def _r2(predicted: np.ndarray, target: np.ndarray, others: np.ndarray, axis: int = -1) -> np.ndarray:
    total = np.sum((target - others) ** 2, axis=axis)
    error = np.sum((target - predicted) ** 2, axis=axis)
    known = (total > 0) & varies(target.var(axis), target.mean(axis))
    return np.where(known, 1.0 - error / np.where(known, total, 1.0), np.nan)


def _spearman(predicted: np.ndarray, target: np.ndarray, others: np.ndarray, axis: int = -1) -> np.ndarray:
    from scipy.stats import rankdata

    del others
    one, other = rankdata(predicted, axis=axis), rankdata(target, axis=axis)
    one, other = one - one.mean(axis, keepdims=True), other - other.mean(axis, keepdims=True)
    scale = np.sqrt((one**2).sum(axis) * (other**2).sum(axis))
    return np.where(scale > 0, (one * other).sum(axis) / np.where(scale > 0, scale, 1.0), np.nan)


def _bootstrap(rows, statistic, num_resamples: int, confidence: float, seed: int) -> np.ndarray:
    from scipy.stats import DegenerateDataWarning, bootstrap

    with warnings.catch_warnings():
        # Resamples without spread are dealt with below.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            rows,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=num_resamples,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    # Resamples of one seed only have no rank correlation: take the percentiles of the others.
    tails = 50 * (1 - confidence), 50 * (1 + confidence)
    drawn = result.bootstrap_distribution
    drawn = drawn[np.isfinite(drawn)]
    return np.percentile(drawn, tails) if drawn.size else np.full(2, np.nan)
