"""The report of a study: ``report.md``, ``results.json`` and figures, of whatever has been measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlkit import outside
from rlkit.experiment.runs import store
from rlkit.studies import licence, pictures, results
from rlkit.studies.conclusions import conclusions, methods, number, p_words
from rlkit.studies.emergence import PAPER
from rlkit.studies.interventions import RESTING
from rlkit.studies.study import Study

REPORT, LICENCE, FIGURES = "report.md", "licence.json", "figures"
HEADLINE = results.HEADLINE


def write(study: Study, root: str | Path) -> Path:
    """Write the report.

    Args:
      study: the study.
      root: its folder; ``licence.json`` there, if it is, is printed first.

    Returns:
      The path of ``report.md``. The same files give the same report.
    """
    root = Path(root)
    data, _ = results.gather(study, root)
    store.write_json(root / results.RESULTS, data)
    done = [cell for cell in data["cells"] if cell["state"] == "done"]
    cells = [cell for cell in done if not cell["arm"]]
    parts = [
        f"# The study “{study.name}” at the scale “{study.scale}”",
        _licence(root),
        "## Conclusions\n\n" + "\n".join(f"- {sentence}" for sentence in conclusions(data)),
        "## Hypotheses\n\nWritten down in `study.json` before any cell ran.\n\n" + _hypotheses(data),
        "## Cells\n\n" + _cells(data["cells"]) if not study.cells[0].arm else "",
        _arms([cell for cell in data["cells"] if cell["arm"]]),
        _contrasts(data["contrasts"]),
        "## Early gain\n\n" + _gains(cells) if not study.cells[0].arm else "",
        "## Beside the paper\n\n" + _paper(cells) if not study.cells[0].arm else "",
        _figures(study, root, cells),
        "## Methods\n\n" + methods(study, data),
        "## Commands\n\n" + _commands(study, root),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    outside.replace(root / REPORT, lambda file: file.write(text.encode()))
    return root / REPORT


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _licence(root: Path) -> str:
    title = "## Licence: what this pipeline finds where the truth is known\n\n"
    if not (root / LICENCE).exists():
        command = f"python benchmarks/licence.py --out {root / LICENCE}"
        return title + f"Not measured in this folder. Two tables are missing here: `{command}`."
    data = store.read_json(root / LICENCE)
    try:
        return title + "\n".join(licence.tables(data))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        return title + (
            f"{root / LICENCE} cannot be used ({type(error).__name__}: {str(error)[:80]}): measure it anew "
            "with `python benchmarks/licence.py`."
        )


def _span(found: Mapping[str, Any] | None, digits: int = 2) -> str:
    """A mean with its interval."""
    if not found or found.get("mean") is None:
        return "–"
    ends = (
        "" if found["low"] is None else f" [{number(found['low'], digits)}, {number(found['high'], digits)}]"
    )
    return number(found["mean"], digits) + ends


def _hypotheses(data: Mapping[str, Any]) -> str:
    head = ("hypothesis", "effect [95 %]", "of what", "cells", "p", "p corrected", "survives")
    rows = [
        (
            f"**{v['name']}**" if v["primary"] else v["name"],
            _span(v["effect"]),
            v["unit"],
            str(v["cells"]),
            p_words(v["p"]),
            p_words(v["p_adjusted"]),
            "–" if v["p"] is None else "yes" if v["holds"] else "no",
        )
        for v in data["hypotheses"]
    ]
    return table(head, rows)


def _cells(cells: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "environment", "algorithm", "torso", "seeds", "final return", "alignment, own", "alignment, matched",
        "alignment of plain metrics", "local", "R² emergence", "R² plain metrics", "R² controls", "seconds",
    )  # fmt: skip
    return table(head, [_row(cell) for cell in cells])


def _arms(cells: Sequence[Mapping[str, Any]]) -> str:
    """What became of the arms of interventions."""
    if not cells:
        return ""
    head = (
        "environment",
        "arm",
        "seeds",
        "final return",
        "Φ_R of all pairs beyond null, at the end",
        "seconds",
    )
    return "## Arms\n\n" + table(head, [(cell["environment"], cell["arm"], *_became(cell)) for cell in cells])


def _contrasts(found: Sequence[Mapping[str, Any]]) -> str:
    """What arms differ by, in their returns and in what was pushed."""
    if not found:
        return ""
    head = ("environment", "arms", "final return, difference", "Φ_R beyond null, difference")
    rows = [
        (one["environment"], one["arms"], _span(one["final_return"], 1), _span(one["emergence"], 4))
        for one in found
    ]
    said = (
        "Seed by seed, with 95 % intervals. The last column says whether a push did what it is called. "
        f"“{RESTING}” is what it costs that earlier layers rest while some units are trained."
    )
    return f"## Differences between arms\n\n{said}\n\n{table(head, rows)}"


def _became(cell: Mapping[str, Any]) -> tuple[str, ...]:
    if cell["state"] != "done":
        return (f"*{cell['state']}*", "–", "–", "–")
    emergence = _span(cell["emergence"], 4)
    return str(cell["seeds"]), _span(cell["final_return"], 1), emergence, f"{cell['seconds']:.0f}"


def _row(cell: Mapping[str, Any]) -> list[str]:
    names = [cell["environment"], cell["algorithm"], cell["torso"]]
    if cell["state"] != "done":
        note = f": {cell['note']}" if cell["note"] else ""
        return [*names, f"*{cell['state']}*{note}", *["–"] * 9]
    own, matched = cell["own"], cell["matched"]
    told = lambda name: _r2(own["prediction"].get(name))
    aligned = lambda by, metric, kind: _span(by["alignment"].get(metric, {}).get(kind))
    seeds = str(cell["seeds"]) + (f" ({cell['left_out']} without numbers)" if cell["left_out"] else "")
    return [
        *names,
        seeds,
        _span(cell["final_return"], 1),
        aligned(own, "emergence halves", "global"),
        aligned(matched, "emergence halves", "global"),
        aligned(own, "baselines", "global"),
        aligned(own, "emergence halves", "local"),
        told("emergence halves"),
        told("baselines"),
        told("controls"),
        f"{cell['seconds']:.0f}",
    ]


def _r2(found: Mapping[str, Any] | None) -> str:
    if not found or found["r2"] is None:
        return "–"
    low, high = found["r2_interval"]
    return f"{number(found['r2'])} [{number(low)}, {number(high)}]"


def _gains(cells: Sequence[Mapping[str, Any]]) -> str:
    """What each cell gains by the primary statistic, by both protocols."""
    if not cells:
        return "Nothing has been measured yet."
    head = (
        "cell",
        "protocol",
        "R² controls",
        "R² with Φ_R",
        "gain [95 %]",
        "partial r",
        "p",
        "degrees of freedom",
    )
    rows = []
    for cell in cells:
        for protocol in ("matched", "own"):
            gain = cell[protocol]["gains"].get(HEADLINE)
            if gain:
                ends = f"{number(gain['gain'])} [{', '.join(number(end) for end in gain['interval'])}]"
                rows.append(
                    (
                        cell["name"],
                        protocol,
                        number(gain["without"]),
                        number(gain["with"]),
                        ends,
                        number(gain["r"]),
                        p_words(gain["p"]),
                        str(gain["freedom"]),
                    )
                )
    said = "By Φ_R of all pairs beyond its null, over early return, feature rank and dead units."
    return f"{said}\n\n{table(head, rows)}"


def _paper(cells: Sequence[Mapping[str, Any]]) -> str:
    """The paper's numbers beside ours."""
    if not cells:
        return "Nothing has been measured yet."
    rows = []
    for name in dict.fromkeys(cell["environment"] for cell in cells):
        same = [cell for cell in cells if cell["environment"] == name]
        ours = "; ".join(f"{cell['algorithm']} {cell['torso']} {_aligned(cell)}" for cell in same)
        units = f"{100 * sum(cell['not_normal'] for cell in same) / len(same):.0f} %"
        rows.append((f"{name} (`{same[0]['env']}`)", number(same[0]["paper"]), ours, units))
    head = ("environment", "global alignment, paper", "global alignment, ours", "units not normal, ours")
    return (
        table(head, rows)
        + f"\n\nOf the paper, {100 * PAPER['not_normal']:.1f} % of units not normal after the rank "
        "transform, local alignment near 0, and an early window of 20 % are reported. That its alignments "
        "follow the order of the environments is our assumption, and its formula of alignment was not found."
    )


