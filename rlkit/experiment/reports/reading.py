"""What a run folder says, read back for reports: its settings, its curves, its speed.

Damage in a file costs what it held and no more: a sentence in :attr:`Run.notes` names the file and the line.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit.errors import UsageError
from rlkit.experiment.reports import analyze, curves
from rlkit.experiment.reports.curves import Curve, Metrics
from rlkit.experiment.reports.intervals import Interval, interval
from rlkit.experiment.runs import store
from rlkit.experiment.training import config, health, integrity
from rlkit.experiment.training.members import grid_labels, parse_grid

STARTS = 20
_NOTES = 4  # sentences about one file


class Times(NamedTuple):
    """Where the wall time of a run went, seconds over all its starts; and the updates of training."""

    trace: float = 0.0
    compile: float = 0.0
    train: float = 0.0
    look: float = 0.0
    updates: int = 0


class Start(NamedTuple):
    """A process that worked on a run: the update it began at, and where, as in ``env.json``."""

    update: int
    origin: dict[str, Any]


class Run(NamedTuple):
    """What a run folder says.

    Attributes:
      folder: where it is.
      settings: its configuration.
      env: the environment; None if it cannot be made here.
      problem: why not.
      origin: where it first ran, see :mod:`rlkit.experiment.training.provenance`.
      starts: the processes that worked on it, the first :data:`STARTS` of them.
      metrics: its curves.
      times: where its wall time went.
      emergence: content of ``emergence.json``; empty if there is none.
      members: what tells the settings that trained side by side apart; one empty text without a sweep.
      finished: whether training ended as planned.
      notes: what is missing or damaged, a sentence each.
    """

    folder: Path
    settings: Any  # TrainConfig, or of another kind of run
    env: Any
    problem: str
    origin: dict[str, Any]
    starts: list[Start]
    metrics: Metrics
    times: Times
    emergence: dict[str, Any]
    members: tuple[str, ...]
    finished: bool
    notes: list[str]

    @property
    def rows(self) -> int:
        """Values per line and metric: seeds times members, those logged or as many as were asked for."""
        return self.metrics.seeds or self.settings.seeds * len(self.members)

    @property
    def seeds(self) -> int:
        """Seeds of each member."""
        return max(1, self.rows // len(self.members))

    def group(self, member: int) -> slice:
        """The rows of a member: all its seeds, one after the other."""
        return slice(member * self.seeds, (member + 1) * self.seeds)

    def curve(self, kind: str, metric: str) -> Curve | None:
        """A metric over training; None if it was never logged."""
        return self.metrics.curves.get((kind, metric))

    def last(self, metric: str, kind: str = "eval") -> np.ndarray:
        """``[S]`` values of the newest line; empty if the metric was never logged."""
        found = self.curve(kind, metric)
        return np.zeros(0) if found is None else found.last

    def final(self, metric: str, kind: str = "eval") -> Interval:
        """Mean and interval over seeds of the newest line."""
        return interval(self.last(metric, kind))


class _Notes:
    """Collects sentences, a few for each file."""

    def __init__(self) -> None:
        self.by_file: dict[str, list[str]] = {}

    def of(self, name: str) -> Callable[[str], None]:
        return self.by_file.setdefault(name, []).append

    def sentences(self) -> list[str]:
        out = []
        for name, said in self.by_file.items():
            out += said[:_NOTES]
            if len(said) > _NOTES:
                out.append(f"{len(said) - _NOTES} more lines of {name} are damaged")
        return out


def read(folder: str | Path) -> Run:
    """Read a run folder; nothing is written.

    Raises:
      UsageError: it is none, or its configuration is damaged.
    """
    folder = store.existing(folder)
    settings = config.load(folder / store.CONFIG)
    env, problem = _environment(settings)
    notes, members = _Notes(), grid_labels(parse_grid(settings.sweep))
    rows = settings.seeds * len(members)
    shown = ("",) if getattr(settings, "kind", "") else curves.SHOWN
    metrics = curves.read(folder / store.METRICS, rows, notes.of(store.METRICS), shown=shown)
    emergence = _object(folder / analyze.EMERGENCE, notes.of(analyze.EMERGENCE))
    if analyze.outdated(folder, emergence):
        notes.of(analyze.EMERGENCE)(
            f"{analyze.EMERGENCE} is of other recordings than there are now; run rlkit analyze"
        )
    _recordings(folder, settings, metrics, notes.of(store.LATENTS))
    for damage in integrity.check_run(folder, config.to_dict(settings)):
        notes.of("files")(damage.replace(f"{folder}{os.sep}", ""))
    times, starts = timings(folder / store.TIMINGS, notes.of(store.TIMINGS))
    idle = _object(folder / store.DONE, notes.of(store.DONE)).get("learnt_nothing")
    if isinstance(idle, list) and idle:
        notes.of(store.DONE)(health.nothing_learnt(idle, rows))
    return Run(
        folder,
        settings,
        env,
        problem,
        _object(folder / store.ENV, notes.of(store.ENV)),
        starts,
        metrics,
        times,
        emergence,
        members,
        (folder / store.DONE).exists(),
        notes.sentences(),
    )


def _environment(settings: Any) -> tuple[Any, str]:
    """The environment of a run, or why it cannot be made here."""
    if getattr(settings, "kind", ""):
        return None, ""
    from rlkit.envs import make

    try:
        return make(settings.env, **config.env_options(settings)), ""
    except Exception as error:  # whatever a package raises: the run can be read without it
        return None, sentence(error)


def sentence(error: Exception) -> str:
    """What an error says, in one line."""
    text = str(error).strip().split("\n")[0]
    return text if isinstance(error, UsageError) else f"{type(error).__name__}: {text}"


def _object(path: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """The content of a JSON file that holds an object; empty if there is none or it is damaged."""
    if not os.path.lexists(path):
        return {}
    try:
        found = store.read_json(path)
    except (UsageError, RecursionError) as error:
        note(sentence(error))
        return {}
    if isinstance(found, dict):
        return found
    note(f"{path.name} holds {type(found).__name__} instead of an object; it is left out")
    return {}


def _recordings(folder: Path, settings: Any, metrics: Metrics, note: Callable[[str], None]) -> None:
    """Note the recordings that should be there and are not."""
    if not (settings.probe_steps and settings.eval_episodes):
        return  # without judgements nothing says when latents were recorded
    gone = [u for u in metrics.judged if not (folder / store.LATENTS / f"{u:08d}.npz").is_file()]
    if gone:
        named = ", ".join(map(str, gone[:6])) + (f" and {len(gone) - 6} more" if len(gone) > 6 else "")
        note(f"the recordings of latents after update {named} are missing in {store.LATENTS}/")


def timings(path: Path, note: Callable[[str], None] = lambda sentence: None) -> tuple[Times, list[Start]]:
    """Sums over ``timings.jsonl``, and the starts it tells; ``note`` gets a sentence per damaged line."""
    starts: list[Start] = []
    sums = dict.fromkeys(Times._fields, 0.0)
    fields = {
        "compiled": {"trace_s": "trace", "compile_s": "compile"},
        "chunk": {"seconds": "train", "updates": "updates"},
        "probe": {"seconds": "look"},
        "checkpoint": {"seconds": "look"},
    }
    for number, line in curves.rows(path, note):
        event = line.get("event")
        if not isinstance(event, str):
            note(f"line {number} of {path.name} names no event")
            continue
        where, update = line.get("provenance"), line.get("update")
        if event == "start" and isinstance(where, dict) and isinstance(update, int) and len(starts) < STARTS:
            starts.append(Start(update, where))
        for field, name in fields.get(event, {}).items():
            value = line.get(field)
            if isinstance(value, (int, float)) and value is not True and 0 <= value < 1e12:
                sums[name] += value
            else:
                note(f"line {number} of {path.name} has no {field!r}, a number of at least 0")
    updates = int(sums.pop("updates"))
    return Times(**sums, updates=updates), starts


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


def steps_per_second(run: Run) -> float:
    """Environment steps of all seeds per second of training; 0 if unknown."""
    if not (run.times.train and run.metrics.update):
        return 0.0
    return run.times.updates * run.metrics.step / run.metrics.update * run.rows / run.times.train


def median_row(run: Run) -> int:
    """The seed (of a member) whose last evaluation is the median one, by success and then return."""
    success, returns = run.last("eval/success"), run.last("eval/return")
    if not success.size or success.shape != returns.shape:
        return 0
    order = np.lexsort([np.nan_to_num(returns), np.nan_to_num(success)])
    return int(order[(len(order) - 1) // 2])


def origin(data: dict[str, Any]) -> dict[str, str]:
    """Devices, commit and versions of a run in words; ``data`` may lack or hold anything."""
    devices, versions = data.get("devices"), data.get("versions")
    commit = str(data.get("commit") or "not from a checkout")[:19]
    told = [f"{name} {version}" for name, version in versions.items()] if isinstance(versions, dict) else []
    told += [f"{name} {data[key]}" for name, key in _ORIGIN.items() if key in data]
    return {
        "devices": ", ".join(map(str, devices)) if isinstance(devices, list) and devices else "unknown",
        "commit": (commit[:10] if data.get("commit") else commit)
        + (", modified" if data.get("modified") else ""),
        "versions": ", ".join(told) or "unknown versions",
    }


_ORIGIN = {"Python": "python", "on": "platform", "started": "started", "XLA_FLAGS": "xla_flags"}


def relative(folder: Path) -> str:
    """The folder as one would write it here; its last parts if it lies elsewhere, never a private path."""
    try:
        return folder.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(*folder.resolve().parts[-3:]).as_posix()
