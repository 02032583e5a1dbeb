"""Does an early metric say more about the end of training than what is known anyway?

What is known anyway are a few plain numbers of the same early window, e.g. the return so far, the rank of the
features and the dead units. Two answers: how much better the end is predicted with the metric than without it
(out of sample), and a test of the partial correlation, exact for normal errors at any number of seeds. Arrays
of one row a seed, NumPy float64. The definitions are ours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlkit.analysis.moments.variation import varies
from rlkit.analysis.study.prediction import early_count, early_features, final_return, leave_one_out_ridge


class Partial(NamedTuple):
    """A partial correlation over seeds and its test.

    Attributes:
      r: correlation of what the controls leave of metric and target; NaN if they leave nothing.
      p: one-sided, of a correlation at least as large where there is none (Student's t).
      p_two: two-sided.
      freedom: degrees of freedom: seeds less controls less two.
    """

    r: float
    p: float
    p_two: float
    freedom: int


class Gain(NamedTuple):
    """What an early metric adds to controls.

    Attributes:
      without, with_metric: leave-one-seed-out R² of the controls, and with the metric beside them.
      gain: their difference.
      interval: [2] 95 % percentile bootstrap interval of the difference over seeds.
      partial: the test.
    """

    without: float
    with_metric: float
    gain: float
    interval: np.ndarray
    partial: Partial


def early_mean(values: np.ndarray, fraction: float = 0.2) -> np.ndarray:
    """Mean of ``[S, K]`` over the early window: ``[S]``. Later checkpoints are not read."""
    values = np.asarray(values, np.float64)
    return values[:, : early_count(values.shape[1], fraction)].mean(1)


def early_controls(returns: np.ndarray, others: Sequence[np.ndarray], fraction: float = 0.2) -> np.ndarray:
    """The controls ``[S, 2 + len(others)]``: early return (mean and slope), and early means of others.

    Args:
      returns: ``[S, K]``.
      others: ``[S, K]`` each, e.g. feature rank and dead units.
      fraction: part of training that counts as early.
    """
    own = early_features(np.asarray(returns, np.float64)[..., None], fraction)
    return np.column_stack([own, *(early_mean(other, fraction) for other in others)])


def partial_correlation(metric: np.ndarray, target: np.ndarray, controls: np.ndarray) -> Partial:
    """Correlation of a metric ``[S]`` and a target ``[S]`` given controls ``[S, C]``, and its test.

    Controls that do not vary over seeds, or repeat others, take no degree of freedom.
    """
    from scipy.stats import t as student

    metric, target = np.asarray(metric, np.float64), np.asarray(target, np.float64)
    basis = _basis(np.asarray(controls, np.float64))
    freedom = len(target) - basis.shape[1] - 1
    left = [values - basis @ (basis.T @ values) for values in (metric, target)]
    scale = [np.linalg.norm(part) for part in left]
    whole = [np.linalg.norm(values - values.mean()) for values in (metric, target)]
    constant = [not varies(values.var(), values.mean()) for values in (metric, target)]
    nothing = any(constant) or any(not s > 1e-9 * max(w, 1e-300) for s, w in zip(scale, whole, strict=True))
    if freedom < 1 or nothing:
        return Partial(float("nan"), float("nan"), float("nan"), max(freedom, 0))
    r = float(np.clip(left[0] @ left[1] / (scale[0] * scale[1]), -1.0, 1.0))
    t = r * np.sqrt(freedom / max(1.0 - r * r, 1e-12))
    return Partial(r, float(student.sf(t, freedom)), float(2 * student.sf(abs(t), freedom)), freedom)


def _basis(controls: np.ndarray) -> np.ndarray:
    """An orthonormal basis [S, r] of a constant and the controls."""
    spread = controls.std(0)
    varying = spread > 1e-9 * np.maximum(np.abs(controls).max(0, initial=0.0), 1e-300)
    scaled = (controls[:, varying] - controls[:, varying].mean(0)) / spread[varying]
    columns = np.column_stack([np.ones(len(controls)), scaled])
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, values > 1e-6 * values[0]]


def early_gain(
    metric: np.ndarray,
    returns: np.ndarray,
    controls: np.ndarray,
    *,
    fraction: float = 0.2,
    ridge: float = 1.0,
    resamples: int = 2000,
    seed: int = 0,
) -> Gain:
    """What the early mean of a metric adds to controls in predicting the final return.

    Args:
      metric: ``[S, K]``, one number a checkpoint.
      returns: ``[S, K]``; only its end is the target.
      controls: ``[S, C]``, see :func:`early_controls`.
      fraction: part of training that counts as early.
      ridge: penalty of both models, see :func:`rlkit.analysis.study.prediction.leave_one_out_ridge`.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      The gain. Models are not refitted in the bootstrap, as in :mod:`rlkit.analysis.study.prediction`.
    """
    early, target = early_mean(metric, fraction), final_return(returns)
    others = (target.sum() - target) / (len(target) - 1)
    errors = np.stack(
        [
            (target - leave_one_out_ridge(features, target, ridge, None)) ** 2
            for features in (controls, np.column_stack([controls, early]))
        ]
    )
    total = (target - others) ** 2
    drawn = np.random.default_rng(seed).integers(0, len(target), (resamples, len(target)))
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1.0 - errors.sum(1) / (total.sum() if varies(target.var(), target.mean()) else np.nan)
        gains = (errors[0][drawn] - errors[1][drawn]).sum(1) / total[drawn].sum(1)
    known = gains[np.isfinite(gains)] if np.isfinite(r2).all() else np.zeros(0)
    ends = np.percentile(known, (2.5, 97.5)) if known.size else np.full(2, np.nan)
    partial = partial_correlation(early, target, controls)
    return Gain(float(r2[0]), float(r2[1]), float(r2[1] - r2[0]), ends, partial)


def pooled(p: Sequence[float]) -> float:
    """One-sided p of several independent tests of one hypothesis together (Stouffer et al. 1949).

    Args:
      p: one-sided; NaN entries are no tests.

    Returns:
      p of the sum of their normal scores; NaN without tests.
    """
    from scipy.stats import norm

    known = np.array([value for value in p if np.isfinite(value)])
    if not known.size:
        return float("nan")
    scores = norm.isf(np.clip(known, 1e-12, 1 - 1e-12))
    return float(norm.sf(scores.sum() / np.sqrt(known.size)))