def _aligned(cell: Mapping[str, Any]) -> str:
    return _span(cell["own"]["alignment"].get("emergence halves", {}).get("global"))


def _figures(study: Study, root: Path, done: Sequence[Mapping[str, Any]]) -> str:
    if not done:
        return ""
    names = {cell["name"] for cell in done}
    curves = {
        cell.name: found
        for cell in study.cells
        if cell.name in names and (found := results.trajectory(root, cell, "matched")) is not None
    }
    drawn = [
        (
            pictures.lives(curves, root / FIGURES / "lives.svg"),
            "Return, and Φ_R on the same observations for all",
        ),
        (pictures.alignments(done, root / FIGURES / "alignment.svg"), "Global alignment, own rollouts"),
        (
            pictures.rivals(done, root / FIGURES / "prediction.svg"),
            "Prediction of the final return from early metrics",
        ),
    ]
    return "## Figures\n\n" + "\n\n".join(
        f"{title}:\n\n![{title}]({FIGURES}/{name})" for name, title in drawn
    )


def _commands(study: Study, root: Path) -> str:
    own = f"rlkit study --from {root / 'study.json'}"
    rows = [
        (
            f"`rlkit study {study.name} --scale {study.scale} --root {root}`",
            "the study: what is missing, and this report",
        ),
        (f"`{own} --only CELL`", "one cell"),
        (f"`{own} --report`", "every number of this report again, from `cells/*/study.npz`"),
        (f"`python benchmarks/licence.py --out {root / LICENCE}`", "the licence"),
        (f"`rlkit jobs status {root / 'jobs.jsonl'}`", "where the cells stand"),
    ]
    return table(("command", "gives"), rows)
