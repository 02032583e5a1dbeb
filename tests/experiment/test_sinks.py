"""Metrics go to other places too, and their failures stay there."""

import shutil
import sys
import types

import pytest

from rlkit.errors import MissingExtraError, UsageError
from rlkit.experiment.runs import events, sinks, store
from rlkit.experiment.training import run

ENTRY = {"step": 20, "mean": {"loss": 1.5, "undefined": None}, "std": {"loss": 0.5, "undefined": None}}


def test_scalars_are_means_and_deviations():
    assert sinks.scalars(ENTRY) == {"loss": 1.5, "std/loss": 0.5}


def test_tensorboard_holds_what_the_log_holds(settings, tmp_path):
    pytest.importorskip("tensorboardX")
    run.run(settings.replace(sinks=("tensorboard",)), tmp_path / "a", progress=False)
    (file,) = (tmp_path / "a" / "tensorboard").iterdir()
    data = file.read_bytes()
    for name in (b"loss", b"std/loss", b"reward"):
        assert data.count(name) >= 1
    assert len(store.read_jsonl(tmp_path / "a" / store.METRICS)) == 7


def points(folder, tag):
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted((folder / "tensorboard").iterdir()):
        for _, content in events.records(file.read_bytes()):
            event = Event.FromString(content)
            found += [(event.step, v.simple_value) for v in event.summary.value if v.tag == tag]
    return found


