"""Files that anything may have happened to: each ends in one sentence that names the file.

Every kind of file that a command reads is damaged in every way that it cannot be right afterwards.
"""

import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from rlkit import cli, outside
from rlkit.design.config import DesignConfig
from rlkit.design.journal import Journal
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.asking import answers
from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.experiment.training.config import TrainConfig
from rlkit.experiment.training.fit_config import FitRunConfig
from rlkit.experiment.training.group_config import GroupRunConfig
from rlkit.jobs import file
from rlkit.jobs.file import Job
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.prefs.feedback.saved import read_model, save_reward
from rlkit.records import record
from rlkit.rewards.motion.files import write_motion
from rlkit.studies import evidence, study
from rlkit.studies.emergence import EmergenceOptions
from rlkit.studies.emergence import study as emergence
from rlkit.studies.measure import MEASURED

ENV = make("classic/pendulum")
MODEL = ModelConfig(sizes=(4,), members=2)


def _jobs(root):
    return file.write(root / "jobs.jsonl", [Job(f"a{i}", f"cells/{i}", {}) for i in range(3)])


def _study(root):
    small = emergence(EmergenceOptions("smoke", env=("classic/cartpole",), torso=("mlp",)))
    return study.begin(small, root)


def _questions(root):
    return answers.create(root / "q", "classic/pendulum", {}, 6).folder / answers.QUESTIONS


def _answers(root):
    found = answers.create(root / "q", "classic/pendulum", {}, 6)
    about = found.about | {"pairs": 3}
    store.write_json(found.folder / answers.QUESTIONS, about, digest=True)
    found = found._replace(about=about)
    for pair in range(3):
        answers.answer(found, pair, "first")
    return found.folder / answers.ANSWERS


def _motion(root):
    qpos = np.tile(np.r_[0, 0, 1.0, 1, np.zeros(24)], (4, 1))
    write_motion(root / "motion.npz", qpos, 30.0)
    return root / "motion.npz"


def _reward(root):
    params = build(ENV.spec, MODEL).whole.init(jax.random.key(0))
    return save_reward(root / "learned.reward.npz", ENV.spec, MODEL, params)


def _config(settings):
    def written(root):
        config.save(root / "config.json", settings)
        return root / "config.json"

    return written


def _journal(root):
    config.save(root / "config.json", DesignConfig(env="classic/pendulum", checks=False))
    journal = Journal(root / "journal.jsonl")
    for i in range(3):
        journal.note(f"step {i}", {"number": i})
    return root / "journal.jsonl"


def _rows(root):
    rows = [{"prompt": "1 + 1 =", "chosen": "2", "rejected": str(i)} for i in (0, 1, 3)]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root / "pairs.jsonl"


def _fitted(path):
    return [
        "group",
        "fit",
        "--data",
        path,
        "--task",
        "tokens/modular",
        "--policy",
        "table",
        "--held-out",
        "0",
    ]


KINDS = {  # how it is made, the command that reads it, and whether a digest or a checksum sees every flip
    "jobs": (_jobs, lambda path: ["jobs", "status", path], False),
    "jobs run": (_jobs, lambda path: ["jobs", "run", path, "--index", "0"], False),
    "study": (_study, lambda path: ["study", "--from", path, "--report"], False),
    "study's jobs": (_study, lambda path: ["jobs", "make", path, "-o", f"{path}l"], False),
    "questions": (_questions, lambda path: ["prefs", "show", os.path.dirname(path)], False),
    "answers": (_answers, lambda path: ["prefs", "show", os.path.dirname(path)], False),
    "answers to fit": (_answers, lambda path: ["prefs", "fit", os.path.dirname(path)], False),
    "motion": (_motion, lambda path: ["score", path], True),
    "group": (_config(GroupRunConfig()), lambda path: ["group", "train", "--from", path], False),
    "group, of an agent": (_config(GroupRunConfig()), lambda path: ["train", "--from", path], False),
    "fit": (_config(FitRunConfig()), lambda path: ["group", "fit", "--from", path], False),
    "rows to fit": (_rows, _fitted, False),
    "design": (_config(DesignConfig()), lambda path: ["design", "--resume", os.path.dirname(path)], False),
    "journal": (_journal, lambda path: ["design", "--resume", os.path.dirname(path), "--quiet"], True),
    "run": (_config(TrainConfig()), lambda path: ["report", os.path.dirname(path)], False),
    "run to analyse": (_config(TrainConfig()), lambda path: ["analyze", os.path.dirname(path)], False),
}
DAMAGE = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "not UTF-8": lambda data: b"\xff\xfe" + data,
    "zeros": lambda data: bytes(len(data)),
    "deep": lambda data: b"[" * 100_000 + b"\n" + data,
    "a number": lambda data: b"3\n" + data[:0],
    "a list": lambda data: b"[]\n[]\n",
    "null": lambda data: b"null\nnull\n",
    "other keys": lambda data: b'{"a": NaN}\n{"b": 1}\n',
    "no types": lambda data: _replaced(data),
    "flipped": lambda data: _flipped(data, len(data) // 2),
}


