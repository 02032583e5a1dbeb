"""All of a study's results as JSON data, from the files of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rlkit.experiment.reports import reading
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.runs import store
from rlkit.jobs import state
from rlkit.studies import evidence as found_in
from rlkit.studies.emergence import paper_alignment
from rlkit.studies.evidence import Evidence
from rlkit.studies.hypotheses import Verdict, verdicts
from rlkit.studies.interventions import RESTING
from rlkit.studies.runner import folder
from rlkit.studies.study import PROTOCOLS, Cell, Study

RESULTS = "results.json"
HEADLINE = "phi_r pairs beyond null"


def gather(study: Study, root: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Evidence]]]:
    """Results of what there is.

    Args:
      study: the study.
      root: its folder.

    Returns:
      JSON data, see the keys below, and the evidence by cell and protocol::

        name, scale, complete
        cells        one entry per cell of the study: name, environment, algorithm, torso, arm, paper; state
                     ("done", "missing", "failed" or "skipped") and note; of those that are done steps, seeds,
                     left_out, seconds, final_return (and by seed final_returns),
                     emergence (Φ_R of all pairs beyond null at the end, matched; by seed emergences),
                     not_normal, undefined_pairs (by protocol the recordings in which pairs of units have no
                     number, and the most pairs in one; means over pairs leave them out) and, but of arms,
                     own, matched:
          alignment    by metric {global, local: {mean, low, high}}
          nulls        by metric of the halves and null {value, null_mean, null_sd, p, draws}
          prediction   by metric {r2, r2_interval, spearman, spearman_interval}
          gains        by statistic {without, with, gain, interval, r, p, freedom}
        contrasts    of interventions, one entry per environment and pair of arms that a hypothesis compares
                     (and of what resting layers cost):
                     environment, arms, final_return and emergence {mean, low, high, count} of the difference,
                     seed by seed
        hypotheses   {name, claim, primary, test, metric, protocol, cells, effect, unit, p, p_adjusted, holds}
    """
    rows, evidence = [], {}
    for cell in study.cells:
        row, by = _cell(study, cell, folder(root, cell))
        rows.append(row)
        if by and not cell.arm:
            evidence[cell.name] = by
    arms: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        if row["arm"] and row["state"] == "done":
            arms.setdefault(row["environment"], {})[row["arm"]] = np.asarray(row["final_returns"])
    found = verdicts(study.hypotheses, evidence, arms)
    done = [row for row in rows if row["state"] == "done"]
    data = {
        "name": study.name,
        "scale": study.scale,
        "measuring": asdict(study.measuring),
        "complete": all(row["state"] in ("done", "skipped") for row in rows) and bool(done),
        "cells": rows,
        "contrasts": contrasts(rows, study),
        "hypotheses": [_verdict(verdict) for verdict in found],
    }
    return _plain(data), evidence


def contrasts(rows: Sequence[Mapping[str, Any]], study: Study) -> list[dict[str, Any]]:
    """What arms that a hypothesis compares differ by, and what resting layers cost, seed by seed."""
    done = {(row["environment"], row["arm"]): row for row in rows if row["state"] == "done"}
    found = []
    for environment in dict.fromkeys(row["environment"] for row in rows):
        for arms in (*(h.metric for h in study.hypotheses if h.test == "arms"), RESTING):
            pair = [done.get((environment, arm)) for arm in arms.split(" - ")]
            if None in pair:
                continue
            apart = {
                name: interval(np.subtract(*(np.asarray(row[f"{name}s"], np.float64) for row in pair if row)))
                for name in ("final_return", "emergence")
            }
            told = {name: one._asdict() for name, one in apart.items()}
            found.append({"environment": environment, "arms": arms} | told)
    return found


def _cell(study: Study, cell: Cell, where: Path) -> tuple[dict[str, Any], dict[str, Evidence]]:
    row: dict[str, Any] = {
        "name": cell.name, "environment": cell.environment, "algorithm": cell.algorithm, "torso": cell.torso,
        "arm": cell.arm, "env": cell.config.get("env", ""), "paper": paper_alignment(cell.environment),
    }  # fmt: skip
    arrays = found_in.read(where, study.measuring)
    if arrays is None:
        standing = state.standing(where)
        kind = "skipped" if cell.skipped else "failed" if standing.state == state.FAILED else "missing"
        return row | {"state": kind, "note": cell.skipped or standing.note}, {}
    # Arms are compared by their returns; what their emergence says of these was not asked.
    told = () if cell.arm else PROTOCOLS
    by = {name: found_in.evidence(arrays, name, study.measuring.fraction) for name in told}
    final = np.asarray(arrays["returns"], np.float64)[:, -max(1, round(0.1 * arrays["returns"].shape[1])) :]
    row |= {"state": "done", "note": "", "steps": int(arrays["steps"][-1]), "seeds": len(arrays["returns"])}
    row |= {
        "left_out": by["own"].left_out if by else 0,
        "seconds": _seconds(where),
        "not_normal": arrays["not_normal"].mean(),
    }
    row["undefined_pairs"] = [_undefined(arrays, name) for name in PROTOCOLS]
    row |= {"final_return": interval(final.mean(1))._asdict(), "final_returns": final.mean(1)}
    last = np.asarray(found_in.statistic(arrays, "matched", HEADLINE)[:, -1], np.float64)
    row |= {"emergence": interval(last)._asdict(), "emergences": last}
    return row | {name: _protocol(one) for name, one in by.items()}, by


def _undefined(arrays: Mapping[str, np.ndarray], protocol: str) -> dict[str, int]:
    """Recordings of a protocol with pairs of units that have no number, and the most of these in one."""
    found = np.asarray(arrays.get(f"{protocol}/undefined", 0))
    return {"recordings": int((found > 0).sum()), "most": int(found.max())}


def _protocol(one: Evidence) -> dict[str, Any]:
    aligned = {
        name: {
            "global": interval(a.global_alignment)._asdict(),
            "local": interval(a.local_alignment)._asdict(),
        }
        for name, a in one.alignment.items()
    }
    nulls = {metric: {n: c._asdict() for n, c in by["global"].items()} for metric, by in one.nulls.items()}
    told = {name: _without(p._asdict(), "predicted", "target") for name, p in one.prediction.items()}
    gains = {
        name: {
            "without": g.without, "with": g.with_metric, "gain": g.gain, "interval": g.interval,
            "r": g.partial.r, "p": g.partial.p, "freedom": g.partial.freedom,
        }
        for name, g in one.gains.items()
    }  # fmt: skip
    return {"alignment": aligned, "nulls": nulls, "prediction": told, "gains": gains}


def _without(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def _seconds(where: Path) -> float:
    """Wall seconds that training, compiling and recording took, over all starts."""
    times, _ = reading.timings(where / store.TIMINGS)
    return round(times.trace + times.compile + times.train + times.look, 1)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    known = verdict._asdict()
    return (
        asdict(known.pop("hypothesis")) | known | {"effect": verdict.effect._asdict(), "holds": verdict.holds}
    )


def _plain(data: Any) -> Any:
    """JSON data; what is not finite becomes null, and numbers have six digits."""
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, (bool, np.bool_)):
        return bool(data)
    if isinstance(data, (int, np.integer)):
        return int(data)
    if isinstance(data, (float, np.floating)):
        return float(f"{float(data):.6g}") if np.isfinite(data) else None
    return data


def trajectory(root: str | Path, cell: Cell, protocol: str) -> dict[str, np.ndarray] | None:
    """Curves ``[K, S]`` of a cell by what they show, and ``steps [K]``; None if it was not measured."""
    arrays = found_in.read(folder(root, cell))
    if arrays is None:
        return None
    names = {"Φ_R of all pairs": "phi_r pairs", "Φ_R of all pairs, beyond null": HEADLINE}
    curves = {label: found_in.statistic(arrays, protocol, name).T for label, name in names.items()}
    return {"steps": arrays["steps"], "return": np.asarray(arrays["returns"]).T, **curves}
