"""Run folders: names, locks, atomic files."""

import errno
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import store


def test_names_differ_within_a_second_and_under_clock_jumps(tmp_path, monkeypatch):
    folders = [store.create(tmp_path, "nav/maze", "ppo") for _ in range(20)]
    monkeypatch.setattr(time, "strftime", lambda *_: "19700101-000000")
    folders += [store.create(tmp_path, "nav/maze", "ppo") for _ in range(20)]
    assert len(set(folders)) == 40
    assert all(f.is_dir() and f.parent == tmp_path / "nav-maze" / "ppo" for f in folders)


def test_a_name_that_is_taken_is_never_used(tmp_path, monkeypatch):
    ids = iter(["aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr(store.secrets, "token_hex", lambda n: next(ids))
    monkeypatch.setattr(time, "strftime", lambda *_: "t")
    assert store.create(tmp_path, "e", "a").name == "t-aaaaaa"
    assert store.create(tmp_path, "e", "a").name == "t-bbbbbb"


def test_claim_refuses_runs_and_foreign_folders(tmp_path):
    assert store.claim(tmp_path / "new").is_dir()
    store.claim(tmp_path / "new")  # still empty
    (tmp_path / "new" / store.CONFIG).write_text("{}")
    with pytest.raises(UsageError, match="--resume"):
        store.claim(tmp_path / "new")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="not a run"):
        store.claim(tmp_path / "other")
    with pytest.raises(UsageError, match="not a run"):
        store.claim(tmp_path / "other" / "thesis.tex")
    assert (tmp_path / "other" / "thesis.tex").read_text() == "x"


def test_existing_names_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match="no run folder"):
        store.existing(tmp_path / "x")
    with pytest.raises(UsageError, match=r"config\.json"):
        store.existing(tmp_path)


def test_unwritable_places_are_failures_of_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RlkitError, match="--root"):
        store.create(tmp_path / "file", "e", "a")
    with pytest.raises(RlkitError, match="cannot write"):
        store.claim(tmp_path / "file" / "run")


def test_second_process_is_refused_and_told_by_whom(tmp_path):
    script = (
        "import sys; from pathlib import Path; from rlkit.experiment.runs.store import locked\n"
        "try:\n"
        "    with locked(Path(sys.argv[1]), print): print('got it')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    run = lambda: (
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout
    )
    with store.locked(tmp_path):
        said = run()
    assert said.startswith("UsageError")
    assert f"process {os.getpid()} on " in said
    assert run() == "got it\n"


def test_a_writer_that_was_killed_is_reported(tmp_path):
    store.write_json(tmp_path / f"{store.LOCK}.json", {"pid": 12345, "host": "elsewhere"})
    said = []
    with store.locked(tmp_path, said.append):
        pass
    assert len(said) == 1
    assert "process 12345 on elsewhere" in said[0]
    with store.locked(tmp_path, said.append):
        pass
    assert len(said) == 1


def test_json_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    store.write_json(path, {"a": 1})

    def crash(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(RlkitError, match=r"cannot write .*a\.json: No space left on device; free some space"):
        store.write_json(path, {"a": 2})
    assert store.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_torn_last_line_is_skipped(tmp_path, keep):
    path = tmp_path / "metrics.jsonl"
    for i in range(3):
        store.append_jsonl(path, {"i": i})
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"i": 3}).encode()[:keep])
    assert store.read_jsonl(path) == [{"i": 0}, {"i": 1}, {"i": 2}]
    path.write_bytes(whole[:4] + b"#" + whole[5:])
    with pytest.raises(UsageError, match="line 1"):
        store.read_jsonl(path)


def test_a_line_after_half_a_line_is_whole(tmp_path, capsys):
    path = tmp_path / "answers.jsonl"
    for i in range(3):
        store.append_jsonl(path, {"i": i})
    whole = path.read_bytes()
    for keep in (len(whole) - 1, len(whole) - 5, 3):
        path.write_bytes(whole[:keep])
        store.append_jsonl(path, {"i": 9})
        kept = whole[:keep].count(b"\n")
        assert store.read_jsonl(path) == [*({"i": i} for i in range(kept)), {"i": 9}]
        assert f"{path} ended in half a line" in capsys.readouterr().err
    path.write_bytes(whole)
    store.append_jsonl(path, {"i": "x" * 200_000})
    path.write_bytes(path.read_bytes()[:-1])
    store.append_jsonl(path, {"i": 3})
    assert path.read_bytes() == whole + b'{"i": 3}\n'


@pytest.mark.parametrize("line", [b'z"i": 2}', b"", b"\x00\x00"])
def test_a_last_line_with_its_newline_was_not_torn(tmp_path, line):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"i": 0}\n' + line + b"\n")
    with pytest.raises(UsageError, match=r"line 2 of .* is damaged; restore the file"):
        store.read_jsonl(path)


def test_recordings_have_one_name_each(tmp_path):
    (tmp_path / store.LATENTS).mkdir()
    for name in ("00000008", "8", "00000000008", "123456789", "x"):
        (tmp_path / store.LATENTS / f"{name}.npz").touch()
    assert [path.name for path in store.recordings(tmp_path).values()] == ["00000008.npz", "123456789.npz"]


def test_cut_goes_back_and_never_forward(tmp_path):
    path = tmp_path / "metrics.jsonl"
    store.cut(path, 0)
    path.write_bytes(b"0123456789")
    store.cut(path, 4)
    assert path.read_bytes() == b"0123"
    with pytest.raises(UsageError, match="4 bytes"):
        store.cut(path, 5)


def test_equal_arrays_make_equal_files(tmp_path):
    arrays = {"latent": np.arange(6.0).reshape(2, 3), "first": np.array([True, False])}
    store.write_arrays(tmp_path / "a" / "1.npz", arrays)
    time.sleep(2.1)  # zip files can hold times, in steps of two seconds
    store.write_arrays(tmp_path / "a" / "2.npz", arrays)
    assert (tmp_path / "a" / "1.npz").read_bytes() == (tmp_path / "a" / "2.npz").read_bytes()
    with np.load(tmp_path / "a" / "1.npz") as back:
        np.testing.assert_array_equal(back["latent"], arrays["latent"])
