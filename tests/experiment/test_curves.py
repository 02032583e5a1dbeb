"""Curves read in one pass: every line of a small log, bins of a large one, sentences about damage."""

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from rlkit.experiment.reports import curves
from rlkit.experiment.runs import logbook

RNG = np.random.default_rng(0)


def _write(path, values, metric="episode/return", kind="train"):
    """A log of ``values [P, S]`` and its lines."""
    rows = [logbook.line(kind, i + 1, 10 * (i + 1), {metric: row}) for i, row in enumerate(values)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def _read(path, seeds, **options):
    notes = []
    return curves.read(path, seeds, notes.append, **options), notes


def test_a_small_log_is_read_line_by_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    values = RNG.normal(size=(256, 3)).astype(np.float32)
    values[5, 1] = np.nan
    rows = _write(path, values)
    found, notes = _read(path, 3)
    curve = found.curves["train", "episode/return"]
    assert notes == []
    assert curve.lines == 1
    np.testing.assert_array_equal(curve.steps, [row["step"] for row in rows])
    logged = np.array([row["seeds"]["episode/return"] for row in rows], np.float64)
    for part in (curve.values, curve.low, curve.high):
        np.testing.assert_array_equal(part, logged)
    np.testing.assert_array_equal(curve.last, logged[-1])
    assert (found.update, found.step, found.seeds) == (256, 2560, 3)


@pytest.mark.parametrize("count", [9, 16, 17, 1000, 5003])
def test_a_point_of_a_large_log_is_a_bin_of_lines(tmp_path, count):
    path = tmp_path / "metrics.jsonl"
    values = RNG.normal(size=(count, 2)).astype(np.float32)
    values[RNG.random((count, 2)) < 0.3] = np.nan
    values[count // 2] = 1e6  # a spike
    rows = _write(path, values)
    values = np.array([row["seeds"]["episode/return"] for row in rows], np.float64)
    curve = _read(path, 2, points=8)[0].curves["train", "episode/return"]
    size = curve.lines
    assert size & (size - 1) == 0
    assert 4 < len(curve.steps) <= 8
    assert len(curve.steps) == -(-count // size)
    for i in range(len(curve.steps)):
        part = values[i * size : (i + 1) * size]
        lines = np.arange(i * size, i * size + len(part)) + 1
        assert curve.steps[i] == pytest.approx(10 * lines.mean())
        for s in range(2):
            known = part[np.isfinite(part[:, s]), s]
            if known.size == 0:
                assert np.isnan([curve.values[i, s], curve.low[i, s], curve.high[i, s]]).all()
                continue
            np.testing.assert_allclose(curve.values[i, s], known.mean(), rtol=1e-12)
            assert (curve.low[i, s], curve.high[i, s]) == (known.min(), known.max())
    assert np.nanmax(curve.high) == 1e6
    np.testing.assert_array_equal(curve.last, values[-1])


def test_evaluations_are_apart_and_other_metrics_are_not_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [logbook.line("eval", 4, 40, {"eval/success": np.array([0.5, 1.0])})]
    lines += [logbook.line("train", 5, 50, {"loss/value": np.ones(2), "reward/a": np.zeros(2)})]
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    found, _ = _read(path, 2)
    assert set(found.curves) == {("eval", "eval/success"), ("train", "reward/a")}
    assert found.judged == [4]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("{}", "line 3 of metrics.jsonl has no 'kind'"),
        ("[]", "line 3 of metrics.jsonl is [], not an object"),
        ("3", "line 3 of metrics.jsonl is 3, not an object"),
        ('{"kind": "tr', "line 3 of metrics.jsonl is not JSON"),
        ("[" * 100_000, "line 3 of metrics.jsonl is not JSON"),
        ('{"kind": 1, "update": 1, "step": 1, "seeds": {}}', "has kind 1: expected text"),
        ('{"kind": "train", "update": "1", "step": 1, "seeds": {}}', 'has update "1": expected an integer'),
        ('{"kind": "train", "update": 1, "step": -1, "seeds": {}}', "has step -1: expected a count"),
        ('{"kind": "train", "update": 1, "step": 1, "seeds": []}', "has seeds []: expected an object"),
        (
            '{"kind": "train", "update": 3, "step": 30, "seeds": {"episode/return": 1.0}}',
            "has 1.0 as 'episode/return': expected a list",
        ),
        (
            '{"kind": "train", "update": 3, "step": 30, "seeds": {"episode/return": [1.0]}}',
            "line 3 of metrics.jsonl has 1 values of a metric, not 2",
        ),
        (
            '{"kind": "train", "update": 3, "step": 30, "seeds": {"episode/return": [1.0, "a"]}}',
            "line 3 of metrics.jsonl has a value that is not a number",
        ),
        (
            '{"kind": "train", "update": 3, "step": 30, "seeds": {"episode/return": [1.0, [2.0]]}}',
            "line 3 of metrics.jsonl has a value that is not a number",
        ),
        (
            '{"kind": "train", "update": 3, "step": 3, "seeds": {"episode/return": [1.0, 2.0]}}',
            "line 3 of metrics.jsonl goes back from step 20 to 3",
        ),
    ],
)
def test_a_damaged_line_costs_itself_and_is_named(tmp_path, damage, sentence):
    path = tmp_path / "metrics.jsonl"
    values = RNG.normal(size=(4, 2))
    rows = _write(path, values)
    text = [json.dumps(row) for row in rows]
    path.write_text("\n".join([*text[:2], damage, *text[2:], ""]))
    found, notes = _read(path, 2)
    assert len(notes) == 1
    assert sentence in notes[0]
    curve = found.curves["train", "episode/return"]
    kept = np.array([row["seeds"]["episode/return"] for row in rows])
    at = [0, 1, 3, 4] if "goes back" in sentence else slice(None)
    np.testing.assert_array_equal(curve.values[at], kept)


def test_a_torn_last_line_and_another_number_of_seeds_are_said(tmp_path):
    path = tmp_path / "metrics.jsonl"
    _write(path, np.ones((3, 2)))
    path.write_bytes(path.read_bytes()[:-20])
    found, notes = _read(path, 10**9)
    assert notes == [
        "line 3 of metrics.jsonl, the last one, is not complete",
        "metrics.jsonl has 2 seeds per line, but config.json asks for 1000000000; shown are 2",
    ]
    assert found.seeds == 2


def test_no_file_is_no_curve(tmp_path):
    found, notes = _read(tmp_path / "metrics.jsonl", 2)
    assert found == curves.Metrics({}, 0, 0, 0, [])
    assert notes == []


def test_memory_does_not_grow_with_the_log(tmp_path):
    path, peaks = tmp_path / "metrics.jsonl", []
    for count in (600, 4_000):
        _write(path, np.full((count, 4), 0.5))
        tracemalloc.start()
        found, _ = _read(path, 4, points=64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.step == 10 * count
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.slow
def test_a_long_log_of_many_seeds_is_reported_in_bounded_time_and_memory():
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "report.py"
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    cpu, peak, page = map(
        float, re.search(r"\((\S+) s of CPU\), peak (\S+) MB, page (\S+) MB", done.stdout).groups()
    )
    assert cpu < 30
    assert peak < 1000
    assert page < 2
