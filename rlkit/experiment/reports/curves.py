"""Curves over training, read from ``metrics.jsonl`` in one pass and bounded memory.

A curve has at most :data:`POINTS` points. While a run has fewer log lines, each line is a point. Beyond that
a point stands for a bin of 2, 4, 8, ... consecutive lines: the mean of a seed's defined values in it, and
their smallest and largest, so that no spike is lost. The newest line is kept as it is. Nothing depends on how
many lines are still to come, so one pass does.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit import outside
from rlkit.errors import UsageError

POINTS = 256
SHOWN = ("eval/", "episode/", "reward/")
_BLOCK = 256  # lines that are turned into arrays at once


class Curve(NamedTuple):
    """A metric over training.

    Attributes:
      steps: [P] environment steps per seed, the mean over the lines of a point.
      values: [P, S] mean of the defined values in a point; NaN where there is none.
      low, high: [P, S] the smallest and largest of them.
      last: [S] values of the newest line.
      lines: log lines per point; the last point may have fewer.
    """

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    last: np.ndarray
    lines: int


class Metrics(NamedTuple):
    """What ``metrics.jsonl`` says.

    Attributes:
      curves: by kind (``"train"``, ``"eval"``) and name.
      update, step: the largest, 0 without lines; steps are of one seed.
      seeds: values per metric and line, 0 without lines.
      judged: updates of the lines of kind ``"eval"``.
    """

    curves: dict[tuple[str, str], Curve]
    update: int
    step: int
    seeds: int
    judged: list[int]


def rows(path: Path, note: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and content of each line of a JSONL file; none if there is no file.

    A line that is not a JSON object is left out and noted.

    Args:
      path: the file.
      note: called with one sentence per damaged line.
    """
    try:
        with outside.regular(path) as file:
            for number, row in enumerate(file, 1):
                try:
                    line = json.loads(row)
                except (ValueError, RecursionError):
                    if row.endswith(b"\n"):
                        note(f"line {number} of {path.name} is not JSON")
                    else:
                        note(f"line {number} of {path.name}, the last one, is not complete")
                    continue
                if isinstance(line, dict):
                    yield number, line
                else:
                    note(f"line {number} of {path.name} is {json.dumps(line)[:40]}, not an object")
    except FileNotFoundError:
        return
    except OSError as error:
        note(f"{path.name} cannot be read ({error.strerror or error})")
    except UsageError as error:  # it is no regular file
        note(str(error))


def read(
    path: Path,
    seeds: int,
    note: Callable[[str], None],
    points: int = POINTS,
    shown: tuple[str, ...] = SHOWN,
) -> Metrics:
    """Read the curves that reports show.

    Args:
      path: ``metrics.jsonl``, see :mod:`rlkit.experiment.runs.logbook`.
      seeds: values that each line is expected to have of a metric. If the first line has another number,
        that one is expected of the others.
      note: called with one sentence per line that is damaged, and so left out.
      points: most points of a curve, even.
      shown: how the names of the curves begin.
    """
    open_curves: dict[tuple[str, str], _Thinned] = {}
    update = step = found = 0
    judged: list[int] = []
    newest: dict[str, int] = {}
    for number, line in rows(path, note):
        where = f"line {number} of {path.name}"
        try:
            kind, at, place, values = _fields(line)
            chosen = {name: row for name, row in values.items() if name.startswith(shown)}
            widths = {len(row) for row in chosen.values()}
            if not found and len(widths) == 1:
                found = widths.pop()
            elif widths - {found}:
                raise _Damaged(f"has {max(widths - {found})} values of a metric, not {found}")
        except _Damaged as error:
            note(f"{where} {error}")
            continue
        if place < newest.get(kind, 0):
            note(f"{where} goes back from step {newest[kind]} to {place}")
        newest[kind] = place
        update, step = max(update, at), max(step, place)
        if kind == "eval":
            judged.append(at)
        for name, row in chosen.items():
            curve = open_curves.get((kind, name))
            if curve is None:
                curve = open_curves[kind, name] = _Thinned(points, found, note)
            curve.add(where, place, row)
    if found and found != seeds:
        note(f"{path.name} has {found} seeds per line, but config.json asks for {seeds}; shown are {found}")
    return Metrics({name: c.curve() for name, c in open_curves.items()}, update, step, found, judged)


class _Damaged(Exception):
    """Why a line is left out."""


