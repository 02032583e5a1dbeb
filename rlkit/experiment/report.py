"""The report of runs: one HTML file that needs nothing else, made from run folders alone.

Everything in it is computed from the folders' files, so ``rlkit report RUN`` gives the same report again.
What a run does not have (yet) is left out with a sentence that says how to get it.
"""

import base64
import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment import config, figures, store
from rlkit.experiment.figures import Emergence, Panel, Series, interval
from rlkit.experiment.reading import Run, labels, median_seed, percent, plain, read, relative, short, speed

REPORT = "report.html"
COMPARISON = "comparison.html"
MEASURE_NAMES = {"phi_r": "Φ_R", "ce3": "CE3", "ce4": "CE4"}
LEVEL_NAMES = {"units": "all pairs of units", "halves": "two Fiedler halves"}


def report(folder: str | Path) -> Path:
    """Write ``report.html`` of a run into its folder and return its path.

    Raises:
      UsageError: not a run folder, or a file in it is damaged.
    """
    return write([folder], Path(folder) / REPORT)


def compare(folders: Sequence[str | Path], path: str | Path | None = None) -> Path:
    """Write one report about several runs.

    Args:
      folders: their folders.
      path: the file; None writes ``comparison.html`` in the nearest folder that holds all of them.

    Returns:
      The path of the file.

    Raises:
      UsageError: not a run folder, a damaged file, or no folder at all.
    """
    if not folders:
        raise UsageError("there are no runs to compare; name their folders")
    if path is None:
        path = Path(os.path.commonpath([Path(folder).resolve() for folder in folders])) / COMPARISON
    return write(folders, Path(path))


