"""Figures of emergence. Matplotlib is imported when the first one is drawn.

Every function draws on the axes it is given (or on new ones) and returns its figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlkit.analysis.atoms.lattice import ATOM_NAMES, Atoms
from rlkit.analysis.study.nulls import NullTest

COLOURS = ("#2f7ed8", "#e0762b", "#2a9d6b", "#c2529b", "#8a7a2e", "#6b6bd6")
_GREY = "#8a8f98"
# Atoms by height: the rank of the source plus that of the target.
_ROWS = (
    ("rtr",),
    ("xtr", "rtx", "rty", "ytr"),
    ("rts", "xtx", "xty", "ytx", "yty", "str"),
    ("xts", "stx", "sty", "yts"),
    ("sts",),
)
_RESAMPLES = 1000


def _axes(axes: Any, size: tuple[float, float], columns: int = 1) -> tuple[Any, Any]:
    if axes is not None:
        first = axes[0] if isinstance(axes, Sequence | np.ndarray) else axes
        return first.figure, axes
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, columns)


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def atom_lattice(atoms: Atoms | Mapping[str, Any], *, unit: str = "nats", title: str = "", axes: Any = None):
    """The 16 atoms of one pair on their lattice: joint information at the top, shared at the bottom.

    Args:
      atoms: 16 scalars by name.
      unit: for the label.
      title: of the axes.
      axes: Matplotlib axes; None makes a figure.
    """
    figure, axes = _axes(axes, (6.4, 5.2))
    values = {name: float(atoms[name]) for name in ATOM_NAMES}
    limit = max(max(abs(v) for v in values.values()), 1e-12)
    place = {
        name: (1.15 * (i - (len(row) - 1) / 2), height)
        for height, row in enumerate(_ROWS)
        for i, name in enumerate(row)
    }
    for name, (column, row) in place.items():
        for other, (upper_column, upper_row) in place.items():
            if upper_row == row + 1 and _covers(other, name):
                axes.plot([column, upper_column], [row, upper_row], color="#d5d8dd", lw=0.8, zorder=1)
    points = np.array([place[name] for name in ATOM_NAMES])
    shown = axes.scatter(
        *points.T, c=[values[n] for n in ATOM_NAMES], s=900, cmap="RdBu_r", vmin=-limit, vmax=limit,
        edgecolors=_GREY, linewidths=0.8, zorder=2,
    )  # fmt: skip
    for name, (column, row) in place.items():
        strong = abs(values[name]) > 0.6 * limit
        text = f"{name}\n{_short(values[name])}"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=7.5, color="white" if strong else "black"
        )
    axes.set(title=title, xlim=(-3.6, 3.6), ylim=(-0.6, 4.6))
    axes.axis("off")
    figure.colorbar(shown, ax=axes, label=unit, shrink=0.75)
    return figure


def _covers(upper: str, lower: str) -> bool:
    below = {"s": "xy", "x": "r", "y": "r", "r": ""}
    same_source, same_target = upper[0] == lower[0], upper[2] == lower[2]
    return (same_source and lower[2] in below[upper[2]]) or (same_target and lower[0] in below[upper[0]])


def _short(value: float) -> str:
    text = f"{value:.2f}"
    return "0" if text in ("0.00", "-0.00") else text


def emergence_over_training(
    test: NullTest,
    steps: np.ndarray,
    quantities: Sequence[str] = ("phi_r", "ce3", "ce4"),
    *,
    unit: str = "nats",
    axes: Any = None,
):
    """Each quantity over training, mean over seeds with a 95 % bootstrap interval, beside its null.

    Args:
      test: with ``[S, K]`` arrays by quantity, e.g. ``life.tests["means"]``.
      steps: [K] environment steps.
      quantities: one panel each.
      unit: for the label.
      axes: as many axes; None makes a figure.
    """
    figure, axes = _axes(axes, (3.6 * len(quantities), 3.1), len(quantities))
    for name, panel, colour in zip(quantities, np.atleast_1d(axes), COLOURS, strict=False):
        for values, shade, label in (
            (test.mean[name], _GREY, "surrogates"), (test.value[name], colour, "recorded")
        ):  # fmt: skip
            mean, low, high = _band(values)
            panel.plot(steps, mean, color=shade, lw=1.8, ls="--" if shade == _GREY else "-", label=label)
            panel.fill_between(steps, low, high, color=shade, alpha=0.2, lw=0)
        panel.set(title=name, xlabel="environment steps")
        panel.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
        _tidy(panel)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel(unit)
    first.legend(frameon=False, fontsize=8)
    return figure


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over seeds and its 95 % bootstrap interval at every checkpoint; values [S, K]."""
    values = np.asarray(values, np.float64)
    if len(values) == 1:
        return values[0], values[0], values[0]
    rows = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    known = np.where(np.isfinite(values), 1.0, np.nan)
    with np.errstate(invalid="ignore"):
        drawn = np.nanmean(np.where(np.isnan(known), np.nan, values)[rows], axis=1)
        mean = np.nanmean(values, axis=0)
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return mean, low, high


