"""What happened inside the agents: the emergence of their latents, as figures, rows and sentences."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlkit.experiment.reports import figures
from rlkit.experiment.reports.conclusions import Quantity
from rlkit.experiment.reports.figures import Drawn, Look, Panel, Series
from rlkit.experiment.reports.intervals import Interval, interval
from rlkit.experiment.reports.panels import Group
from rlkit.experiment.reports.wording import plain

MEASURE_NAMES = {"phi_r": "Φ_R", "ce3": "CE3", "ce4": "CE4"}
LEVEL_NAMES = {"units": "all pairs of units", "halves": "two Fiedler halves"}
_EXPLAINED = "explained by the hypothesis: mean of the surrogates"
_UNTRAINED = "untrained networks on the last observations"
NULL, FRESH = Look(dash="dashed"), Look(dash="dotted")


class Measure(NamedTuple):
    """One measure over training, nats.

    Attributes:
      name: how it is written.
      value, null, excess: [P, S] as estimated, what the hypothesis explains of it, and what it does not.
      over: of the last recording, over seeds: p of the mean excess, its floor, and corrected.
      untrained: [S] the last excess less the mean of untrained networks; empty if there are none.
      fresh: [S] value of the untrained networks, their mean.
      fresh_p: p of ``untrained``, and its floor.
      directions: [S] the last value less that of random directions of the same latents; empty if unknown.
    """

    name: str
    value: np.ndarray
    null: np.ndarray
    excess: np.ndarray
    over: dict[str, Any]
    untrained: np.ndarray
    fresh: np.ndarray
    fresh_p: tuple[float | None, float | None]
    directions: np.ndarray


class Measured(NamedTuple):
    """The emergence of a group of seeds over training."""

    group: Group
    steps: np.ndarray
    levels: dict[str, list[Measure]]  # by level
    hypothesis: str
    draws: int  # surrogates of each last recording
    tests: int  # that p is corrected for
    networks: int  # untrained ones per seed
    basis: str  # what the last recording is worth
    warnings: list[str]


def measured(group: Group, note: Callable[[str], None]) -> Measured | None:
    """The content of ``emergence.json``, see :mod:`rlkit.experiment.reports.analyze`; None if there is none.

    Damage is noted. What an older version did not measure is left out.
    """
    data = group.run.emergence
    if not data:
        return None
    try:
        return _measured(group, _member(group))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        note(f"emergence.json cannot be used ({type(error).__name__}: {str(error)[:80]}); run rlkit analyze")
        return None


def _member(group: Group) -> dict[str, Any]:
    """What ``emergence.json`` says of a group of seeds, beside what it says of all."""
    data = group.run.emergence
    if "members" not in data and len(group.run.members) == 1:  # of a version before there were any
        return data
    return data | data["members"][group.place]


def _measured(group: Group, data: dict[str, Any]) -> Measured:
    points, null = data["points"], data.get("null") or {}
    levels = {level: [_measure(name, level, data) for name in MEASURE_NAMES] for level in LEVEL_NAMES}
    return Measured(
        group,
        np.array([point["step"] for point in points], np.float64),
        levels,
        str(null.get("hypothesis", "units are stationary and have nothing to do with each other")),
        int(data.get("final_draws", data["draws"])),
        int((data.get("correction") or {}).get("tests", 0)),
        int((data.get("untrained") or {}).get("networks", 0)),
        _basis(points[-1], data),
        [str(text) for text in data.get("warnings", [])],
    )


def _measure(name: str, level: str, data: dict[str, Any]) -> Measure:
    rows = [point[level][name] for point in data["points"]]
    value, null = (np.array([row[field] for row in rows], np.float64) for field in ("value", "mean"))
    excess = value - null
    if "excess" in rows[-1]:
        excess = np.array([row["excess"] for row in rows], np.float64)
    found = (data.get("untrained") or {}).get(level, {}).get(name)
    random = (data.get("projections") or {}).get(level, {}).get(name)
    nothing = np.zeros(0)
    return Measure(
        MEASURE_NAMES[name],
        value,
        null,
        excess,
        rows[-1].get("over_seeds", {}),
        nothing if found is None else np.array(found["excess"]["difference"], np.float64),
        nothing if found is None else _fresh(found["value"]["untrained"]),
        (None, None) if found is None else (found["excess"]["p"], found["excess"]["p_floor"]),
        nothing if random is None else np.array(random["excess"], np.float64),
    )


def _fresh(values: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Means over the untrained networks of each seed; NaN where none is known."""
    rows = np.array(values, np.float64)
    known = np.isfinite(rows)
    total, count = np.where(known, rows, 0).sum(1), known.sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _basis(point: dict[str, Any], data: dict[str, Any]) -> str:
    """What a recording is worth, in a sentence; empty if unknown."""
    if "effective_samples" not in point:
        return ""
    names = ("effective_samples", "active", "effective_dimension")
    samples, active, dimension = (interval(np.array(point[n], np.float64)).mean for n in names)
    what = "units" if data.get("components") is None else "leading components"
    return (
        f"Each recording has {data['steps_per_recording']:,} steps, worth {plain(samples)} independent "
        f"samples of its slowest pair; {plain(active)} active {what} vary in {plain(dimension)} effective "
        "dimensions (means over seeds, last recording)."
    )


