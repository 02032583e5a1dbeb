"""Files for schedulers, checked as far as is possible without one."""

import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from toy_jobs import job

from rlkit import cli
from rlkit.errors import UsageError
from rlkit.jobs import file
from rlkit.jobs.emit import Cluster, emit


def closed(required=(), **properties):
    """A JSON schema of an object with these properties and no others."""
    return {
        "type": "object", "properties": properties, "required": list(required), "additionalProperties": False
    }  # fmt: skip


NUMBER, TEXT, LABELS = (
    {"type": "integer"},
    {"type": "string"},
    {"type": "object", "additionalProperties": {"type": "string"}},
)
RULE = closed(
    ["action"],
    action={"enum": ["Ignore", "FailIndex", "FailJob", "Count"]},
    onPodConditions={
        "type": "array",
        "items": closed(["type", "status"], type=TEXT, status={"enum": ["True", "False", "Unknown"]}),
    },
    onExitCodes=closed(
        ["operator", "values"],
        containerName=TEXT,
        operator={"enum": ["In", "NotIn"]},
        values={"type": "array", "items": NUMBER},
    ),
)
CONTAINER = closed(
    ["name", "image"], name=TEXT, image=TEXT, command={"type": "array", "items": TEXT},
    args={"type": "array", "items": TEXT},
    resources=closed(requests=LABELS, limits={"type": "object"}),
    volumeMounts={"type": "array", "items": closed(["name", "mountPath"], name=TEXT, mountPath=TEXT)},
)  # fmt: skip
POD = closed(
    ["containers"], restartPolicy={"const": "Never"}, terminationGracePeriodSeconds=NUMBER,
    containers={"type": "array", "items": CONTAINER, "minItems": 1},
    volumes={
        "type": "array",
        "items": closed(["name"], name=TEXT, persistentVolumeClaim=closed(["claimName"], claimName=TEXT)),
    },
)  # fmt: skip
JOB = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "batch/v1"},
    kind={"const": "Job"},
    metadata=closed(["name"], name=TEXT, labels=LABELS),
    spec=closed(
        ["template"], completionMode={"const": "Indexed"}, completions=NUMBER, parallelism=NUMBER,
        backoffLimitPerIndex=NUMBER, maxFailedIndexes=NUMBER, suspend={"type": "boolean"},
        podFailurePolicy=closed(["rules"], rules={"type": "array", "items": RULE}),
        template=closed(["spec"], spec=POD),
    ),
)  # fmt: skip
"""The fields of batch/v1 that are used, as the Kubernetes reference describes them."""


def test_kubernetes_takes_the_indexed_job():
    cluster = Cluster(name="study", queue="small", gpus=1, parallel=4, image="me/rlkit:1")
    found = yaml.safe_load(emit("kubernetes", Path("/data/jobs.jsonl"), 10, cluster))
    jsonschema.validate(found, JOB)
    spec = found["spec"]
    assert (spec["completions"], spec["parallelism"], spec["suspend"]) == (10, 4, True)
    assert spec["maxFailedIndexes"] <= spec["completions"]
    pod = spec["template"]["spec"]["containers"][0]
    assert pod["args"] == ['exec rlkit jobs run /data/jobs.jsonl --index "$JOB_COMPLETION_INDEX"']
    assert pod["volumeMounts"][0]["mountPath"] == "/data"
    plain = yaml.safe_load(emit("kubernetes", Path("/data/jobs.jsonl"), 2, Cluster()))
    jsonschema.validate(plain, JOB)
    assert not plain["spec"]["suspend"]  # nobody would wake it up without Kueue


def test_skypilot_takes_a_pool_of_workers():
    cluster = Cluster(chunk=4, store="s3://bucket", parallel=3)
    found = yaml.safe_load(emit("skypilot", Path("/data/jobs.jsonl"), 10, cluster))
    assert found["pool"] == {"workers": 3}
    assert found["file_mounts"] == {"/data": "s3://bucket"}
    assert "$SKYPILOT_JOB_RANK" in found["run"]


