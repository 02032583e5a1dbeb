"""Training from Python: a population, its learning curves and its latents, nothing on disk."""

import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.bulk import around, replace_rest, rest
from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.experiment.runs.logbook import Line, line
from rlkit.experiment.runs.sinks import About, Sink, open_sinks, require
from rlkit.experiment.training.config import ON_NAN
from rlkit.experiment.training.driver import Observers, Position, Training, drive, no_rows
from rlkit.experiment.training.health import born_finite, idle_seeds, nothing_learnt
from rlkit.experiment.training.loop import Chunk, compile_chunk, schedule
from rlkit.experiment.training.members import Members
from rlkit.experiment.training.observe import Observe, observers, without_observations
from rlkit.experiment.training.population import Population, population
from rlkit.experiment.training.progress import Progress, no_progress, progress_bar
from rlkit.experiment.training.signals import listening
from rlkit.experiment.training.untrained import untrained_latents
from rlkit.keys import typed_key
from rlkit.types import Agent, Key, Learner, PyTree

UNTRAINED = 0x9E7  # keeps the keys of untrained networks apart from those of seeds


class Trained(NamedTuple):
    """What a training gave."""

    state: PyTree  # leaves [S, ...]
    population: Population
    lines: list[Line]  # as in metrics.jsonl, see rlkit.experiment.runs.logbook
    latents: dict[
        int, dict[str, np.ndarray]
    ]  # by update: what the probe returned, but "obs" of all but the last
    untrained: (
        np.ndarray | None
    )  # [S, M, T, n]: latents of untrained networks on the last recording's observations
    finished: bool  # False if SIGINT ended it: curves end where it came

    def steps(self, kind: str = "train") -> np.ndarray:
        """int [P]: environment steps per seed at the log points."""
        return np.array([entry["step"] for entry in self.lines if entry["kind"] == kind], np.int64)

    def curve(self, metric: str) -> np.ndarray:
        """float [P, S]: a metric at its log points, NaN where it is undefined.

        Raises:
          UnknownNameError: there is no such metric.
        """
        rows = [entry["seeds"] for entry in self.lines if metric in entry["seeds"]]
        if not rows:
            raise unknown_name("metric", metric, {name for entry in self.lines for name in entry["seeds"]})
        return np.array([row[metric] for row in rows], np.float64)


def _start(pop: Population, key: Key) -> Position:
    return Position(0, pop.init(key), no_rows(pop))


