"""Training in a run folder: everything is kept, and a killed run continues to the bit."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment import cache, checkpoint, config, devices, logbook, store
from rlkit.experiment.config import TrainConfig
from rlkit.experiment.driver import Observers, Position, Training, drive, no_rows
from rlkit.experiment.health import NonFiniteError, born_finite
from rlkit.experiment.loop import Chunk, Schedule, compile_chunk, schedule
from rlkit.experiment.observe import Observe, evaluation, latent_probe
from rlkit.experiment.population import Population, population
from rlkit.experiment.progress import Progress, no_progress, progress_bar
from rlkit.experiment.provenance import provenance
from rlkit.experiment.signals import Stop, listening
from rlkit.experiment.sinks import Sink, open_sinks, require
from rlkit.types import Agent

NAN = "nan"
OBSERVERS = 0x0B5E4BE  # keeps their keys apart from those of seeds


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    finished: bool
    exit_code: int  # 0, or 130/143 after SIGINT/SIGTERM


def run(
    settings: TrainConfig,
    folder: str | Path | None = None,
    *,
    root: str | Path = "runs",
    progress: bool = True,
    chunk_length: int | None = None,
) -> Outcome:
    """Train, and keep everything in a new run folder.

    Args:
      settings: what to train.
      folder: the run folder, which must not exist; None makes one below ``root``.
      root: where run folders are made.
      progress: show a progress bar.
      chunk_length: updates per compiled call; None follows the measured speed. Changes no result.

    Returns:
      Where the run is and how it ended. The persistent compilation cache is on, see
      :mod:`rlkit.experiment.cache`.

    Raises:
      UsageError: something in ``settings`` does not exist, or the folder is not free.
      NonFiniteError: something is not finite (and ``on_nan`` does not help); ``nan/`` keeps the last
        finite state.
      RlkitError: the folder cannot be written.
    """
    cache.enable()
    agent = _build(settings)  # before the folder: a request that cannot be carried out leaves nothing
    name = config.agent_name(settings.agent)
    path = store.claim(folder) if folder is not None else store.create(root, settings.env, name)
    try:
        config.save(path / store.CONFIG, settings)
    except OSError as error:
        raise RlkitError(
            f"cannot write in {path}: {error.strerror or error}; choose another place"
        ) from error
    return _locked(path, settings, agent, progress, chunk_length)


def resume(folder: str | Path, *, progress: bool = True, chunk_length: int | None = None) -> Outcome:
    """Continue a run that was stopped or killed; the result has the bits of a run that was not.

    Args:
      folder: its run folder.
      progress: show a progress bar.
      chunk_length: as in :func:`run`.

    Returns:
      As :func:`run`.

    Raises:
      UsageError: not a run folder, a finished run, another process writes it, or its checkpoints
        belong to another agent.
      RlkitError: no checkpoint is intact.
    """
    cache.enable()
    path = store.existing(folder)
    settings = config.load(path / store.CONFIG)
    if (path / store.DONE).exists():
        raise UsageError(f"{path} has finished; start a longer run with --from {path / store.CONFIG}")
    return _locked(path, settings, _build(settings), progress, chunk_length)


def _build(settings: TrainConfig) -> Agent:
    require(settings)
    devices.choose(settings.devices)
    return config.build(settings)


def _locked(path: Path, settings: TrainConfig, agent: Agent, progress: bool, length: int | None) -> Outcome:
    pop = population(
        agent,
        settings.seeds,
        batching=settings.batching,
        devices=devices.choose(settings.devices),
        max_chunk=min(512, _num_updates(settings, agent)),
        skip_nonfinite=settings.on_nan == "skip",
    )
    plan = schedule(
        _num_updates(settings, agent),
        log_every=settings.log_every or None,
        probes=settings.probes,
        checkpoint_every=settings.checkpoint_every or None,
    )
    bar = progress_bar if progress else no_progress
    with listening() as stop, bar(agent, plan, settings.seeds) as shown, store.locked(path, shown.warn):
        keeper = Keeper(path, settings, pop, plan, shown)
        try:
            return keeper.train(stop, length)
        except NonFiniteError as error:
            keeper.keep_last_finite(error)
            raise
        finally:
            keeper.close()


def _num_updates(settings: TrainConfig, agent: Agent) -> int:
    return -(-settings.total_steps // agent.steps_per_update)


class Keeper:
    """Keeps what a training gives in its run folder."""

    def __init__(self, path: Path, settings: TrainConfig, pop: Population, plan: Schedule, shown: Progress):
        self.path, self.settings, self.pop, self.plan, self.shown = path, settings, pop, plan, shown
        self.key = jax.random.key(settings.seed)
        self.exempt: tuple[str, ...] = ()
        self.saved = -1  # updates in the newest checkpoint
        self.sinks: list[Sink] = open_sinks(path, settings, shown.warn)
        self.probe, self.judge = self._observers()

    def _observers(self) -> tuple[Observe | None, Observe | None]:
        s, key = self.settings, jax.random.fold_in(self.key, OBSERVERS)
        if not s.probes:
            return None, None
        probe = latent_probe(self.pop, jax.random.fold_in(key, 0), s.probe_steps, s.batching)
        judge = evaluation(self.pop, jax.random.fold_in(key, 1), s.eval_episodes, s.batching)
        return probe if s.probe_steps else None, judge if s.eval_episodes else None

    def train(self, stop: Stop, length: int | None) -> Outcome:
        """Train from the newest checkpoint, or the start, to the end or the first signal."""
        found = checkpoint.restore(self.path / store.CHECKPOINTS, self._template(), self.shown.warn)
        position = self._position(found)
        where = provenance()
        self._note("start", update=position.update, provenance=where)
        if not (self.path / store.ENV).exists():
            store.write_json(self.path / store.ENV, where)
        if found is None:
            born = born_finite(position.state)
            self.exempt = tuple(n for n, b in zip(self.pop.leaves, born, strict=True) if not b)
        born = np.array([leaf not in self.exempt for leaf in self.pop.leaves])
        program = compile_chunk(self.pop, position.state)
        self.shown.compiled(program)
        self._note("compiled", trace_s=program.trace_seconds, compile_s=program.compile_seconds)
        training = Training(program, self.pop, self.plan, born, self.settings.on_nan, length)
        see = Observers(self.log, self.look, self.save, self.advanced, self.last_good)
        end = drive(training, position, see, stop)
        if end.update < self.plan.num_updates:
            if end.update > max(self.saved, 0):
                self.save(end)
            self._note("stopped", update=end.update, signal=stop.signal)
            self.shown.say(f"stopped at update {end.update}; continue with: rlkit train --resume {self.path}")
            return Outcome(self.path, False, stop.exit_code)
        steps = end.update * self.pop.agent.steps_per_update
        store.write_json(self.path / store.DONE, {"update": end.update, "steps_per_seed": steps})
        self._note("done", update=end.update)
        return Outcome(self.path, True, 0)

    def _template(self) -> Any:
        return jax.eval_shape(self.pop.init, self.key)

    def _position(self, found: checkpoint.Checkpoint | None) -> Position:
        """The position of a checkpoint (None: the start); the log is cut back to it."""
        if found is None:
            store.cut(self.path / store.METRICS, 0)
            return Position(0, self.pop.init(self.key), no_rows(self.pop))
        checkpoint.set_aside(self.path / store.CHECKPOINTS, found.update)
        store.cut(self.path / store.METRICS, found.meta["metrics_bytes"])
        self.exempt, self.saved = tuple(found.meta["exempt"]), found.update
        state = jax.device_put(found.state, self.pop.sharding)
        return Position(found.update, state, checkpoint.decode(found.meta["pending"]))

    def log(self, entry: logbook.Line) -> None:
        """Append a line to ``metrics.jsonl`` and hand it to the sinks."""
        store.append_jsonl(self.path / store.METRICS, entry)
        self.shown.log(entry)
        for sink in self.sinks:
            sink.log(entry)

    def look(self, state: Any, update: int) -> None:
        """Judge the policies and record their latents."""
        begin = time.perf_counter()
        if self.judge is not None:
            step = update * self.pop.agent.steps_per_update
            self.log(logbook.line("eval", update, step, self.judge(state, update)))
        if self.probe is not None:
            file = self.path / store.LATENTS / f"{update:08d}.npz"
            store.write_arrays(file, self.probe(state, update))
        self._note("probe", update=update, seconds=time.perf_counter() - begin)

    def save(self, position: Position) -> None:
        """Save a checkpoint, with the place in the log that belongs to it."""
        begin = time.perf_counter()
        file = self.path / store.METRICS
        meta = {
            "metrics_bytes": file.stat().st_size if file.exists() else 0,
            "pending": checkpoint.encode(position.pending),
            "exempt": list(self.exempt),
        }
        where = self.path / store.CHECKPOINTS
        checkpoint.save(
            where, position.update, position.state, meta, keep=self.settings.keep, exempt=self.exempt
        )
        self.saved = position.update
        self._note("checkpoint", update=position.update, seconds=time.perf_counter() - begin)

    def advanced(self, chunk: Chunk, count: int) -> None:
        """Note what a chunk took."""
        self.shown.advanced(chunk.update, count, chunk.seconds)
        self._note("chunk", update=chunk.update, updates=count, seconds=chunk.seconds)

    def last_good(self, undo: bool) -> Position:
        """The newest checkpoint that the schedule made; those made on a signal do not count."""
        every = self.plan.checkpoint_every
        where = self.path / store.CHECKPOINTS
        found = checkpoint.restore(where, self._template(), self.shown.warn, lambda u: u % every == 0)
        if undo:
            self._note("rollback", update=found.update if found else 0)
            if found is None:
                checkpoint.set_aside(where, -1)
            return self._position(found)
        if found is None:
            return Position(0, self.pop.init(self.key), no_rows(self.pop))
        state = jax.device_put(found.state, self.pop.sharding)
        return Position(found.update, state, checkpoint.decode(found.meta["pending"]))

    def keep_last_finite(self, error: NonFiniteError) -> None:
        """Write the last finite state and the report to ``nan/``."""
        if error.sick is None:
            return
        report = error.sick._asdict() | {"message": str(error)}
        checkpoint.save(self.path / NAN, error.update, error.state, report, keep=1, exempt=self.exempt)
        store.write_json(self.path / NAN / "report.json", report)
        self._note("not finite", **report)

    def close(self) -> None:
        """Close the sinks."""
        for sink in self.sinks:
            sink.close()

    def _note(self, event: str, **data: Any) -> None:
        store.append_jsonl(self.path / store.TIMINGS, {"event": event, "time": time.time(), **data})
