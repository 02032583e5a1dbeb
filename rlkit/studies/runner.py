"""Running a study: only what is missing, in the order of its cells."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rlkit.errors import UsageError, unknown_name
from rlkit.jobs import file, state
from rlkit.studies import study as studies
from rlkit.studies.study import JOBS, Cell, Study


class Due(NamedTuple):
    """What is left of a study.

    Attributes:
      indices: of its jobs that are not done.
      skipped: why, by cell, for those that cannot be run here.
    """

    indices: list[int]
    skipped: dict[str, str]


def prepare(study: Study, root: str | Path, base: str = studies.CELLS) -> Path:
    """Write ``study.json`` and ``jobs.jsonl``, or check that they are there and the same.

    Returns:
      The path of the jobs.

    Raises:
      UsageError: another study was begun there, with the difference.
    """
    studies.begin(study, root)
    return file.write(Path(root) / JOBS, studies.jobs(study, base=base))


def due(study: Study, root: str | Path, only: Sequence[str] = ()) -> Due:
    """What is left to do.

    Args:
      study: the study.
      root: its folder.
      only: names of cells, all if there are none.

    Raises:
      UnknownNameError: no such cell.
    """
    cells = {cell.name: cell for cell in study.cells}
    for name in only:
        if name not in cells:
            raise unknown_name("cell", name, cells, where=f"of the study {study.name}")
    indices, skipped = [], {cell.name: cell.skipped for cell in study.cells if cell.skipped}
    for index, job in enumerate(studies.jobs(study)):
        if (only and job.name not in only) or _is_done(root, job):
            continue
        if why := studies.possible(cells[job.name]):
            skipped[job.name] = why
        else:
            indices.append(index)
    return Due(indices, {name: why for name, why in skipped.items() if not only or name in only})


def _is_done(root: str | Path, job: file.Job) -> bool:
    return state.standing(state.place(job, Path(root))).state == state.DONE


def folder(root: str | Path, cell: Cell) -> Path:
    """The run folder of a cell."""
    return Path(root) / studies.CELLS / cell.name


def run(
    study: Study,
    root: str | Path,
    *,
    only: Sequence[str] = (),
    workers: int = 0,
    progress: bool = False,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
) -> int:
    """Run what is missing of a study.

    Args:
      study: the study.
      root: its folder, new or begun with the same study.
      only: names of cells, all if there are none.
      workers: processes; 0 runs the cells here, one after the other.
      progress: show progress bars (here only).
      say: called with a line about each cell.

    Returns:
      The exit code, as of :func:`rlkit.jobs.running.run_here`.

    Raises:
      UsageError: all cells are skipped.
    """
    path = prepare(study, root)
    left = due(study, root, only)
    for name, why in left.skipped.items():
        print(f"skipped {name}: {why}", file=sys.stderr, flush=True)
    if not left.indices:
        asked = only or [cell.name for cell in study.cells]
        if len(left.skipped) == len(asked):
            raise UsageError(
                f"none of {len(asked)} cells of the study {study.name} can run; see why they are skipped"
            )
        return 0
    if workers:
        from rlkit.jobs.local import run_local

        return run_local(path, left.indices, workers, say=say)
    from rlkit.jobs.running import run_here

    return run_here(path, left.indices, progress=progress, abrupt=True, say=say)
