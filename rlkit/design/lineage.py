"""A family tree of candidates as a figure: generations from left to right, better ones above."""

import math
from collections.abc import Sequence

import numpy as np

from rlkit.design.types import Record
from rlkit.experiment.reports import figures

_LABELS = 60  # candidates of a restart that still have room for their names


def family(records: Sequence[Record], restart: int, line: Sequence[Record] = ()) -> figures.Drawn:
    """The candidates of one restart: a point each, a line from each of its parents.

    Those without a score are crosses below the others.

    Args:
      records: of a design.
      restart: which.
      line: candidates that stand out, with the lines between them.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    here = [record for record in records if record.candidate.place[0] == restart]
    marked = {record.candidate.id for record in line}
    at = _places(here)
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("none")
    for record in here:
        child = record.candidate
        for parent in set(child.parents) & at.keys():
            (x, y), (u, v) = at[parent], at[child.id]
            bold = {parent, child.id} <= marked
            colour, alpha = (figures.PALETTE[0], 0.9) if bold else (figures.INK, 0.18)
            axis.plot([x, u], [y, v], color=colour, alpha=alpha, linewidth=1.6 if bold else 0.8, zorder=1)
    for record in here:
        name, scored = record.candidate.id, math.isfinite(record.score)
        colour = figures.PALETTE[0] if name in marked else figures.INK
        size = 30 if scored else 22
        axis.scatter(*at[name], s=size, color=colour, marker="o" if scored else "x", linewidth=1.2, zorder=2)
        if len(here) <= _LABELS:
            offset = {"xytext": (4, 4), "textcoords": "offset points"}
            axis.annotate(name, at[name], fontsize=6.5, color=figures.INK, **offset)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(figures.INK)
    axis.tick_params(colors=figures.INK, labelsize=8.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("generation", color=figures.INK, fontsize=8.5)
    axis.set_ylabel("score; × without one", color=figures.INK, fontsize=8.5)
    return figures.Drawn(f"restart {restart}", figures.svg(figure, f"family-{restart}"), _words(here, line))


def _places(records: Sequence[Record]) -> dict[str, tuple[float, float]]:
    """Where each candidate stands; those of a generation side by side, so that equal ones are seen."""
    scores = [r.score for r in records if math.isfinite(r.score)]
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    below = low - 0.12 * (high - low or 1.0)
    counts: dict[int, int] = {}
    for record in records:
        generation = record.candidate.place[1]
        counts[generation] = max(counts.get(generation, 0), record.candidate.place[2] + 1)
    places = {}
    for record in records:
        _, generation, index = record.candidate.place
        aside = 0.5 * (index / max(counts[generation] - 1, 1) - 0.5)
        places[record.candidate.id] = (
            generation + aside,
            record.score if math.isfinite(record.score) else below,
        )
    return places


def _words(records: Sequence[Record], line: Sequence[Record]) -> str:
    scores = [r.score for r in records if math.isfinite(r.score)]
    best = f"the best has a score of {np.max(scores):.3g}" if scores else "none has a score"
    way = " from ".join(r.candidate.id for r in line if r in records)
    said = f"Candidates by generation and score: {len(records)}, of which {len(scores)} have one; {best}."
    return f"{said} Marked: {way}." if way else said
