"""What entitles a study to its conclusions: its power, and how often it finds what is not there."""

from typing import Any

import numpy as np

from rlkit.studies.synthetic import TRUTHS, Verdict, synthetic_study

PRIMARY = "phi_r pairs beyond null"


def licence(studies: int, seed: int = 0, *, tests: int = 8, **options: int) -> dict[str, Any]:
    """How often studies find something, by truth: power where it is there, false positives where it is not.

    Args:
      studies: synthetic studies of each truth.
      seed: of the first one.
      tests: hypotheses of a study, over which its report corrects p (by Bonferroni here, which Holm's
        correction never exceeds).
      **options: as for :func:`synthetic_study`.

    Returns:
      JSON data: ``studies``, ``tests``, ``primary``, and by truth and statistic the shares ``gain`` (p at
      most 0.05 beyond the controls), ``reported`` (what the report of a study would call found), ``one_cell``
      and ``alone`` (a plain correlation, which asks for nothing beyond).
    """
    truths = {}
    for truth in TRUTHS:
        found = [synthetic_study(truth, seed + i, **options) for i in range(studies)]
        truths[truth] = {name: _shares(found, name, tests) for name in found[0].gain}
    return {"studies": studies, "tests": tests, "primary": PRIMARY, "truths": truths}


def _shares(found: list[Verdict], name: str, tests: int) -> dict[str, float]:
    share = lambda p, level: float(np.mean([value <= level for value in p]))
    gain = [verdict.gain[name] for verdict in found]
    return {
        "gain": share(gain, 0.05),
        "reported": share(gain, 0.05 / tests),
        "one_cell": share([verdict.one_cell[name] for verdict in found], 0.05),
        "alone": share([verdict.alone[name] for verdict in found], 0.05),
    }


def tables(data: dict[str, Any]) -> list[str]:
    """The two tables of a licence, in Markdown: power, and false positives."""
    count, primary = data["studies"], data["primary"]
    there, *not_there = data["truths"]
    head = [
        "| truth | statistic | found | p ≤ 0.05 | one cell alone | not asked for a gain |",
        "|---|---|---|---|---|---|",
    ]
    rows = {truth: [_row(truth, name, data["truths"][truth][name]) for name in data["truths"][truth]]
            for truth in data["truths"]}  # fmt: skip
    power, worst = (
        data["truths"][there][primary],
        max(data["truths"][t][primary]["reported"] for t in not_there),
    )
    plain = max(data["truths"][t][primary]["gain"] for t in not_there)
    asked = f"{count} synthetic studies of 4 cells and 8 seeds"
    said = (
        f"**Power**, {asked} in which emergence leads the reward: found in {_percent(power['reported'])} (in "
        f"one cell alone, uncorrected: {_percent(power['one_cell'])}).",
        f"**False positives**, {asked} of each truth in which it does not lead: at most {_percent(worst)} "
        f"call Φ_R beyond its null found, corrected for {data['tests']} hypotheses (uncorrected at most "
        f"{_percent(plain)}, where 5 % is right).",
    )
    others = [row for truth in not_there for row in rows[truth]]
    return [said[0], "", *head, *rows[there], "", said[1], "", *head, *others]


def _row(truth: str, name: str, shares: dict[str, float]) -> str:
    cells = (_percent(shares[key]) for key in ("reported", "gain", "one_cell", "alone"))
    return f"| {truth} | {name} | " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
