"""What the final numbers of a report say: a table, differences between runs, and what would change them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlkit.experiment.reports.intervals import Interval, difference, interval, without_one
from rlkit.experiment.reports.panels import Group
from rlkit.experiment.reports.wording import percent, plain

FEW = 10  # seeds; below, a bootstrap knows too little of the tails
_PAIRS = 8  # most pairs that are put in words
_POWER = (1.96 + 0.84) ** 2  # two-sided 5 %, power 80 %


class Quantity(NamedTuple):
    """A row of the final table: its name, one number per seed for each group, and how to write it."""

    name: str
    values: list[np.ndarray]
    percent: bool = False
    same_units: bool = True  # whether the groups can be subtracted


_EVALUATED = (
    ("eval/success", "success in fresh episodes", True),
    ("eval/return", "return, the environment's own reward", False),
    ("eval/fitness", "fitness", False),
    ("eval/length", "episode length, steps", False),
)


def evaluated(shown: Sequence[Group]) -> list[Quantity]:
    """What fresh episodes said at the last evaluation."""
    same = len({group.task for group in shown}) == 1
    return [
        Quantity(name, [group.last(metric) for group in shown], share, same or share)
        for metric, name, share in _EVALUATED
    ]


def table(quantities: Sequence[Quantity]) -> list[dict[str, Any]]:
    """Rows of the final table: an interval for each group, and of two groups their difference."""
    rows = []
    for quantity in quantities:
        cells = [interval(values) for values in quantity.values]
        if not any(cell.count for cell in cells):
            continue
        change = None
        if len(cells) == 2 and quantity.same_units and all(cell.count for cell in cells):
            change = difference(quantity.values[1], quantity.values[0])
        rows.append({"name": quantity.name, "cells": cells, "percent": quantity.percent, "change": change})
    return rows


def changes(shown: Sequence[Group], quantities: Sequence[Quantity]) -> list[dict[str, Any]]:
    """Of more than two groups: how each differs from the first, by quantity."""
    if len(shown) < 3:
        return []
    rows = []
    for k, group in enumerate(shown[1:], 1):
        cells = [
            {"interval": difference(q.values[k], q.values[0]), "percent": q.percent} if q.same_units else None
            for q in quantities
            if any(interval(values).count for values in q.values)
        ]
        rows.append({"label": group.label, "colour": group.look.colour, "cells": cells})
    return rows


def headline(shown: Sequence[Group]) -> str:
    """The difference in success between two groups, in a sentence; empty if there are not two."""
    if len(shown) != 2:
        return ""
    found = difference(*(group.last("eval/success") for group in reversed(shown)))
    if found.count < 2:
        return ""
    span = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    told = "" if found.low > 0 or found.high < 0 else ": the two are not told apart"
    return f"Second less first: {100 * found.mean:+.1f} percentage points of success, {span}{told}."


def what_would_change(shown: Sequence[Group]) -> list[str]:
    """Sentences about what would change the conclusion on success (or on return, without success)."""
    metric, form = "eval/success", _points
    if not any(np.isfinite(group.last(metric)).any() for group in shown):
        metric, form = "eval/return", plain
    what = metric.removeprefix("eval/")
    known = [group for group in shown if np.isfinite(group.last(metric)).any()]
    if not known:
        return []
    said = [_one(known[0], metric, what)] if len(known) == 1 else []
    for group in known[1 : 1 + _PAIRS]:
        if metric == "eval/success" or group.task == known[0].task:
            said.append(_pair(group, known[0], metric, what, form))
    return said + _all_equal(known, metric) + _few(known, metric) + _unfinished(shown)


def _points(value: float) -> str:
    return f"{100 * value:.1f} percentage points"


def _one(group: Group, metric: str, what: str) -> str:
    """How far the mean of a single group stands on each seed."""
    values = group.last(metric)
    known = values[np.isfinite(values)]
    if known.size < 2:
        return f"One seed says nothing about other seeds: train more to learn how far {what} varies."
    rest = (known.sum() - known) / (known.size - 1)
    write = percent if metric == "eval/success" else plain
    return (
        f"Without any one of its {known.size} seeds the mean {what} would lie between {write(rest.min())} "
        f"and {write(rest.max())}."
    )


def _pair(group: Group, other: Group, metric: str, what: str, form: Any) -> str:
    """Whether two groups differ, what one seed does to it, and how many seeds would tell."""
    values, others = group.last(metric), other.last(metric)
    found = difference(values, others)
    names = f"“{group.label}” against “{other.label}”"
    if found.count < 2:
        return f"{names}: {form(found.mean)} in {what} with a single seed has no interval; it may be chance."
    span = f"{form(found.mean)} in {what}, 95 % interval {form(found.low)} to {form(found.high)}"
    moved = without_one(values, others)
    said = f"{names}: {span}. "
    if found.low > 0 or found.high < 0:
        carried = moved.low * moved.high > 0
        said += f"Leaving out any one seed moves it between {form(moved.low)} and {form(moved.high)}: " + (
            "no single seed decides its sign." if carried else "a single seed decides its sign."
        )
    else:
        said += "The two are not told apart. " + _needed(values, others, found)
    return said


def _needed(values: np.ndarray, others: np.ndarray, found: Interval) -> str:
    """How many seeds would tell a difference of this size from none (normal approximation)."""
    spread = sum(float(np.nanvar(x, ddof=1)) for x in (values, others))
    if not found.mean or not spread:
        return "Only other seeds could tell them apart."
    count = int(np.ceil(_POWER * spread / found.mean**2))
    return (
        f"If the difference is as large as it looks, about {count:,} seeds per run would show it in four of "
        "five repetitions (two-sided, 5 %, with the spread seen here)."
    )


def _all_equal(known: Sequence[Group], metric: str) -> list[str]:
    """An interval without width is no certainty."""
    said = []
    for group in known:
        values = group.last(metric)
        episodes = group.run.settings.eval_episodes * values.size
        if (
            metric == "eval/success"
            and values.size > 1
            and episodes
            and set(values.tolist()) in ({0.0}, {1.0})
        ):
            rare, bound = ("failure", "failures") if values[0] else ("success", "successes")
            said.append(
                f"“{group.label}”: no {rare} in {episodes:,} episodes still allows {bound} in up to "
                f"{percent(min(1.0, 3 / episodes))} of them (95 % bound for these policies)."
            )
    return said


def _few(known: Sequence[Group], metric: str) -> list[str]:
    least = min(group.last(metric).size for group in known)
    if 1 < least < FEW:
        return [
            f"With {least} seeds a bootstrap interval is too narrow, because it knows only the seeds seen; "
            f"repeat with {FEW} or more before relying on an interval that nearly touches zero."
        ]
    return []


def _unfinished(shown: Sequence[Group]) -> list[str]:
    names = dict.fromkeys(group.run.folder.name for group in shown if not group.run.finished)
    return (
        [f"{', '.join(names)}: training has not finished; later points may say otherwise."] if names else []
    )
