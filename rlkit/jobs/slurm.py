"""Jobs through submitit (extra ``slurm``): one array, requeued into the same folders."""

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlkit.errors import UsageError, missing_extra
from rlkit.jobs.emit import Cluster


@dataclass(frozen=True)
class Task:
    """Some indices of a file of jobs. It holds nothing else, so that a requeue finds what is on the disk."""

    path: str
    indices: tuple[int, ...]

    def __call__(self) -> int:
        """Run them here; the exit code."""
        from rlkit.jobs.running import run_here

        return run_here(self.path, self.indices)

    def checkpoint(self) -> Any:
        """What submitit queues again when the job runs out of time or is preempted: the same task."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit(
    path: str | Path, indices: Sequence[int], cluster: Cluster, folder: str | Path, where: str = "slurm"
) -> list:
    """Submit jobs as one array.

    Args:
      path: the file of jobs, on a disk that the machines share.
      indices: which of them.
      cluster: what the scheduler is told.
      folder: for submitit's own files and what the jobs print.
      where: ``"slurm"``, or ``"local"`` for processes of this machine (the same code, to try it).

    Returns:
      submitit's jobs, one for each chunk of indices.

    Raises:
      UsageError: this machine has no SLURM.
      MissingExtraError: submitit is not installed.
    """
    if where == "slurm" and shutil.which("srun") is None:
        raise UsageError(
            "--slurm: this machine has no SLURM (there is no srun); submit where srun is, or run the jobs "
            "here with --workers N"
        )
    try:
        import submitit
    except ImportError:
        raise missing_extra("jobs through SLURM", "submitit", "slurm") from None
    executor = submitit.AutoExecutor(folder=str(folder), cluster=where)
    options: dict[str, Any] = {"name": cluster.name, "timeout_min": 60 * cluster.hours}
    options |= {"cpus_per_task": cluster.cpus, "mem_gb": cluster.memory}
    options |= {"gpus_per_node": cluster.gpus} if cluster.gpus else {}
    if where == "slurm":
        options["slurm_array_parallelism"] = cluster.parallel
        options |= {"slurm_partition": cluster.partition} if cluster.partition else {}
    executor.update_parameters(**options)
    make = functools.partial(Task, str(Path(path).absolute()))
    chunks = [tuple(indices[i : i + cluster.chunk]) for i in range(0, len(indices), cluster.chunk)]
    with executor.batch():
        return [executor.submit(make(chunk)) for chunk in chunks]