def legend(found: Measured) -> list[dict[str, str]]:
    """What the lines of :func:`trajectories` are."""
    looks = [("recorded: mean over seeds with its 95 % interval", found.group.look), (_EXPLAINED, NULL)]
    return figures.legend([*looks, (_UNTRAINED, FRESH)] if found.networks else looks)


def trajectories(found: Measured, name: str) -> dict[str, list[Drawn]]:
    """Each measure beside what the hypothesis explains of it, by level."""
    out = {}
    for level, where in LEVEL_NAMES.items():
        panels = []
        for measure in found.levels[level]:
            series = [Series(_EXPLAINED, NULL, found.steps, measure.null, plain=True)]
            if measure.fresh.size:
                # Measured at the end only; the line reaches back so that it can be compared.
                ends = found.steps[[0, -1]]
                series.append(Series(_UNTRAINED, FRESH, ends, np.stack([measure.fresh] * 2), plain=True))
            series.append(Series(found.group.label, found.group.look, found.steps, measure.value))
            panels.append(Panel(f"{measure.name}, nats", series))
        out[where] = [figures.draw(panel, f"{name}-{level}-{i}") for i, panel in enumerate(panels)]
    return out


def excesses(found: Sequence[Measured]) -> dict[str, list[Drawn]]:
    """Of several groups: how much of each measure the hypothesis does not explain, by level."""
    if len(found) < 2:
        return {}
    out = {}
    for level, where in LEVEL_NAMES.items():
        panels = [
            Panel(
                f"{name} beyond the hypothesis, nats",
                [Series(m.group.label, m.group.look, m.steps, m.levels[level][k].excess) for m in found],
            )
            for k, name in enumerate(MEASURE_NAMES.values())
        ]
        out[where] = [figures.draw(panel, f"excess-{level}-{i}") for i, panel in enumerate(panels)]
    return out


def rows(found: Measured) -> list[dict[str, Any]]:
    """Rows of the table of the last recording: value, what explains it, what does not, and p."""
    out = []
    for level, where in LEVEL_NAMES.items():
        for measure in found.levels[level]:
            cells = {
                "value": interval(measure.value[-1]),
                "null": interval(measure.null[-1]),
                "excess": interval(measure.excess[-1]),
                "untrained": interval(measure.untrained),
                "directions": interval(measure.directions),
            }
            if cells["value"].count:
                words = {"p": _p_of_mean(measure.over), "untrained_p": p_value(*measure.fresh_p)}
                out.append({"name": f"{measure.name}, {where}"} | words | cells)
    return out


def _doubt(p: float | None, floor: float | None) -> str:
    """The end of the sentence that an interval leaves out zero: what flips of signs say to that."""
    if p is None or floor is None or p <= 0.05:
        return "; an interval that reached zero would leave nothing to training."
    fewest = f", and with so few seeds they cannot give less than {floor:.2g}" if floor > 0.05 else ""
    return f", but flips of signs give p = {p:.2g}{fewest}: more seeds would tell."


