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
from rlkit.analysis.study.prediction import Prediction, early_count, final_return, predict_final_return
from rlkit.errors import UsageError
from rlkit.experiment.runs import store
from rlkit.studies.gain import (
    Gain,
    Partial,
    early_controls,
    early_gain,
    early_mean,
    partial_correlation,
)
from rlkit.studies.measure import LEVELS, MEASURED, OF, STATISTICS, made_of
from rlkit.studies.study import PROTOCOLS, Measuring

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
      returns: [S, K] of the seeds whose returns are all finite.
      left_out: seeds without a number somewhere. Each metric is judged by the seeds that have all of its own:
        over the whole training for alignment, over the early window for prediction.
      alignment: by metric, NaN for seeds that are left out of it; the means of the seeds' global and local
        alignment are the paper's numbers.
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
    metrics = {name: metric[_known(returns)] for name, metric in metrics.items()}
    finite = _known(returns)
    returns, count = returns[finite], early_count(returns.shape[1], fraction)
    rank, dead = (metrics["representation"][..., i] for i in (0, 1))
    told = metrics | {"early return": returns[..., None], "controls": np.stack([returns, rank, dead], -1)}
    whole = {name: _known(metric) for name, metric in metrics.items()}
    left_out = len(finite) - int(np.logical_and.reduce(list(whole.values())).sum())
    nothing = Evidence(returns, left_out, {}, {}, {}, {}, {}, {})
    if len(returns) < _FEWEST or returns.shape[1] < 3:
        return nothing
    alignment = {n: _aligned(m, returns, whole[n]) for n, m in metrics.items() if whole[n].sum() >= _FEWEST}
    nulls, drawn = _nulls(arrays, protocol, finite, whole, metrics, returns)
    early = {name: _known(metric[:, :count]) for name, metric in told.items()}
    prediction = {
        name: predict_final_return(metric[known], returns[known], fraction=fraction)
        for name, metric in told.items()
        if (known := early[name]).sum() >= _FEWEST
    }
    series = {name: statistic(arrays, protocol, name)[finite] for name in STATISTIC_NAMES}
    gains, plain = {}, {}
    for name, values in series.items():
        known = early["controls"] & _known(values[:, :count])
        if known.sum() >= _FEWEST:
            own, paid = values[known], returns[known]
            controls = early_controls(paid, [rank[known], dead[known]], fraction)
            gains[name] = early_gain(own, paid, controls, fraction=fraction)
            free = np.zeros((len(paid), 0))
            plain[name] = partial_correlation(early_mean(own, fraction), final_return(paid), free)
    return Evidence(returns, left_out, alignment, nulls, drawn, prediction, gains, plain)


_FEWEST = 4


def _known(values: np.ndarray) -> np.ndarray:
    """bool [S]: the seeds all of whose numbers are finite."""
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(1))


def _aligned(metric: np.ndarray, returns: np.ndarray, known: np.ndarray) -> Alignment:
    """Alignment of the seeds with numbers; NaN in the places of the others."""
    found = reward_alignment(metric[known], returns[known])
    full = np.full((2, len(known)), np.nan)
    full[:, known] = found.global_alignment, found.local_alignment
    return found._replace(global_alignment=full[0], local_alignment=full[1])


def read(folder: Path, how: Measuring | None = None) -> dict[str, np.ndarray] | None:
    """The measured arrays of a cell; None if it has not been measured.

    Args:
      folder: of the cell.
      how: it should have been measured; None: however.

    Raises:
      UsageError: the file is damaged, is without some of the arrays, or is of another cell or measured
        otherwise; the message names it.
    """
    path = folder / MEASURED
    if not path.exists():
        return None
    arrays = store.read_arrays(path)
    size = np.shape(arrays["returns"]) if "returns" in arrays else ()
    for name, ahead in _LAYOUT.items():
        shape = np.shape(arrays[name])[ahead : ahead + 2] if name in arrays else None
        if shape != size or len(size) != 2:
            raise UsageError(
                f"{path}: {name} is missing or of another shape than the returns {size}; delete the file and "
                "measure the cell anew: rlkit study"
            )
    if how is not None and OF in arrays and str(arrays[OF]) != made_of(folder, how):
        raise UsageError(
            f"{path} is of a run with another configuration, or was measured otherwise than this study "
            "measures; delete the file and measure the cell anew: rlkit study"
        )
    return arrays


def _layout() -> dict[str, int]:
    """Arrays of ``study.npz`` whose axes ``[S, K]`` are those of the returns, by the axes before them."""
    found = {"returns": 0}
    for protocol in PROTOCOLS:
        parts = [f"{level}/{part}" for level in LEVELS for part in ("value", "beyond null")]
        found |= {f"{protocol}/{name}": 0 for name in (*parts, "baselines", "representation")}
        found |= {f"{protocol}/{name}": 1 for name in ("halves/drawn", "halves/shuffled", "projections")}
    return found


_LAYOUT = _layout()


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
    finite: np.ndarray,
    whole: Mapping[str, np.ndarray],
    metrics: Mapping[str, np.ndarray],
    returns: np.ndarray,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The three nulls of alignment of the halves, and the draws of the one with the same memory."""
    draws = {name: np.asarray(arrays[f"{protocol}/halves/{part}"], np.float64)[:, finite]
             for name, part in (("autocorrelation", "drawn"), ("shuffled", "shuffled"))}  # fmt: skip
    projected = np.asarray(arrays[f"{protocol}/projections"], np.float64)[:, finite]
    found, means = {}, {}
    for name in ("emergence halves", "beyond null halves"):
        known = whole[name]
        if known.sum() < _FEWEST:
            continue
        own = {kind: _without_gaps(draw[:, known]) for kind, draw in draws.items()}
        if name.startswith("beyond"):  # what surrogates have beyond their own mean is chance
            own = {kind: draw - draw.mean(0) for kind, draw in own.items()}
        own = {kind: draw for kind, draw in own.items() if np.isfinite(draw).all()}
        nulls = {"projections": projected[:, known], **own}
        found[name] = alignment_against_nulls(metrics[name][known], returns[known], nulls)
        if "autocorrelation" in own:
            mixed = recombined(own["autocorrelation"], _LIVES)
            aligned = (reward_alignment(draw, returns[known]) for draw in mixed)
            means[name] = np.array([np.nanmean(a.global_alignment) for a in aligned])
    return found, means


def _without_gaps(draws: np.ndarray) -> np.ndarray:
    """Draws ``[B, S, K, F]`` in which one without numbers is replaced by another of its checkpoint."""
    good = np.isfinite(draws).all(-1)
    order = np.argsort(~good, axis=0, kind="stable")  # those with numbers first
    place = np.arange(len(draws))[:, None, None] % np.maximum(good.sum(0), 1)
    return np.take_along_axis(draws, np.take_along_axis(order, place, 0)[..., None], 0)


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
