"""Where jobs stand, from their folders alone."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import outside
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs.file import Job, plain

MARK = "JOB"  # in the folder of a job: training and what follows it are over
MADE = "made"  # entry of a mark: the file in the folder that followed the training
NEW, PARTIAL, RUNNING, FAILED, DONE = "new", "partial", "running", "failed", "done"


class Standing(NamedTuple):
    """Where a job stands.

    Attributes:
      state: ``"new"``, ``"partial"`` (it was begun and will be resumed), ``"running"``, ``"failed"`` or
        ``"done"``.
      update: updates in its newest checkpoint, 0 without one.
      note: why it failed, in a sentence.
    """

    state: str
    update: int = 0
    note: str = ""


def place(job: Job, root: Path) -> Path:
    """The folder of a job on this machine.

    Args:
      job: the job; its folder is no URL.
      root: the folder of the file of jobs.
    """
    return root / job.folder


def standing(folder: Path) -> Standing:
    """Where the job of a folder stands; a folder that cannot be read is a failure of its own job alone."""
    try:
        with outside.at(folder, "read"):
            return _standing(folder)
    except RlkitError as error:
        return Standing(FAILED, note=str(error))


def _standing(folder: Path) -> Standing:
    found = mark(folder)
    if found is not None and is_whole(found, lambda name: (folder / name).is_file()):
        return Standing(DONE)
    steps = checkpoint.steps(folder / store.CHECKPOINTS)
    update = steps[-1] if steps else 0
    if held(folder):
        return Standing(RUNNING, update)
    if failure(folder).exists():
        try:
            note = str(store.read_json(failure(folder))["error"])
        except (UsageError, KeyError, TypeError):
            note = "it is not known why"
        return Standing(FAILED, update, note)
    begun = folder.is_dir() and any(folder.iterdir())
    return Standing(PARTIAL if begun else NEW, update)


def mark(folder: Path) -> dict[str, Any] | None:
    """What the mark of a job says that is over; None if there is none.

    Raises:
      RlkitError: it is damaged or cannot be read; the message names it.
    """
    path = folder / MARK
    with outside.at(path, "read"):
        return as_mark(outside.read_bytes(path), path) if path.exists() else None


def as_mark(data: bytes, place: str | Path) -> dict[str, Any]:
    """What the content of a mark says.

    Raises:
      UsageError: it is damaged; the message names its place.
    """
    why = "it is no object with the name of a file"
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        found, why = None, outside.why(error)
    if not isinstance(found, dict) or not isinstance(found.get(MADE, ""), str):
        raise UsageError(f"the mark {place} is damaged ({why}); remove it, and run the job again")
    return found


def is_whole(found: dict[str, Any], is_there: Callable[[str], bool]) -> bool:
    """Whether the file that a mark names is there still. Older marks name none."""
    return MADE not in found or is_there(found[MADE])


def failure(folder: Path) -> Path:
    """The file beside a job's folder that says why it failed."""
    return folder.with_name(f"{folder.name}.failed.json")


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def held(folder: Path) -> bool:
    """Whether a worker is at the job now."""
    from filelock import FileLock, Timeout

    if not _lock_file(folder).exists():
        return False
    lock = FileLock(_lock_file(folder), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Be the only worker of a job. The lock lies beside its folder, which a new run must find empty.

    Raises:
      UsageError: another worker is at it.
      RlkitError: the place cannot be written.
    """
    from filelock import FileLock, Timeout

    with outside.at(folder.parent, "write"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock_file(folder), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another worker is at {folder}; its job is not begun twice") from None
    except (OSError, NotImplementedError) as error:
        raise RlkitError(outside.explain(error, _lock_file(folder), "lock") or str(error)) from error
    try:
        yield
    finally:
        lock.release()


def tell(standings: list[tuple[Job, Standing]]) -> list[str]:
    """A line for each job and one for all."""
    names = [plain(job.name) for job, _ in standings]
    width = max(map(len, names), default=0)
    lines = []
    for index, (name, (_, found)) in enumerate(zip(names, standings, strict=True)):
        detail = f"  update {found.update:,}" if found.update and found.state != DONE else ""
        note = f"  {plain(found.note, 500)}" if found.note else ""
        lines.append(f"{index:>5}  {name:<{width}}  {found.state}{detail}{note}")
    counts: dict[str, Any] = {}
    for _, found in standings:
        counts[found.state] = counts.get(found.state, 0) + 1
    lines.append(
        f"{len(standings)} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    )
    return lines