def _flipped(data, place):
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def _replaced(data):
    """Every value in its place, of another type."""
    try:
        rows = [json.loads(line) for line in data.decode().splitlines()]
        join = "\n"
    except ValueError:
        try:
            rows, join = [json.loads(data)], ""
        except ValueError:
            return b"\x93NUMPY" + data
    other = lambda x: [1] if isinstance(x, str | dict) else {"x": 1}
    rows = [{name: other(value) for name, value in row.items() if name != store.DIGEST} for row in rows]
    return (join.join(map(json.dumps, rows)) + "\n").encode()


ALLOWED = {("journal", "empty"), ("answers", "empty"), ("answers to fit", "empty")}  # nothing is known yet
TORN = {("journal", "half"), ("answers", "half")}  # a last line that a kill tore is left out


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_a_sentence_that_names_them(kind, tmp_path, capsys, monkeypatch):
    made, command, sealed = KINDS[kind]
    for damage, change in DAMAGE.items():
        if (kind, damage) in ALLOWED | TORN or (damage == "flipped" and not sealed):
            continue
        root = tmp_path / damage.replace(" ", "-")
        root.mkdir()
        monkeypatch.chdir(root)
        path = made(root)
        path.write_bytes(change(path.read_bytes()))
        said = _refused(command(str(path)), capsys)
        assert path.name in said or path.parent.name in said, (damage, said)
        if kind != "journal":
            shutil.rmtree(root)


@pytest.mark.parametrize(
    "kind", ["jobs", "study", "questions", "answers", "motion", "group", "rows to fit", "design"]
)
@pytest.mark.parametrize("instead", ["folder", "link", "nothing"])
def test_what_is_no_file_is_named(kind, instead, tmp_path, capsys, monkeypatch):
    made, command, _ = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    path = made(tmp_path)
    path.unlink()
    if instead == "folder":
        path.mkdir()
    elif instead == "link":
        path.symlink_to(path)
    if (kind, instead) == ("answers", "nothing"):
        assert cli.main(command(str(path))) == 0
        return
    said = _refused(command(str(path)), capsys)
    assert path.name in said or path.parent.name in said, said


def _refused(command, capsys):
    capsys.readouterr()
    code = cli.main(command)
    out, said = capsys.readouterr()
    assert code in (1, 2), (command, code, out, said)
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: "), said
    assert "defect" not in said, said
    assert len(said) < 1100
    return said


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "no types"])
def test_learnt_rewards_that_are_damaged_pay_nothing(tmp_path, damage):
    path = _reward(tmp_path)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(UsageError, match=r"learned\.reward\.npz is (damaged|no learnt reward)"):
        read_model(path, ENV.spec)


def test_learnt_rewards_with_weights_that_are_no_numbers_are_refused(tmp_path):
    path = _reward(tmp_path)
    arrays = outside.read_arrays(path)
    name = next(name for name, x in arrays.items() if x.dtype.kind == "f")
    arrays[name].reshape(-1)[0] = np.nan
    with open(path, "wb") as out:
        np.savez(out, **arrays)
    with pytest.raises(UsageError, match=rf"weights {name} are not finite numbers"):
        read_model(path, ENV.spec)


def test_text_is_utf_8_wherever_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    path.write_bytes("größer".encode("latin-1"))
    with pytest.raises(UsageError, match=r"words\.txt: it is not text in UTF-8 \(byte 0xf6 at place 2\)"):
        outside.read_text(path)
    with pytest.raises(UsageError, match=r"cannot read .*: Is a directory"):
        outside.read_text(tmp_path)
    with pytest.raises(UsageError, match="there is no file"):
        outside.read_text(tmp_path / "no")
    monkeypatch.setattr(cli, "_run", lambda args: Path(path).read_text(encoding="utf-8"))
    assert cli.main(["x"]) == 1


def test_records_are_checked_field_by_field():
    assert record(Job, {"name": "a", "folder": "b", "config": {}}, "here") == Job("a", "b", {})
    for data, words in (
        ([], r"here: expected a JSON object for a job, got \[\]"),
        ({"name": "a", "folder": "b"}, "here: a job is not complete: 'config' is missing"),
        ({"name": 1, "folder": "b", "config": {}}, "here: name=1: expected text"),
        ({"name": "a", "folder": "b", "config": []}, r"here: config=\[\]: expected an object"),
    ):
        with pytest.raises(UsageError, match=words):
            record(Job, data, "here")
    with pytest.raises(UnknownNameError, match="did you mean 'folder'"):
        record(Job, {"name": "a", "foldr": "b", "config": {}}, "here")


def test_measurements_of_a_study_that_are_incomplete_are_named(tmp_path):
    store.write_arrays(tmp_path / MEASURED, {"returns": np.zeros((2, 3))})
    with pytest.raises(UsageError, match=r"study\.npz: own/pairs/value is missing or of another shape"):
        evidence.read(tmp_path)
    store.write_arrays(tmp_path / MEASURED, {"other": np.zeros((2, 3))})
    with pytest.raises(UsageError, match=r"study\.npz: returns is missing"):
        evidence.read(tmp_path)


def test_a_configuration_of_something_else_is_no_design(tmp_path, capsys):
    _config(GroupRunConfig())(tmp_path)
    said = _refused(["design", "--resume", str(tmp_path)], capsys)
    assert "is the configuration of a group training, not of a design" in said