def _p_of_mean(over: dict[str, Any]) -> str:
    text, adjusted = p_value(over.get("p"), over.get("p_floor")), over.get("p_adjusted")
    return text if adjusted is None or text == "–" else f"{text}; {adjusted:.2g}"


def p_value(p: float | None, floor: float | None) -> str:
    """A p that never claims more than its draws: ``"0.034"``, and at the floor ``"< 1/1000"``."""
    if p is None or floor is None or not np.isfinite(p) or not 0 < floor <= 1:
        return "–"
    return f"< 1/{round(1 / floor)}" if p <= floor * (1 + 1e-6) else f"{p:.2g}"


def quantities(found: Sequence[Measured | None]) -> list[Quantity]:
    """Excess at the last recording, by seed of each group, for the table of final numbers."""
    out = []
    for level, where in LEVEL_NAMES.items():
        for k, name in enumerate(MEASURE_NAMES.values()):
            values = [np.zeros(0) if m is None else m.levels[level][k].excess[-1] for m in found]
            out.append(Quantity(f"{name} beyond the hypothesis, {where}, nats", values))
    return [quantity for quantity in out if any(np.isfinite(v).any() for v in quantity.values)]


def what_would_change(found: Measured) -> list[str]:
    """Sentences about what the headline, Φ_R of all pairs of units, stands on."""
    measure, who = found.levels["units"][0], f"“{found.group.label}”: {MEASURE_NAMES['phi_r']}"
    said = []
    trained = interval(measure.untrained)
    if trained.count > 1:
        if trained.low > 0 or trained.high < 0:
            said.append(
                f"{who} differs from that of untrained networks on the same observations by "
                f"{plain(trained.mean)} nats [{plain(trained.low)}, {plain(trained.high)}]"
                + _doubt(*measure.fresh_p)
            )
        else:
            said.append(
                f"{who} is not told from that of untrained networks on the same observations: what is "
                "measured may be what any such network does with these inputs."
            )
    random = interval(measure.directions)
    if random.count > 1 and random.low <= 0 <= random.high:
        said.append(
            f"{who} is not told from that of random directions of the same latents: these units are nothing "
            "special."
        )
    p, floor = measure.over.get("p"), measure.over.get("p_floor")
    if p is not None and floor and p <= floor * (1 + 1e-6):
        said.append(
            f"{who}: none of {found.draws:,} surrogates came near; more of them could only lower the bound "
            "on p, not change the size of the excess."
        )
    return said


def life(group: Group, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows about whole lives: how each metric goes with the reward, and predicts its end."""
    data, out = group.run.emergence, []
    try:
        data = _member(group) if data else {}
        for metric, found in data.get("alignment", {}).items():
            nulls = found["nulls"]["global"]
            row: dict[str, Any] = {"metric": metric, "seeds": len(found["seeds"])}
            row["whole"], row["steps"] = (_interval(found[kind]) for kind in ("global", "local"))
            row["nulls"] = ", ".join(f"{name} {_null_p(null)}" for name, null in nulls.items())
            told = data.get("prediction", {}).get(metric)
            if told is not None:
                low, high = (_or_dash(bound) for bound in told["r2_interval"])
                row["r2"] = f"{_or_dash(told['r2'])} [{low}, {high}]"
            out.append(row)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        note(f"the alignment in emergence.json cannot be used ({type(error).__name__}: {str(error)[:80]})")
    return out


def _interval(values: Sequence[float | None]) -> Interval:
    return interval(np.array(values, np.float64))


def _null_p(null: dict[str, Any]) -> str:
    """p against a null of alignment, never below what its draws can show."""
    p, draws = null["p"], null.get("draws")
    if draws is None:  # p is at least one in as many as there were, and one
        return "–" if p is None else f"{p:.2g}"
    return p_value(p, 1 / (int(draws) + 1))


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
