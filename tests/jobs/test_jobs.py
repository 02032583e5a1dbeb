"""Jobs: one file, one entry, each done once."""

import dataclasses
import multiprocessing
import signal

import jax
import pytest
from filelock import FileLock
from toy_jobs import job

from rlkit import cli
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config, run
from rlkit.jobs import differences, file, local, running, state, worker


def result(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    return checkpoint._load(folder / store.CHECKPOINTS, update)[1]["state"], (
        folder / store.METRICS
    ).read_bytes()


@pytest.fixture
def jobs_file(tmp_path):
    return file.write(tmp_path / "jobs.jsonl", [job(i) for i in range(3)])


def test_a_file_of_jobs_comes_back_and_refuses_what_is_not_one(tmp_path, jobs_file):
    assert file.read(jobs_file) == [job(i) for i in range(3)]
    assert config.to_dict(file.settings(job(1))) == job(1).config
    file.write(jobs_file, [job(i) for i in range(3)])  # the same again is fine
    with pytest.raises(UsageError, match="holds other jobs"):
        file.write(jobs_file, [job(0)])
    with pytest.raises(UsageError, match="two jobs have the folder 'same'"):
        file.write(tmp_path / "other", [job(0, "same"), job(1, "same")])
    with pytest.raises(UsageError, match="no file of jobs"):
        file.read(tmp_path / "nowhere")
    for line, words in (
        ("{", "line 1"),
        ("[]", "line 1"),
        ('{"name": 1, "folder": 2, "config": {}, "thn": 3}', "thn"),
        ('{"name": "a", "folder": "", "config": {}}', "line 1 .*folder=''; expected a path"),
        ('{"name": "a", "folder": "b\\u0000", "config": {}}', "expected a path"),
    ):
        (tmp_path / "bad").write_text(line)
        with pytest.raises(UsageError, match=words):
            file.read(tmp_path / "bad")


def test_indices_are_read_and_written():
    assert file.indices("0-2,7,5-6,1", 8) == [0, 1, 2, 7, 5, 6]
    assert file.ranges([7, 0, 1, 2, 5, 6]) == "0-2,5-7"
    assert file.indices(file.ranges([3, 1, 0]), 4) == [0, 1, 3]
    for text, words in (
        ("x", "expected numbers"),
        ("3-", "expected numbers"),
        ("8", "0 to 7"),
        ("3-1", "empty"),
    ):
        with pytest.raises(UsageError, match=words):
            file.indices(text, 8)
    with pytest.raises(UsageError, match="index 8: the file has the jobs 0 to 7"):
        file.indices("0-999999999", 8)  # which are not counted out


def test_what_was_done_there_is_another_job(jobs_file, capsys):
    assert running.run_here(jobs_file, [1]) == 0
    assert running.run_here(jobs_file, [1]) == 0
    folder = jobs_file.parent / "cells/1"
    others = (
        dataclasses.replace(job(1), config=job(2).config),
        dataclasses.replace(job(1), options={"word": "y"}),
        dataclasses.replace(job(1), then=""),
    )
    for other, said in zip(others, ("another configuration", "options", "then"), strict=True):
        with pytest.raises(UsageError, match=said):
            worker.run_job(other, folder)


def test_one_that_is_none_keeps_no_other_from_running(tmp_path, capsys):
    odd = dataclasses.replace(job(0), config={"env": 3})
    path = file.write(tmp_path / "jobs.jsonl", [odd, job(1)])
    assert running.run_here(path, [0, 1]) == 2
    out, said = capsys.readouterr()
    assert "error: job 0 (toy-0): " in said
    assert "job 1 (toy-1): done" in out


def test_a_job_is_done_once_and_then_left_alone(jobs_file, capsys):
    folder = jobs_file.parent / "cells/1"
    assert state.standing(folder).state == state.NEW
    assert running.run_here(jobs_file, [1]) == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert running.run_here(jobs_file, [1]) == 0
    assert "done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert (folder / "notes.txt").read_text() == "x\n"
    assert [found.state for found in (state.standing(jobs_file.parent / f"cells/{i}") for i in range(3))] == [
        "new", "done", "new"
    ]  # fmt: skip


def test_a_job_that_a_signal_stopped_goes_on_to_the_same_result(tmp_path, monkeypatch):
    from stopping import stop_at

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert worker.run_job(job(0), whole).exit_code == 0
    stop_at(monkeypatch, 10)
    assert worker.run_job(job(0), stopped).exit_code == 128 + signal.SIGTERM
    assert state.standing(stopped) == state.Standing(state.PARTIAL, 10)
    assert worker.run_job(job(0), stopped).words == "resumed and done"
    assert result(stopped) == result(whole)


def test_a_training_that_is_over_is_followed_by_what_was_left(tmp_path):
    run.run(file.settings(job(0)), tmp_path / "run", progress=False)
    assert state.standing(tmp_path / "run").state == state.PARTIAL
    assert worker.run_job(job(0), tmp_path / "run").exit_code == 0
    assert (tmp_path / "run/notes.txt").read_text() == "x\n"


def test_two_workers_never_share_a_folder(tmp_path, jobs_file, capsys):
    folder = tmp_path / "cells/0"
    folder.parent.mkdir()
    with FileLock(tmp_path / "cells/0.lock"):
        assert state.standing(folder).state == state.RUNNING
        found = multiprocessing.get_context("spawn").Pool(1)
        with found as pool:  # a lock belongs to a process
            assert pool.apply(running.run_here, (str(jobs_file), [0])) == 2
    assert not folder.exists()


def test_another_configuration_or_a_failure_says_so(tmp_path, jobs_file, capsys):
    worker.run_job(job(0), tmp_path / "run")
    (tmp_path / "run" / state.MARK).unlink()
    with pytest.raises(UsageError, match=r"total_steps: 200 -> 300"):
        worker.run_job(job(0, total_steps=300), tmp_path / "run")
    failing = dataclasses.replace(job(2), then="after:fail")
    with pytest.raises(RuntimeError):
        worker.run_job(failing, tmp_path / "bad")
    assert state.standing(tmp_path / "bad") == state.Standing(state.FAILED, 20, "nothing works today")
    assert worker.run_job(job(2), tmp_path / "bad").exit_code == 0  # mended: only what is left is done
    assert state.standing(tmp_path / "bad").state == state.DONE
    impossible = dataclasses.replace(job(1), config=job(1).config | {"env": "classic/cartpol"})
    path = file.write(tmp_path / "two.jsonl", [impossible, job(2, "cells/two")])
    assert running.run_here(path, [0, 1]) == 2  # and the second one ran all the same
    assert "did you mean 'classic/cartpole'" in capsys.readouterr().err
    assert (tmp_path / "cells/two" / state.MARK).exists()


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.np, "savez", full)
    monkeypatch.setattr(checkpoint, "_manager", full)
    with pytest.raises(RlkitError, match="free some space"):
        worker.run_job(job(0), tmp_path / "run")
    assert "free some space" in state.standing(tmp_path / "run").note