def write(folders: Sequence[str | Path], path: Path) -> Path:
    """Write the report of the given runs to ``path``."""
    html = render([read(folder) for folder in folders], path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(html, encoding="utf-8")
    os.replace(temporary, path)
    return path


def render(runs: Sequence[Run], path: Path | None = None) -> str:
    """The HTML of a report."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"safe_svg": Markup, "data": _data_url}
    source = importlib.resources.files("rlkit.experiment").joinpath("report.html").read_text(encoding="utf-8")
    formats = {"percent": percent, "number": plain, "short": short}
    return environment.from_string(source).render(formats | context(runs, path))


def context(runs: Sequence[Run], path: Path | None = None) -> dict[str, Any]:
    """Everything that the template shows."""
    names = labels(runs)
    colours = [figures.PALETTE[i % len(figures.PALETTE)] for i in range(len(runs))]
    shown = [_one(*row, path) for row in zip(runs, names, colours, strict=True)]
    env = next((run.env for run in runs if run.env is not None), None)
    same = len({run.settings.env for run in runs}) == 1
    return {
        "title": runs[0].settings.env if same else "Comparison",
        "runs": shown,
        "spec": env.spec if env is not None and same else None,
        "options": runs[0].settings.env_options,
        "problem": "; ".join(sorted({run.problem for run in runs if run.problem})),
        "curves": _curves(runs, names, colours),
        "scores": _scores(runs, names, colours),
        "command": "rlkit report " + " ".join(relative(run.folder) for run in runs),
        "partial": any(run.env is not None and run.env.spec.partial_obs for run in runs),
    }


def _one(run: Run, label: str, colour: str, path: Path | None) -> dict[str, Any]:
    """What the template shows of one run."""
    picture, caption = _animation(run)
    return {
        "label": label,
        "colour": colour,
        "folder": relative(run.folder),
        "finished": run.finished,
        "settings": run.settings,
        "config": json.dumps(config.to_dict(run.settings), indent=2),
        "origin": run.origin,
        "success": run.final("eval/success"),
        "table": _table(run),
        "episodes": run.settings.eval_episodes,
        "speed": speed(run),
        "terms": _terms(run),
        "gif": picture,
        "gif_caption": caption,
        "emergence": _emergence(run, colour),
        "surrogates": run.surrogates,
        "life": _life(run),
    }


def _life(run: Run) -> list[dict[str, Any]]:
    """Rows about whole lives: how each metric goes with the reward, and predicts its end."""
    rows = []
    for metric, found in run.alignment.items():
        nulls = found["nulls"]["global"]
        row: dict[str, Any] = {"metric": metric, "seeds": len(found["seeds"])}
        row["whole"], row["steps"] = (interval(_floats(found[kind])) for kind in ("global", "local"))
        row["nulls"] = ", ".join(f"{name} {_or_dash(null['p'])}" for name, null in nulls.items())
        told = run.prediction.get(metric)
        if told is not None:
            low, high = (_or_dash(bound) for bound in told["r2_interval"])
            row["r2"] = f"{_or_dash(told['r2'])} [{low}, {high}]"
        rows.append(row)
    return rows


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


_EVALUATED = (
    ("eval/success", "success", True),
    ("eval/return", "return (the environment's own reward)", False),
    ("eval/fitness", "fitness", False),
    ("eval/length", "episode length, steps", False),
)


def _table(run: Run) -> list[dict[str, Any]]:
    """Rows of the final table: name, interval, whether it is a share."""
    rows: list[dict[str, Any]] = [
        {"name": text, "interval": run.final(metric), "percent": share} for metric, text, share in _EVALUATED
    ]
    if run.points:
        last = run.points[-1]
        for level, where in LEVEL_NAMES.items():
            for measure, name in MEASURE_NAMES.items():
                numbers = last[level][measure]
                score = [np.nan if z is None else z for z in numbers["z"]]
                row = {"name": f"{name}, {where}, nats", "interval": interval(_floats(numbers["value"]))}
                below = sum(p is not None and p <= 0.05 for p in numbers["p"])
                rows.append(row | {"percent": False, "z": interval(score), "below": below, "of": len(score)})
    return [row for row in rows if row["interval"].count]


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array(values, np.float64)


def _curves(runs: Sequence[Run], names: Sequence[str], colours: Sequence[str]) -> str:
    """Learning curves: what fresh episodes show, else what the training episodes do."""
    wanted = (
        ("eval", "eval/success", "success in fresh episodes", True),
        ("eval", "eval/return", "return in fresh episodes", False),
        ("train", "episode/success", "success in training episodes", True),
        ("train", "episode/return", "return in training episodes", False),
        ("train", "episode/paid", "sum of what the agent is paid", False),
    )
    panels = []
    for kind, metric, title, share in wanted:
        found = [run.series(kind, metric, n, c) for run, n, c in zip(runs, names, colours, strict=True)]
        found = [series for series in found if series is not None and len(series.steps) > 1]
        known = [series for series in found if np.isfinite(series.values).any()]
        if known and len(panels) < 3 and not _repeats(panels, known):
            panels.append(Panel(title, known, (-0.03, 1.03) if share else None, share))
    return figures.curves(panels, "curves") if panels else ""


def _repeats(panels: list[Panel], series: list[Series]) -> bool:
    """Whether a panel would show the numbers of an earlier one, as return does where it is success."""
    alike = lambda a, b: a.values.shape == b.values.shape and np.allclose(a.values, b.values, equal_nan=True)
    return any(
        len(p.series) == len(series) and all(alike(a, b) for a, b in zip(p.series, series, strict=True))
        for p in panels
    )


def _terms(run: Run) -> str:
    train = [line for line in run.lines if line["kind"] == "train"]
    if len(train) < 2:
        return ""
    names = [name for name in train[0]["mean"] if name.startswith("reward/")]
    values = {n.removeprefix("reward/"): _floats([line["mean"].get(n) for line in train]) for n in names}
    known = {name: np.nan_to_num(row) for name, row in values.items()}
    return (
        figures.terms(np.array([line["step"] for line in train]), known, f"terms-{run.folder.name}")
        if known
        else ""
    )


def _measures(run: Run, level: str) -> list[Emergence]:
    steps, found = np.array([point["step"] for point in run.points]), []
    for measure, title in MEASURE_NAMES.items():
        rows = [point[level][measure] for point in run.points]
        fields = [np.stack([_floats(row[field]) for row in rows]) for field in ("value", "mean", "sd", "z")]
        found.append(Emergence(title.replace("Φ_R", r"$\Phi_R$"), steps, *fields))
    return found


def _emergence(run: Run, colour: str) -> dict[str, str]:
    """One figure per level."""
    if not run.points:
        return {}
    outcome = run.series("eval", "eval/success", "success in fresh episodes (right axis)", colour)
    outcome = outcome or run.series(
        "train", "episode/return", "return in training episodes (right axis)", colour
    )
    return {
        where: figures.emergence(
            _measures(run, level), outcome, colour, f"emergence-{level}-{run.folder.name}"
        )
        for level, where in LEVEL_NAMES.items()
    }


def _scores(runs: Sequence[Run], names: Sequence[str], colours: Sequence[str]) -> dict[str, str]:
    """z of all runs, one figure per level."""
    measured = [(run, name) for run, name in zip(runs, names, strict=True) if run.points]
    if not measured:
        return {}
    by_name = dict(zip(names, colours, strict=True))
    return {
        where: figures.scores({name: _measures(run, level) for run, name in measured}, by_name, f"z-{level}")
        for level, where in LEVEL_NAMES.items()
    }


def _animation(run: Run) -> tuple[bytes | None, str]:
    """A GIF of the newest checkpoint's median seed, or why there is none."""
    from rlkit.experiment import animation, checkpoint

    if run.env is None:
        return None, f"No animation: {run.problem}"
    import jax

    agent = config.build(run.settings)
    template = jax.eval_shape(
        jax.vmap(agent.init), jax.eval_shape(lambda: jax.random.split(jax.random.key(0), run.settings.seeds))
    )
    notes: list[str] = []
    try:
        saved = checkpoint.restore(run.folder / store.CHECKPOINTS, template, notes.append)
    except RlkitError as error:
        return None, f"No animation: {error}"
    if saved is None:
        return None, "No animation: the run has no checkpoint yet."
    seed = median_seed(run)
    policy = jax.tree.map(lambda x: x[seed], agent.policy(saved.state))
    states, lengths = animation.record(
        agent, policy, jax.random.fold_in(jax.random.key(run.settings.seed), 0x617)
    )
    pictures = animation.frames(run.env, states, lengths)
    what = f"after {saved.update} updates, acting greedily in {len(lengths)} new episodes"
    caption = f"Seed {seed} (the median one) {what}."
    return animation.gif(pictures), caption


def _data_url(data: bytes) -> str:
    return "data:image/gif;base64," + base64.b64encode(data).decode()
