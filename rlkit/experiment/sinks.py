"""Sending metrics to other places than the run folder. A place that fails never stops a run."""

import dataclasses
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import missing_extra
from rlkit.experiment.config import SINKS, TrainConfig, to_dict
from rlkit.experiment.logbook import Line


class Sink(NamedTuple):
    """Somewhere that lines of the log go."""

    name: str
    log: Callable[[Line], None]
    close: Callable[[], None]
    flush: Callable[[], None] = lambda: None
    """called before each checkpoint, so that what a checkpoint knows of is there after a kill"""


def scalars(entry: Line) -> dict[str, float]:
    """What a line says as flat names: the mean over seeds as ``name``, the deviation as ``std/name``.

    No name is the folder of another, because MLflow keeps a file for each.
    """
    values = {name: value for name, value in entry["mean"].items() if value is not None}
    return values | {f"std/{name}": value for name, value in entry["std"].items() if value is not None}


def _tensorboard(folder: Path, config: TrainConfig, step: int) -> Sink:
    from tensorboardX import SummaryWriter

    from rlkit.experiment import events

    place = folder / "tensorboard"
    files = events.cut(place, step)  # what is logged again must not be there twice
    writer = SummaryWriter(str(place), filename_suffix=f".{files}")  # names tell seconds only

    def log(entry: Line) -> None:
        for name, value in scalars(entry).items():
            writer.add_scalar(name, value, entry["step"])

    return Sink("tensorboard", log, writer.close, writer.flush)


def _wandb(folder: Path, config: TrainConfig, step: int) -> Sink:
    import wandb  # pyrefly: ignore

    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "rlkit"),
        name=folder.name,
        dir=str(folder),
        config=to_dict(config),
        mode=os.environ.get("WANDB_MODE", "offline"),
    )
    return Sink("wandb", lambda entry: run.log(scalars(entry), step=entry["step"]), run.finish)


def _mlflow(folder: Path, config: TrainConfig, step: int) -> Sink:
    import mlflow  # pyrefly: ignore

    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:  # files, which need no server and no database; newer versions want to be told so
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (folder / "mlflow").resolve().as_uri()
    client = mlflow.MlflowClient(uri)
    name = config.env.replace("/", "-")
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run = client.create_run(experiment_id, run_name=folder.name).info.run_id
    for entry in dataclasses.fields(config):
        client.log_param(run, entry.name, getattr(config, entry.name))

    def log(line: Line) -> None:
        for metric, value in scalars(line).items():
            client.log_metric(run, metric, value, step=line["step"])

    return Sink("mlflow", log, lambda: client.set_terminated(run))


_MAKERS = dict(zip(SINKS, (_tensorboard, _wandb, _mlflow), strict=True))
_PACKAGES = {  # module, distribution, extra
    "tensorboard": ("tensorboardX", "tensorboardX", "tb"),
    "wandb": ("wandb", "wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow-skinny", "mlflow"),
}


def require(config: TrainConfig) -> None:
    """Check that the packages of all sinks are installed.

    Raises:
      MissingExtraError: one is not; the message says how to install it.
    """
    for name in config.sinks:
        module, package, extra = _PACKAGES[name]
        try:
            importlib.import_module(module)
        except ImportError:
            raise missing_extra(f"the sink {name}", package, extra) from None


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
            except Exception as error:  # whatever it raises, the run goes on
                broken = True
                warn(
                    f"{sink.name} failed ({error}); the run goes on without it, metrics.jsonl has everything"
                )

        return call

    return Sink(sink.name, protect(sink.log), protect(sink.close), protect(sink.flush))


def open_sinks(folder: Path, config: TrainConfig, warn: Callable[[str], None], step: int = -1) -> list[Sink]:
    """Open the sinks that a configuration names; W&B and MLflow stay offline unless told otherwise.

    Args:
      folder: the run folder.
      config: names the sinks.
      warn: told about those that cannot be opened, or fail later.
      step: the last environment step whose lines stay in the log, -1 for a new one. TensorBoard's files
        are cut back to it; W&B and MLflow get another run at each start.
    """
    sinks = []
    for name in config.sinks:
        try:
            sinks.append(guarded(_MAKERS[name](folder, config, step), warn))
        except Exception as error:
            warn(f"{name} could not be opened ({error}); the run goes on without it")
    return sinks
