"""What machines do to a command: full disks, broken pipes, signals while compiling, odd homes."""

import io
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rlkit import cli, outside, streams
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import cache
from rlkit.experiment.training.loop import Pace, Program, chunks
from rlkit.experiment.training.signals import Stop

CLI = Path(__file__).resolve().parent / "toy_cli.py"
TRAIN = [
    "train",
    "--agent",
    "toy",
    "--seeds",
    "2",
    "--probes",
    "0",
    "--log-every",
    "1",
    "--checkpoint-every",
    "20",
]
LONG = [*TRAIN, "--total-steps", "2000"]


def command(*args):
    return [sys.executable, str(CLI), *args]


def train(*args, **options):
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=120, check=False, **options)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The log and final state of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("faults") / "straight"
    assert train(*LONG, "--folder", str(folder)).returncode == 0
    return content(folder)


def content(folder):
    return checkpoint.describe(folder / store.CHECKPOINTS, 200)["state"], (
        folder / store.METRICS
    ).read_bytes()


def limited(kilobytes):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.mark.parametrize("kilobytes", [slow(1), slow(5), 21, slow(60)])
def test_a_full_disk_is_one_sentence_and_loses_nothing(straight, tmp_path, kilobytes):
    folder = tmp_path / "a"
    done = train(
        *LONG, "--no-progress", "--folder", str(folder), preexec_fn=limited(kilobytes),
        env=os.environ | {"RLKIT_CACHE": "off"},
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == 1
    assert len(said) == 1
    assert said[0].startswith(f"error: cannot write {folder}")
    assert "File too large; raise the limit" in said[0]
    assert not list(folder.rglob(".*.tmp"))
    again = train("train", "--resume", str(folder))
    assert again.returncode == 0, again.stderr
    assert content(folder) == straight


@pytest.mark.parametrize(
    "streams", [slow("2>&1 | head -0"), slow("2>/dev/full"), ">/dev/full", "2>&- >&-", "2>&1 | head -1"]
)
def test_streams_that_break_stop_nothing(straight, tmp_path, streams):
    folder = tmp_path / "a"
    line = " ".join([*command(*LONG), "--folder", str(folder), streams])
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert (folder / store.DONE).exists(), done.stderr
    assert content(folder) == straight
    assert "Exception ignored" not in done.stderr
    assert done.returncode == (1 if streams == ">/dev/full" else 0)


COMPILING = """
import sys, time
sys.path.insert(0, {here!r})
from rlkit.experiment.training import loop
before = loop.compile_chunk
def slow(*args):
    print("compiling", flush=True)
    time.sleep(60)
    return before(*args)
from rlkit.experiment.training import run
run.compile_chunk = slow
import toy_cli
sys.exit(toy_cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [slow(signal.SIGINT), signal.SIGTERM, slow(signal.SIGHUP)])
def test_a_signal_while_compiling_ends_it_at_once(straight, tmp_path, number):
    folder = tmp_path / "a"
    script = COMPILING.format(here=str(CLI.parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script, *LONG, "--folder", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not any(e["event"] == "start" for e in store.read_jsonl(folder / store.TIMINGS)):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert process.returncode == 128 + number
    assert "stopped before an update was made; continue with: rlkit train --resume" in said
    again = train("train", "--resume", str(folder))
    assert again.returncode == 0
    assert "without closing" not in again.stderr
    assert content(folder) == straight


def test_the_help_can_be_read_in_any_encoding():
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = train("train", "--agent", "ppo", "--help", env=env)
    assert done.returncode == 0, done.stderr
    assert "discount factor gamma" in done.stdout
    assert done.stdout.isascii()


def test_without_a_home(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "RLKIT_CACHE")}
    done = train(
        *TRAIN, "--total-steps", "60", "--folder", str(tmp_path / "a"), env=env | {"RLKIT_CACHE": "off"}
    )
    assert done.returncode == 0, done.stderr


def test_no_home_means_no_cache(monkeypatch):
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert cache.folder() is None


def test_the_cache_is_private(tmp_path, monkeypatch):
    assert cache._private(tmp_path / "new" / "xla")
    assert stat.S_IMODE((tmp_path / "new" / "xla").stat().st_mode) == 0o700
    (tmp_path / "old").mkdir(mode=0o755)
    assert cache._private(tmp_path / "old")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    assert not cache._private(tmp_path / "file" / "xla")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not cache._private(tmp_path / "old")


class Breaks(io.StringIO):
    """A stream that fails in a chosen way."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, *text):
        raise self.error

    flush = write


@pytest.mark.parametrize("error", [BrokenPipeError(32, "x"), OSError(28, "x"), ValueError("closed"), None])
def test_unbreakable(error):
    stream = streams.Unbreakable(None if error is None else Breaks(error))
    print("text", file=stream, flush=True)
    assert stream.failure is error
    assert not stream.isatty()
    assert stream.encoding == "utf-8"


@pytest.mark.parametrize("length", [1, 7])
def test_a_line_is_appended_whole_or_not_at_all(tmp_path, length):
    path = tmp_path / "a.jsonl"
    store.append_jsonl(path, {"a": 1})
    whole = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + length, before[1]))
    try:
        with pytest.raises(RlkitError, match=r"cannot write .*a\.jsonl: File too large"):
            store.append_jsonl(path, {"b": "long" * 20})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "x"), "No space left on device; free some space"),
        (PermissionError(13, "x"), "Permission denied; change its permissions"),
        (
            ValueError("RESOURCE: page of text\nNo space left on device [source locations=...]"),
            "free some space",
        ),
        (RuntimeError("UNKNOWN: File too large"), "ulimit -f"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1"), "not enough memory"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_the_outside_world_is_told_from_defects(error, words):
    said = outside.explain(error, "/some/place", "write")
    assert words in said
    assert "\n" not in said
    with pytest.raises(RlkitError, match=words.split(";", maxsplit=1)[0]), outside.at("/some/place"):
        raise error


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), KeyError("x"), IndexError(), TypeError("x"), AssertionError()]
)
def test_defects_stay_defects(error):
    assert outside.explain(error) is None
    with pytest.raises(type(error)), outside.at("/some/place"):
        raise error


