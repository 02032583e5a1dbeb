"""Processes that are killed, interrupted and resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import CACHE

from rlkit.experiment.runs import checkpoint, store

CLI = Path(__file__).resolve().parent / "toy_cli.py"
WORK = ["--agent.work", "20000"]  # an update takes milliseconds, a chunk is long enough to be hit
TRAIN = ["train", "--agent", "toy", "--seeds", "2", "--probes", "0", "--log-every", "7", "--keep", "3", *WORK]
SHORT = [*TRAIN, "--total-steps", "6000", "--checkpoint-every", "25"]
LONG = [*TRAIN, "--total-steps", "100000000", "--checkpoint-every", "1000000"]


def launch(*args):
    """The command line in a process of its own, without a progress bar."""
    command = [sys.executable, "-u", str(CLI), *args, *([] if "--resume" in args else ["--no-progress"])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(*args):
    process = launch(*args)
    _, said = process.communicate(timeout=240)
    return process.returncode, said


def events(folder):
    return [entry["event"] for entry in store.read_jsonl(folder / store.TIMINGS)]


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it did not get there in time"
        time.sleep(0.01)


def result(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    digest = checkpoint._load(folder / store.CHECKPOINTS, update)[1]["state"]
    return update, digest, (folder / store.METRICS).read_bytes()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills") / "straight"
    os.environ["RLKIT_CACHE"] = str(CACHE)
    code, said = finish(*SHORT, "--folder", str(folder))
    assert code == 0, said
    return result(folder)


def kill_and_resume(folder, straight, seed):
    chance = random.Random(seed)
    process = launch(*SHORT, "--folder", str(folder))
    wait_for(lambda: "checkpoint" in events(folder), process)
    time.sleep(chance.random() * 1.5)
    process.kill()
    process.communicate()
    found = checkpoint.steps(folder / store.CHECKPOINTS)
    if (folder / store.DONE).exists():
        assert result(folder) == straight
        return False
    noted = [e["update"] for e in store.read_jsonl(folder / store.TIMINGS) if e["event"] == "checkpoint"]
    assert found[-1] >= noted[-1]  # what was said to be saved is there
    code, said = finish("train", "--resume", str(folder))
    assert code == 0, said
    assert result(folder) == straight
    assert "ended without closing" in said
    return True


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_sigkill_at_any_time_loses_nothing_that_was_saved(straight, tmp_path, block):
    hit = [kill_and_resume(tmp_path / str(i), straight, 10 * block + i) for i in range(2)]
    assert any(hit)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["start", "compiled", "chunk", "checkpoint"])
def test_a_signal_saves_and_exits(straight, tmp_path, moment, number):
    folder = tmp_path / "a"
    process = launch(*SHORT, "--folder", str(folder))
    wait_for(lambda: moment in events(folder), process)
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    if process.returncode == 0:  # it had finished
        assert result(folder) == straight
        return
    assert process.returncode == 128 + number, said
    if moment in ("chunk", "checkpoint"):
        assert checkpoint.steps(folder / store.CHECKPOINTS)
    code, said = finish("train", "--resume", str(folder))
    assert code == 0, said
    assert result(folder) == straight


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(tmp_path):
    folder = tmp_path / "a"
    slow = [*LONG, "--agent.work", "200000000"]  # one chunk takes much longer than the test
    process = launch(*slow, "--folder", str(folder))
    wait_for(lambda: "compiled" in events(folder), process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - begin < 1.0
    assert process.returncode == 130


@pytest.mark.slow
def test_two_processes_on_one_run_folder(tmp_path):
    folder = tmp_path / "a"
    first = launch(*LONG, "--folder", str(folder))
    try:
        wait_for(lambda: "chunk" in events(folder), first)
        code, said = finish("train", "--resume", str(folder))
        assert code == 2
        assert f"process {first.pid} on" in said
        assert "Traceback" not in said
        code, said = finish(*SHORT, "--folder", str(folder))
        assert code == 2
        assert "already holds a run" in said
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
def test_resuming_on_another_number_of_devices(straight, tmp_path, monkeypatch):
    folder = tmp_path / "a"
    process = launch(*SHORT, "--folder", str(folder))
    wait_for(lambda: "checkpoint" in events(folder), process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=1")
    if not (folder / store.DONE).exists():
        code, said = finish("train", "--resume", str(folder))
        assert code == 0, said
    assert result(folder) == straight
