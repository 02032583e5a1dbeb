"""What the numbers of one cell say: alignment, prediction, gain, each beside its nulls and rivals.

Works on ``study.npz`` alone (see :mod:`rlkit.studies.measure`), so that every number of a report can be had
again without training or measuring anything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit.analysis.study.alignment import (
    Alignment,
    NullComparison,
    alignment_against_nulls,
    reward_alignment,
)
from rlkit.analysis.study.prediction import Prediction, final_return, predict_final_return
from rlkit.experiment.runs import store
from rlkit.studies.gain import (
    Gain,
    Partial,
    early_controls,
    early_gain,
    early_mean,
    partial_correlation,
)
from rlkit.studies.measure import LEVELS, MEASURED, STATISTICS

METRICS = (
    *(f"emergence {level}" for level in LEVELS),
    *(f"beyond null {level}" for level in LEVELS),
    "baselines",
    "representation",
)
"""Metrics of several features, each predicted and aligned by one recipe."""
STATISTIC_NAMES = tuple(
    f"{name} {level}{beyond}" for level in LEVELS for name in STATISTICS for beyond in ("", " beyond null")
)
"""Statistics of one number a checkpoint, for gains."""


class Evidence(NamedTuple):
    """What a cell says by one protocol.

    Attributes:
      returns: [S, K] of the seeds whose numbers are all finite.
      left_out: seeds that are not.
      alignment: by metric; the means of the seeds' global and local alignment are the paper's numbers.
      nulls: by metric of the halves, ``{"global" | "local": {null: NullComparison}}``.
      null_draws: by metric, mean global alignment of surrogates with the same memory.
      prediction: by metric, and by "early return" and "controls", from the early window.
      gains: by statistic, beyond early return, feature rank and dead units.
      plain: by statistic, its plain correlation with the final return.
    """

    returns: np.ndarray
    left_out: int
    alignment: dict[str, Alignment]
    nulls: dict[str, dict[str, dict[str, NullComparison]]]
    null_draws: dict[str, np.ndarray]
    prediction: dict[str, Prediction]
    gains: dict[str, Gain]
    plain: dict[str, Partial]


def evidence(arrays: Mapping[str, np.ndarray], protocol: str, fraction: float = 0.2) -> Evidence:
    """The evidence of a cell.

    Args:
      arrays: of ``study.npz``.
      protocol: ``"own"`` or ``"matched"``.
      fraction: part of training that counts as early.
    """
    returns = np.asarray(arrays["returns"], np.float64)
    metrics = {name: _metric(arrays, protocol, name) for name in METRICS}
    known = np.asarray(np.isfinite(returns).all(1))
    for metric in metrics.values():
        known = np.logical_and(known, np.isfinite(metric).all((1, 2)))
    returns, metrics = returns[known], {name: metric[known] for name, metric in metrics.items()}
    nothing = Evidence(returns, int((~known).sum()), {}, {}, {}, {}, {}, {})
    if known.sum() < 4 or returns.shape[1] < 3:
        return nothing
    alignment = {name: reward_alignment(metric, returns) for name, metric in metrics.items()}
    nulls, drawn = _nulls(arrays, protocol, known, metrics, returns)
    prediction = {
        name: predict_final_return(metric, returns, fraction=fraction) for name, metric in metrics.items()
    }
    rank, dead = (metrics["representation"][..., i] for i in (0, 1))
    together = np.stack([returns, rank, dead], -1)
    prediction["early return"] = predict_final_return(returns[..., None], returns, fraction=fraction)
    prediction["controls"] = predict_final_return(together, returns, fraction=fraction)
    controls, target = early_controls(returns, [rank, dead], fraction), final_return(returns)
    series = {name: statistic(arrays, protocol, name)[known] for name in STATISTIC_NAMES}
    gains = {name: early_gain(s, returns, controls, fraction=fraction) for name, s in series.items()}
    free = np.zeros((len(target), 0))
    plain = {n: partial_correlation(early_mean(s, fraction), target, free) for n, s in series.items()}
    return Evidence(returns, nothing.left_out, alignment, nulls, drawn, prediction, gains, plain)


def read(folder: Path) -> dict[str, np.ndarray] | None:
    """The measured arrays of a cell; None if it has not been measured."""
    path = folder / MEASURED
    return store.read_arrays(path) if path.exists() else None


def statistic(arrays: Mapping[str, np.ndarray], protocol: str, name: str) -> np.ndarray:
    """A statistic ``[S, K]`` by name, e.g. ``"phi_r pairs beyond null"``."""
    plain = name.removesuffix(" beyond null")
    which, level = plain.split(" ")
    kind = "beyond null" if name != plain else "value"
    return np.asarray(arrays[f"{protocol}/{level}/{kind}"], np.float64)[..., STATISTICS.index(which)]


def _metric(arrays: Mapping[str, np.ndarray], protocol: str, name: str) -> np.ndarray:
    if name in ("baselines", "representation"):
        return np.asarray(arrays[f"{protocol}/{name}"], np.float64)
    kind, _, level = name.rpartition(" ")
    part = "value" if kind == "emergence" else kind
    return np.asarray(arrays[f"{protocol}/{level}/{part}"], np.float64)


def _nulls(
    arrays: Mapping[str, np.ndarray],
    protocol: str,
    known: np.ndarray,
    metrics: Mapping[str, np.ndarray],
    returns: np.ndarray,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The three nulls of alignment of the halves, and the draws of the one with the same memory."""
    draws = {name: np.asarray(arrays[f"{protocol}/halves/{part}"], np.float64)[:, known]
             for name, part in (("autocorrelation", "drawn"), ("shuffled", "shuffled"))}  # fmt: skip
    projected = np.asarray(arrays[f"{protocol}/projections"], np.float64)[:, known]
    found, means = {}, {}
    for name in ("emergence halves", "beyond null halves"):
        # What surrogates have beyond their own mean is chance.
        own = {k: d if name.startswith("emergence") else d - d.mean(0) for k, d in draws.items()}
        own = {k: d for k, d in own.items() if np.isfinite(d).all()}
        found[name] = alignment_against_nulls(metrics[name], returns, {"projections": projected, **own})
        if "autocorrelation" in own:
            mixed = recombined(own["autocorrelation"], _LIVES)
            aligned = (reward_alignment(draw, returns) for draw in mixed)
            means[name] = np.array([np.nanmean(a.global_alignment) for a in aligned])
    return found, means


_LIVES = 499


def recombined(draws: np.ndarray, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Surrogate lives ``[S, K, F]`` from draws ``[B, S, K, F]`` of every checkpoint.

    Surrogates of different seeds and checkpoints are independent, so that a life may take any of the draws of
    each: B of them give more than B lives, and p is not bounded by their number.
    """
    rng = np.random.default_rng(seed)
    seeds, checkpoints = np.indices(draws.shape[1:3])
    for _ in range(count):
        yield draws[rng.integers(0, len(draws), draws.shape[1:3]), seeds, checkpoints]
