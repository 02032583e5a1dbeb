"""Files that are whole, and not what they were: more in them, of something else, or no files at all."""

import contextlib
import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from rlkit import outside
from rlkit.design.clients import Request, Usage
from rlkit.design.endpoint import Transient, completion_of
from rlkit.design.transcripts import Transcript
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.reports import analyze, curves
from rlkit.experiment.runs import store
from rlkit.experiment.training import integrity

ARRAYS = {"a": np.arange(60_000, dtype=np.float32).reshape(300, 200), "b": np.arange(3)}


def archive(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_arrays_are_read_as_numpy_reads_them(tmp_path):
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "x.npz", **ARRAYS)
        found = outside.read_arrays(tmp_path / "x.npz")
        assert list(found) == ["a", "b"]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    np.save(tmp_path / "x.npy", ARRAYS["a"])
    np.testing.assert_array_equal(outside.read_arrays(tmp_path / "x.npy")[""], ARRAYS["a"])


def _twice():
    file = io.BytesIO(archive(ARRAYS))
    with zipfile.ZipFile(file, "a") as more, pytest.warns(UserWarning, match="Duplicate name"):
        more.writestr("a.npy", archive(ARRAYS))
    return file.getvalue()


WHOLE = archive(ARRAYS)
BEGINS = WHOLE.index(b"\x93NUMPY")
ODD = {
    "a smaller shape": lambda: WHOLE.replace(b"(300, 200)", b"(200, 200)", 1),
    "a shorter header": lambda: WHOLE[: BEGINS + 8] + bytes([WHOLE[BEGINS + 8] ^ 64]) + WHOLE[BEGINS + 9 :],
    "another behind it": lambda: WHOLE + archive({"a": ARRAYS["a"] + 1, "b": ARRAYS["b"]}),
    "something behind it": lambda: WHOLE + b"more",
    "something before it": lambda: b"more" + WHOLE,
    "a member twice": _twice,
}


@pytest.mark.parametrize("odd", ODD)
def test_every_byte_of_arrays_counts(odd, tmp_path):
    (tmp_path / "x.npz").write_bytes(ODD[odd]())
    with pytest.raises(UsageError, match=r"x\.npz is damaged"):
        outside.read_arrays(tmp_path / "x.npz", "recording")


def test_a_longer_header_of_an_array_is_noticed(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["a"])
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data + b"\0\0\0\0")
    with pytest.raises(UsageError, match="there is more in it than its header says"):
        outside.read_arrays(tmp_path / "x.npy")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes of that kind")
@pytest.mark.parametrize("read", [store.read_json, store.read_jsonl, store.read_arrays, outside.read_bytes])
def test_a_pipe_or_a_device_in_place_of_a_file_hangs_nobody(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(UsageError, match=rf"{name} is a pipe or a device; expected a regular file"):
            read(tmp_path / name)


@pytest.mark.parametrize("read", [store.read_json, store.read_jsonl, store.read_arrays])
def test_a_folder_in_place_of_a_file_is_a_sentence(read, tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(RlkitError, match=r"file.*[Ii]s a directory"):
        read(tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes of that kind")
def test_a_pipe_in_place_of_a_log_is_noted(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    noted = []
    assert list(curves.rows(tmp_path / "metrics.jsonl", noted.append)) == []
    assert "metrics.jsonl is a pipe or a device" in noted[0]


def test_a_recording_with_something_behind_it_is_noticed(tmp_path):
    path = tmp_path / store.LATENTS / "00000008.npz"
    path.parent.mkdir()
    path.write_bytes(WHOLE)
    files = integrity.measured(tmp_path)
    assert list(files) == ["latents/00000008.npz"]
    assert integrity.problems(tmp_path, files) == []
    path.write_bytes(WHOLE + WHOLE)
    assert (
        f"has {2 * len(WHOLE)} bytes where {len(WHOLE)} were written"
        in integrity.problems(tmp_path, files)[0]
    )


def test_emergence_of_other_recordings_is_known_as_such(tmp_path):
    folder = tmp_path / store.LATENTS
    folder.mkdir()
    (folder / "00000008.npz").write_bytes(WHOLE)
    data = {"recordings": {name: list(one) for name, one in integrity.measured(tmp_path).items()}}
    assert not analyze.outdated(tmp_path, data)
    assert not analyze.outdated(tmp_path, {})  # of a version that did not tell
    (folder / "00000016.npz").write_bytes(WHOLE)
    assert analyze.outdated(tmp_path, data)
    (folder / "00000016.npz").unlink()
    (folder / "00000008.npz").write_bytes(archive({"a": ARRAYS["a"] + 1, "b": ARRAYS["b"]}))
    assert analyze.outdated(tmp_path, data)
    shutil.rmtree(folder)  # to save space
    assert not analyze.outdated(tmp_path, data)


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    (tmp_path / "there").mkdir()
    for name in ("new", "there", "deep/new"):
        with contextlib.suppress(KeyError), store.whole_folder(tmp_path / name) as part:
            (part / "half").write_text("x")
            raise KeyError
        assert not (tmp_path / name / "half").exists()
        with store.whole_folder(tmp_path / name) as part:
            (part / "whole").write_text("x")
        assert os.listdir(tmp_path / name) == ["whole"]
    assert sorted(os.listdir(tmp_path)) == ["deep", "new", "there"]
    there = tmp_path / "there"
    with pytest.raises(RlkitError, match="cannot write"), outside.at(there), store.whole_folder(there):
        pass


def test_lists_in_lists_are_no_curve(tmp_path):
    path, noted = tmp_path / "metrics.jsonl", []
    line = {"kind": "eval", "update": 1, "step": 8, "seeds": {"eval/return": [[1.0]]}}
    path.write_text(json.dumps(line) + "\n")
    assert not curves.read(path, 1, noted.append).curves["eval", "eval/return"].steps.size
    assert "has a value that is not a number" in noted[0]


def test_tokens_that_are_no_counts_are_refused():
    for tokens in (-1, float("nan"), "x", None, 1.5):
        with pytest.raises(UsageError, match="tokens of the prompt"):
            Usage(tokens, 0)
    data = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": float("inf")}}
    with pytest.raises(Transient, match="not a chat completion"):
        completion_of(data, 1, False)


def test_two_answers_to_one_question_are_refused(tmp_path):
    request = Request([{"role": "user", "content": "q"}])
    line = {"request": request.to_data(), "digest": request.digest}
    rows = [line | {"answer": {"text": text, "usage": {"prompt": 1, "completion": 1}}} for text in "aab"]
    write = lambda rows: (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write(rows[:2])
    assert Transcript(path=tmp_path / "t.jsonl").complete_all([request])[0].text == "a"
    write(rows)
    with pytest.raises(UsageError, match=r"t\.jsonl:3: a question that has another answer"):
        Transcript(path=tmp_path / "t.jsonl")
