"""The report of runs: one HTML file that needs nothing else, made from run folders alone.

Everything in it is computed from the folders' files, so ``rlkit report RUN`` gives the same report again.
What a run does not have (yet), or what is damaged, is left out with a sentence that says so.
"""

import base64
import contextlib
import json
import math
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.reports import conclusions, curves, figures, groups, inside, panels
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.reports.pages import page
from rlkit.experiment.reports.panels import Group
from rlkit.experiment.reports.reading import (
    STARTS,
    Run,
    labels,
    median_row,
    origin,
    read,
    relative,
    sentence,
    steps_per_second,
)
from rlkit.experiment.reports.wording import percent, plain
from rlkit.experiment.runs import store
from rlkit.experiment.training import config

REPORT = "report.html"
COMPARISON = "comparison.html"
_FILMS = 8  # animations in one report
_NAME = 160  # characters of a name


def report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a run and return its path.

    Args:
      folder: the run folder; it is only read.
      path: the file; None writes ``report.html`` into the folder.

    Raises:
      UsageError: not a run folder, or its configuration is damaged.
      RlkitError: the file cannot be written.
    """
    return write([folder], Path(folder) / REPORT if path is None else Path(path))


def compare(folders: Sequence[str | Path], path: str | Path | None = None) -> Path:
    """Write one report about several runs.

    Args:
      folders: their folders; they are only read.
      path: the file; None writes ``comparison.html`` in the nearest folder that holds all of them.

    Returns:
      The path of the file.

    Raises:
      UsageError: not a run folder, a damaged configuration, or no folder at all.
      RlkitError: the file cannot be written.
    """
    if not folders:
        raise UsageError("there are no runs to compare; name their folders")
    if path is None:
        path = Path(os.path.commonpath([Path(folder).resolve() for folder in folders])) / COMPARISON
    return write(folders, Path(path))


def write(folders: Sequence[str | Path], path: Path) -> Path:
    """Write the report of the given runs to ``path``; a reader sees the old file or the whole new one."""
    html = render([read(folder) for folder in folders])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name may hold what UTF-8 cannot: it is shown as \udc80.
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RlkitError(
            f"cannot write {path}: {error.strerror or error}; choose another place with --out FILE"
        ) from None
    return path


def render(runs: Sequence[Run]) -> str:
    """The HTML of a report.

    Raises:
      UsageError: runs of agents and of group trainers, which have nothing to be compared by.
    """
    kinds = {getattr(run.settings, "kind", "") for run in runs}
    if kinds <= set(groups.KINDS):
        return groups.render(runs)
    if kinds & set(groups.KINDS):
        raise UsageError(
            "runs of agents and of group trainers cannot be compared; make a report of each kind"
        )
    formats = {"percent": _percent, "points": _points, "change": _change}
    filters = {"data": _data_url, "brief": _brief, "titled": _titled}
    html = page("report.html", formats | context(runs), filters=filters)
    for run in runs:  # errors name files by their whole path, which is nobody else's business
        html = html.replace(str(run.folder.resolve()), relative(run.folder))
    return html


def context(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that the template shows."""
    groups = panels.groups(runs)
    notes = {run.folder: list(run.notes) for run in runs}
    measured = [inside.measured(group, notes[group.run.folder].append) for group in groups]
    shown = [_group(i, *row, notes) for i, row in enumerate(zip(groups, measured, strict=True))]
    films = [
        _run(i, run, label, notes) for i, (run, label) in enumerate(zip(runs, labels(runs), strict=True))
    ]
    quantities = conclusions.evaluated(groups) + inside.quantities(measured)
    terms, more_terms = panels.terms(groups)
    env = next((run.env for run in runs if run.env is not None), None)
    same = len({run.settings.env for run in runs}) == 1
    return {
        "title": runs[0].settings.env if same else "Comparison",
        "spec": env.spec if env is not None and same else None,
        "options": runs[0].settings.env_options,
        "problem": "; ".join(sorted({run.problem for run in runs if run.problem})),
        "partial": any(run.env is not None and run.env.spec.partial_obs for run in runs),
        "groups": shown,
        "runs": films,
        "noted": [run for run in films if run["notes"]],
        "headline": conclusions.headline(groups),
        "same_task": len({group.task for group in groups}) == 1,
        "rewards": list(dict.fromkeys(run.settings.reward for run in runs)),
        "legend": figures.legend([(group.label, group.look) for group in groups]) if len(groups) > 1 else [],
        "many_seeds": sum(_count(group) for group in groups) > figures.SINGLES,
        "thinned": panels.thinned(groups),
        "most_points": curves.POINTS,
        "most_starts": STARTS,
        "learning": panels.learning(groups),
        "terms": terms,
        "more_terms": more_terms,
        "shares": [found for i, group in enumerate(groups) if (found := panels.shares(group, f"shares-{i}"))],
        "excesses": inside.excesses([found for found in measured if found is not None]),
        "table": conclusions.table(quantities),
        "changes": conclusions.changes(groups, quantities),
        "would_change": conclusions.what_would_change(groups)
        + [text for found in measured if found is not None for text in inside.what_would_change(found)],
        "command": "rlkit report " + " ".join(_quoted(run) for run in runs),
    }