@pytest.mark.parametrize("damage", ["empty", "half", "flip", "text", "pickle", "folder", "gone"])
def test_damaged_recordings_are_named(tmp_path, damage):
    path = tmp_path / "latents" / "00000004.npz"
    store.write_arrays(path, {"latent": np.arange(64.0)})
    data = path.read_bytes()
    if damage in ("folder", "gone"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    elif damage == "pickle":
        np.savez(path, a=np.array([{"a": 1}], dtype=object))
    else:
        flipped = data[:200] + bytes([data[200] ^ 1]) + data[201:]
        path.write_bytes(
            {"empty": b"", "half": data[: len(data) // 2], "flip": flipped, "text": b"no"}[damage]
        )
    words = {"folder": r"cannot read .*00000004\.npz: Is a dir", "gone": r"there is no recording .*04\.npz"}
    with pytest.raises(UsageError, match=words.get(damage, r"00000004\.npz is damaged")) as caught:
        store.read_arrays(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", ["[]", "3", "null", '"x"'])
def test_lines_that_are_no_objects_are_named(tmp_path, row):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n' + row + "\n" + '{"a": 2}\n')
    with pytest.raises(UsageError, match=r"line 2 of .*a\.jsonl is no JSON object"):
        store.read_jsonl(tmp_path / "a.jsonl")


def test_a_signal_is_a_request_unless_nothing_can_be_lost(monkeypatch):
    left = []
    monkeypatch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    stop = Stop()
    stop.at_once(lambda: left.append(1))
    with pytest.raises(SystemExit) as caught:
        stop.received(signal.SIGTERM)
    assert (caught.value.code, left) == (143, [1])
    stop.at_once(None)
    stop.received(signal.SIGHUP)
    assert (stop(), stop.exit_code) == (True, 129)
    with pytest.raises(SystemExit):
        stop.received(signal.SIGINT)


class Clock:
    """A stand-in for a compiled program and the clock: each call costs something, and so does each update."""

    def __init__(self, call, each):
        self.now, self.call, self.each, self.lengths = 0.0, call, each, []

    def perf_counter(self):
        return self.now

    def run(self, state, count, born):
        self.lengths.append(int(count))
        self.now += self.call + self.each * int(count)
        return state, np.zeros((1, 512, 1), np.float32), np.ones((1, 1), bool)


@pytest.mark.parametrize(
    ("call", "each", "updates", "least", "most"),
    [
        (3.0, 1e-4, 5000, 400, 512),  # a call costs more than a chunk should take
        (0.9, 0.01, 5000, 200, 400),  # a fifth of the time is the most that calls may take
        (0.1, 0.01, 5000, 60, 100),
        (0.0, 0.01, 5000, 80, 120),
        (0.0, 5.0, 12, 1, 2),  # updates that take longer than a chunk should
        (0.5, 0.0, 5000, 512, 512),
    ],
)
def test_a_fixed_overhead_does_not_pin_the_length_at_1(monkeypatch, call, each, updates, least, most):
    from rlkit.experiment.training import loop

    clock = Clock(call, each)
    monkeypatch.setattr(loop.time, "perf_counter", clock.perf_counter)
    pop = type("Pop", (), {"max_chunk": 512})
    made = list(chunks(Program(clock.run, 0, 0), pop, None, 0, [updates], np.ones(1, bool)))
    assert made[-1].update == updates
    settled = clock.lengths[len(clock.lengths) // 2 : -1] or clock.lengths
    assert least <= np.median(settled) <= most, clock.lengths
    growth = [b / a for a, b in zip(clock.lengths, clock.lengths[1:], strict=False)]
    assert max(growth) <= Pace.GROWTH


def test_noise_does_not_make_chunks_long():
    random = np.random.default_rng(0)
    pace, length, took = Pace(1.0), 1, []
    for _ in range(100):
        seconds = 0.01 + 0.02 * length * random.uniform(0.8, 1.3)
        took.append(seconds)
        length = pace.after(length, seconds, length)
    assert 0.3 < np.median(took[20:]) < 3.0
    assert max(took) < 8.0


def test_a_command_that_fails_on_the_outside_is_no_defect(monkeypatch, capsys):
    def full(args):
        raise OSError(28, "No space left on device", "/somewhere/file")

    monkeypatch.setattr(cli, "_run", full)
    assert cli.main(["x"]) == 1
    assert capsys.readouterr().err == (
        "error: cannot use /somewhere/file: No space left on device; free some space\n"
    )


def test_a_working_folder_that_was_removed_is_said(tmp_path, monkeypatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        os.getcwd()
    said = outside.explain(caught.value)
    assert said == "the folder that this was started in was removed: change to another one (cd)"
    monkeypatch.chdir(tmp_path)
    assert "No such file" in outside.explain(caught.value)