@pytest.mark.parametrize(("chunk", "tasks", "last"), [(1, 10, "--index 3"), (4, 3, "--indices 12-15 --clip")])
def test_slurm_runs_every_index(tmp_path, chunk, tasks, last):
    """A stub in the place of sbatch reads the script's options and runs it as SLURM would."""
    script = tmp_path / "array.sh"
    jobs = tmp_path / "my jobs.jsonl"
    script.write_text(emit("slurm", jobs, 10, Cluster(chunk=chunk, parallel=5, partition="short")))
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    stub = tmp_path / "rlkit"
    stub.write_text(f'#!/bin/bash\necho "$@" >> "{tmp_path}/said"\n')
    stub.chmod(0o755)
    options = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert f"--array=0-{tasks - 1}%5" in options
    assert "--partition=short" in options
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "9"}
    assert subprocess.run(["bash", str(script)], env=env).returncode == 0
    assert (tmp_path / "said").read_text() == f"jobs run {jobs} {last}\n"


def test_slurm_puts_a_job_that_ran_out_of_time_into_the_queue_again(tmp_path):
    script = tmp_path / "array.sh"
    script.write_text(emit("slurm", tmp_path / "jobs.jsonl", 2, Cluster()))
    for name, text in (
        ("rlkit", "trap 'exit 143' TERM; touch here; while true; do sleep 0.05; done"),
        ("scontrol", f'echo "$@" > "{tmp_path}/requeued"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "9"}
    process = subprocess.Popen(["bash", str(script)], env=env, cwd=tmp_path)
    while not (tmp_path / "here").exists():
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=30) == 143
    assert (tmp_path / "requeued").read_text() == "requeue 9_1\n"


def test_submitit_runs_and_queues_again(tmp_path):
    submitit = pytest.importorskip("submitit")
    from rlkit.jobs.slurm import Task

    path = file.write(tmp_path / "jobs.jsonl", [job(0)])
    task = Task(str(path), (0,))
    again = task.checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function == task  # the same folder: nothing else is carried along
    assert task() == 0
    assert (tmp_path / "cells/0/JOB").exists()


def test_a_machine_without_slurm_says_where_to_submit(tmp_path, monkeypatch, capsys):
    path = file.write(tmp_path / "jobs.jsonl", [job(0)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["jobs", "run", str(path), "--slurm"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --slurm: this machine has no SLURM")
    assert "submit where srun is, or run the jobs here with --workers" in said


@pytest.mark.parametrize("folder", ["/my data", "/it's", "/a: b #c", '/"x"'])
def test_paths_of_every_kind_survive(folder):
    path = Path(folder) / "jobs.jsonl"
    job = yaml.safe_load(emit("kubernetes", path, 9, Cluster(chunk=2)))
    jsonschema.validate(job, JOB)
    worker = job["spec"]["template"]["spec"]["containers"][0]
    assert worker["volumeMounts"][0]["mountPath"] == folder
    task = yaml.safe_load(emit("skypilot", path, 9, Cluster(store="s3://bucket")))
    assert task["file_mounts"] == {folder: "s3://bucket"}
    told = (worker["args"][0].removeprefix("exec "), task["run"])
    for command, variable in zip(told, ("JOB_COMPLETION_INDEX", "SKYPILOT_JOB_RANK"), strict=True):
        spy = f"rlkit() {{ printf '%s\\n' \"$3\"; }}; export {variable}=1; {command}"
        assert subprocess.run(["bash", "-c", spy], capture_output=True, text=True).stdout == f"{path}\n"


@pytest.mark.parametrize("word", ["true", "null", "0123", "1e3", "y"])
def test_words_that_yaml_reads_otherwise_stay_texts(word):
    cluster = Cluster(name=word, image=word, claim=word, queue=word, store=word)
    job = yaml.safe_load(emit("kubernetes", Path("/data/jobs.jsonl"), 9, cluster))
    jsonschema.validate(job, JOB)
    pod = job["spec"]["template"]["spec"]
    told = pod["containers"][0]["image"], pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    labels = job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    task = yaml.safe_load(emit("skypilot", Path("/data/jobs.jsonl"), 9, cluster))
    assert {*told, labels, job["metadata"]["name"], task["name"], *task["file_mounts"].values()} == {word}


def test_what_no_scheduler_takes_is_refused():
    for name in ("My study", "", "x" * 60, "a\nb"):
        with pytest.raises(UsageError, match="name="):
            Cluster(name=name)
    with pytest.raises(UsageError, match="partition='a b'"):
        Cluster(partition="a b")
    with pytest.raises(UsageError, match="holds no jobs"):
        emit("slurm", Path("/data/jobs.jsonl"), 0, Cluster())


def test_numbers_are_checked():
    with pytest.raises(UsageError, match="chunk=0"):
        Cluster(chunk=0)
