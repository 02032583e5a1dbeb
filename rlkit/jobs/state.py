"""Where jobs stand, from their folders alone."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlkit import outside
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs.file import Job

MARK = "JOB"  # in the folder of a job: training and what follows it are over
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
    """Where the job of a folder stands."""
    if (folder / MARK).exists():
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
    width = max((len(job.name) for job, _ in standings), default=0)
    lines = []
    for index, (job, found) in enumerate(standings):
        detail = f"  update {found.update:,}" if found.update and found.state != DONE else ""
        note = f"  {found.note}" if found.note else ""
        lines.append(f"{index:>5}  {job.name:<{width}}  {found.state}{detail}{note}")
    counts: dict[str, Any] = {}
    for _, found in standings:
        counts[found.state] = counts.get(found.state, 0) + 1
    lines.append(
        f"{len(standings)} jobs: " + ", ".join(f"{count} {state}" for state, count in counts.items())
    )
    return lines
