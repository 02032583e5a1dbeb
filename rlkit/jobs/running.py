"""Running some jobs of a file in this process."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rlkit import outside
from rlkit.errors import RlkitError, UsageError
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

    Raises:
      UsageError: there is no file of jobs, or ``multihost`` was asked for and the others are not to be found.
    """
    if multihost:
        _join()
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
            print(f"error: job {index} ({file.plain(job.name)}): {error}", file=sys.stderr, flush=True)
            code = code or (2 if isinstance(error, ValueError) else 1)
            continue
        say(f"job {index} ({file.plain(job.name)}): {ended.words}")
        if ended.exit_code >= 128:
            return ended.exit_code
        code = code or ended.exit_code
    return code


def _join() -> None:
    """Join the other processes of one program, which variables tell, or a scheduler that JAX knows."""
    import jax

    # JAX reads the variable of the coordinator by itself, and no others.
    count, index = _whole_number("JAX_NUM_PROCESSES"), _whole_number("JAX_PROCESS_ID")
    try:
        jax.distributed.initialize(num_processes=count, process_id=index)
    except Exception as error:  # JAX raises several kinds, of which none says what to set
        raise UsageError(
            f"--multihost: cannot join the other processes ({outside.why(error)}); set "
            "JAX_COORDINATOR_ADDRESS (host:port of the first one), JAX_NUM_PROCESSES and JAX_PROCESS_ID "
            "for each, or leave it out"
        ) from error


def _whole_number(variable: str) -> int | None:
    text = os.environ.get(variable, "").strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(f"--multihost: {variable}={file.plain(text, 40)}: expected a whole number")
    return int(text) if text else None


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
