"""Runs in their folders: resuming to the bit, refusing to overwrite, saying what went wrong."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest
from stopping import stop_at
from toy_agent import ToyConfig

from rlkit.agents import PPOConfig
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import run
from rlkit.experiment.training.config import TrainConfig, load
from rlkit.experiment.training.health import NonFiniteError


def start(settings, folder, **options):
    return run.run(settings, folder, progress=False, **options)


def last_state(folder):
    """Digest of the newest checkpoint, as it was recorded when it was saved."""
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    return update, checkpoint._load(folder / store.CHECKPOINTS, update)[1]["state"]


def content(folder):
    """What must not depend on kills: final state, log, latents."""
    latents = {p.name: p.read_bytes() for p in sorted((folder / store.LATENTS).glob("*.npz"))}
    return last_state(folder), (folder / store.METRICS).read_bytes(), latents


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Where the run that nothing happened to goes; the first test that asks for it makes it."""
    return tmp_path_factory.mktemp("run") / "straight"


@pytest.fixture
def whole(settings, ran):
    """The folder of a run that nothing happened to; not to be changed."""
    if not ran.exists():
        start(settings, ran)
    return ran


@pytest.fixture
def straight(whole):
    return content(whole)


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of its folder, as if the run had not ended."""
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "a" / store.DONE).unlink()
    return tmp_path / "a"


def test_a_finished_run_has_its_files(settings, tmp_path):
    outcome = start(settings, tmp_path / "a")
    assert (outcome.finished, outcome.exit_code) == (True, 0)
    folder = outcome.folder
    assert load(folder / store.CONFIG) == settings
    where = json.loads((folder / store.ENV).read_text())
    assert where["versions"]["jax"] == jax.__version__
    assert where["devices"]
    lines = store.read_jsonl(folder / store.METRICS)
    assert [entry["update"] for entry in lines] == [3, 6, 9, 12, 15, 18, 20]
    assert all(len(entry["seeds"]["loss"]) == 2 for entry in lines)
    assert checkpoint.steps(folder / store.CHECKPOINTS) == [5, 10, 15, 20]
    events = [entry["event"] for entry in store.read_jsonl(folder / store.TIMINGS)]
    assert events[:2] == ["start", "compiled"]
    assert events[-1] == "done"
    assert json.loads((folder / store.DONE).read_text()) == {"update": 20, "steps_per_seed": 200}
    assert not (folder / f"{store.LOCK}.json").exists()
    with pytest.raises(UsageError, match="has finished"):
        run.resume(folder)


@pytest.mark.bits
@pytest.mark.parametrize("length", [1, 3, 20])
def test_chunks_change_nothing_on_disk(settings, straight, tmp_path, length):
    start(settings, tmp_path / "a", chunk_length=length)
    assert content(tmp_path / "a") == straight


@pytest.mark.bits
@pytest.mark.parametrize("update", [1, 7, 19])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_equals_straight(settings, straight, tmp_path, monkeypatch, update, number):
    stop_at(monkeypatch, update, number)
    outcome = start(settings, tmp_path / "a", chunk_length=1)
    assert (outcome.finished, outcome.exit_code) == (False, 128 + number)
    assert last_state(tmp_path / "a")[0] == update
    assert run.resume(tmp_path / "a", progress=False).finished
    assert content(tmp_path / "a") == straight


def test_what_was_written_after_the_checkpoint_is_cut_back(straight, copied):
    """As after a kill: the log is ahead of the newest checkpoint and its last line is torn."""
    folder = copied
    for update in (15, 20):
        shutil.rmtree(folder / store.CHECKPOINTS / str(update))
    with open(folder / store.METRICS, "a") as file:
        file.write('{"kind": "tra')
    assert run.resume(folder, progress=False).finished
    assert content(folder) == straight


def test_killed_before_the_first_checkpoint_starts_again(straight, copied):
    shutil.rmtree(copied / store.CHECKPOINTS)
    (copied / store.TIMINGS).unlink()
    assert run.resume(copied, progress=False).finished
    assert content(copied) == straight
    assert not (copied / checkpoint.REJECTED).exists()


def test_a_run_that_lost_its_checkpoints_begins_anew_and_keeps_what_it_had(straight, copied, capsys):
    had = (copied / store.METRICS).read_bytes()
    shutil.rmtree(copied / store.CHECKPOINTS)
    assert run.resume(copied, progress=False).finished
    assert content(copied) == straight
    assert "is without the checkpoints that were made there" in capsys.readouterr().err
    assert (copied / checkpoint.REJECTED / "run-0" / store.METRICS).read_bytes() == had


def test_damaged_checkpoints_are_passed_over_and_kept_aside(straight, copied, capsys):
    folder = copied
    files = (folder / store.CHECKPOINTS / "20" / "state").rglob("*")
    max((f for f in files if f.is_file()), key=lambda f: f.stat().st_size).write_bytes(b"")
    (folder / store.CHECKPOINTS / "99").mkdir()
    assert run.resume(folder, progress=False).finished
    said = capsys.readouterr().err
    assert "checkpoint 99" in said
    assert "checkpoint 20" in said
    assert content(folder) == straight
    assert sorted(p.name.split("-")[0] for p in (folder / checkpoint.REJECTED).iterdir()) == ["20", "99"]


def test_another_agents_checkpoint_is_refused(settings, copied, tmp_path):
    start(settings.replace(agent=ToyConfig(size=7)), tmp_path / "b")
    shutil.rmtree(copied / store.CHECKPOINTS)
    shutil.copytree(tmp_path / "b" / store.CHECKPOINTS, copied / store.CHECKPOINTS)
    with pytest.raises(UsageError, match=r"agent\.size was 7 and is 5"):
        run.resume(copied, progress=False)


def test_nothing_is_overwritten(settings, whole):
    before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="already holds a run"):
        start(settings, whole)
    assert before == {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}


def test_a_run_that_is_being_written_is_refused(settings, tmp_path, monkeypatch):
    stop_at(monkeypatch, 7)
    start(settings, tmp_path / "a", chunk_length=1)
    with store.locked(tmp_path / "a"), pytest.raises(UsageError, match=f"process {os.getpid()} on"):
        run.resume(tmp_path / "a", progress=False)


@pytest.mark.parametrize("sick", ["loss", "params", "reward", "obs"])
def test_stop_keeps_the_last_finite_state(settings, tmp_path, sick):
    agent = ToyConfig(sick_at=12, sick=sick, sick_seed=1)
    with pytest.raises(NonFiniteError, match="update 13 of seed 1"):
        start(settings.replace(agent=agent), tmp_path / "a")
    report = json.loads((tmp_path / "a" / run.NAN / "report.json").read_text())
    assert (report["update"], report["seeds"]) == (13, [1])
    assert (report["metrics"] + report["leaves"])[0] in str(report["message"])
    assert last_state(tmp_path / "a")[0] == 10
    assert checkpoint.steps(tmp_path / "a" / run.NAN) == [12]
    assert not (tmp_path / "a" / store.DONE).exists()


@pytest.mark.bits
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_other_policies_finish_and_resume(settings, tmp_path, monkeypatch, policy):
    agent = ToyConfig(sick_at=12, sick_seed=1, cured=True)
    settings = settings.replace(agent=agent, on_nan=policy)
    assert start(settings, tmp_path / "a").finished
    stop_at(monkeypatch, 12)
    start(settings, tmp_path / "b", chunk_length=1)
    assert run.resume(tmp_path / "b", progress=False).finished
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert np.isfinite([e["mean"]["loss"] for e in store.read_jsonl(tmp_path / "a" / store.METRICS)]).all()


def test_a_request_that_cannot_be_carried_out_leaves_nothing(settings, tmp_path):
    with pytest.raises(UsageError, match="did you mean"):
        start(settings.replace(env="classic/cartpol"), tmp_path / "a")
    with pytest.raises(UsageError, match="devices=64"):
        start(settings.replace(devices=64), tmp_path / "b")
    with pytest.raises(RlkitError):
        start(settings.replace(reward="no_such_reward()"), tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bits
@pytest.mark.parametrize(
    ("torso", "updates"),
    [
        ("mlp", (7,)),
        pytest.param("mlp", (1, 19), marks=pytest.mark.slow),
        pytest.param("gru", (1, 7, 19), marks=pytest.mark.slow),
    ],
)
def test_ppo_with_probes_resumes_to_the_bit(tmp_path, monkeypatch, torso, updates):
    """The whole of it: networks, Adam, environments, normalisers, latents, evaluation."""
    agent = PPOConfig(
        num_envs=4, num_steps=16, epochs=2, minibatches=2, sizes=(16,), torso=torso, normalize_obs=True,
        normalize_reward=True,
    )  # fmt: skip
    settings = TrainConfig(
        agent=agent, seeds=2, total_steps=20 * 64, log_every=3, probes=2, probe_steps=8, eval_episodes=2,
        checkpoint_every=8, keep=10,
    )  # fmt: skip
    start(settings, tmp_path / "a")
    wanted = content(tmp_path / "a")
    assert sorted(wanted[2]) == ["00000000.npz", "00000010.npz", "00000020.npz", "untrained.npz"]
    with np.load(tmp_path / "a" / store.LATENTS / "00000010.npz") as latents:
        assert latents["latent"].shape == (2, 8, 16)
        assert latents["first"].shape == (2, 8)
    for update in updates:
        folder = tmp_path / f"b{update}"
        stop_at(monkeypatch, update)
        start(settings, folder, chunk_length=1)
        assert run.resume(folder, progress=False, chunk_length=3).finished
        assert content(folder) == wanted