def _fields(line: dict[str, Any]) -> tuple[str, int, int, dict[str, list[Any]]]:
    """Kind, update, step and values by seed of a line."""
    for name, form in (("kind", str), ("update", int), ("step", int), ("seeds", dict)):
        if name not in line:
            raise _Damaged(f"has no {name!r}")
        if not isinstance(line[name], form):
            raise _Damaged(f"has {name} {json.dumps(line[name])[:40]}: expected {_FORMS[form]}")
    for name in ("update", "step"):
        if not 0 <= line[name] < 2**53:
            raise _Damaged(f"has {name} {str(line[name])[:40]}: expected a count")
    for name, row in line["seeds"].items():
        if not isinstance(row, list):
            raise _Damaged(f"has {json.dumps(row)[:40]} as {name!r:.60}: expected a list, one value a seed")
    return line["kind"], line["update"], line["step"], line["seeds"]


_FORMS = {str: "text", int: "an integer", dict: "an object"}


class _Thinned:
    """A growing curve: bins of equally many lines, merged in pairs when there are too many."""

    def __init__(self, points: int, seeds: int, note: Callable[[str], None]):
        self.note = note
        self.size = 1  # lines per bin
        self.bins = 0  # complete bins
        self.inside = 0  # lines in the bin after them, which is open
        self.waiting: list[tuple[str, int, list[Any]]] = []
        self.lines = np.zeros(points)
        self.steps = np.zeros(points)  # sums over the lines of a bin
        self.total, self.count = (np.zeros((points, seeds)) for _ in range(2))
        self.low, self.high = np.full((points, seeds), np.inf), np.full((points, seeds), -np.inf)
        self.last = np.full(seeds, np.nan)

    def add(self, where: str, step: int, row: list[Any]) -> None:
        """Add the values of a line."""
        self.waiting.append((where, step, row))
        if len(self.waiting) == _BLOCK:
            self._settle()

    def _settle(self) -> None:
        """Put the lines that wait into bins."""
        steps, values = self._arrays()
        self.waiting = []
        if len(values):
            self.last = values[-1]
        begin = 0
        while begin < len(values):
            if self.bins == len(self.lines):
                self._merge()
            end = min(len(values), begin + self.size - self.inside)
            self._put(steps[begin:end], values[begin:end])
            begin = end

    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of the lines that wait; those that are not numbers are noted and left out."""
        try:
            values = np.array([row for _, _, row in self.waiting], np.float64)  # null becomes NaN
        except (ValueError, TypeError, OverflowError):
            self.waiting = [entry for entry in self.waiting if self._numbers(*entry)]
            values = np.array([row for _, _, row in self.waiting], np.float64)
        if values.ndim != 2 and len(values):  # lists in lists
            self.waiting = [entry for entry in self.waiting if self._numbers(*entry)]
            values = np.array([row for _, _, row in self.waiting], np.float64)
        return np.array([step for _, step, _ in self.waiting], np.float64), values

    def _numbers(self, where: str, step: int, row: list[Any]) -> bool:
        try:
            if np.array(row, np.float64).shape == (len(row),):
                return True
        except (ValueError, TypeError, OverflowError):
            pass
        self.note(f"{where} has a value that is not a number")
        return False

    def _put(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Add lines to the open bin, which has room for them."""
        i, known = self.bins, np.isfinite(values)
        self.lines[i] += len(steps)
        self.steps[i] += steps.sum()
        self.total[i] += np.where(known, values, 0).sum(0)
        self.count[i] += known.sum(0)
        self.low[i] = np.minimum(self.low[i], np.where(known, values, np.inf).min(0))
        self.high[i] = np.maximum(self.high[i], np.where(known, values, -np.inf).max(0))
        self.inside += len(steps)
        if self.inside == self.size:
            self.bins, self.inside = self.bins + 1, 0

    def _merge(self) -> None:
        """Make one bin of two."""
        for sums in (self.lines, self.steps, self.total, self.count):
            _halve(sums, np.add, 0)
        _halve(self.low, np.minimum, np.inf)
        _halve(self.high, np.maximum, -np.inf)
        self.bins //= 2
        self.size *= 2

    def curve(self) -> Curve:
        """The curve so far."""
        if self.waiting:
            self._settle()
        n = self.bins + (self.inside > 0)
        known = self.count[:n] > 0
        values = np.where(known, self.total[:n] / np.maximum(self.count[:n], 1), np.nan)
        low, high = (np.where(known, ends[:n], np.nan) for ends in (self.low, self.high))
        return Curve(self.steps[:n] / self.lines[:n], values, low, high, self.last, self.size)


def _halve(bins: np.ndarray, join: Callable[..., Any], empty: float) -> None:
    """Join neighbours in place; the second half becomes empty."""
    half = len(bins) // 2
    bins[:half] = join(bins[0::2], bins[1::2])
    bins[half:] = empty
