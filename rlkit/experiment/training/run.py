"""Training in a run folder: everything is kept, and a killed run continues to the bit."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlkit.bulk import around
from rlkit.errors import UsageError
from rlkit.experiment.runs import checkpoint, logbook, store
from rlkit.experiment.runs.sinks import About, Sink, open_sinks, require
from rlkit.experiment.training import cache, config, devices, integrity
from rlkit.experiment.training.driver import Observers, Position, Training, drive, no_rows
from rlkit.experiment.training.health import NonFiniteError, born_finite, idle_seeds, nothing_learnt
from rlkit.experiment.training.integrity import Ledger
from rlkit.experiment.training.loop import Chunk, Schedule, compile_chunk, schedule
from rlkit.experiment.training.observe import OBSERVERS, observers, ready, without_observations
from rlkit.experiment.training.population import Population, population
from rlkit.experiment.training.progress import Progress, no_progress, progress_bar
from rlkit.experiment.training.provenance import machine, provenance
from rlkit.experiment.training.resuming import newest
from rlkit.experiment.training.signals import Stop, listening
from rlkit.types import Agent

NAN = "nan"


class Outcome(NamedTuple):
    """How a run ended."""

    folder: Path
    finished: bool
    exit_code: int  # 0, 1 if nothing was learnt, or 128 + the number of the signal that stopped it


def run(
    settings: Any,
    folder: str | Path | None = None,
    *,
    root: str | Path = "runs",
    progress: bool = True,
    chunk_length: int | None = None,
    abrupt: bool = False,
) -> Outcome:
    """Train, and keep everything in a new run folder.

    Args:
      settings: what to train: a :class:`rlkit.experiment.TrainConfig`, a
        :class:`rlkit.experiment.GroupRunConfig` or a :class:`rlkit.experiment.FitRunConfig`.
      folder: the run folder, which must not exist; None makes one below ``root``.
      root: where run folders are made.
      progress: show a progress bar.
      chunk_length: updates per compiled call; None follows the measured speed. Changes no result.
      abrupt: a signal before the first update ends the process, as a command should; otherwise it waits
        for the compiler and then returns.

    Returns:
      Where the run is and how it ended. The persistent compilation cache is on, see
      :mod:`rlkit.experiment.training.cache`.

    Raises:
      UsageError: something in ``settings`` does not exist, or the folder is not free.
      NonFiniteError: something is not finite (and ``on_nan`` does not help); ``nan/`` keeps the last
        finite state.
      RlkitError: the folder cannot be written.
    """
    cache.enable()
    # Before the folder: a request that cannot be carried out leaves nothing.
    settings = config.settled(settings)
    agent = _build(settings, progress)
    _num_updates(settings, agent)
    json.dumps(config.to_dict(settings), allow_nan=False)
    path = (
        store.claim(folder) if folder is not None else store.create(root, settings.env, settings.agent_name)
    )
    config.save(path / store.CONFIG, settings)
    return _locked(path, settings, agent, progress, chunk_length, abrupt)


def resume(
    folder: str | Path, *, progress: bool = True, chunk_length: int | None = None, abrupt: bool = False
) -> Outcome:
    """Continue a run that was stopped or killed; the result has the bits of a run that was not.

    Args:
      folder: its run folder.
      progress: show a progress bar.
      chunk_length: as in :func:`run`.
      abrupt: as in :func:`run`.

    Returns:
      As :func:`run`.

    Raises:
      UsageError: not a run folder, a finished run, another process writes it, its configuration or its
        log is not what the checkpoints recorded, or they belong to another agent.
      RlkitError: no checkpoint is intact.
    """
    cache.enable()
    path = store.existing(folder, write=True)
    settings = config.load(path / store.CONFIG)
    if (path / store.DONE).exists():
        raise UsageError(f"{path} has finished; start a longer run with --from {path / store.CONFIG}")
    return _locked(path, settings, _build(settings, progress), progress, chunk_length, abrupt)


def _build(settings: Any, progress: bool) -> Agent:
    require(settings.sinks)
    devices.choose(settings.devices)
    agent = config.build(settings)
    config.members(settings, agent)
    if (room := getattr(agent, "room", None)) is not None:
        said = room(settings.seeds)
        if progress:
            print(f"{agent.title} needs {said}", file=sys.stderr)
    return agent


def _locked(
    path: Path, settings: Any, agent: Agent, progress: bool, length: int | None, abrupt: bool
) -> Outcome:
    num_updates = _num_updates(settings, agent)
    pop = population(
        agent,
        settings.seeds,
        members=config.members(settings, agent),
        batching=settings.batching,
        devices=devices.choose(settings.devices),
        max_chunk=min(512, num_updates),
        skip_nonfinite=settings.on_nan == "skip",
    )
    plan = schedule(
        num_updates,
        log_every=settings.log_every or None,
        probes=settings.probes,
        checkpoint_every=settings.checkpoint_every or None,
    )
    bar = progress_bar if progress else no_progress
    with listening() as stop, bar(agent, plan, pop.size) as shown, store.locked(path, shown.warn):
        if abrupt:
            stop.at_once(lambda: _leave(path, shown))
        keeper = Keeper(path, settings, pop, plan, shown)
        try:
            return keeper.train(stop, length)
        except NonFiniteError as error:
            keeper.keep_last_finite(error)
            raise
        finally:
            keeper.close()


def _leave(path: Path, shown: Progress) -> None:
    """Close a run in which nothing is lost: since it started it has made no update."""
    store.unlock(path)
    shown.end()
    shown.warn(f"stopped before an update was made; continue with: rlkit train --resume {_quoted(path)}")


def _quoted(path: Path) -> str:
    """A path as the shell wants it."""
    return shlex.quote(str(path))


def _num_updates(settings: Any, agent: Agent) -> int:
    count = -(-settings.total_steps // agent.steps_per_update)
    if count >= 2**31:
        raise UsageError(
            f"total_steps={settings.total_steps}: that is {count} updates of {agent.steps_per_update} steps, "
            f"expected fewer than {2**31}"
        )
    return count


class Keeper:
    """Keeps what a training gives in its run folder."""

    def __init__(self, path: Path, settings: Any, pop: Population, plan: Schedule, shown: Progress):
        self.path, self.settings, self.pop, self.plan, self.shown = path, settings, pop, plan, shown
        self.key = jax.random.key(settings.seed)
        self.exempt: tuple[str, ...] = ()
        self.saved = -1  # updates in the newest checkpoint
        self.ledger = Ledger(path)
        self.noticed: list[str] = []  # damage to the run's files, kept for its reports
        names = (settings.env, settings.agent_name, settings.reward)
        self.machine = machine(pop.sharding.mesh.size, names)
        self.sinks: list[Sink] = []
        steps, episodes = (settings.probe_steps, settings.eval_episodes) if settings.probes else (0, 0)
        self.probe, self.judge = observers(pop, self.key, steps, episodes, settings.batching)

    def train(self, stop: Stop, length: int | None) -> Outcome:
        """Train from the newest checkpoint, or the start, to the end or the first signal."""
        found, self.noticed = newest(self.path, self._restore, self._config(), self.machine, self.shown)
        position = self._position(found)
        where = provenance()
        origin = {"provenance": where, "machine": self.machine, "config": self._config()}
        self._note("start", update=position.update, **origin)
        if not (self.path / store.ENV).exists():
            store.write_json(self.path / store.ENV, where)
        if found is None:
            born = born_finite(self.pop, position.state)
            self.exempt = tuple(n for n, b in zip(self.pop.leaves, born, strict=True) if not b)
        born = np.array([leaf not in self.exempt for leaf in self.pop.leaves])
        program = compile_chunk(self.pop, position.state)
        looks = ready((self.probe, self.judge), position.state)
        program = program._replace(compile_seconds=program.compile_seconds + looks)
        self.shown.compiled(program)
        self._note("compiled", trace_s=program.trace_seconds, compile_s=program.compile_seconds)
        training = Training(program, self.pop, self.plan, born, self.settings.on_nan, length)
        underway = lambda: stop.at_once(None)
        see = Observers(self.log, self.look, self.save, self.advanced, self.last_good, underway)
        end = drive(training, position, see, stop)
        if end.update < self.plan.num_updates:
            if end.update > max(self.saved, 0):
                self.save(end)
            self._note("stopped", update=end.update, signal=stop.signal)
            self.shown.say(
                f"stopped at update {end.update}; continue with: rlkit train --resume {_quoted(self.path)}"
            )
            return Outcome(self.path, False, stop.exit_code)
        return self._finish(end)

    def _finish(self, end: Position) -> Outcome:
        """Write ``DONE``, which says whether anything was learnt."""
        steps = end.update * self.pop.agent.steps_per_update
        done: dict[str, Any] = {"update": end.update, "steps_per_seed": steps}
        idle = (
            idle_seeds(store.read_jsonl(self.path / store.METRICS)) if "skipped" in self.pop.metrics else []
        )
        if idle:
            done["learnt_nothing"] = idle
            self.shown.warn(nothing_learnt(idle, self.pop.size))
        store.write_json(self.path / store.DONE, done)
        self._note("done", update=end.update)
        return Outcome(self.path, True, int(len(idle) == self.pop.size))

    def _compare(self, state: Any, seen: dict[str, Any]) -> None:
        """Record what untrained networks make of the last recording's observations."""
        from rlkit.experiment.training.untrained import untrained_latents

        key = jax.random.fold_in(jax.random.fold_in(self.key, OBSERVERS), 2)
        found = untrained_latents(self.pop, state, seen["obs"], seen["first"], key, self.settings.untrained)
        store.write_arrays(self.path / store.LATENTS / store.UNTRAINED, {"latent": found})

    def _config(self) -> dict[str, Any]:
        return json.loads(json.dumps(config.to_dict(self.settings)))

    def _restore(self, accept: Callable[[int], bool]) -> checkpoint.Checkpoint | None:
        """The newest intact checkpoint of those accepted; what it has lost begins anew, which is said."""
        template = jax.eval_shape(self.pop.init, self.key)
        where, bulk = self.path / store.CHECKPOINTS, self.pop.agent.bulk
        fresh = lambda: self.pop.init(self.key)
        found = checkpoint.restore(where, template, self.shown.warn, accept, bulk=bulk, fresh=fresh)
        if found is not None and not found.whole:
            fields = around(bulk)
            self.shown.warn(
                f"checkpoint {found.update} is without its {' and '.join(fields)}, which begins anew, empty: "
                "the results will not be those of a run that was not stopped"
            )
            self._note("begun anew", update=found.update, fields=list(fields))
        return found

    def _position(self, found: checkpoint.Checkpoint | None) -> Position:
        """The position of a checkpoint (None: the start); log, sinks and recordings are cut back to it."""
        last, files = (-1, {}) if found is None else (found.update, found.meta["files"])
        for update, file in store.recordings(self.path).items():
            if update > last:
                file.unlink()
        if f"{store.LATENTS}/{store.UNTRAINED}" not in files:
            (self.path / store.LATENTS / store.UNTRAINED).unlink(missing_ok=True)
        store.cut(self.path / store.METRICS, files.get(store.METRICS, (0,))[0])
        self.ledger = Ledger(self.path, integrity.recordings(files))
        self.close()
        step = last * self.pop.agent.steps_per_update
        about = About(self.path, self.settings.env, config.to_dict(self.settings), step)
        self.sinks = open_sinks(self.settings.sinks, about, self.shown.warn)
        if found is None:
            return self._start()
        checkpoint.set_aside(self.path / store.CHECKPOINTS, found.update)
        self.exempt, self.saved = tuple(found.meta["exempt"]), found.update
        return self._at(found)

    def _start(self) -> Position:
        return Position(0, self.pop.init(self.key), no_rows(self.pop))

    def _at(self, found: checkpoint.Checkpoint) -> Position:
        state = jax.device_put(found.state, self.pop.sharding)
        return Position(found.update, state, checkpoint.decode(found.meta["pending"]), found.whole)

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
            arrays = self.probe(state, update)
            # Before the checkpoint of this update, which keeps account of the files.
            if update == self.plan.num_updates and self.settings.untrained:
                self._compare(state, arrays)
            else:
                arrays = without_observations(arrays)
            store.write_arrays(self.path / store.LATENTS / f"{update:08d}.npz", arrays)
        self._note("probe", update=update, seconds=time.perf_counter() - begin)

    def save(self, position: Position) -> None:
        """Save a checkpoint, with the place in the log that belongs to it."""
        begin = time.perf_counter()
        for sink in self.sinks:
            sink.flush()
        meta = {
            "config": self._config(),
            "machine": self.machine,
            "files": {name: list(written) for name, written in self.ledger.written().items()},
            "noticed": self.noticed,
            "pending": checkpoint.encode(position.pending),
            "exempt": list(self.exempt),
        }
        where = self.path / store.CHECKPOINTS
        checkpoint.save(where, position.update, position.state, meta, keep=self.settings.keep, **self._how())
        self.saved = position.update
        self._note("checkpoint", update=position.update, seconds=time.perf_counter() - begin)

    def _how(self) -> dict[str, Any]:
        """What may be not finite in a checkpoint, and what need not last."""
        forget = self.settings.buffer == "forget"
        return {"exempt": self.exempt, "bulk": self.pop.agent.bulk, "forget": forget}

    def advanced(self, chunk: Chunk, count: int) -> None:
        """Note what a chunk took."""
        self.shown.advanced(chunk.update, count, chunk.seconds)
        self._note("chunk", update=chunk.update, updates=count, seconds=chunk.seconds)

    def last_good(self, undo: bool) -> Position:
        """The newest checkpoint that the schedule made; those made on a signal do not count."""
        every = self.plan.checkpoint_every
        where = self.path / store.CHECKPOINTS
        found = self._restore(lambda update: update % every == 0)
        if undo:
            self._note("rollback", update=found.update if found else 0)
            if found is None:
                checkpoint.set_aside(where, -1)
            return self._position(found)
        return self._start() if found is None else self._at(found)

    def keep_last_finite(self, error: NonFiniteError) -> None:
        """Write the last finite state and the report to ``nan/``."""
        if error.sick is None:
            return
        report = error.sick._asdict() | {"message": str(error)}
        shutil.rmtree(self.path / NAN, ignore_errors=True)  # of an earlier attempt
        if error.state is not None:
            checkpoint.save(self.path / NAN, error.update, error.state, report, keep=1, **self._how())
        store.write_json(self.path / NAN / "report.json", report)
        self._note("not finite", **report)

    def close(self) -> None:
        """Close the sinks."""
        for sink in self.sinks:
            sink.close()

    def _note(self, event: str, **data: Any) -> None:
        store.append_jsonl(self.path / store.TIMINGS, {"event": event, "time": time.time(), **data})
