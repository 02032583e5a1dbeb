"""Sending metrics to other places than the run folder. A place that fails never stops a run."""

import importlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from rlkit.errors import UsageError, missing_extra, said
from rlkit.experiment.runs.logbook import Line
from rlkit.registry import Entry, Table


class Sink(NamedTuple):
    """Somewhere that lines of the log go."""

    name: str
    log: Callable[[Line], None]
    close: Callable[[], None] = lambda: None
    flush: Callable[[], None] = lambda: None
    """called before each checkpoint, so that what a checkpoint knows of is there after a kill"""


class About(NamedTuple):
    """What a sink is told of the training whose log it gets."""

    folder: Path  # where its files go
    title: str  # what is trained
    settings: dict[str, Any]  # JSON data
    step: int = -1  # the last environment step whose lines stay in the log, -1 for a new one


TABLE = Table(
    "sink",
    {
        "tensorboard": Entry(
            "rlkit.experiment.runs.sinks:tensorboard", "TensorBoard's files, in the run folder"
        ),
        "wandb": Entry(
            "rlkit.experiment.runs.sinks:wandb", "Weights & Biases, offline unless told otherwise"
        ),
        "mlflow": Entry("rlkit.experiment.runs.sinks:mlflow", "MLflow, in files unless told otherwise"),
    },
)
"""Makers ``maker(about) -> Sink``."""

_PACKAGES = {  # module, distribution, extra
    "tensorboard": ("tensorboardX", "tensorboardX", "tb"),
    "wandb": ("wandb", "wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow-skinny", "mlflow"),
}


def scalars(entry: Line) -> dict[str, float]:
    """What a line says as flat names: the mean over seeds as ``name``, the deviation as ``std/name``.

    No name is the folder of another, because MLflow keeps a file for each.
    """
    values = {name: value for name, value in entry["mean"].items() if value is not None}
    return values | {f"std/{name}": value for name, value in entry["std"].items() if value is not None}


def tensorboard(about: About) -> Sink:
    """TensorBoard's event files; those of a run that goes on are cut back to where it does."""
    from tensorboardX import SummaryWriter

    from rlkit.experiment.runs import events

    place = about.folder / "tensorboard"
    files = events.cut(place, about.step)  # what is logged again must not be there twice
    writer = SummaryWriter(str(place), filename_suffix=f".{files}")  # names tell seconds only

    def log(entry: Line) -> None:
        for name, value in scalars(entry).items():
            writer.add_scalar(name, value, entry["step"])

    return Sink("tensorboard", log, writer.close, writer.flush)


def wandb(about: About) -> Sink:
    """Weights & Biases, with the project in ``WANDB_PROJECT``; each start of a run is a run there."""
    package = importlib.import_module("wandb")
    run = package.init(
        project=os.environ.get("WANDB_PROJECT", "rlkit"),
        name=about.folder.name,
        dir=str(about.folder),
        config=about.settings,
        mode=os.environ.get("WANDB_MODE", "offline"),
    )
    return Sink("wandb", lambda entry: run.log(scalars(entry), step=entry["step"]), run.finish)


def mlflow(about: About) -> Sink:
    """MLflow, at ``MLFLOW_TRACKING_URI`` or in files; each start of a run is a run there."""
    package = importlib.import_module("mlflow")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:  # files, which need no server and no database; newer versions want to be told so
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (about.folder / "mlflow").resolve().as_uri()
    client = package.MlflowClient(uri)
    name = about.title.replace("/", "-").replace(":", "-")
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run = client.create_run(experiment_id, run_name=about.folder.name).info.run_id
    for name, value in about.settings.items():
        client.log_param(run, name, value)

    def log(line: Line) -> None:
        for metric, value in scalars(line).items():
            client.log_metric(run, metric, value, step=line["step"])

    return Sink("mlflow", log, lambda: client.set_terminated(run))


def require(names: Iterable[str]) -> None:
    """Check that there are such sinks and that their packages are installed.

    Raises:
      UnknownNameError: there is no such sink; the message suggests the nearest one.
      MissingExtraError: a package is not installed; the message says how to install it.
      UsageError: a package is installed but cannot be imported; the message says what that said.
    """
    for name in names:
        TABLE[name]  # raises
        if name not in _PACKAGES:
            continue
        module, package, extra = _PACKAGES[name]
        try:
            importlib.import_module(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, ModuleNotFoundError) and error.name == module:
                raise missing_extra(f"the sink {name}", package, extra) from None
            raise UsageError(
                f"the sink {name} cannot be used: importing {module} failed with {type(error).__name__}: "
                f"{_safe(error)}; mend the package {package!r}, or leave the sink out"
            ) from error


_SECRET = ("KEY", "TOKEN", "PASSWORD", "SECRET")  # ends of the names of environment variables that hold one
_SHORTEST = 6  # characters of a secret: to blank shorter ones would blank words
_LOGIN = re.compile(r"(?<=://)([^\s/?#@:]*:(?!\d+[/?#])\S*|[^\s/?#]*)@")
"""``user:password@`` of a URL, up to the last ``@``, because passwords are not always escaped."""


def _safe(error: BaseException) -> str:
    """What an error says, without secrets.

    Libraries quote addresses and keys in what they raise, and the output of a run ends up in files.
    """
    text = said(error)
    found = {value for name, value in os.environ.items() if name.upper().endswith(_SECRET)}
    secrets = {form for value in found if len(value) >= _SHORTEST for form in (value, quote(value, safe=""))}
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, "***")
    return _LOGIN.sub("***@", text)


def guarded(sink: Sink, warn: Callable[[str], None]) -> Sink:
    """A sink whose first failure is reported and whose other failures are silent."""
    broken = False

    def protect(action: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            nonlocal broken
            if broken:
                return
            try:
                action(*args)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever it raises, sys.exit too, the run goes on
                broken = True
                warn(
                    f"{sink.name} failed ({_safe(error)}); the run goes on without it, "
                    "metrics.jsonl has everything"
                )

        return call

    return Sink(sink.name, protect(sink.log), protect(sink.close), protect(sink.flush))


def open_sinks(
    wanted: Iterable[str | Sink | Callable[[Line], None]], about: About, warn: Callable[[str], None]
) -> list[Sink]:
    """Open sinks, each guarded.

    Args:
      wanted: names of the table, ``"module:maker"``, sinks, or functions that take a line of the log.
      about: what the makers are told.
      warn: told about those that cannot be opened, or fail later.

    Raises:
      UsageError: something else is wanted.
    """
    sinks = []
    for entry in wanted:
        if isinstance(entry, Sink):
            sinks.append(guarded(entry, warn))
        elif callable(entry):
            sinks.append(guarded(Sink(getattr(entry, "__name__", "a function"), entry), warn))
        elif not isinstance(entry, str):
            raise UsageError(
                f"log has {entry!r}: expected the name of a sink, a Sink or a function of a line"
            )
        else:
            try:
                sinks.append(guarded(TABLE.make(entry, about), warn))
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                warn(f"{entry} could not be opened ({_safe(error)}); the run goes on without it")
    return sinks
