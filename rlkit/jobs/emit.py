"""Files for schedulers that run any index of a file of jobs. They are printed, and belong to the user."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from rlkit.errors import UsageError, unknown_name
from rlkit.fields import check, option


@dataclass(frozen=True)
class Cluster:
    """What a scheduler is told. It only knows numbers: the jobs are in their file."""

    name: str = option("rlkit", "of the array")
    parallel: int = option(16, "jobs at the same time", low=1)
    chunk: int = option(1, "jobs of the file for each job of the scheduler, one after the other", low=1)
    hours: int = option(8, "time limit of a job of the scheduler", low=1)
    cpus: int = option(2, "cores of each", low=1)
    memory: int = option(8, "memory of each, GiB", low=1)
    gpus: int = option(0, "accelerators of each", low=0)
    partition: str = option("", "SLURM: the partition")
    image: str = option("", "Kubernetes: a container image with rlkit installed")
    claim: str = option("study", "Kubernetes: the volume claim that holds the file of jobs and its folders")
    queue: str = option("", "Kubernetes: the queue of Kueue")
    retries: int = option(3, "Kubernetes: failures of an index that are tried again", low=0)
    store: str = option("", "SkyPilot: a bucket, e.g. s3://name, mounted where the file of jobs is")

    def __post_init__(self) -> None:
        check(self)
        if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?", self.name):
            raise UsageError(
                f"name={self.name[:60]!r}: expected up to 53 small letters, digits and '-' inside, "
                "which every scheduler takes"
            )
        for field in ("partition", "image", "claim", "queue", "store"):
            value = getattr(self, field)
            if re.search(r"[\s\"'\\]", value):
                raise UsageError(f"{field}={value[:60]!r}: expected no blanks, quotes or backslashes")


def _tasks(count: int, cluster: Cluster) -> int:
    return -(-count // cluster.chunk)


def _indices(count: int, cluster: Cluster, number: str) -> str:
    """Shell text that gives the indices of a scheduler's job from its number."""
    if cluster.chunk == 1:
        return f'--index "{number}"'
    last = f"$(( {number} * {cluster.chunk} + {cluster.chunk - 1} ))"
    return f'--indices "$(( {number} * {cluster.chunk} ))-{last}" --clip'


def slurm(path: Path, count: int, cluster: Cluster) -> str:
    """A batch script with one array job for all.

    A job that runs out of time is told two minutes before, saves, and puts itself into the queue again, which
    does not depend on the cluster's policy of requeueing. It resumes in the same folder.
    """
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={cluster.name}",
        f"#SBATCH --array=0-{_tasks(count, cluster) - 1}%{cluster.parallel}",
        f"#SBATCH --time={cluster.hours}:00:00",
        f"#SBATCH --cpus-per-task={cluster.cpus}",
        f"#SBATCH --mem={cluster.memory}G",
        *([f"#SBATCH --gpus={cluster.gpus}"] if cluster.gpus else []),
        *([f"#SBATCH --partition={cluster.partition}"] if cluster.partition else []),
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=B:TERM@120",
        "",
        "# One worker per index; it resumes in the folder that the file names.",
        "stopped=0",
        "trap 'stopped=1; kill -TERM \"$worker\" 2>/dev/null' TERM",
        f"rlkit jobs run {shlex.quote(str(path))} {_indices(count, cluster, '$SLURM_ARRAY_TASK_ID')} &",
        "worker=$!",
        # The signal may have come before there was a worker to tell.
        'if [ "$stopped" = 1 ]; then kill -TERM "$worker" 2>/dev/null; fi',
        'wait "$worker"; code=$?',
        'if [ "$stopped" = 1 ]; then',
        '  wait "$worker"; code=$?',
        '  if [ "$code" -ne 0 ]; then',
        '    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
        "  fi",
        "fi",
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def kubernetes(path: Path, count: int, cluster: Cluster) -> str:
    """An Indexed Job: an index that fails is tried again by itself, and takes no other one with it.

    A request that cannot be carried out (exit code 2) is not tried again; a pod that the cluster takes away
    is no failure. Needs Kubernetes 1.33 (``backoffLimitPerIndex``). Workers never wait for each other: one
    reads an index from ``JOB_COMPLETION_INDEX``, and no program spans several of them.
    """
    command = f"rlkit jobs run {shlex.quote(str(path))} {_indices(count, cluster, '$JOB_COMPLETION_INDEX')}"
    labels = f"\n  labels:\n    kueue.x-k8s.io/queue-name: {_quoted(cluster.queue)}" if cluster.queue else ""
    gpus = f"\n              nvidia.com/gpu: {cluster.gpus}" if cluster.gpus else ""
    tasks = _tasks(count, cluster)
    return f"""apiVersion: batch/v1
kind: Job
metadata:
  name: {_quoted(cluster.name)}{labels}
spec:
  completionMode: Indexed
  completions: {tasks}
  parallelism: {min(tasks, cluster.parallel)}
  backoffLimitPerIndex: {cluster.retries}
  maxFailedIndexes: {tasks}
  suspend: {str(bool(cluster.queue)).lower()}
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
      - action: FailIndex
        onExitCodes:
          containerName: worker
          operator: In
          values: [2]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: worker
          image: {_quoted(cluster.image or "IMAGE-WITH-RLKIT")}
          command: ["bash", "-c"]
          args:
            - {_quoted("exec " + command)}
          resources:
            requests:
              cpu: "{cluster.cpus}"
              memory: {cluster.memory}Gi
            limits:
              memory: {cluster.memory}Gi{gpus}
          volumeMounts:
            - name: study
              mountPath: {_quoted(_mount(path))}
      volumes:
        - name: study
          persistentVolumeClaim:
            claimName: {_quoted(cluster.claim)}
"""