def train(
    agent: Agent | Learner,
    num_updates: int | None = None,
    key: Key | None = None,
    *,
    total_steps: int | None = None,
    seeds: int = 8,
    members: Members | None = None,
    env_params: PyTree = None,
    batching: str = "auto",
    devices: Any = None,
    log_every: int | None = None,
    probes: int = 20,
    probe_steps: int = 0,
    eval_episodes: int = 0,
    probe: Callable[[Population], Observe] | None = None,
    untrained: int = 0,
    evaluate: Callable[[Population], Observe] | None = None,
    log: Sequence[str | Sink | Callable[[Line], None]] = (),
    log_folder: str | Path = ".",
    on_nan: str = "stop",
    progress: bool = True,
    chunk_length: int | None = None,
    num_seeds: int | None = None,
) -> Trained:
    """Train a population of seeds.

    Its words are those of :class:`rlkit.experiment.training.config.TrainConfig`.

    Args:
      agent: the agent, or any :class:`rlkit.types.Learner`, such as a reward model's.
      num_updates: calls of ``agent.step`` for each seed; or give ``total_steps``.
      key: typed PRNG key or a seed; None takes ``jax.random.key(0)``. Seed k starts from ``fold_in(key, k)``.
      total_steps: environment steps per seed, rounded up to whole updates.
      seeds: seeds of each member, trained side by side.
      members: settings to train side by side, see :func:`rlkit.experiment.training.members.sweep`.
      env_params: the environment's parameters for all; None takes its own.
      batching: ``"map"``, ``"vmap"`` or ``"auto"``, see :func:`rlkit.experiment.training.population`.
      devices: devices to spread the seeds over; None takes all.
      log_every: updates between log points; None makes about 200.
      probes: number of probe points beside the start.
      probe_steps: steps of the rollout that records latents at each probe point; 0 records none.
      eval_episodes: fresh episodes per seed that judge the policy at each probe point; 0 for none.
      probe: another observer in the place of that of ``probe_steps``: made of the population, its arrays are
        kept in ``latents``, e.g. ``lambda pop: latent_probe(pop, key)``.
      untrained: networks per seed that have learnt nothing and see the last recording's observations; their
        latents are ``untrained`` of the result. Needs a probe that returns ``"obs"``.
      evaluate: another one in the place of that of ``eval_episodes``: its values ``[S]`` are logged as lines
        of kind ``"eval"``.
      log: where lines of the log go as well: names of sinks (``"tensorboard"``, ``"wandb"``, ``"mlflow"``),
        sinks, or functions of a line, see :mod:`rlkit.experiment.runs.logbook`.
      log_folder: where sinks that write files do so.
      on_nan: ``"stop"`` raises; ``"skip"`` undoes the update and goes on with other random numbers;
        ``"rollback"`` goes back to the last tenth of the training with other random numbers.
      progress: show a progress bar.
      chunk_length: updates per compiled call; None follows the measured speed. Changes no result.
      num_seeds: the former name of ``seeds``.

    Returns:
      The trained population. SIGINT ends it early, with a warning and ``finished=False``. Other signals end
      the process as ever: nothing is saved here, and a script that went on would take what an unfinished
      training gives for a result.

    Raises:
      NonFiniteError: a loss or a parameter is not finite; the message names what went first.
      UnknownNameError: no such ``on_nan``, ``batching`` or sink.
      UsageError: both or none of ``num_updates`` and ``total_steps``; the members do not fit.

    Warns:
      DeprecationWarning: ``num_seeds`` is given.
    """
    if num_seeds is not None:
        warnings.warn("train(num_seeds=...) is called seeds= now", DeprecationWarning, stacklevel=2)
        seeds = num_seeds
    if on_nan not in ON_NAN:
        raise unknown_name("value of on_nan", on_nan, ON_NAN)
    if not callable(getattr(agent, "init", None)) or not callable(getattr(agent, "step", None)):
        raise UsageError(
            f"agent={agent!r:.80}: expected an agent, e.g. rlkit.agents.ppo(make('classic/cartpole'))"
        )
    log = (log,) if isinstance(log, str) else log
    looks = any(getattr(agent, name, None) is not None for name in ("act", "record", "judge"))
    if (probe_steps or eval_episodes) and not looks:
        raise UsageError(
            f"probe_steps={probe_steps}, eval_episodes={eval_episodes}: expected 0, "
            f"for {agent.title} does not act"
        )
    key = typed_key(0 if key is None else key)
    num_updates = _updates(agent, num_updates, total_steps)
    require(name for name in log if isinstance(name, str))
    plan = schedule(num_updates, log_every=log_every, probes=probes)
    pop = population(
        agent, seeds, members=_members(members, env_params), batching=batching, devices=devices,
        max_chunk=min(num_updates, 512), skip_nonfinite=on_nan == "skip",
    )  # fmt: skip
    position = _start(pop, key)
    program = compile_chunk(pop, position.state)
    training = Training(program, pop, plan, born_finite(pop, position.state), on_nan, chunk_length)
    shown = progress_bar if progress else no_progress
    with listening((signal.SIGINT,)) as stop, shown(agent, plan, pop.size) as bar:
        bar.compiled(program)
        record, judge = observers(pop, key, probe_steps, eval_episodes, batching)
        record, judge = probe(pop) if probe else record, evaluate(pop) if evaluate else judge
        about = About(Path(log_folder), agent.title, {})
        sinks = open_sinks(log, about, bar.warn)
        memory = _Memory(pop, key, bar, record, judge, num_updates, sinks, on_nan == "rollback")
        end = drive(training, position, memory.observers(), stop)
        for sink in sinks:
            sink.close()
        if end.update < num_updates:
            bar.warn(f"interrupted after {end.update} of {num_updates} updates: what is returned ends there")
        idle = idle_seeds(memory.lines)
        if idle:
            bar.warn(nothing_learnt(idle, pop.size))
    last, compared = memory.latents.get(num_updates, {}), None
    if untrained and "obs" in last:
        fresh_key = jax.random.fold_in(key, UNTRAINED)
        compared = untrained_latents(pop, end.state, last["obs"], last["first"], fresh_key, untrained)
    return Trained(end.state, pop, memory.lines, memory.latents, compared, end.update == num_updates)


