"""What happened inside the agents: the emergence of their latents, as figures, rows and sentences."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlkit.experiment import figures
from rlkit.experiment.conclusions import Quantity
from rlkit.experiment.figures import Drawn, Look, Panel, Series
from rlkit.experiment.intervals import Interval, interval
from rlkit.experiment.panels import Group

MEASURE_NAMES = {"phi_r": "Φ_R", "ce3": "CE3", "ce4": "CE4"}
LEVEL_NAMES = {"units": "all pairs of units", "halves": "two Fiedler halves"}
_SURROGATES = "mean of the surrogates"
NULL = Look(dash="dashed")


class Measure(NamedTuple):
    """One measure over training, nats: ``[P, S]`` each."""

    name: str
    value: np.ndarray
    null: np.ndarray
    p: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """The value less the surrogates' mean."""
        return self.value - self.null


class Measured(NamedTuple):
    """The emergence of a group of seeds over training."""

    group: Group
    steps: np.ndarray
    levels: dict[str, list[Measure]]  # by level
    draws: int


def measured(group: Group, note: Callable[[str], None]) -> Measured | None:
    """The content of ``emergence.json``; None if there is none, or it is damaged (which is noted)."""
    data = group.run.emergence
    if not data:
        return None
    try:
        points = data["points"]
        steps = np.array([point["step"] for point in points], np.float64)
        levels = {
            level: [
                _measure(name, [point[level][name] for point in points], group.seeds)
                for name in MEASURE_NAMES
            ]
            for level in LEVEL_NAMES
        }
        return Measured(group, steps, levels, int(data["draws"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        note(f"emergence.json cannot be used ({type(error).__name__}: {str(error)[:80]}); run rlkit analyze")
        return None


def _measure(name: str, rows: list[dict[str, Any]], seeds: slice) -> Measure:
    fields = (
        np.array([row[field] for row in rows], np.float64)[:, seeds] for field in ("value", "mean", "p")
    )
    return Measure(MEASURE_NAMES[name], *fields)


def legend(group: Group) -> list[dict[str, str]]:
    """What the lines of :func:`trajectories` are."""
    return figures.legend(
        [("recorded: mean over seeds with its 95 % interval", group.look), (_SURROGATES, NULL)]
    )


def trajectories(found: Measured, name: str) -> dict[str, list[Drawn]]:
    """Each measure against the mean of its surrogates, by level."""
    out = {}
    for level, where in LEVEL_NAMES.items():
        panels = []
        for measure in found.levels[level]:
            null = Series(_SURROGATES, NULL, found.steps, measure.null, plain=True)
            value = Series(found.group.label, found.group.look, found.steps, measure.value)
            panels.append(Panel(f"{measure.name}, nats", [null, value]))
        out[where] = [figures.draw(panel, f"{name}-{level}-{i}") for i, panel in enumerate(panels)]
    return out


def excesses(found: Sequence[Measured]) -> dict[str, list[Drawn]]:
    """Of several groups: how far each measure lies above its surrogates, by level."""
    if len(found) < 2:
        return {}
    out = {}
    for level, where in LEVEL_NAMES.items():
        panels = [
            Panel(
                f"{name} beyond its surrogates, nats",
                [Series(m.group.label, m.group.look, m.steps, m.levels[level][k].excess) for m in found],
            )
            for k, name in enumerate(MEASURE_NAMES.values())
        ]
        out[where] = [figures.draw(panel, f"excess-{level}-{i}") for i, panel in enumerate(panels)]
    return out


def rows(found: Measured) -> list[dict[str, Any]]:
    """Rows of the table of the last recording: value, surrogates' mean, excess with its interval, and p."""
    out = []
    for level, where in LEVEL_NAMES.items():
        for measure in found.levels[level]:
            value, null, excess = (interval(x[-1]) for x in (measure.value, measure.null, measure.excess))
            if value.count:
                row = {"name": f"{measure.name}, {where}", "value": value, "null": null, "excess": excess}
                out.append(row | {"p": p_value(measure.p[-1], found.draws)})
    return out


def p_value(values: np.ndarray, draws: int) -> str:
    """The p of several seeds: their median, and never smaller than ``draws`` surrogates can show."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "–"
    floor = 1 / (draws + 1)
    at_floor = int(np.sum(known <= floor * (1 + 1e-6)))
    middle = float(np.median(known))
    text = f"≤ 1/{draws + 1}" if middle <= floor * (1 + 1e-6) else f"{middle:.2g}"
    return f"{text} ({at_floor} of {known.size} at the floor)" if at_floor else text


def quantities(found: Sequence[Measured | None], groups: Sequence[Group]) -> list[Quantity]:
    """Excess at the last recording, by seed of each group, for the table of final numbers."""
    out = []
    for level, where in LEVEL_NAMES.items():
        for k, name in enumerate(MEASURE_NAMES.values()):
            values = [np.zeros(0) if m is None else m.levels[level][k].excess[-1] for m in found]
            out.append(Quantity(f"{name} beyond its surrogates, {where}, nats", values))
    return [quantity for quantity in out if any(np.isfinite(v).any() for v in quantity.values)]


def life(group: Group, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows about whole lives: how each metric goes with the reward, and predicts its end."""
    data, out = group.run.emergence, []
    try:
        for metric, found in data.get("alignment", {}).items():
            nulls = found["nulls"]["global"]
            row: dict[str, Any] = {"metric": metric, "seeds": len(found["seeds"])}
            row["whole"], row["steps"] = (_interval(found[kind]) for kind in ("global", "local"))
            row["nulls"] = ", ".join(f"{name} {_or_dash(null['p'])}" for name, null in nulls.items())
            told = data.get("prediction", {}).get(metric)
            if told is not None:
                low, high = (_or_dash(bound) for bound in told["r2_interval"])
                row["r2"] = f"{_or_dash(told['r2'])} [{low}, {high}]"
            out.append(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        note(f"the alignment in emergence.json cannot be used ({type(error).__name__}: {str(error)[:80]})")
    return out


def _interval(values: Sequence[float | None]) -> Interval:
    return interval(np.array(values, np.float64))


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
