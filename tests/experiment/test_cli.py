"""The command line: what it prints, what it refuses, how it exits."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from rlkit import cli
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import run
from rlkit.experiment.training.config import load

TOY = ["train", "--agent", "toy", "--seeds", "2", "--total-steps", "60", "--probes", "0", "--no-progress"]


@pytest.fixture
def call(capsys):
    def run(*args):
        code = cli.main(list(args))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_help_is_quick_and_names_all_commands():
    before = os.times()
    code = "import sys; from rlkit import cli; cli.main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert 0 < spent < 2  # CPU seconds of the child, whatever else the machine does
    for name in cli.COMMANDS:
        assert f"  {name}" in done.stdout
    for slow in ("jax", "orbax", "tyro", "matplotlib", "brax", "mujoco", "gymnasium", "rlkit.agents"):
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
        (["report", "no/such/run", "--out"], "--out needs a value"),
        (["train", "--env-options", "a=" + "-" * 3000], "at most 1000 characters"),
        (["train", "--env-options", "a={[]:1}"], "option"),
        (["train", "--env-options", "a=" + "[" * 900], "option"),
        (["train", "--seed", "99999999999999999999"], "at most 4294967295"),
        (["train", "--seed", "-1"], "seed"),
        (["train", "--total-steps", "9" * 15], "updates"),
        (["train", "--env", "x" * 5000], "unknown environment"),
        (["train", "--env", "\udc80"], "unknown environment"),
        (["train", "--agent", "y" * 5000], "unknown agent"),
        (["train", "--reward", "success(" * 400], "cannot be read"),
        (["train", "--agent.learning-rate", "-1"], "learning_rate=-1.0: expected a number of at least 0"),
        (["train", "--agent.learning-rate", "nan"], "learning_rate=nan"),
        (["train", "--agent.discount", "2"], "at most 1"),
        (["train", "--agent.max-grad-norm", "0"], "above 0"),
        (["train", "--agent.entropy-coef", "1e38"], "entropy_coef"),
        (["demo", "--seeds", "0"], "seeds=0"),
        (["demo", "--draws", "1"], "draws=1"),
    ],
)
def test_bad_requests_exit_with_2_and_a_hint(call, args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*args)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert "defect" not in err
    assert len(err) < 2500
    assert list(tmp_path.iterdir()) == []


DAMAGED = {
    "deep": "[" * 100_000,
    "agent": '{"agent": [1]}',
    "agent-name": '{"agent": {"name": []}}',
    "agent-null": '{"agent": null}',
    "number": "3",
    "null": "null",
    "empty": "",
    "half": '{"seeds": ',
    "bytes": b"\xff\xfe\x00",
    "seeds": '{"seeds": 1e400}',
    "digits": '{"seeds": ' + "9" * 10_000 + "}",
    "nan": '{"agent": {"name": "toy", "rate": NaN}}',
    "sizes": '{"agent": {"sizes": ["a"]}}',
    "options": '{"env_options": [3]}',
    "version": '{"version": [[[]]]}',
    "list": '{"seeds": [1]}',
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("how", ["--from", "--resume", "report", "analyze"])
def test_damaged_configurations_are_one_sentence(call, tmp_path, kind, how):
    folder = tmp_path / "run é x"
    folder.mkdir()
    data = DAMAGED[kind]
    (folder / "config.json").write_bytes(data if isinstance(data, bytes) else data.encode())
    args = {"--from": ["train", how, str(folder / "config.json")], "--resume": ["train", how, str(folder)]}
    code, _, err = call(*args.get(how, [how, str(folder)]))
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 1100
    assert "defect" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["run é x"]


def test_a_damaged_run_takes_no_other_with_it(call, tmp_path):
    """Reports of the others are written; the exit code and one sentence tell of the damaged one."""
    assert call(*TOY, "--folder", str(tmp_path / "a"))[0] == 0
    for name in ("b", "c"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
    (tmp_path / "b" / "config.json").write_text("{")
    code, out, err = call("report", str(tmp_path))
    assert code == 1
    assert err.startswith(f"error: {tmp_path / 'b'}: ")
    assert err.count("\n") == 1
    for written in ("a/report.html", "c/report.html", "comparison.html"):
        assert str(tmp_path / written) in out
        assert (tmp_path / written).is_file()
    code, out, _ = call("report", str(tmp_path), "--out", str(tmp_path / "all.html"))
    assert (code, out) == (1, f"{tmp_path / 'all.html'}\n")


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


def test_the_same_trouble_gives_the_same_sentence_again(call, tmp_path):
    folder = str(tmp_path / "a")
    code, _, first = call(*TOY, "--agent.rate", "1e30", "--folder", folder)
    assert code == 1
    assert "is not finite, first in metric reward" in first
    for _ in range(2):
        code, _, again = call("train", "--resume", folder)
        assert (code, again.splitlines()[-1]) == (1, first.splitlines()[-1])
    assert checkpoint.steps(tmp_path / "a" / run.NAN)


def test_learning_nothing_is_a_failure(call, tmp_path):
    folder = tmp_path / "a"
    options = ["--agent.rate", "1e30", "--on-nan", "skip", "--total-steps", "600"]
    code, _, err = call(*TOY[:-1], *options, "--no-progress", "--folder", str(folder))
    assert code == 1
    assert "nothing was learnt" in err
    assert store.read_json(folder / store.DONE)["learnt_nothing"] == [0, 1]


@pytest.mark.parametrize("kind", ["folder", "dangling", "loop"])
def test_a_lock_that_cannot_be_taken(call, tmp_path, kind):
    folder = tmp_path / "a"
    call(*TOY, "--folder", str(folder))
    (folder / store.DONE).unlink()
    (folder / store.LOCK).unlink()
    if kind == "folder":
        (folder / store.LOCK).mkdir()
    else:
        (folder / store.LOCK).symlink_to("/no/such/place" if kind == "dangling" else store.LOCK)
    code, _, err = call("train", "--resume", str(folder))
    assert code == 1
    assert f"cannot lock {folder / store.LOCK}" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["with space", "ünïcode-日本", "quote'd", "-dash"])
def test_odd_names_of_folders(call, tmp_path, name, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folder = tmp_path / "link" / name
    code, out, err = call(*TOY, f"--folder={folder}")
    assert code == 0, err
    assert out.strip() == str(folder)
    (folder / store.DONE).unlink()
    assert call("train", f"--resume={folder}")[0] == 0


def test_a_run_goes_on_with_the_devices_and_threads_it_had(call, tmp_path, monkeypatch):
    from rlkit.experiment.training import devices

    folder, asked = tmp_path / "a", []
    call(*TOY, "--folder", str(folder))
    (folder / store.DONE).unlink()
    data = store.read_json(folder / store.CONFIG)
    (folder / store.CONFIG).write_text(json.dumps(data | {"devices": 2, "threads": 3}))
    monkeypatch.setattr(devices, "use_host_devices", lambda *numbers: asked.append(numbers))
    call("train", "--resume", str(folder))
    assert asked == [(2, 3)]


def test_a_number_out_of_range_in_a_file_names_the_file(call, tmp_path):
    folder = tmp_path / "a"
    call(*TOY, "--folder", str(folder))
    config = (folder / store.CONFIG).read_text()
    (folder / store.CONFIG).write_text(config.replace('"seeds": 2', '"seeds": -2'))
    code, _, err = call("report", str(folder))
    assert (code, "seeds=-2" in err, str(folder / store.CONFIG) in err) == (2, True, True)


def test_a_report_goes_where_it_is_told(call, tmp_path):
    folder, out = tmp_path / "a", tmp_path / "else" / "page.html"
    call(*TOY, "--folder", str(folder))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    code, said, err = call("report", str(folder), "--out", str(out))
    assert (code, said.strip()) == (0, str(out)), err
    assert out.is_file()
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    code, _, err = call("analyze", str(folder), str(folder), "--out", str(tmp_path / "b"))
    assert code == 2
    assert "of one run; 2 were named" in err


def test_damage_is_told_by_reports(call, tmp_path):
    folder = tmp_path / "a"
    call(*TOY, "--folder", str(folder))
    log = folder / store.METRICS
    data = log.read_bytes()
    digit = next(i for i, byte in enumerate(data) if chr(byte) in "345678")
    log.write_bytes(data[:digit] + b"2" + data[digit + 1 :])
    code, _, err = call("report", str(folder))
    assert code == 0
    assert "metrics.jsonl is not what the run wrote" in err
    assert "is not what the run wrote" in (folder / "report.html").read_text()


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


class Mute(ZeroDivisionError):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("caused", [False, True])
def test_an_error_without_a_text_is_a_sentence_too(call, monkeypatch, tmp_path, caused):
    def broken(*_, **__):
        if caused:
            raise KeyError("here") from Mute()
        raise Mute

    monkeypatch.setattr(run, "run", broken)
    code, _, err = call(*TOY, "--root", str(tmp_path))
    said = "KeyError: 'here'" if caused else "Mute"
    assert (code, err) == (1, f"error: {said}; this is a defect, --debug shows where\n")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("maker", "own_reward:maker got an object of Odd that cannot be shown; expected an rlkit Reward"),
        ("leave", "own_reward:leave failed with GeneratorExit: b"),
        ("mute", "own_reward:mute failed with"),
    ],
)
def test_a_reward_of_ones_own_that_is_odd_is_named(call, tmp_path, monkeypatch, made, words):
    (tmp_path / "own_reward.py").write_text(
        "class Odd:\n    def __repr__(self): raise RuntimeError('no text')\n    __call__ = None\n"
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError('no text')\n"
        "def maker(): return Odd()\n"
        "def leave(): raise GeneratorExit('b')\n"
        "def mute(): raise Mute\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_reward", raising=False)
    code, _, err = call(*TOY, "--reward", f"own_reward:{made}", "--folder", str(tmp_path / "a"))
    assert (code, err.count("\n")) == (2, 1)
    assert words in err
    assert "defect" not in err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("option", ["--folder", "--root"])
def test_a_folder_that_is_not_named_in_utf_8_is_refused_at_the_start(call, tmp_path, option):
    code, _, err = call(*TOY, option, str(tmp_path / "b2\udcff"))
    assert code == 2
    assert "b2\\udcff" in err
    assert "use a name in UTF-8" in err
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_folder_that_is_not_named_in_utf_8_is_read_and_not_resumed(call, tmp_path):
    call(*TOY, "--folder", str(tmp_path / "a"))
    odd = (tmp_path / "a").rename(tmp_path / "b2\udcff")
    assert store.existing(odd) == odd
    code, _, err = call("train", "--resume", str(odd))
    assert (code, "use a name in UTF-8" in err) == (2, True)


@pytest.mark.parametrize("columns", ["3", "5"])
def test_help_is_laid_out_on_the_narrowest_screen(columns):
    done = subprocess.run(
        [sys.executable, "-m", "rlkit", "export", "--help"], env=os.environ | {"COLUMNS": columns},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "--out" in done.stdout


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
    from rlkit.experiment.training.config import TrainConfig

    code, out, _ = call("train", "--help")
    assert code == 0
    for cls in (TrainConfig, PPOConfig):
        for entry in fields(cls):
            if entry.name == "algorithm":  # follows from --agent
                continue
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
