"""The command line: what it prints, what it refuses, how it exits."""

import os
import stat
import subprocess
import sys
import time

import pytest

from rlkit.experiment import cli, run, store
from rlkit.experiment.config import load

TOY = ["train", "--agent", "toy", "--seeds", "2", "--total-steps", "60", "--probes", "0", "--no-progress"]


@pytest.fixture
def call(capsys):
    def run(*args):
        code = cli.main(list(args))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_help_is_quick_and_names_all_commands():
    begin = time.process_time()
    code = "import sys; from rlkit.experiment import cli; cli.main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.process_time() - begin < 5
    for name in cli.COMMANDS:
        assert f"  {name}" in done.stdout
    for slow in ("orbax", "tyro", "matplotlib", "brax", "mujoco", "gymnasium", "rlkit.agents"):
        assert f"'{slow}'" not in done.stdout


def test_without_a_command_it_is_a_usage_error(call):
    code, out, _ = call()
    assert code == 2
    assert "usage" in out


def test_train_writes_a_run_that_its_config_repeats(call, tmp_path):
    code, out, err = call(*TOY, "--root", str(tmp_path), "--agent.rate", "0.02")
    assert code == 0, err
    (folder,) = store.runs(tmp_path)
    assert out.strip() == str(folder)
    assert folder.parent == tmp_path / "classic-cartpole" / "toy"
    settings = load(folder / store.CONFIG)
    assert (settings.seeds, settings.total_steps, settings.agent.rate) == (2, 60, 0.02)
    code, _, err = call(
        "train", "--from", str(folder / store.CONFIG), "--folder", str(tmp_path / "again"), "--no-progress"
    )
    assert code == 0, err
    assert load(tmp_path / "again" / store.CONFIG) == settings
    assert (tmp_path / "again" / store.METRICS).read_bytes() == (folder / store.METRICS).read_bytes()
    code, _, err = call(
        "train", "--from", str(folder / store.CONFIG), "--seeds", "1", "--folder", str(tmp_path / "one"),
        "--no-progress",
    )  # fmt: skip
    assert code == 0, err
    assert load(tmp_path / "one" / store.CONFIG) == settings.replace(seeds=1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["trian"], "did you mean 'train'"),
        (["envs", "classic/cartpol"], "did you mean 'classic/cartpole'"),
        (["envs", "--family", "nva"], "did you mean 'nav'"),
        (["train", "--env", "nav/pointmaze-umase"], "did you mean 'nav/pointmaze-umaze'"),
        (["train", "--agent", "ppoo"], "did you mean 'ppo'"),
        (["train", "--sedes", "3"], "--seeds"),
        (["train", "--seeds", "many"], "many"),
        (["train", "--seeds", "0"], "at least 1"),
        (["train", "--on-nan", "explode"], "on_nan"),
        (["train", "--agent.learning-rat", "1"], "--agent.learning-rate"),
        (["train", "--env-options", "gravity=3"], "option"),
        (["train", "--reward", "succes()"], "succes"),
        (["train", "--resume", "no/such/run"], "no run folder"),
        (["train", "--resume", "x", "--seeds", "3"], "no other options"),
        (["train", "--from", "no.json"], "no file"),
        (["train", "--agent"], "needs a value"),
        (["report"], "needs a run folder"),
        (["report", "no/such/run"], "no run folder"),
    ],
)
def test_bad_requests_exit_with_2_and_a_hint(call, args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*args)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_foreign_folder(call, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").write_text("x")
    for option in ("--folder", "--resume"):
        args = [*TOY, option] if option == "--folder" else ["train", option]
        code, _, err = call(*args, str(tmp_path / "thesis"))
        assert code == 2
        assert "not a run of rlkit" in err
        assert err.count("\n") == 1


def test_unwritable_folder_is_a_failure(call, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call(*TOY, "--root", str(tmp_path / "file"))
    assert code == 1
    assert "choose another" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_read_only_root(call, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code, _, err = call(*TOY, "--root", str(tmp_path / "runs"))
    tmp_path.chmod(stat.S_IRWXU)
    assert code == 1
    assert "choose another" in err


def test_not_finite_exits_with_1_and_says_where(call, tmp_path):
    code, _, err = call(*TOY, "--agent.sick-at", "3", "--folder", str(tmp_path / "a"))
    assert code == 1
    assert "update 4 of seeds [0, 1] is not finite, first in metric loss" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="did you mean"):
        cli.main(["envs", "classic/cartpol", "--debug"])


def test_a_defect_is_called_one(call, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(run, "run", broken)
    code, _, err = call(*TOY, "--root", str(tmp_path))
    assert code == 1
    assert "--debug" in err


def test_envs_lists_and_describes(call):
    code, out, _ = call("envs", "--family", "classic")
    assert code == 0
    assert "classic/cartpole" in out
    assert "2 choices" in out
    assert "nav/" not in out
    code, out, _ = call("envs", "classic/cartpole")
    assert code == 0
    for word in ("pole_angle", "rad", "task", "success", "box[4]"):
        assert word in out


@pytest.mark.slow
def test_envs_lists_all(call):
    from rlkit.envs import registry

    code, out, _ = call("envs")
    assert code == 0
    for id in registry.names():
        assert f"\n{id} " in out


def test_train_help_explains_every_hyper_parameter(call):
    from dataclasses import fields

    from rlkit.agents import PPOConfig
    from rlkit.experiment.config import TrainConfig

    code, out, _ = call("train", "--help")
    assert code == 0
    for cls in (TrainConfig, PPOConfig):
        for entry in fields(cls):
            assert entry.metadata["help"]
            if entry.name != "agent":
                assert entry.name.replace("_", "-") in out
    for option in ("--resume", "--from", "--folder"):
        assert option in out


def test_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "rlkit", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("rlkit ")
