"""A whole design of a newcomer's environment, in processes that are killed: the same bytes in the end."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import environment

MAZE = '''"""A newcomer's own environment."""

import jax
import jax.numpy as jnp

from rlkit.envs import from_functions
from rlkit.spaces import Discrete

MOVES = jnp.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


def Maze(size=5):
    goal = jnp.array([size - 1, size - 1])

    def reset(key):
        at = jax.random.randint(key, (2,), 0, 2)
        return at / size, at

    def step(key, at, action):
        at = jnp.clip(at + MOVES[action], 0, size - 1)
        done = (at == goal).all()
        return at / size, at, done.astype(float), done

    return from_functions(
        reset, step, action_space=Discrete(4), max_steps=30, id="my/maze",
        success=lambda at: (at == goal).all(),
        features=lambda at: {"goal_distance": jnp.abs(goal - at).sum().astype(float)},
        task="Walk to the far corner.",
    )
'''
OWN = (
    "config.json",
    "journal.jsonl",
    "winner.reward.json",
    "winner.reward",
    "result.json",
    "report.html",
    "DONE",
)
SETTINGS = [
    *("--agent.num-envs", "4", "--agent.num-steps", "16", "--agent.sizes", "8", "--agent.minibatches", "1"),
    *("--total-steps", "512", "--seeds", "1", "--checkpoints", "2", "--eval-episodes", "2"),
    *("--candidates", "3", "--generations", "2", "--finalists", "1", "--fresh-seeds", "2"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a module of one's own, in which commands are given."""
    path = tmp_path_factory.mktemp("home")
    (path / "my").mkdir()
    (path / "my" / "mazes.py").write_text(MAZE)
    return path


def launch(home: Path, *args: str) -> subprocess.Popen:
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "rlkit", *args],
        cwd=home,
        env=environment() | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(home: Path, *args: str, codes: tuple[int, ...] = (0,)) -> str:
    process = launch(home, *args)
    said, _ = process.communicate(timeout=900)
    assert process.returncode in codes, said
    assert "Traceback" not in said
    return said


def kill_after(process: subprocess.Popen, journal: Path, lines: int) -> None:
    """End a process as a failing machine would, once it has written so many lines."""
    end = time.monotonic() + 600
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_design_that_is_killed_and_resumed_has_the_same_bytes(home) -> None:
    design = lambda folder: ["design", "my.mazes:Maze", *SETTINGS, "--folder", folder]
    said = finish(home, *design("whole"))
    assert "fresh seeds" in said
    whole, broken = home / "whole", home / "broken"
    steps = [json.loads(line)["step"] for line in (whole / "journal.jsonl").read_text().splitlines()]
    phases = ("proposed", "checked", "trained", "audited", "validated", "fresh")
    for phase in phases:  # killed once in each
        first = next(i for i, step in enumerate(steps) if step.endswith(phase))
        args = ["design", "--resume", "broken"] if broken.exists() else design("broken")
        kill_after(launch(home, *args), broken / "journal.jsonl", first + 1)
    assert "fresh seeds" in finish(home, "design", "--resume", "broken")
    for name in OWN:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    file = "whole/winner.reward.json"
    assert "by evolution for my.mazes:Maze" in finish(home, "reward", "show", file)
    assert "name it: --env" in finish(home, "reward", "check", file, codes=(2,))  # a file imports nothing
    assert "abstract" in finish(home, "reward", "check", file, "--env", "my.mazes:Maze", codes=(0, 1))
    assert "highest paid" in finish(home, "reward", "audit", file, "--env", "my.mazes:Maze", codes=(0, 1))
    train = ("--agent.num-envs", "4", "--agent.num-steps", "16", "--seeds", "1", "--total-steps", "128")
    said = finish(home, "train", "--env", "my.mazes:Maze", "--reward", file, *train)
    assert re.search("runs/", said)
