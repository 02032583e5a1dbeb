"""Motions in files, and the command that scores them."""

import json

import numpy as np
import pytest

from rlkit.cli import main
from rlkit.errors import UsageError
from rlkit.rewards import motion


def test_round_trip(tmp_path, standing, clean):
    motion.write_motion(tmp_path / "a.npz", clean[0], 30)
    found = motion.read_motion(tmp_path / "a.npz", standing)
    np.testing.assert_allclose(found.qpos, clean[0], atol=1e-6)
    assert found.dt == pytest.approx(1 / 30)
    np.save(tmp_path / "a.npy", clean[0])
    assert motion.read_motion(tmp_path / "a.npy", standing, 60).dt == pytest.approx(1 / 60)


def _bad(clean, **arrays):
    return {"qpos": clean[0], "fps": 30.0} | arrays


@pytest.mark.parametrize(
    ("arrays", "fps", "message"),
    [
        ({"qpos": np.zeros((9, 24))}, None, "the body 'gymnasium' has 24"),
        ({"qpos": np.zeros(28)}, None, "expected .frames, 28."),
        ({"qpos": np.zeros((9, 28))}, None, "quaternion in frame 0"),
        ({"qpos": np.full((9, 28), 1e9)}, None, "the root is 1e.09 m off; expected at most 10000"),
        ({"qpos": np.array([["a"] * 28])}, None, "expected real numbers"),
        ({"fps": 0.0}, None, "0 frames per second"),
        ({"fps": np.nan}, None, "nan frames per second"),
        ({"fps": np.ones(2)}, None, "expected one number"),
        ({"dt": 0.1}, None, "but 10 is said"),
        ({}, 60.0, "but 60 is said"),
        ({"qvel": np.zeros((9, 28))}, None, "qvel has shape"),
    ],
)
def test_bad_files(tmp_path, standing, clean, arrays, fps, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **_bad(clean, **arrays))
    with pytest.raises(UsageError, match=message):
        motion.read_motion(path, standing, fps)


def test_files_that_are_none(tmp_path, standing, clean):
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "empty.npz", pose=clean[0])
    bad = clean[0].copy()
    bad[4, 9] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    np.save(tmp_path / "short.npy", clean[0, :2])
    for name, fps, message in (
        ("text.npz", None, r"text\.npz is damaged \(it is no \.npz and no \.npy\)"),
        ("empty.npz", None, "no array 'qpos'; it has pose"),
        ("nan.npy", 30, r"qpos\[4, 9\] is nan"),
        ("short.npy", 30, "2 frames"),
        ("none.npz", None, "there is no motion"),
        ("motion.csv", None, "expected a motion as .npz"),
    ):
        with pytest.raises(UsageError, match=message):
            motion.read_motion(tmp_path / name, standing, fps)


def test_command(tmp_path, capsys, clean):
    raised = clean[0] + 0.1 * np.eye(28)[2]
    for name, q in (("a", clean[0]), ("b", raised)):
        motion.write_motion(tmp_path / f"{name}.npz", q, 30)
    paths = [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")]
    assert main(["score", *paths, "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["score"] > 0.98 > 0.75 > second["score"]
    assert set(first["axes"]) == {"kinematic", "contact", "dynamic"}
    assert main(["score", *paths, "--formula", "published"]) == 0
    out = capsys.readouterr().out
    assert "contact" in out
    assert out.count("published") == 2
    for arguments, message in (
        (["score"], "files of motions first"),
        (["score", paths[0], "--body", "gymnasium"], "the body 'standing' has 28"),
        (["score", paths[0], "--formula", "publishd"], "did you mean 'published'"),
        (["score", paths[0], "--fps", "-1"], "fps=-1.0"),
        (["score", paths[0], "--feet", "left_fot"], "did you mean 'left_foot'"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
