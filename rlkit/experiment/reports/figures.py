"""Figures of a report, as SVG that takes its ink from the page (dark or light).

A figure holds one pair of axes, so that the page can wrap them. Titles and legends are the page's: no text of
a user is ever typeset here.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlkit.experiment.reports.intervals import band

# Legible on white and on near-black; told apart by the most common kinds of colour blindness.
PALETTE = ("#2f7ed8", "#e0762b", "#2a9d6b", "#c2529b", "#8a7a2e", "#6b6bd6", "#b5493f", "#4a9fb0")
DASHES = {"solid": "", "dashed": "6 3", "dotted": "1.5 2.5", "dashdot": "6 2.5 1.5 2.5"}
INK = "#010203"  # becomes currentColor
SINGLES = 24  # most seeds of a panel that are drawn one by one


class Look(NamedTuple):
    """How a line is told from others: a colour, and a dash when colours run out."""

    colour: str = INK
    dash: str = "solid"


def look(index: int) -> Look:
    """The look of the ``index``-th of many lines."""
    dashes = tuple(DASHES)
    return Look(PALETTE[index % len(PALETTE)], dashes[index // len(PALETTE) % len(dashes)])


class Series(NamedTuple):
    """Something measured over training for each seed.

    Attributes:
      label: what the page calls it.
      look: how it is drawn.
      steps: [P] environment steps per seed.
      values: [P, S]; NaN where undefined.
      low, high: [P, S] extremes of what a point stands for; None where it stands for itself.
      plain: draw the mean alone, thinly.
    """

    label: str
    look: Look
    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    plain: bool = False


class Panel(NamedTuple):
    """One pair of axes with curves over training."""

    title: str
    series: list[Series]
    limits: tuple[float, float] | None = None
    percent: bool = False


class Drawn(NamedTuple):
    """A figure on a page: its title, the ``<svg>`` element, and what it shows in words."""

    title: str
    svg: str
    alt: str


def draw(panel: Panel, name: str) -> Drawn:
    """Means over seeds with 95 % bootstrap intervals.

    Few seeds are drawn one by one, faintly; of many, or where a point stands for several lines of the log, a
    faint band shows the extremes.

    Args:
      panel: what to draw.
      name: keeps identifiers apart from those of other figures.
    """
    from matplotlib.ticker import PercentFormatter

    figure, axis = _axes()
    singles = sum(s.values.shape[1] for s in panel.series if not s.plain) <= SINGLES
    for series in panel.series:
        _curve(axis, series, singles)
    if panel.percent:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    if panel.limits:
        axis.set_ylim(*panel.limits)
    return Drawn(panel.title, svg(figure, name), describe(panel))


def _curve(axis: Any, series: Series, singles: bool) -> None:
    steps, values, colour = series.steps, series.values, series.look.colour
    dash = _dashes(series.look.dash)
    mean, low, high = band(values)
    if series.plain:
        axis.plot(steps, mean, color=colour, alpha=0.75, linewidth=1.2, linestyle=dash)
        return
    known = np.isfinite(mean)
    if series.low is not None or not singles:
        ends = (values if series.low is None else series.low, values if series.high is None else series.high)
        bottom, top = _extremes(*ends)
        axis.fill_between(steps, bottom, top, where=known, color=colour, alpha=0.1, linewidth=0)
    if singles and values.shape[1] > 1:
        axis.plot(steps, values, color=colour, alpha=0.22, linewidth=0.7)
    axis.fill_between(steps, low, high, where=known, color=colour, alpha=0.22, linewidth=0)
    axis.plot(steps, mean, color=colour, linewidth=1.8, linestyle=dash)
    if known.sum() == 1:
        axis.plot(steps, mean, color=colour, marker="o", markersize=4)


def _extremes(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest over seeds; NaN where none is defined."""
    bottom = np.where(np.isfinite(low), low, np.inf).min(1)
    top = np.where(np.isfinite(high), high, -np.inf).max(1)
    undefined = bottom > top
    return np.where(undefined, np.nan, bottom), np.where(undefined, np.nan, top)


def shares(title: str, steps: np.ndarray, terms: dict[str, np.ndarray], colour: str, name: str) -> Drawn:
    """What part each of several terms has in the sum of their magnitudes, stacked.

    Args:
      title: of the figure.
      steps: [P] environment steps per seed.
      terms: share ``[P]`` by term, the lowest first; drawn in :func:`tints` of ``colour``.
      colour: of the run.
      name: keeps identifiers apart from those of other figures.
    """
    from matplotlib.ticker import PercentFormatter

    figure, axis = _axes()
    axis.stackplot(
        steps, np.stack(list(terms.values())), colors=tints(colour, len(terms)), linewidth=0.6, edgecolor=INK
    )
    axis.set_ylim(0, 1)
    axis.set_xlim(steps[0], steps[-1])
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    text = "; ".join(f"{term} {100 * row[-1]:.0f} % at the end" for term, row in terms.items())
    return Drawn(title, svg(figure, name), f"Stacked areas: {title}. {text}.")


def tints(colour: str, count: int) -> list[str]:
    """Shades of a colour from full to faint, as ``#rrggbbaa``."""
    return [f"{colour}{round(255 * strength):02x}" for strength in np.linspace(0.95, 0.2, max(count, 2))]


def describe(panel: Panel) -> str:
    """A panel in words: first and last mean of every line."""
    form = (lambda x: f"{100 * x:.0f} %") if panel.percent else (lambda x: f"{x:.3g}")
    parts = []
    for series in panel.series:
        mean = band(series.values)[0]
        at = np.flatnonzero(np.isfinite(mean))
        if at.size:
            first, last = (f"{form(mean[i])} at step {series.steps[i]:,.0f}" for i in (at[0], at[-1]))
            seeds = series.values.shape[1]
            parts.append(f"{series.label}: {first}, {last} (mean of {seeds} seed{'s' * (seeds > 1)})")
    return f"Curves over training: {panel.title}. {'; '.join(parts)}."


def _axes() -> tuple[Any, Any]:
    """Axes on which text has the page's size when the figure is as wide as a column."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(3.5, 2.2), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("none")
    axis.grid(True, axis="y", color=INK, alpha=0.12, linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(INK)
    axis.tick_params(colors=INK, labelsize=8.5)
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.locator_params(axis="x", nbins=6)
    axis.set_xlabel("environment steps per seed", color=INK, fontsize=8.5)
    return figure, axis


def _dashes(name: str) -> Any:
    pattern = [float(x) for x in DASHES[name].split()]
    return (0, tuple(pattern)) if pattern else "solid"


def svg(figure: Any, name: str) -> str:
    """The figure as an ``<svg>`` element; equal figures give equal text."""
    import matplotlib

    out = io.StringIO()
    options = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "path.simplify": True
    }  # fmt: skip
    with matplotlib.rc_context(options):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])  # nothing refers to groups
    return text.replace(INK, "currentColor")


def legend(looks: Sequence[tuple[str, Look]]) -> list[dict[str, str]]:
    """What the template needs of a legend."""
    return [
        {
            "label": label,
            "colour": "currentColor" if style.colour == INK else style.colour,
            "dash": DASHES[style.dash],
        }
        for label, style in looks
    ]
