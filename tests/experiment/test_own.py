"""Sweeps, and what users define in modules of their own, through run folders."""

import json
import signal
import sys

import numpy as np
import pytest
from test_run import stop_at
from toy_agent import same_alone

from rlkit import cli
from rlkit.experiment.reports import report
from rlkit.experiment.runs import store
from rlkit.experiment.training import config, run
from rlkit.experiment.training.members import grid_labels, parse_grid

MODULE = """
import jax.numpy as jnp
from toy_agent import toy as learner
from rlkit.agents import PPOConfig
from rlkit.rewards import from_function, weighted

def paid():
    return weighted(up=(jnp.array(0.5), from_function(lambda t: t.next_features["height"], "height")))

def number():
    return 3

def nothing(env, config: PPOConfig | None = None, reward=None):
    return None
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's module in the working directory."""
    (tmp_path / "own_lab.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_lab", None)


def lines(folder):
    return store.read_jsonl(folder / store.METRICS)


SWEEP = ("agent.rate=0.02,0.05,0.1",)


@pytest.mark.bits
def test_a_sweep_has_a_folder_resumes_to_the_bit_and_shows_each_member(settings, tmp_path, monkeypatch):
    swept = settings.replace(sweep=SWEEP)
    straight, stopped = tmp_path / "a", tmp_path / "b"
    assert run.run(swept, straight, progress=False).finished
    with monkeypatch.context() as patch:
        stop_at(patch, 7, signal.SIGTERM)
        assert not run.run(swept, stopped, progress=False, chunk_length=1).finished
    assert run.resume(stopped, progress=False).finished
    assert (straight / store.METRICS).read_bytes() == (stopped / store.METRICS).read_bytes()
    rows = [line["seeds"]["loss"] for line in lines(straight) if line["kind"] == "train"]
    assert np.shape(rows)[1] == 6
    alone = settings.replace(agent=settings.agent.replace(rate=0.05))
    assert run.run(alone, tmp_path / "c", progress=False).finished
    middle = [line["seeds"]["loss"] for line in lines(tmp_path / "c") if line["kind"] == "train"]
    same_alone(middle, np.array(rows)[:, 2:4])
    page = report.report(straight).read_text()
    for label in grid_labels(parse_grid(SWEEP)):
        assert label in page


def test_own_agents_and_rewards_run_and_a_change_is_said(own, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "a"
    options = ["--seeds", "1", "--total-steps", "200", "--probes", "0", "--no-progress"]
    options += ["--checkpoint-every", "7"]
    names = ["--env", "classic/pendulum", "--agent", "own_lab:learner", "--reward", "own_lab:paid"]
    sweep = ["--sweep", "reward.up.weight=0.1,0.2"]
    with monkeypatch.context() as patch:
        stop_at(patch, 7, signal.SIGTERM)
        assert cli.main(["train", *names, *options, *sweep, "--folder", str(folder)]) == 143, (
            capsys.readouterr()
        )
    assert json.loads((folder / store.CONFIG).read_text())["agent"]["name"] == "own_lab:learner"
    assert config.load(folder / store.CONFIG).reward == "own_lab:paid"
    (own / "own_lab.py").write_text(MODULE + "# another line\n")
    assert cli.main(["train", "--resume", str(folder)]) == 0
    assert "source of own_lab:paid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "own_lab:nobody"], "unknown name 'nobody'"),
        (["--agent", "no_lab:learner"], "there is no module 'no_lab'"),
        (["--agent", "pp"], "unknown agent 'pp'; did you mean 'ppo'"),
        (["--agent", "own_lab:nothing"], "own_lab:nothing made a NoneType; expected a rlkit.types.Agent"),
        (["--reward", "own_lab:number"], "own_lab:number got 3; expected an rlkit Reward"),
        (["--env", "own_lab:number"], "env=3 is of type int, without a spec; expected an environment"),
        (["--sweep", "agent.num-envs=1,2"], "fixed when the program is compiled"),
        (["--sweep", "agent.learning_rat=1"], "did you mean 'agent.learning_rate'"),
        (["--sweep", "agent.learning-rate"], "expected NAME=NUMBER,NUMBER"),
        (["--sweep", "agent.learning-rate=-1"], "learning_rate=-1.0: expected a number"),
    ],
)
def test_bad_requests_are_one_sentence_and_leave_nothing(own, tmp_path, capsys, arguments, message):
    folder = tmp_path / "never"
    code = cli.main(["train", *arguments, "--total-steps", "200", "--no-progress", "--folder", str(folder)])
    said = capsys.readouterr().err
    assert code == 2, said
    assert message in " ".join(said.replace("│", " ").split())
    assert "defect" not in said
    assert not folder.exists()
