"""The curves of a report: which metrics are shown, and what may share an axis.

A curve belongs to a group of seeds: those of one member of one run. A colour means a group, everywhere.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlkit.experiment.reports import figures
from rlkit.experiment.reports.curves import Curve
from rlkit.experiment.reports.figures import Drawn, Look, Panel, Series
from rlkit.experiment.reports.reading import Run, labels

TERM = "reward/"
MOST_TERMS = 24  # panels
_MOST_SHARES = 6  # areas in a stack


class Group(NamedTuple):
    """Seeds that are averaged together.

    Attributes:
      run: the run they belong to.
      member: what tells them from other seeds of the run, ``""`` if there are none.
      label: what the page calls them.
      look: how their curves are drawn.
      seeds: their places among the values of a log line.
    """

    run: Run
    member: str
    label: str
    look: Look
    seeds: slice

    @property
    def place(self) -> int:
        """Which member of the run they are."""
        return self.seeds.start // max(1, self.seeds.stop - self.seeds.start)

    @property
    def task(self) -> tuple[str, tuple[str, ...]]:
        """What they are trained in; numbers of different tasks have different units."""
        return self.run.settings.env, tuple(sorted(self.run.settings.env_options))

    def last(self, metric: str, kind: str = "eval") -> np.ndarray:
        """``[S]`` newest values of a metric; empty if it was never logged."""
        return self.run.last(metric, kind)[self.seeds]

    def series(self, kind: str, metric: str) -> Series | None:
        """A metric over training; None if it was logged less than twice, or is never defined."""
        curve = self.run.curve(kind, metric)
        if curve is None or len(curve.steps) < 2 or not np.isfinite(curve.values[:, self.seeds]).any():
            return None
        low, high = (ends[:, self.seeds] if curve.lines > 1 else None for ends in (curve.low, curve.high))
        return Series(self.label, self.look, curve.steps, curve.values[:, self.seeds], low, high)


def groups(runs: Sequence[Run]) -> list[Group]:
    """The groups of seeds of several runs, in order."""
    found = [
        (run, member, _name(label, member, len(runs)), run.group(m))
        for run, label in zip(runs, labels(runs), strict=True)
        for m, member in enumerate(run.members)
    ]
    return [
        Group(run, member, name, figures.look(i), rows) for i, (run, member, name, rows) in enumerate(found)
    ]


def _name(label: str, member: str, runs: int) -> str:
    """What the page calls a member of a run: of a single run that has several, its own name will do."""
    return member if member and runs == 1 else ", ".join(filter(None, (label, member)))


_LEARNING = (
    ("eval", "eval/success", "success in fresh episodes", True),
    ("eval", "eval/return", "return in fresh episodes", False),
    ("train", "episode/success", "success in training episodes", True),
    ("train", "episode/return", "return in training episodes", False),
)


def learning(shown: Sequence[Group]) -> list[Drawn]:
    """Learning curves: what fresh episodes show, what training episodes do, and what the agent is paid.

    Returns of different tasks, and pay by different rewards, do not share an axis. What repeats an earlier
    figure is left out, as return is where it equals success.
    """
    panels: list[Panel] = []
    for kind, metric, title, share in _LEARNING:
        parts = {"": shown} if share else _split(shown, lambda g: g.task, lambda g: g.run.settings.env)
        for name, part in parts.items():
            limits = (-0.03, 1.03) if share else None
            panels.append(Panel(_joined(title, name), _known(part, kind, metric), limits, share))
    paid = _split(shown, lambda g: (g.task, g.run.settings.reward), lambda g: g.run.settings.reward)
    for name, part in paid.items():
        title = f"paid per episode by {name}" if name else "what the agent is paid per episode"
        panels.append(Panel(title, _known(part, "train", "episode/paid")))
    return [figures.draw(panel, f"learning-{i}") for i, panel in enumerate(_distinct(panels))]


def _joined(title: str, name: str) -> str:
    return f"{title}, {name}" if name else title


def _split(shown: Sequence[Group], key: Any, name: Any) -> dict[str, list[Group]]:
    """Groups by what may share an axis; the name of the only part is empty."""
    parts: dict[Any, list[Group]] = {}
    for group in shown:
        parts.setdefault(key(group), []).append(group)
    if len(parts) == 1:
        return {"": list(shown)}
    named: dict[str, list[Group]] = {}
    for part in parts.values():
        text = name(part[0])
        text = text if text not in named else f"{text} ({', '.join(g.label for g in part)})"
        named[text] = part
    return named


def _known(shown: Sequence[Group], kind: str, metric: str) -> list[Series]:
    return [series for group in shown if (series := group.series(kind, metric)) is not None]


def _distinct(panels: Sequence[Panel]) -> list[Panel]:
    """Panels with something in them that no earlier panel shows."""
    kept: list[Panel] = []
    for panel in panels:
        if panel.series and not all(any(_shown(s, other) for other in kept) for s in panel.series):
            kept.append(panel)
    return kept


def _shown(series: Series, panel: Panel) -> bool:
    """Whether a panel shows these numbers for the same group."""
    return any(
        other.label == series.label
        and other.values.shape == series.values.shape
        and np.allclose(other.values, series.values, equal_nan=True)
        for other in panel.series
    )


def thinned(shown: Sequence[Group]) -> int:
    """The largest number of log lines that a point of a curve stands for."""
    return max((c.lines for group in shown for c in group.run.metrics.curves.values()), default=1)


def terms(shown: Sequence[Group]) -> tuple[list[Drawn], list[str]]:
    """The mean per step of each named term of the rewards, a figure each; and the names of those left out."""
    names = list(dict.fromkeys(name for group in shown for name in _term_curves(group)))
    panels = [Panel(name.removeprefix(TERM), _known(shown, "train", name)) for name in names]
    panels = [panel for panel in panels if panel.series]
    drawn = [figures.draw(panel, f"term-{i}") for i, panel in enumerate(panels[:MOST_TERMS])]
    return drawn, [panel.title for panel in panels[MOST_TERMS:]]


def _term_curves(group: Group) -> dict[str, Curve]:
    found = group.run.metrics.curves.items()
    return {name: curve for (kind, name), curve in found if kind == "train" and name.startswith(TERM)}


class Shares(NamedTuple):
    """What part each term of a reward has in the sum of their magnitudes, and a legend, the highest first."""

    figure: Drawn
    legend: list[dict[str, str]]


def shares(group: Group, name: str) -> Shares | None:
    """Shares of the terms of a reward over training; None if it has a single term, or paid nothing.

    The magnitude of a term is that of its mean over seeds at a point. The smallest of many are one area.
    """
    curves = _term_curves(group)
    if len(curves) < 2 or len({len(curve.steps) for curve in curves.values()}) > 1:
        return None
    steps = next(iter(curves.values())).steps
    size = {n.removeprefix(TERM): _magnitude(c.values[:, group.seeds]) for n, c in curves.items()}
    total = np.sum(list(size.values()), axis=0)
    if len(steps) < 2 or not total.any():
        return None
    order = sorted(size, key=lambda term: -size[term].sum())
    if len(order) > _MOST_SHARES:
        rest = order[_MOST_SHARES - 1 :]
        size[f"{len(rest)} others"] = np.sum([size.pop(term) for term in rest], axis=0)
        order = [*order[: _MOST_SHARES - 1], f"{len(rest)} others"]
    part = {term: np.where(total > 0, size[term] / np.where(total > 0, total, 1), 0.0) for term in order}
    drawn = figures.shares(f"share of |reward|, {group.label}", steps, part, group.look.colour, name)
    looks = zip(part.items(), figures.tints(group.look.colour, len(part)), strict=False)
    return Shares(drawn, [_entry(term, row, colour) for (term, row), colour in looks][::-1])


def _magnitude(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    mean = np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.abs(mean)


def _entry(term: str, row: np.ndarray, colour: str) -> dict[str, str]:
    tenth = max(1, len(row) // 10)
    begin, end = (f"{100 * part.mean():.0f} %" for part in (row[:tenth], row[-tenth:]))
    return {
        "label": f"{term}: {begin} in the first tenth of training, {end} in the last",
        "colour": colour,
        "width": "9",
    }
