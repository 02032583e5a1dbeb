"""The report of a design: its candidates, where the winner came from, and what its terms paid."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlkit import outside
from rlkit.design.lineage import family
from rlkit.design.recorded import Design, read_design
from rlkit.design.results import BASELINES
from rlkit.design.types import Outcome, Record, Verdict
from rlkit.experiment.reports import figures
from rlkit.experiment.reports.intervals import difference, interval
from rlkit.experiment.reports.pages import page
from rlkit.experiment.training import config as configs
from rlkit.rewards.designed import BASE, TOTAL

REPORT = "report.html"
_LONGEST = 8_000  # characters of a reward
_WORDS = ("passed", "failed", "warning", "undecided")
MOST = 300
"""Candidates of the table; of more the best ones are shown."""


def report(folder: str | Path) -> Path:
    """Write the report of a design, finished or not, into its folder.

    Raises:
      UsageError: it is not the folder of a design.
    """
    design = read_design(folder)
    html = render(design).encode()
    path = design.folder / REPORT
    outside.replace(path, lambda file: file.write(html))
    return path


def render(design: Design) -> str:
    """The HTML of the report: one file that loads nothing."""
    return page("report.html", context(design), package="rlkit.design")


def context(design: Design) -> dict[str, Any]:
    """Everything that the template shows."""
    config, records = design.config, design.records
    best = sorted((r for r in records if math.isfinite(r.score)), key=lambda r: -r.score)
    winner = design.find(design.winner) or next(iter(best), None)
    line = design.lineage(winner.candidate.id) if winner else ()
    shown = sorted(best[:MOST] + [r for r in records if r not in best][: MOST - len(best)], key=_place)
    return {
        "title": f"Reward design for {config.env}",
        "task": config.words,
        "config": config,
        "designer": config.designer + (f" with {config.model}" if config.model else ""),
        "summary": design.summary,
        "sentence": design.summary.get("sentence") or _so_far(design, best),
        "winner": None if winner is None else _row(winner),
        "validated": design.winner != "",
        "text": _readable(winner.candidate.text) if winner else "",
        "audited": [_verdict(v) for v in design.audited],
        "fresh": _fresh(design),
        "curves": _curves(design),
        "legend": figures.legend([(name, figures.look(i)) for i, name in enumerate(_lines(design))]),
        "terms": _terms(winner) if winner else [],
        "family": [family(records, restart, line) for restart in _restarts(records)],
        "line": [_row(record) | {"text": _readable(record.candidate.text)} for record in line],
        "rows": [_row(record) for record in shown],
        "count": len(records),
        "checks": _checks(records),
        "settings": json.dumps(configs.to_dict(config), indent=2),
    }


def _readable(text: str) -> str:
    """A reward as the page shows it; what was traced in a jail is long, and for no eyes."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters)"


def _place(record: Record) -> tuple[int, int, int]:
    return record.candidate.place


def _restarts(records: Sequence[Record]) -> list[int]:
    return sorted({_place(record)[0] for record in records})


def _so_far(design: Design, best: Sequence[Record]) -> str:
    count = len(design.records)
    if not best:
        return f"The design has not ended: {count} candidates so far, none of which has a score."
    return (
        f"The design has not ended: {count} candidates so far, the best of which is "
        f"{best[0].candidate.id}, with a score of {best[0].score:.3g} on the seeds that chose it."
    )


def _verdict(verdict: Verdict) -> dict[str, Any]:
    failed = verdict.passed is False
    word = "undecided" if verdict.passed is None else "passed"
    word = ("failed" if verdict.blocks else "warning") if failed else word
    return {"check": verdict.check, "word": word, "reason": verdict.reason}


def _row(record: Record) -> dict[str, Any]:
    """One candidate in the table."""
    candidate, outcome = record.candidate, record.outcome
    row = {
        "id": candidate.id,
        "origin": candidate.origin,
        "parents": ", ".join(candidate.parents),
        "score": record.score,
        "refused": record.refused,
        "verdicts": [v for v in map(_verdict, record.verdicts) if v["word"] in ("failed", "warning")],
        "passed": sum(v.passed is True for v in record.verdicts),
        "tokens": sum(candidate.notes.get("tokens", {}).values()),
        "success": math.nan,
        "terms": [],
        "steps": 0,
        "dropped": 0,
    }
    if outcome is None or outcome.error or not outcome.steps:
        return row
    last = lambda rows: float(np.mean(rows[-1]))
    own = [name for name in outcome.terms if name not in (BASE, TOTAL)]
    return row | {
        "success": last(outcome.success),
        "terms": [(name, last(outcome.terms[name])) for name in own],
        "steps": outcome.steps[-1] * len(outcome.success[0]),
        "dropped": outcome.stopped,
    }


def _checks(records: Sequence[Record]) -> list[dict[str, Any]]:
    """How often each check said what."""
    found: dict[str, dict[str, int]] = {}
    for record in records:
        for verdict in record.verdicts:
            counts = found.setdefault(verdict.check, dict.fromkeys(_WORDS, 0))
            counts[_verdict(verdict)["word"]] += 1
    return [{"check": name, **counts} for name, counts in found.items()]


def _fresh(design: Design) -> list[dict[str, Any]]:
    """The winner and the baselines on seeds that chose nothing."""
    rows = []
    for name in ("winner", *BASELINES):
        outcome = design.fresh.get(name)
        if outcome is None or outcome.error or not outcome.steps:
            continue
        values = {curve: outcome.curve(curve)[-1] for curve in ("fitness", "success")}
        own = design.fresh["winner"]
        apart = {
            curve: None if name == "winner" or own.error else difference(own.curve(curve)[-1], values[curve])
            for curve in values
        }
        rows.append({"name": name, **{c: interval(x) for c, x in values.items()}, "apart": apart})
    return rows


def _lines(design: Design) -> dict[str, Outcome]:
    """What learning is shown of: the winner and the baselines on fresh seeds, else the best so far."""
    best = sorted((r for r in design.records if math.isfinite(r.score)), key=lambda r: -r.score)[:3]
    so_far = {r.candidate.id: r.outcome for r in best if r.outcome is not None}
    return {name: o for name, o in (design.fresh or so_far).items() if not o.error and o.steps}


def _curves(design: Design) -> list[figures.Drawn]:
    """Success and fitness over training."""
    lines = _lines(design)
    panels = []
    for curve in ("success", "fitness") if lines else ():
        series = [
            figures.Series(name, figures.look(i), np.asarray(o.steps), o.curve(curve))
            for i, (name, o) in enumerate(lines.items())
        ]
        share = curve == "success"
        panel = figures.Panel(curve, series, (-0.02, 1.02) if share else None, share)
        panels.append(figures.draw(panel, f"curve-{curve}"))
    return panels


def _terms(record: Record) -> list[figures.Drawn]:
    """What each term of a candidate paid over its training, in the search."""
    outcome = record.outcome
    if outcome is None or outcome.error:
        return []
    return [_term(name, outcome, i) for i, name in enumerate(outcome.terms)]


def _term(name: str, outcome: Outcome, i: int) -> figures.Drawn:
    values = np.asarray(outcome.terms[name], np.float64)
    series = figures.Series(name, figures.look(i), np.asarray(outcome.steps), values)
    return figures.draw(figures.Panel(name, [series]), f"term-{i}")