def _updates(agent: Agent | Learner, num_updates: int | None, total_steps: int | None) -> int:
    if (num_updates is None) == (total_steps is None):
        raise UsageError(
            f"num_updates={num_updates}, total_steps={total_steps}: expected one of them, how long to train"
        )
    if total_steps is not None:
        num_updates = -(-check_count("total_steps", total_steps) // agent.steps_per_update)
    return check_count("num_updates", num_updates)


def _members(members: Members | None, env_params: PyTree) -> Members | None:
    """The members, with environment parameters that are the same for all."""
    if env_params is None:
        return members
    if members is not None and members.env_params is not None:
        raise UsageError("env_params and members.env_params: expected one of them")
    members = members or Members(("",))
    size = len(members.labels)
    each = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x), (size, *jnp.shape(x))), env_params)
    return members._replace(env_params=each)


def _copy(leaves: PyTree) -> PyTree:
    """A copy on the host (of keys: on the device) that donating the original does not touch."""
    keyed = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda x: jnp.copy(x) if keyed(x) else np.array(x), leaves)


class _Memory:
    """Keeps in memory what a run would keep on disk."""

    def __init__(
        self,
        pop: Population,
        key: Key,
        bar: Progress,
        probe: Any,
        evaluate: Any,
        last: int,
        sinks: list[Sink],
        undoing: bool,
    ):
        self.pop, self.key, self.bar, self.probe, self.evaluate = pop, key, bar, probe, evaluate
        self.last = last  # update whose observations are kept
        self.sinks = sinks
        self.lines: list[Line] = []
        self.latents: dict[int, dict[str, np.ndarray]] = {}
        self.saved: tuple[Position, int] | None = None  # leaves on the host, with the number of lines then
        self.lost = () if undoing else around(pop.agent.bulk)  # fields that are not saved: begun anew

    def observers(self) -> Observers:
        return Observers(self.log, self.look, self.save, self.advanced, self.last_good)

    def log(self, entry: Line) -> None:
        self.lines.append(entry)
        self.bar.log(entry)
        for sink in self.sinks:
            sink.log(entry)

    def look(self, state: PyTree, update: int) -> None:
        if self.evaluate is not None:
            step = update * self.pop.agent.steps_per_update
            self.log(line("eval", update, step, self.evaluate(state, update)))
        if self.probe is not None:
            arrays = self.probe(state, update)
            self.latents[update] = arrays if update == self.last else without_observations(arrays)

    def save(self, position: Position) -> None:
        kept = _copy(rest(self.lost, position.state))
        self.saved = (position._replace(state=kept, whole=not self.lost), len(self.lines))

    def advanced(self, chunk: Chunk, count: int) -> None:
        self.bar.advanced(chunk.update, count, chunk.seconds)

    def last_good(self, undo: bool) -> Position:
        position, lines = _start(self.pop, self.key), 0
        if self.saved is not None:
            fresh, (position, lines) = position.state, self.saved
            leaves = jax.device_put(_copy(position.state), self.pop.sharding)
            position = position._replace(state=replace_rest(self.lost, fresh, leaves))
        if undo:
            del self.lines[lines:]
            self.latents = {u: arrays for u, arrays in self.latents.items() if u <= position.update}
        return position