def skypilot(path: Path, count: int, cluster: Cluster) -> str:
    """A task for a pool of warm workers: many short jobs run beneath the limits of SkyPilot's controller."""
    tasks = _tasks(count, cluster)
    accelerators = f"\n  accelerators: L4:{cluster.gpus}" if cluster.gpus else ""
    mounts = f"\nfile_mounts:\n  {_quoted(_mount(path))}: {_quoted(cluster.store)}\n" if cluster.store else ""
    return f"""# sky jobs pool apply -p {cluster.name} --workers {min(tasks, cluster.parallel)} THIS_FILE
# sky jobs launch -p {cluster.name} --num-jobs {tasks} THIS_FILE
name: {_quoted(cluster.name)}

pool:
  workers: {min(tasks, cluster.parallel)}

resources:
  cpus: {cluster.cpus}+
  memory: {cluster.memory}+{accelerators}
{mounts}
setup: |
  pip install rlkit-jax

run: |
  rlkit jobs run {shlex.quote(str(path))} {_indices(count, cluster, "$SKYPILOT_JOB_RANK")}
"""


def _quoted(text: str) -> str:
    """A text as YAML has it, whatever is in it: a string of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _mount(path: Path) -> str:
    return str(path.absolute().parent)


SCHEDULERS = {"slurm": slurm, "kubernetes": kubernetes, "skypilot": skypilot}
"""``emit(path, count, cluster) -> text`` by name."""


def emit(scheduler: str, path: Path, count: int, cluster: Cluster) -> str:
    """The file of a scheduler.

    Args:
      scheduler: a name of :data:`SCHEDULERS`.
      path: the file of jobs, as the workers see it.
      count: jobs in it, at least one.
      cluster: what the scheduler is told.

    Raises:
      UnknownNameError: no such scheduler. UsageError: there are no jobs, or the path has a line break.
    """
    if count < 1:
        raise UsageError(f"{path} holds no jobs; a scheduler has nothing to run")
    if "\n" in str(path):
        raise UsageError(f"{str(path)!r}: a path with a line break cannot be written into a scheduler's file")
    if scheduler not in SCHEDULERS:
        raise unknown_name("scheduler", scheduler, SCHEDULERS)
    return SCHEDULERS[scheduler](path.absolute(), count, cluster)
