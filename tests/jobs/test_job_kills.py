"""Workers that are killed at any moment, and what is left of their jobs."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import CACHE, environment
from toy_jobs import job

from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs import file, state

HERE = Path(__file__).resolve().parent
PATHS = [str(HERE), str(HERE.parent / "experiment")]
CELLS, KILLS, WORKERS = 12, 20, 3


def result(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    return checkpoint._load(folder / store.CHECKPOINTS, update)[1]["state"], (
        folder / store.METRICS
    ).read_bytes()


def start(path):
    env = environment() | {"PYTHONPATH": os.pathsep.join([*PATHS, os.environ.get("PYTHONPATH", "")])}
    env |= {"RLKIT_CACHE": str(CACHE)}
    command = [sys.executable, "-m", "rlkit", "jobs", "run", str(path), "--workers", str(WORKERS)]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_twenty_kills_over_twelve_cells_change_nothing(tmp_path):
    cells = [job(i, work=20000, total_steps=6000, checkpoint_every=25) for i in range(CELLS)]
    whole = file.write(tmp_path / "whole/jobs.jsonl", cells)
    assert start(whole).wait(timeout=600) == 0
    path = file.write(tmp_path / "killed/jobs.jsonl", cells)
    chance, kills, begin = random.Random(0), 0, time.monotonic()
    folders = [path.parent / cell.folder for cell in cells]
    while any(state.standing(folder).state != state.DONE for folder in folders):
        runner = start(path)
        while runner.poll() is None:
            time.sleep(chance.random() * 1.5)
            alive = children(runner.pid) if runner.poll() is None else []
            if kills < KILLS and alive:
                os.kill(chance.choice(alive), signal.SIGKILL)
                kills += 1
            assert time.monotonic() - begin < 1200
    assert kills == KILLS
    for cell in cells:
        assert (path.parent / cell.folder / "notes.txt").read_text() == "x\n"  # followed up once
        assert result(path.parent / cell.folder) == result(whole.parent / cell.folder)