def alignment_plane(embedding: np.ndarray, returns: np.ndarray, directions: np.ndarray, *, axes: Any = None):
    """Where training moves the metrics, in their principal plane, and where the reward improves.

    Args:
      embedding: [S, K, 2] of ``Alignment``.
      returns: [S, K], for the colour.
      directions: [S, 2] unit reward directions; their mean is drawn.
      axes: Matplotlib axes; None makes a figure.
    """
    figure, axes = _axes(axes, (4.8, 3.9))
    embedding, returns = np.asarray(embedding), np.asarray(returns)
    if embedding.shape[-1] < 2:
        embedding = np.concatenate([embedding, np.zeros_like(embedding)], -1)
    for run in embedding:
        axes.plot(*run[:, :2].T, color="#c9cdd3", lw=0.9, zorder=1)
        axes.scatter(*run[0, :2], marker="o", s=34, facecolors="none", edgecolors="black", zorder=3)
        axes.scatter(*run[-1, :2], marker="s", s=30, color="black", zorder=3)
    points = embedding[..., :2].reshape(-1, 2)
    shown = axes.scatter(*points.T, c=returns.reshape(-1), cmap="viridis", s=14, zorder=2)
    arrow = np.zeros(2)
    mean = np.nanmean(np.asarray(directions), axis=0)
    arrow[: min(2, mean.size)] = mean[:2]
    centre, length = points.mean(0), 0.45 * np.ptp(points, axis=0).max()
    axes.annotate(
        "", centre + length * arrow, centre, arrowprops={"arrowstyle": "-|>", "color": COLOURS[1], "lw": 2}
    )
    axes.plot([], [], color=COLOURS[1], lw=2, label="direction of reward")
    axes.plot([], [], "o", mfc="none", mec="black", label="start of training")
    axes.plot([], [], "s", color="black", label="end")
    axes.set(xlabel="first component", ylabel="second component")
    axes.legend(frameon=False, fontsize=8)
    _tidy(axes)
    figure.colorbar(shown, ax=axes, label="return")
    return figure


def pair_matrices(
    values: Mapping[str, Any], *, order: np.ndarray | None = None, unit: str = "nats", axes: Any = None
):
    """All-pairs matrices side by side.

    Args:
      values: [n, n] by title, e.g. ``{"phi_r": phi_id(z)["phi_r"], ...}``.
      order: [n] an order of the units, e.g. ``np.argsort(side)``.
      unit: for the label.
      axes: as many axes; None makes a figure.
    """
    figure, axes = _axes(axes, (3.5 * len(values), 3.1), len(values))
    for (name, matrix), panel in zip(values.items(), np.atleast_1d(axes), strict=True):
        matrix = np.array(matrix, np.float64)
        matrix = matrix if order is None else matrix[np.ix_(order, order)]
        np.fill_diagonal(matrix, np.nan)
        limit = max(np.nanmax(np.abs(matrix), initial=0.0), 1e-12)
        signed = bool(np.nanmin(matrix, initial=0.0) < -0.01 * limit)
        shown = panel.imshow(
            matrix, cmap="RdBu_r" if signed else "magma_r", vmin=-limit if signed else 0.0, vmax=limit
        )
        panel.set(title=name, xlabel="y", ylabel="x")
        figure.colorbar(shown, ax=panel, label=unit, shrink=0.8)
    return figure


def prediction_scatter(predictions: Mapping[str, Any], *, axes: Any = None):
    """Predicted against true final returns, one panel for each metric.

    Args:
      predictions: :class:`rlkit.analysis.study.prediction.Prediction` by metric.
      axes: as many axes; None makes a figure.
    """
    figure, axes = _axes(axes, (3.3 * len(predictions), 3.3), len(predictions))
    for (name, found), panel, colour in zip(predictions.items(), np.atleast_1d(axes), COLOURS, strict=False):
        both = np.concatenate([found.target, found.predicted])
        span = [both.min(), both.max()]
        panel.plot(span, span, color="#c9cdd3", lw=1, zorder=1)
        panel.scatter(found.target, found.predicted, s=22, color=colour, zorder=2)
        low, high = found.r2_interval
        panel.set(
            title=f"{name}\nR² = {found.r2:.2f} [{low:.2f}, {high:.2f}]",
            xlabel="final return",
            ylabel="predicted",
        )
        _tidy(panel)
    return figure