@pytest.mark.parametrize("saved", [True, False])
def test_tensorboard_shows_no_point_twice_after_a_kill(settings, tmp_path, saved):
    """As after SIGKILL: events beyond the newest checkpoint are there, the last one is torn."""
    pytest.importorskip("tensorboardX")
    settings, folder = settings.replace(sinks=("tensorboard",)), tmp_path / "a"
    run.run(settings, folder, progress=False)
    wanted = points(folder, "loss")
    (folder / store.DONE).unlink()
    for update in (5, 10, 15, 20):
        if update > 5 or not saved:
            shutil.rmtree(folder / store.CHECKPOINTS / str(update))
    (file,) = (folder / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    run.resume(folder, progress=False)
    assert len(list((folder / "tensorboard").iterdir())) == 2
    assert points(folder, "loss") == wanted
    assert [step for step, _ in wanted] == [30, 60, 90, 120, 150, 180, 200]


def test_mlflow_holds_what_the_log_holds(settings, tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run.run(settings.replace(sinks=("mlflow",)), tmp_path / "a", progress=False)
    assert "failed" not in capsys.readouterr().err
    (loss,) = (tmp_path / "a" / "mlflow").glob("*/*/metrics/loss")
    (spread,) = (tmp_path / "a" / "mlflow").glob("*/*/metrics/std/loss")
    logged = [line["mean"]["loss"] for line in store.read_jsonl(tmp_path / "a" / store.METRICS)]
    written = [float(row.split()[1]) for row in loss.read_text().splitlines()]
    assert written == pytest.approx(logged, rel=1e-6)
    assert len(spread.read_text().splitlines()) == len(logged)


def test_wandb_stays_offline(settings, tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run.run(settings.replace(sinks=("wandb",)), tmp_path / "a", progress=False)
    assert "failed" not in capsys.readouterr().err
    assert list((tmp_path / "a" / "wandb").glob("offline-run-*"))


def test_a_failing_sink_is_reported_once_and_the_run_goes_on(settings, tmp_path, monkeypatch, capsys):
    def maker(about):
        def log(entry):
            calls.append(entry["step"])
            raise ConnectionError("no network")

        return sinks.Sink("own", log)

    calls = []
    monkeypatch.setitem(sys.modules, "own_sinks", types.SimpleNamespace(maker=maker))
    assert run.run(settings.replace(sinks=("own_sinks:maker",)), tmp_path / "a", progress=False).finished
    assert calls == [30]
    assert capsys.readouterr().err.count("own failed (no network)") == 1
    assert len(store.read_jsonl(tmp_path / "a" / store.METRICS)) == 7


def test_anything_that_takes_a_line_is_a_sink(tmp_path):
    lines, warnings = [], []
    about = sinks.About(tmp_path, "an environment", {})
    first, second = sinks.open_sinks([lines.append, sinks.Sink("own", lines.append)], about, warnings.append)
    first.log(ENTRY)
    second.log(ENTRY)
    assert lines == [ENTRY, ENTRY]
    with pytest.raises(UsageError, match="log has 3: expected the name of a sink"):
        sinks.open_sinks([3], about, warnings.append)
    with pytest.raises(UsageError, match="did you mean 'wandb'"):
        sinks.require(["wandbb"])


@pytest.mark.parametrize(("name", "module", "extra"), [
    ("tensorboard", "tensorboardX", "tb"), ("wandb", "wandb", "wandb"), ("mlflow", "mlflow", "mlflow"),
])  # fmt: skip
def test_a_missing_package_is_named_before_anything_is_made(
    settings, tmp_path, monkeypatch, name, module, extra
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"\[{extra}\]"):
        run.run(settings.replace(sinks=(name,)), tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Own(BaseException):
    pass


def raising(error):
    def act(*_):
        raise error

    return act


FAILURES = [(SystemExit(0), "0"), (GeneratorExit("x"), "x"), (Own("own"), "own"), (Mute(), "Mute")]


@pytest.mark.parametrize(("error", "said"), FAILURES)
def test_whatever_a_sink_raises_the_run_goes_on(tmp_path, monkeypatch, error, said):
    warnings = []
    about = sinks.About(tmp_path, "an environment", {})
    monkeypatch.setitem(sys.modules, "own_sinks", types.SimpleNamespace(maker=raising(error)))
    assert sinks.open_sinks(["own_sinks:maker"], about, warnings.append) == []
    assert "own_sinks:maker could not be opened" in warnings.pop()
    for place in ("log", "close", "flush"):
        parts = {"log": lambda line: None, place: raising(error)}
        (sink,) = sinks.open_sinks([sinks.Sink("own", **parts)], about, warnings.append)
        for _ in range(2):
            sink.log(ENTRY)
            sink.flush()
            sink.close()
        assert f"own failed ({said}); the run goes on without it" in warnings.pop()
        assert warnings == []


def test_a_sink_that_exits_ends_no_training(settings, tmp_path, monkeypatch, capsys):
    maker = lambda about: sinks.Sink("exits", raising(SystemExit(0)))
    monkeypatch.setitem(sys.modules, "own_sinks", types.SimpleNamespace(maker=maker))
    assert run.run(settings.replace(sinks=("own_sinks:maker",)), tmp_path / "a", progress=False).finished
    assert capsys.readouterr().err.count("exits failed (0)") == 1
    assert len(store.read_jsonl(tmp_path / "a" / store.METRICS)) == 7


def test_an_interruption_is_no_failure_of_a_sink(tmp_path, monkeypatch):
    about = sinks.About(tmp_path, "an environment", {})
    stop = raising(KeyboardInterrupt())
    (sink,) = sinks.open_sinks([sinks.Sink("own", stop)], about, print)
    with pytest.raises(KeyboardInterrupt):
        sink.log(ENTRY)
    monkeypatch.setitem(sys.modules, "own_sinks", types.SimpleNamespace(maker=stop))
    with pytest.raises(KeyboardInterrupt):
        sinks.open_sinks(["own_sinks:maker"], about, print)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("401 for https://user:hunter22@api.wandb.ai", "401 for https://***@api.wandb.ai"),
        ("https://me:p@ss/w#rd@host:5000/x failed", "https://***@host:5000/x failed"),
        ("https://token@host/x, http://host:80/a@b", "https://***@host/x, http://host:80/a@b"),
        ("key abc/defgh, abc%2Fdefgh is wrong", "key ***, *** is wrong"),
        ("token abc/defghij", "token ***"),
        ("short is short: a@b", "short is short: a@b"),
        ("http://host:5000/x is down", "http://host:5000/x is down"),
    ],
)
def test_secrets_are_not_told(tmp_path, monkeypatch, said, told):
    for name, value in (("WANDB_API_KEY", "abc/defgh"), ("A_TOKEN", "abc/defghij"), ("THE_SECRET", "short")):
        monkeypatch.setenv(name, value)
    warnings = []
    about = sinks.About(tmp_path, "an environment", {})
    (sink,) = sinks.open_sinks([sinks.Sink("own", raising(OSError(said)))], about, warnings.append)
    sink.log(ENTRY)
    assert f"own failed ({told});" in warnings[0]
    monkeypatch.setitem(sys.modules, "own_sinks", types.SimpleNamespace(maker=raising(OSError(said))))
    sinks.open_sinks(["own_sinks:maker"], about, warnings.append)
    assert told in warnings[1]


@pytest.mark.parametrize("error", ["RuntimeError('broken install')", "ImportError('broken install')"])
def test_a_package_that_is_broken_is_named_before_anything_is_made(settings, tmp_path, monkeypatch, error):
    (tmp_path / "lib" / "wandb").mkdir(parents=True)
    (tmp_path / "lib" / "wandb" / "__init__.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UsageError, match=r"the sink wandb cannot be used: .*Error: broken install;"):
        run.run(settings.replace(sinks=("wandb",)), tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()
