"""Figures of a report, as SVG that takes its ink from the page (dark or light)."""

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Legible on white and on near-black; told apart by the most common kinds of colour blindness.
PALETTE = ("#2f7ed8", "#e0762b", "#2a9d6b", "#c2529b", "#8a7a2e", "#6b6bd6", "#b5493f", "#4a9fb0")
_INK = "#010203"  # becomes currentColor
_RESAMPLES = 2000


class Series(NamedTuple):
    """Something measured over training for each seed."""

    label: str
    colour: str
    steps: np.ndarray  # [P]: environment steps per seed
    values: np.ndarray  # [P, S]; NaN where undefined


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
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    mean, low, high = band(known[None])
    return Interval(float(mean[0]), float(low[0]), float(high[0]), known.size)


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


def _figure(columns: int, height: float = 2.7) -> tuple[Any, Any]:
    """A figure as wide as the page, whatever its number of columns, so that all text has one size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.6, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.set_facecolor("none")
        axis.grid(True, axis="y", color=_INK, alpha=0.12, linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(_INK)
        axis.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def _steps_axis(axis: Any, label: str = "environment steps per seed") -> None:
    from matplotlib.ticker import EngFormatter

    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel(label, color=_INK, fontsize=9)


def _title(axis: Any, text: str) -> None:
    axis.set_title(text, color=_INK, fontsize=10.5, loc="left", fontweight="bold")


def _legend(axis: Any, **options: Any) -> None:
    axis.legend(frameon=False, fontsize=8.5, labelcolor=_INK, **options)


def svg(figure: Any, name: str) -> str:
    """The figure as an ``<svg>`` element; equal figures give equal text."""
    import matplotlib

    out = io.StringIO()
    options = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}
    with matplotlib.rc_context(options):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")


def _draw(axis: Any, series: Series, faint: bool = True) -> None:
    steps, values = series.steps, series.values
    if faint:
        axis.plot(steps, values, color=series.colour, alpha=0.22, linewidth=0.8)
    mean, low, high = band(values)
    axis.fill_between(steps, low, high, color=series.colour, alpha=0.22, linewidth=0)
    axis.plot(steps, mean, color=series.colour, linewidth=2.0, label=series.label)


class Panel(NamedTuple):
    """One pair of axes with curves over training."""

    title: str
    series: list[Series]
    limits: tuple[float, float] | None = None
    percent: bool = False


def curves(panels: list[Panel], name: str) -> str:
    """Means over seeds with 95 % bootstrap intervals; single seeds faint.

    Args:
      panels: drawn side by side.
      name: of the figure, keeps its identifiers apart from other figures'.
    """
    from matplotlib.ticker import PercentFormatter

    figure, axes = _figure(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        for series in panel.series:
            _draw(axis, series)
        _title(axis, panel.title)
        _steps_axis(axis)
        if panel.percent:
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        if panel.limits:
            axis.set_ylim(*panel.limits)
    if len(panels[0].series) > 1:
        handles, texts = axes[0].get_legend_handles_labels()
        below = {"loc": "outside lower center", "ncols": 4, "frameon": False}
        figure.legend(handles, texts, fontsize=8.5, labelcolor=_INK, **below)
    return svg(figure, name)


def terms(steps: np.ndarray, values: dict[str, np.ndarray], name: str) -> str:
    """Reward terms over training: their mean per step, and their shares of the reward's magnitude.

    Args:
      steps: ``[P]``.
      values: mean over seeds of each term, ``[P]`` by name.
      name: of the figure.
    """
    from matplotlib.ticker import PercentFormatter

    figure, (left, right) = _figure(2)
    colours = dict(zip(values, PALETTE * (1 + len(values) // len(PALETTE)), strict=False))
    for term, row in values.items():
        left.plot(steps, row, color=colours[term], linewidth=1.8, label=term)
    size = np.abs(np.stack(list(values.values())))
    total = size.sum(0)
    share = np.where(total > 0, size / np.where(total > 0, total, 1), 0.0)
    right.stackplot(steps, share, colors=[colours[t] for t in values], alpha=0.75, linewidth=0)
    if not total.any():
        right.text(
            0.5, 0.5, "nothing was paid", transform=right.transAxes, ha="center", color=_INK, fontsize=9
        )
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axis, text in ((left, "mean per step"), (right, "share of |reward|")):
        _title(axis, text)
        _steps_axis(axis)
    _legend(left, loc="best")
    return svg(figure, name)


class Emergence(NamedTuple):
    """One measure over training: the recording and its null, each ``[P, S]``, nats."""

    title: str
    steps: np.ndarray
    value: np.ndarray
    null: np.ndarray
    null_sd: np.ndarray
    z: np.ndarray


def emergence(measures: list[Emergence], outcome: Series | None, colour: str, name: str) -> str:
    """Measures against the band of their surrogates, with what the policy achieved faintly behind.

    Args:
      measures: one column each, the first is the headline.
      outcome: success or return over training, on an axis of its own.
      colour: of the run.
      name: of the figure.
    """
    figure, axes = _figure(len(measures))
    for axis, measure in zip(axes, measures, strict=True):
        null, sd = np.nanmean(measure.null, 1), np.nanmean(measure.null_sd, 1)
        low, high = null - 2 * sd, null + 2 * sd
        axis.fill_between(
            measure.steps, low, high, color=_INK, alpha=0.18, linewidth=0, label="surrogates ± 2 sd"
        )
        axis.plot(measure.steps, null, color=_INK, alpha=0.55, linewidth=1.0, linestyle=(0, (4, 3)))
        _draw(axis, Series("recorded", colour, measure.steps, measure.value))
        if outcome is not None:
            _behind(axis, outcome, last=axis is axes[-1])
        _title(axis, f"{measure.title}, nats")
        _steps_axis(axis)
    handles, texts = axes[0].get_legend_handles_labels()
    if outcome is not None:
        handles += figure.axes[-1].get_lines()[:1]
        texts.append(outcome.label)
    figure.legend(
        handles, texts, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, labelcolor=_INK
    )
    return svg(figure, name)


def _behind(axis: Any, outcome: Series, last: bool) -> None:
    """Draw an outcome on an axis at the right."""
    twin = axis.twinx()
    twin.plot(outcome.steps, band(outcome.values)[0], color=_INK, alpha=0.5, linewidth=1.1, linestyle=":")
    top = np.nanmax(outcome.values) if np.isfinite(outcome.values).any() else 1.0
    twin.set_ylim(min(0.0, np.nanmin(outcome.values)), max(1.0, top) * 1.03)
    twin.spines[["top", "left", "right", "bottom"]].set_visible(False)
    twin.tick_params(colors=_INK, labelsize=8, labelright=last, right=False)


def scores(columns: dict[str, list[Emergence]], colours: dict[str, str], name: str) -> str:
    """z against surrogates over training: a column for each measure, a curve for each run.

    Args:
      columns: label of the run -> its measures, the same for all runs.
      colours: of the runs by label.
      name: of the figure.
    """
    titles = [measure.title for measure in next(iter(columns.values()))]
    figure, axes = _figure(len(titles))
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        axis.axhspan(-2, 2, color=_INK, alpha=0.12, linewidth=0)
        for label, measures in columns.items():
            _draw(axis, Series(label, colours[label], measures[i].steps, measures[i].z))
        axis.set_yscale("symlog", linthresh=10)
        _title(axis, f"z of {title}")
        _steps_axis(axis)
    if len(columns) > 1:
        _legend(axes[0], loc="best")
    return svg(figure, name)
