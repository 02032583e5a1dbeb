"""What ``emergence.json`` says, in lines for a terminal."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlkit.analysis.study.nulls import p_text
from rlkit.experiment.reports.inside import LEVEL_NAMES, MEASURE_NAMES
from rlkit.experiment.reports.intervals import interval


def told(data: Mapping[str, Any]) -> list[str]:
    """Lines about the last recording of each member: a table, untrained networks, its basis, warnings.

    Args:
      data: content of ``emergence.json``, see :mod:`rlkit.experiment.reports.analyze`.
    """
    lines = []
    for member in data["members"]:
        lines += [f"{member['label']}:"] if member["label"] else []
        lines += _member(dict(data) | member)
    return lines


def _member(data: Mapping[str, Any]) -> list[str]:
    point, lines = data["points"][-1], []
    lines.append(f"{'':<26}{'value':>8}{'null':>8}{'excess [95 % over seeds]':>28}   less untrained [95 %]")
    for level, where in LEVEL_NAMES.items():
        for measure, name in MEASURE_NAMES.items():
            lines.append(_row(f"{name}, {where}", point[level][measure], _difference(data, level, measure)))
    null, correction, first = data["null"], data["correction"], next(iter(LEVEL_NAMES))
    told = [
        f"{MEASURE_NAMES[measure]} {where} {_p(data, point[level][measure])}"
        for level, where in LEVEL_NAMES.items()
        for measure in MEASURE_NAMES
        if point[level][measure]["over_seeds"].get("p") is not None
    ]
    lines.append(f"null: {null['hypothesis']}")
    if told:
        corrected = f"{correction['method']}, {correction['tests']} tests"
        lines.append(
            f"mean over seeds against {data['final_draws']} surrogates ({corrected}): {'; '.join(told)}"
        )
    if data["untrained"] is not None:
        row = data["untrained"][first]["phi_r"]["excess"]
        lines.append(
            f"untrained: {data['untrained']['networks']} fresh networks per seed on the same observations; "
            f"{MEASURE_NAMES['phi_r']}, {LEVEL_NAMES[first]}: {_floored(row['p'], row['p_floor'])} (signs)"
        )
    lines.append(_basis(point, data["steps_per_recording"]))
    return lines + [f"note: {sentence}" for sentence in data["warnings"]]


def _row(name: str, measure: Mapping[str, Any], less: Mapping[str, Any] | None) -> str:
    over = measure["over_seeds"]
    value, mean = (_number(over[field]["mean"]) for field in ("value", "mean"))
    changed = "" if less is None else _interval(less)
    return f"{name:<26}{value:>8}{mean:>8}{_interval(over['excess']):>28}   {changed}"


def _difference(data: Mapping[str, Any], level: str, measure: str) -> Mapping[str, Any] | None:
    found = data["untrained"]
    return None if found is None else found[level][measure]["excess"]["over_seeds"]


def _p(data: Mapping[str, Any], measure: Mapping[str, Any]) -> str:
    over = measure["over_seeds"]
    raw = p_text(over["p"], data["final_draws"])
    return f"{raw}, corrected {over['p_adjusted']:.2g}"


def _floored(p: float | None, floor: float | None) -> str:
    if p is None or floor is None:
        return "p needs two seeds"
    return f"p < 1/{round(1 / floor)}" if p <= floor * (1 + 1e-9) else f"p = {p:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(over: Mapping[str, Any]) -> str:
    if over["low"] is None:
        return _number(over["mean"])
    return f"{over['mean']:+.4f} [{over['low']:+.4f}, {over['high']:+.4f}]"


def _basis(point: Mapping[str, Any], steps: int) -> str:
    mean = lambda name: interval(np.array(point[name], np.float64)).mean
    return (
        f"each recording: {steps} steps, worth {mean('effective_samples'):.0f} independent samples of its "
        f"slowest pair; {mean('active'):.0f} active units in {mean('effective_dimension'):.1f} effective "
        "dimensions (means over seeds)"
    )
