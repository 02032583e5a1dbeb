"""Running some jobs of a file in this process."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rlkit.errors import RlkitError
from rlkit.experiment.training import devices
from rlkit.experiment.training.config import TrainConfig
from rlkit.jobs import file, remote, state, worker
from rlkit.jobs.file import Job


def run_here(
    path: str | Path,
    indices: Sequence[int],
    *,
    progress: bool = False,
    multihost: bool = False,
    scratch: str | Path | None = None,
    abrupt: bool = False,
    say: Callable[[str], None] = lambda text: print(text, flush=True),
) -> int:
    """Run jobs one after the other. One that fails does not keep the next from running.

    Args:
      path: the file of jobs.
      indices: which of them.
      progress: show a progress bar.
      multihost: join the other processes of one program over several machines first, see
        ``jax.distributed.initialize``. Never done unless asked for: independent jobs of an array would wait
        for each other.
      scratch: a local folder for jobs whose folder is a store's; None takes one of the system's.
      abrupt: see :func:`rlkit.experiment.training.run.run`.
      say: called with a line about each job.

    Returns:
      0, the exit code of the signal that stopped a job, 2 if a request could not be carried out, else 1.
    """
    if multihost:
        import jax

        jax.distributed.initialize()
    jobs = file.read(path)
    chosen = [(index, jobs[index]) for index in indices]
    settings = [found for _, job in chosen if (found := _readable(job)) is not None]
    if settings:
        devices.use_host_devices(max(s.devices for s in settings), settings[0].threads)
    code = 0
    for index, job in chosen:
        try:
            ended = _one(job, Path(path).parent, scratch, progress, abrupt)
        except RlkitError as error:
            print(f"error: job {index} ({job.name}): {error}", file=sys.stderr, flush=True)
            code = code or (2 if isinstance(error, ValueError) else 1)
            continue
        say(f"job {index} ({job.name}): {ended.words}")
        if ended.exit_code >= 128:
            return ended.exit_code
        code = code or ended.exit_code
    return code


def _readable(job: Job) -> TrainConfig | None:
    """The configuration of a job; None if it is none, which is said when its turn comes."""
    try:
        return file.settings(job)
    except RlkitError:
        return None


def _one(job: Job, root: Path, scratch: str | Path | None, progress: bool, abrupt: bool) -> worker.Ended:
    if not remote.is_url(job.folder):
        return worker.run_job(job, state.place(job, root), progress=progress, abrupt=abrupt)
    base = Path(scratch) if scratch is not None else Path(tempfile.gettempdir()) / "rlkit-jobs"
    local = base / remote.local_name(job.folder)
    with remote.mirrored(job.folder, local):
        return worker.run_job(job, local, progress=progress, abrupt=abrupt)
