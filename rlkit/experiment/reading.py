"""What a run folder says, read back for reports: its settings, its curves, its speed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit.errors import RlkitError
from rlkit.experiment import analyze, config, store
from rlkit.experiment.config import TrainConfig
from rlkit.experiment.figures import Interval, Series, interval


class Run(NamedTuple):
    """What a run folder says."""

    folder: Path
    settings: TrainConfig
    env: Any  # the environment; None if it cannot be made here
    problem: str  # why not
    origin: dict[str, Any]  # where it ran, see rlkit.experiment.provenance
    lines: list[dict[str, Any]]
    timings: list[dict[str, Any]]
    points: list[dict[str, Any]]  # of emergence.json
    surrogates: int
    finished: bool
    alignment: dict[str, Any]  # of emergence.json
    prediction: dict[str, Any]  # of emergence.json

    def series(self, kind: str, metric: str, label: str, colour: str) -> Series | None:
        """A metric over training; None if it was never logged."""
        rows = [line for line in self.lines if line["kind"] == kind and metric in line["seeds"]]
        if not rows:
            return None
        values = np.array([row["seeds"][metric] for row in rows], np.float64)  # null becomes NaN
        return Series(label, colour, np.array([row["step"] for row in rows]), values)

    def final(self, metric: str, kind: str = "eval") -> Interval:
        """Mean and interval over seeds at the last log point."""
        found = self.series(kind, metric, "", "")
        return interval([] if found is None else found.values[-1])


def read(folder: str | Path) -> Run:
    """Read a run folder.

    Raises:
      UsageError: it is none, or a file in it is damaged.
    """
    folder = store.existing(folder)
    settings = config.load(folder / store.CONFIG)
    env, problem = None, ""
    try:
        from rlkit.envs import make

        env = make(settings.env, **config.env_options(settings))
    except (RlkitError, ImportError) as error:
        problem = str(error)
    measured = folder / analyze.EMERGENCE
    found = store.read_json(measured) if measured.exists() else {}
    origin = folder / store.ENV
    return Run(
        folder,
        settings,
        env,
        problem,
        store.read_json(origin) if origin.exists() else {},
        store.read_jsonl(folder / store.METRICS),
        store.read_jsonl(folder / store.TIMINGS),
        found.get("points", []),
        found.get("draws", 0),
        (folder / store.DONE).exists(),
        found.get("alignment", {}),
        found.get("prediction", {}),
    )


def labels(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: the options in which they differ, or else their folders."""
    flat = [_flat(config.to_dict(run.settings)) for run in runs]
    differing = [name for name in flat[0] if any(other.get(name) != flat[0][name] for other in flat)]
    texts = [", ".join(_option(name, options.get(name)) for name in differing) for options in flat]
    return texts if len(set(texts)) == len(texts) and all(texts) else [run.folder.name for run in runs]


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out = {}
    for name, value in data.items():
        out |= _flat(value, f"{name}.") if isinstance(value, dict) else {prefix + name: value}
    return out


def _option(name: str, value: Any) -> str:
    return str(value) if name == "reward" else f"{name}={value}"


def speed(run: Run) -> dict[str, float]:
    """Seconds of tracing, compiling, training and looking, and environment steps per second of training."""
    total = lambda event, field: sum(float(t.get(field, 0)) for t in run.timings if t["event"] == event)
    updates = max((line["update"] for line in run.lines), default=0)
    steps = max((line["step"] for line in run.lines), default=0) * run.settings.seeds
    trained = sum(int(t["updates"]) for t in run.timings if t["event"] == "chunk")
    seconds = total("chunk", "seconds")
    per_update = steps / updates if updates else 0.0
    return {
        "trace": total("compiled", "trace_s"),
        "compile": total("compiled", "compile_s"),
        "train": seconds,
        "look": total("probe", "seconds") + total("checkpoint", "seconds"),
        "steps": float(steps),
        "steps_per_second": trained * per_update / seconds if seconds else 0.0,
    }


def median_seed(run: Run) -> int:
    """The seed whose last evaluation is the median one, by success and then return."""
    scores = [run.series("eval", metric, "", "") for metric in ("eval/success", "eval/return")]
    if scores[0] is None or scores[1] is None:
        return 0
    order = np.lexsort([np.nan_to_num(scores[1].values[-1]), np.nan_to_num(scores[0].values[-1])])
    return int(order[(len(order) - 1) // 2])


def relative(folder: Path) -> str:
    """The folder as one would write it here; its last parts if it lies elsewhere, never a private path."""
    try:
        return folder.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(*folder.resolve().parts[-3:]).as_posix()


def percent(value: float) -> str:
    """``0.9375`` as ``"93.8 %"``; a dash if undefined."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def plain(value: float) -> str:
    """Three or four significant digits; a dash if undefined."""
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def short(value: float) -> str:
    """A count with its unit prefix: ``"1.6 M"``."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
