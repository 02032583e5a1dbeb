"""The figures of a study's report, as SVG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlkit.experiment.reports.intervals import band

_COLOURS = ("#2f7ed8", "#e0762b", "#2a9d6b", "#c2529b", "#8a7a2e", "#6b6bd6", "#b5493f", "#4a9fb0")


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, path: Path) -> str:
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path.name


def lives(curves: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> str:
    """Return and Φ_R over training, a row a cell: means over seeds with 95 % intervals, and every seed.

    Args:
      curves: by cell ``steps [K]`` and curves ``[K, S]`` by what they show.
      path: of the file.

    Returns:
      Its name.
    """
    labels = [label for label in next(iter(curves.values())) if label != "steps"]
    figure, axes = _figure(len(curves), len(labels), (3.2, 2.0))
    for row, (cell, data) in enumerate(curves.items()):
        for column, label in enumerate(labels):
            axis, colour = axes[row][column], _COLOURS[column]
            mean, low, high = band(data[label])
            axis.plot(data["steps"], data[label], color=colour, alpha=0.2, linewidth=0.7)
            axis.fill_between(data["steps"], low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(data["steps"], mean, color=colour, linewidth=1.6)
            axis.set_title(f"{cell}: {label}", fontsize=8)
            axis.tick_params(labelsize=7)
    return _save(figure, path)


def rivals(cells: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Early prediction (R² of a seed left out) by metric, a group a cell.

    Args:
      cells: of the results, those that are done.
      path: of the file.
    """
    names = (
        "emergence halves",
        "beyond null pairs",
        "baselines",
        "representation",
        "early return",
        "controls",
    )
    figure, axes = _figure(1, 1, (max(4.0, 1.1 * len(cells)), 2.8))
    axis, width = axes[0][0], 0.8 / len(names)
    for place, name in enumerate(names):
        told = [cell["own"]["prediction"].get(name) for cell in cells]
        r2 = np.array([np.nan if one is None or one["r2"] is None else one["r2"] for one in told])
        at = np.arange(len(cells)) + (place - (len(names) - 1) / 2) * width
        axis.bar(at, np.maximum(r2, -1.0), width, color=_COLOURS[place], label=name)
    axis.axhline(0.0, color="black", linewidth=0.8)
    axis.set_ylim(-1.05, 1.05)
    axis.set_ylabel("R², seed left out (cut at -1)", fontsize=8)
    axis.set_xticks(range(len(cells)), [cell["name"] for cell in cells], rotation=30, ha="right", fontsize=7)
    axis.legend(fontsize=7, ncols=3, loc="lower right")
    return _save(figure, path)


def alignments(cells: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Global alignment of emergence and of the plain metrics with intervals, and the paper's numbers."""
    figure, axes = _figure(1, 1, (max(4.0, 1.1 * len(cells)), 2.8))
    axis, place = axes[0][0], np.arange(len(cells))
    for offset, name, colour in ((-0.15, "emergence halves", _COLOURS[0]), (0.15, "baselines", _COLOURS[1])):
        found = [cell["own"]["alignment"].get(name, {}).get("global", {}) for cell in cells]
        mean, low, high = (
            np.array([np.nan if one.get(k) is None else one[k] for one in found])
            for k in ("mean", "low", "high")
        )
        axis.errorbar(place + offset, mean, [mean - low, high - mean], fmt="o", color=colour, label=name)
    paper = np.array([np.nan if cell["paper"] is None else cell["paper"] for cell in cells])
    axis.plot(place, paper, "x", color="black", label="reported of the paper")
    axis.axhline(0.0, color="black", linewidth=0.8)
    axis.set_ylim(-1.1, 1.1)
    axis.set_ylabel("global alignment", fontsize=8)
    axis.set_xticks(place, [cell["name"] for cell in cells], rotation=30, ha="right", fontsize=7)
    axis.legend(fontsize=7, loc="lower right")
    return _save(figure, path)