def _count(group: Group) -> int:
    return group.seeds.stop - group.seeds.start


def _group(
    index: int, group: Group, measured: inside.Measured | None, notes: dict[Path, list[str]]
) -> dict[str, Any]:
    """What the template shows of one group of seeds."""
    run = group.run
    return {
        "label": group.label,
        "colour": group.look.colour,
        "folder": relative(run.folder),
        "run": run,
        "seeds": _count(group),
        "success": interval(group.last("eval/success")),
        "speed": steps_per_second(run),
        "measured": measured,
        "emergence": {} if measured is None else inside.trajectories(measured, f"inside-{index}"),
        "inside_legend": [] if measured is None else inside.legend(measured),
        "inside": [] if measured is None else inside.rows(measured),
        "directions": measured is not None and any(m.directions.size for m in measured.levels["units"]),
        "life": inside.life(group, notes[run.folder].append),
    }


def _run(index: int, run: Run, label: str, notes: dict[Path, list[str]]) -> dict[str, Any]:
    """What the template shows of one run."""
    picture, caption = None, f"No animation: the first {_FILMS} runs are shown."
    if index < _FILMS:
        picture, caption = _animation(run)
    return {
        "run": run,
        "label": label,
        "colour": figures.look(index).colour,
        "name": run.folder.name,
        "folder": relative(run.folder),
        "quoted": _quoted(run),
        "config": json.dumps(config.to_dict(run.settings), indent=2),
        "speed": steps_per_second(run),
        "seconds": run.times[:4],
        "gif": picture,
        "gif_caption": caption,
        "notes": notes[run.folder],
        "analyze": f"rlkit analyze {_quoted(run)}{_analyzed(run.emergence)}",
        **origin(run.origin),
        "starts": [{"began": start.update} | origin(start.origin) for start in run.starts],
    }


def _analyzed(emergence: dict[str, Any]) -> str:
    """The options of ``rlkit analyze`` that give these numbers again."""
    names = {"draws": "--draws", "final_draws": "--final-draws", "components": "--components"}
    given = {option: emergence.get(name) for name, option in names.items()}
    return "".join(f" {option} {value}" for option, value in given.items() if isinstance(value, int))


def _animation(run: Run) -> tuple[bytes | None, str]:
    """A GIF of the newest checkpoint's median seed, or why there is none."""
    if run.env is None:
        return None, f"No animation: {run.problem}"
    try:
        return _film(run)
    except Exception as error:  # a report without a film is still a report
        return None, f"No animation: {sentence(error)}"


def _film(run: Run) -> tuple[bytes | None, str]:
    import jax

    from rlkit.experiment.reports import animation
    from rlkit.experiment.runs import checkpoint
    from rlkit.experiment.training import cache

    cache.enable()
    agent = config.build(run.settings)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), run.rows))
    template = jax.eval_shape(jax.vmap(agent.init), keys)
    rejected: list[str] = []
    saved = checkpoint.restore(run.folder / store.CHECKPOINTS, template, rejected.append)
    if saved is None:
        return None, "No animation: the run has no checkpoint yet."
    row = median_row(run)
    state = jax.tree.map(lambda x: x[row], saved.state)
    policy, params = agent.policy(state), agent.settings(state).env_params
    key = jax.random.fold_in(jax.random.key(run.settings.seed), 0x617)
    keep = animation.inner_state if agent.picture is None else animation.with_memory
    states, lengths = animation.record(agent, policy, key, env_params=params, keep=keep)
    pictures = animation.frames(run.env, states, lengths, env_params=params, beside=agent.picture)
    what = f"after {saved.update} updates, acting greedily in {len(lengths)} new episodes"
    memory = "" if agent.picture is None else " Right: what it remembers."
    older = "".join(f" {damage}." for damage in rejected)
    return animation.gif(pictures), f"{_who(run, row)} (the median one) {what}.{memory}{older}"


def _who(run: Run, row: int) -> str:
    member = run.members[min(row // run.seeds, len(run.members) - 1)]
    return f"Seed {row % run.seeds}{' of ' + member if member else ''}"


def _quoted(run: Run) -> str:
    """The folder of a run as a shell wants it."""
    return shlex.quote(relative(run.folder))


def _data_url(data: bytes) -> str:
    return "data:image/gif;base64," + base64.b64encode(data).decode()


def _percent(value: float) -> str:
    return percent(value).replace(" ", "\u00a0")  # the sign stays with its number


def _points(value: float) -> str:
    return f"{100 * value:+.1f}" if math.isfinite(value) else "–"


def _change(value: float) -> str:
    return ("+" if value > 0 else "") + plain(value)


def _titled(text: str) -> Any:
    """A heading with Φ's index set as one."""
    from markupsafe import Markup, escape

    return Markup(escape(_brief(text)).replace("Φ_R", Markup("Φ<sub>R</sub>")))


def _brief(text: str) -> str:
    """A text that a user wrote, short enough for a heading."""
    return text if len(text) <= _NAME else text[: _NAME - 1] + "…"