def test_independent_jobs_never_wait_for_each_other(jobs_file, monkeypatch):
    """What tells an Indexed Job's pods apart must not be taken for the ranks of one program."""
    called = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: called.append(1))
    for index in (0, 1):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(index))
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
        monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
        assert running.run_here(jobs_file, [index]) == 0
    assert not called
    assert running.run_here(jobs_file, [2], multihost=True) == 0
    assert called


def test_the_command_line_runs_what_is_left(jobs_file, capsys):
    assert cli.main(["jobs", "run", str(jobs_file), "--indices", "1-7", "--clip"]) == 0
    assert cli.main(["jobs", "status", str(jobs_file), "--unfinished"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0"
    assert cli.main(["jobs", "run", str(jobs_file)]) == 0
    assert cli.main(["jobs", "run", str(jobs_file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is left to do"
    assert cli.main(["jobs", "status", str(jobs_file)]) == 0
    assert "3 jobs: 3 done" in capsys.readouterr().out
    for wrong in (
        ["run"],
        ["run", str(jobs_file), "--index", "9"],
        ["fun"],
        ["emit", "slrm", str(jobs_file)],
    ):
        assert cli.main(["jobs", *wrong]) == 2


def test_differences_name_places():
    assert differences.differences({"a": [1, 2], "b": {"c": 1}}, {"a": [1, 3], "b": {"d": 1}}) == (
        "a[1]: 2 -> 3; b.c: 1 -> nothing; b.d: nothing -> 1"
    )
    assert differences.differences({"a": 1}, {"a": 1}) == ""
    assert differences.differences([1, 2], [1]).startswith("all: [1, 2]")


def test_a_job_whose_measurement_is_gone_is_measured_again(tmp_path):
    measured, folder = dataclasses.replace(job(0), then="after:measure"), tmp_path / "run"
    assert worker.run_job(measured, folder).exit_code == 0
    assert store.read_json(folder / state.MARK)["made"] == "notes.txt"
    before = result(folder)
    (folder / "notes.txt").unlink()
    assert state.standing(folder) == state.Standing(state.PARTIAL, 20)
    assert worker.run_job(measured, folder).words == "done"
    assert (state.standing(folder).state, (folder / "notes.txt").read_text()) == (state.DONE, "x\n")
    assert (worker.run_job(measured, folder).words, result(folder)) == ("done before", before)
    older = store.read_json(folder / state.MARK)
    store.write_json(folder / state.MARK, {name: older[name] for name in older if name != "made"})
    (folder / "notes.txt").unlink()
    assert state.standing(folder).state == state.DONE  # one that does not tell
    assert worker.run_job(measured, folder).words == "done before"


def test_a_mark_names_only_files_of_its_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").touch()
    (tmp_path / "b").touch()
    for made in (None, 3, "a", tmp_path / "b", tmp_path / "run/no", tmp_path / "run"):
        assert worker._made(tmp_path / "run", made) == {}
    assert worker._made(tmp_path / "run", tmp_path / "run/../run/a") == {"made": "a"}


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"made": 3}', "\0", "[" * 100_000])
def test_a_damaged_mark_is_a_failure_that_names_it(tmp_path, mark):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / state.MARK).write_text(mark)
    found = state.standing(folder)
    assert found.state == state.FAILED
    assert found.note.startswith(f"the mark {folder / state.MARK} is damaged (")
    with pytest.raises(UsageError, match=r"JOB is damaged .*; remove it, and run the job again"):
        worker.run_job(job(0), folder)


def test_a_folder_that_cannot_be_read_is_told_in_the_line_of_its_job(tmp_path, capsys):
    path = file.write(tmp_path / "jobs.jsonl", [job(0, "x" * 300), job(1)])
    assert cli.main(["jobs", "status", str(path)]) == 0
    out = capsys.readouterr().out
    assert "toy-0  failed  cannot read " in out
    assert "choose a shorter name" in out
    assert out.endswith("2 jobs: 1 failed, 1 new\n")
    assert cli.main(["jobs", "run", str(path)]) == 1
    out, said = capsys.readouterr()
    assert "error: job 0 (toy-0): cannot read " in said
    assert "job 1 (toy-1): done" in out


def test_a_name_gives_a_terminal_no_orders(tmp_path, capsys):
    odd = dataclasses.replace(job(0), name="a\nb\x1b[31m", config={"env": 3})
    path = file.write(tmp_path / "jobs.jsonl", [odd, dataclasses.replace(job(1), name="n" * 300)])
    store.write_json(state.failure(tmp_path / "cells/0"), {"error": "no\x1b[2J way"})
    assert cli.main(["jobs", "status", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0", r"'a\nb\x1b[31m'", "failed", r"'no\x1b[2J", "way'"]
    assert len(lines) == 3
    assert len(lines[1]) < 120
    assert running.run_here(path, [0]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_multihost_without_the_others_says_what_to_set(jobs_file, monkeypatch, capsys):
    def fail(**numbers):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    assert cli.main(["jobs", "run", str(jobs_file), "--index", "0", "--multihost"]) == 2
    said = capsys.readouterr().err
    for word in ("--multihost", "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        assert word in said
    assert "(coordinator_address should be defined.)" in said


def test_multihost_reads_the_variables_that_it_names(jobs_file, monkeypatch):
    told = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **numbers: told.append(numbers))
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert running.run_here(jobs_file, [], multihost=True) == 0
    assert told == [{"num_processes": 2, "process_id": 1}]
    monkeypatch.setenv("JAX_PROCESS_ID", "one")
    with pytest.raises(UsageError, match="JAX_PROCESS_ID=one: expected a whole number"):
        running.run_here(jobs_file, [], multihost=True)


def test_processes_share_cards_and_their_memory(monkeypatch):
    for name in ("PREALLOCATE", "ALLOCATOR", "MEM_FRACTION"):
        monkeypatch.delenv(f"XLA_PYTHON_CLIENT_{name}", raising=False)
    assert local.surroundings(3, 0)["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in local.surroundings(1, 0)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.3")
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in local.surroundings(3, 0)
    cards = lambda workers: [
        local.surroundings(workers, i).get("CUDA_VISIBLE_DEVICES") for i in range(workers)
    ]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cards(2) == [None, None]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,GPU-3,7")
    assert cards(1) == ["0,1,GPU-3,7"]
    assert cards(2) == ["0,GPU-3", "1,7"]
    assert cards(4) == ["0", "1", "GPU-3", "7"]
    assert cards(6) == ["0", "1", "GPU-3", "7", "0", "1"]


def test_places_of_workers_are_used_again(tmp_path, monkeypatch):
    seen = []

    class Process:
        def __init__(self, index):
            self.index, self.asked = index, 0

        def poll(self):
            self.asked += 1
            return 0 if self.asked > self.index else None

    def begin(path, index, options, workers, place):
        seen.append(place)
        return Process(index)

    monkeypatch.setattr(local, "_start", begin)
    assert local.run_local(tmp_path, [3, 0, 1, 0], 2, poll=0.0) == 0
    assert seen == [0, 1, 1, 1]
