"""A study as data: cells to train, how each is measured, and hypotheses that were written down before.

``study.json`` is the whole of it. A study that goes on must be the one that was begun: what was changed
afterwards is refused with the difference, hypotheses included, so that nobody can pick.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlkit.errors import UsageError, unknown_name
from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.jobs.differences import differences
from rlkit.jobs.file import Job
from rlkit.records import record

STUDY, JOBS, CELLS = "study.json", "jobs.jsonl", "cells"
VERSION = 1
TESTS = ("alignment", "beyond baselines", "local", "prediction", "gain", "arms")
PROTOCOLS = ("own", "matched")


@dataclass(frozen=True)
class Cell:
    """One training of some seeds.

    Attributes:
      name: unique in the study.
      environment: as the study calls it.
      algorithm, torso: of the agent.
      config: of its run, see :func:`rlkit.experiment.training.config.to_dict`; empty if there is none.
      skipped: why the cell cannot exist, "" if it can.
      arm: of an intervention, "" for none.
    """

    name: str
    environment: str
    algorithm: str
    torso: str
    config: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""
    arm: str = ""


@dataclass(frozen=True)
class Hypothesis:
    """Something that the study asks, written down before it runs.

    Attributes:
      name: unique in the study.
      claim: in one sentence.
      test: one of :data:`TESTS`, see :mod:`rlkit.studies.hypotheses`.
      metric: which metric or statistic it is about, see :mod:`rlkit.studies.evidence`.
      protocol: ``"own"`` rollouts, or ``"matched"`` replay.
      primary: whether the study stands or falls with it.
    """

    name: str
    claim: str
    test: str
    metric: str
    protocol: str = "matched"
    primary: bool = False

    def __post_init__(self) -> None:
        if self.test not in TESTS:
            raise unknown_name("test", self.test, TESTS, where=f"of the hypothesis {self.name}")
        if self.protocol not in PROTOCOLS:
            raise unknown_name("protocol", self.protocol, PROTOCOLS, where=f"of the hypothesis {self.name}")


@dataclass(frozen=True)
class Measuring:
    """How the latents of every cell are measured.

    Attributes:
      reference: seeds of each run that only act: their observations are what matched replay shows to all
        others, and nothing else is asked of them.
      replay_steps: observations of matched replay.
      draws: surrogates of each recording.
      fraction: part of training that counts as early.
    """

    reference: int = 2
    replay_steps: int = 384
    draws: int = 20
    fraction: float = 0.2


@dataclass(frozen=True)
class Study:
    """All of a study, see the module's text."""

    name: str
    scale: str
    cells: tuple[Cell, ...]
    hypotheses: tuple[Hypothesis, ...]
    measuring: Measuring = Measuring()

    def __post_init__(self) -> None:
        for what, entries in (("cells", self.cells), ("hypotheses", self.hypotheses)):
            names = [entry.name for entry in entries]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise UsageError(f"two {what} are called {twice!r}; each needs its own name")


def to_dict(study: Study) -> dict[str, Any]:
    """A study as JSON data."""
    data: dict[str, Any] = {"version": VERSION, **asdict(study)}
    return data | {"cells": list(data["cells"]), "hypotheses": list(data["hypotheses"])}


def from_dict(data: Any, where: str = "in the study") -> Study:
    """The inverse of :func:`to_dict`.

    Raises:
      UnknownNameError: a key that there is not. UsageError: it is no study, or of another version.
    """
    lists = {"cells": Cell, "hypotheses": Hypothesis}
    if not isinstance(data, dict) or not all(isinstance(data.get(name), list) for name in lists):
        raise UsageError(f"{where}: expected a study, a JSON object with the lists 'cells' and 'hypotheses'")
    data = dict(data)
    if data.pop("version", VERSION) != VERSION:
        raise UsageError(f"{where}: this rlkit reads version {VERSION} of studies")
    for name, kind in lists.items():
        data[name] = tuple(record(kind, entry, where) for entry in data[name])
    data["measuring"] = record(Measuring, data.get("measuring", {}), where)
    return record(Study, data, where)


def load(path: str | Path) -> Study:
    """Read a study from a file.

    Raises:
      UsageError: there is none, or it is damaged.
    """
    data = store.read_json(Path(path))
    if isinstance(data, dict):
        data.pop(store.DIGEST, None)  # checked; one that was written by hand has none
    return from_dict(data, f"in {path}")


def begin(study: Study, root: str | Path) -> Path:
    """Write a study into its folder, or check that it is the one that was begun there.

    Args:
      study: the study.
      root: its folder.

    Returns:
      The path of its file.

    Raises:
      UsageError: another study was begun there; the message says what differs.
    """
    path = Path(root) / STUDY
    data = to_dict(study)
    if path.exists():
        if changed := differences(to_dict(load(path)), data):
            raise UsageError(
                f"{path} is not the study that was begun ({changed}); name another --root, or go on with "
                f"the one that is there: rlkit study --from {path}"
            )
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    store.write_json(path, data, digest=True)
    return path


def possible(cell: Cell) -> str:
    """Why a cell cannot be run here, in a sentence; "" if it can.

    A missing extra is a matter of the machine, and is looked for when the cell is due.
    """
    if cell.skipped:
        return cell.skipped
    try:
        config.build(config.from_dict(cell.config, f"of the cell {cell.name}"))
    except (UsageError, ImportError) as error:
        return str(error).split("\n")[0]
    return ""


def jobs(study: Study, *, base: str = CELLS) -> list[Job]:
    """A job for each cell that can exist, in the order of the study.

    Args:
      study: the study.
      base: the folder of their folders: relative to that of the file of jobs, or a store's.
    """
    then = "rlkit.studies.measure:measure"
    return [
        Job(cell.name, f"{base}/{cell.name}", cell.config, then, asdict(study.measuring))
        for cell in study.cells
        if not cell.skipped
    ]
