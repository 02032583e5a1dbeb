"""The only entry to a job: done, it is left alone; begun, it is resumed; else it is started."""

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import UsageError
from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.jobs.differences import differences
from rlkit.jobs.file import Job, settings
from rlkit.jobs.state import MADE, MARK, claimed, failure, is_whole, mark
from rlkit.registry import load_target


class Ended(NamedTuple):
    """How a job ended: exit code 0, or 128 plus the number of the signal that stopped it for now."""

    exit_code: int
    words: str


def run_job(job: Job, folder: Path, *, progress: bool = False, abrupt: bool = False) -> Ended:
    """Do what is left of a job. Calling it again changes nothing.

    Args:
      job: the job.
      folder: where it goes on this machine.
      progress: show a progress bar.
      abrupt: see :func:`rlkit.experiment.training.run.run`.

    Returns:
      How it ended.

    Raises:
      UsageError: another worker is at it, its configuration cannot be carried out, or its folder holds a run
        of another configuration.
      RlkitError: it failed. The sentence is kept beside the folder, for ``rlkit jobs status``.
    """
    if _finished(job, folder):
        return Ended(0, "done before")
    with claimed(folder):
        if _finished(job, folder):  # while this one waited
            return Ended(0, "done before")
        try:
            ended = _do(job, folder, progress, abrupt)
        except Exception as error:
            _keep_failure(folder, error)
            raise
        failure(folder).unlink(missing_ok=True)
        return ended


def _do(job: Job, folder: Path, progress: bool, abrupt: bool) -> Ended:
    from rlkit.experiment.training import run

    words = "done"
    if not (folder / store.DONE).exists():
        if (folder / store.CONFIG).exists():
            _same(job, folder)
            words = "resumed and done"
            outcome = run.resume(folder, progress=progress, abrupt=abrupt)
        else:
            _clear(folder)
            outcome = run.run(settings(job), folder, progress=progress, abrupt=abrupt)
        if not outcome.finished:
            return Ended(outcome.exit_code, "stopped by a signal; run it again to go on")
    else:
        _same(job, folder)
    # What an old mark named is gone; a kill must not leave it beside half of it.
    (folder / MARK).unlink(missing_ok=True)
    made = load_target(job.then)(folder, job.options) if job.then else None
    store.write_json(folder / MARK, {"name": job.name} | _afterwards(job) | _made(folder, made))
    return Ended(0, words)


def _made(folder: Path, made: Any) -> dict[str, str]:
    """What a mark says of the file that followed: its name in the folder. Others are not looked after."""
    with contextlib.suppress(OSError, ValueError):  # it lies elsewhere
        if isinstance(made, Path) and made.is_file():
            return {MADE: made.resolve().relative_to(folder.resolve()).as_posix()}
    return {}


def _afterwards(job: Job) -> dict[str, Any]:
    """What follows the training of a job, as JSON data."""
    return json.loads(json.dumps({"then": job.then, "options": job.options}))


def _finished(job: Job, folder: Path) -> bool:
    """Whether the job was done, and what it made is there.

    Raises:
      UsageError: what was done there is another job, of the same folder, or its mark is damaged.
      RlkitError: the folder cannot be read.
    """
    found = mark(folder)
    if found is None:
        return False
    _same(job, folder)
    for name, wanted in _afterwards(job).items():
        if found.get(name, wanted) != wanted:  # older ones tell no options
            raise UsageError(f"{folder / MARK} is of another job than this one ({name}); name another folder")
    return is_whole(found, lambda name: (folder / name).is_file())


def _same(job: Job, folder: Path) -> None:
    """Refuse to go on with another configuration than the one that was begun."""
    asked = json.loads(json.dumps(config.to_dict(config.settled(settings(job)))))
    have = json.loads(json.dumps(config.to_dict(config.load(folder / store.CONFIG))))
    if changed := differences(have, asked):
        raise UsageError(f"{folder} was begun with another configuration ({changed}); name another folder")


def _clear(folder: Path) -> None:
    """Remove what a worker that was killed left before there was a run."""
    if folder.is_dir():
        for path in folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()


def _keep_failure(folder: Path, error: Exception) -> None:
    sentence: dict[str, Any] = {
        "error": str(error).strip().split("\n")[0][:500],
        "kind": type(error).__name__,
    }
    with contextlib.suppress(Exception):  # the error itself is the news
        store.write_json(failure(folder), sentence)
