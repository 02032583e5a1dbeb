"""Training a population from one event of its schedule to the next, through trouble if need be."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.experiment.runs.logbook import Line, cut_windows, line, window_mean
from rlkit.experiment.training.health import NonFiniteError, Sick, find_first, first_of_rows, sick_seeds
from rlkit.experiment.training.loop import Chunk, Program, Schedule, chunks
from rlkit.experiment.training.population import Population, fold_keys, is_pure
from rlkit.types import PyTree

MAX_ROLLBACKS = 3


class Position(NamedTuple):
    """A point of a training from which it can go on."""

    update: int
    state: PyTree  # leaves [S, ...]
    pending: np.ndarray  # [S, k, M]: metrics since the last log point
    whole: bool = True  # False: its bulk was lost and begins anew, so that it cannot be repeated to the bit


class Observers(NamedTuple):
    """What a training tells the outside. All are called on the host, between chunks."""

    log: Callable[[Line], None]
    probe: Callable[[PyTree, int], None]
    """``probe(state, update)`` at the probe points"""
    save: Callable[[Position], None]
    """at the checkpoints of the schedule"""
    advanced: Callable[[Chunk, int], None]
    """after each chunk, with the number of updates in it"""
    last_good: Callable[[bool], Position]
    """the newest position that was saved on schedule, or the start; true: undo what was logged since"""
    ready: Callable[[], None] = lambda: None
    """before the first chunk, when all that it needs has been compiled"""


class _Trouble(Exception):
    """A chunk that went from finite to not."""

    def __init__(self, begin: int, end: int, seen: Sick):
        super().__init__(begin, end, seen)
        self.begin, self.end, self.seen = begin, end, seen


class Training(NamedTuple):
    """The fixed side of a training."""

    program: Program
    population: Population
    schedule: Schedule
    born: np.ndarray  # bool [L], see `health.born_finite`
    on_nan: str = "stop"
    chunk_length: int | None = None


def no_rows(pop: Population) -> np.ndarray:
    """The pending rows of a training that has not begun."""
    return np.zeros((pop.size, 0, len(pop.metrics)), np.float32)


def drive(training: Training, position: Position, see: Observers, stop: Callable[[], bool]) -> Position:
    """Train to the end of the schedule, or until ``stop()``.

    Args:
      training: program, population and schedule.
      position: where to begin; its state is donated.
      see: what to tell.
      stop: asked between chunks.

    Returns:
      Where the training is now.

    Raises:
      NonFiniteError: something is not finite and the policy is to stop, or rolling back did not help.
      HostError: an environment on the host failed; the last position has been saved.
    """
    folds: list[list[int]] = []  # seeds that got other random numbers since `origin`, by attempt
    origin = -1
    while True:
        try:
            return _straight(training, position, see, stop)
        except _Trouble as trouble:
            good = see.last_good(False)
            if good.update != origin:
                folds, origin = [], good.update
            sick, before = _diagnose(training, _refold(good, folds), trouble)
            if training.on_nan != "rollback" or len(folds) == MAX_ROLLBACKS:
                tried = f", after {len(folds)} attempts with other random numbers" if folds else ""
                if before is None:
                    gone = " and ".join(training.population.agent.bulk)
                    tried += (
                        "; that is what its metrics say: it was not repeated, for the last saved position "
                        f"(update {good.update}) is without its {gone}"
                    )
                raise NonFiniteError(sick.sentence() + tried, sick, sick.update - 1, before) from None
            folds.append(sick.seeds)
            position = _refold(see.last_good(True), folds)


def _straight(training: Training, position: Position, see: Observers, stop: Callable[[], bool]) -> Position:
    program, pop, plan, born, _, length = training
    at, saved = position, position.update
    stops = [u for u in plan.stops() if u > at.update]
    per_update = pop.agent.steps_per_update
    try:
        if at.update == 0 and not stop():
            see.probe(at.state, 0)
        see.ready()
        for chunk in chunks(program, pop, at.state, at.update, stops, born, length=length, stop=stop):
            if sick_seeds(pop, born, chunk.rows, chunk.finite).any():
                seen = first_of_rows(pop, born, at.update, chunk.rows, chunk.finite)
                raise _Trouble(at.update, chunk.update, seen)
            count, update = chunk.update - at.update, chunk.update
            windows, pending = cut_windows(at.pending, chunk.rows, update, plan.log_every, plan.num_updates)
            at = Position(update, chunk.state, pending)
            for point, rows in windows:
                values = dict(zip(pop.metrics, window_mean(rows).T, strict=True))
                see.log(line("train", point, point * per_update, values))
            if update in plan.probe_at:
                see.probe(at.state, update)
            if update % plan.checkpoint_every == 0 or update == plan.num_updates:
                see.save(at)
                saved = update
            see.advanced(chunk, count)
    except jax.errors.JaxRuntimeError as error:
        own = getattr(pop.agent, "failure", lambda: None)()  # of a function of the user's, on the host
        if own is not None:
            raise own from None
        failure = None if is_pure(pop.agent) else getattr(pop.agent.env, "failure")(error)  # noqa: B009
        if failure is None:
            raise
        if at.update > saved:
            see.save(at)
        failure.update, failure.state = at.update, at.state
        raise failure from None
    return at


def _diagnose(training: Training, good: Position, trouble: _Trouble) -> tuple[Sick, PyTree]:
    """What went wrong first, and the state before it: None where it cannot be repeated."""
    if not good.whole:
        return trouble.seen, None
    sick, before = find_first(
        training.program.run,
        training.population,
        good.state,
        good.update,
        max(trouble.begin, good.update),
        trouble.end,
        training.born,
    )
    if sick is None:
        pure = is_pure(training.population.agent)
        why = "the device does not compute reproducibly; check it"
        if not pure:
            why = "environments on the host begin new episodes then, so that the update cannot be named"
        raise NonFiniteError(
            f"something was not finite between updates {trouble.begin} and {trouble.end}, and is finite when "
            f"they are repeated: {why}"
        )
    return sick, before


def _refold(position: Position, folds: list[list[int]]) -> Position:
    """The position with other random numbers for some seeds."""
    state = position.state
    for attempt, seeds in enumerate(folds, 1):
        folded, rows = fold_keys(state, attempt), jnp.array(seeds)

        def choose(old: Any, new: Any, rows: jax.Array = rows) -> Any:
            return old.at[rows].set(new[rows]) if jnp.issubdtype(old.dtype, jax.dtypes.prng_key) else old

        state = jax.tree.map(choose, state, folded)
    return position._replace(state=state)
