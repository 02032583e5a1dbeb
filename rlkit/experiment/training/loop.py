"""The host's side of training: compiled chunks, one after the other, between the events of a run."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.compiling import compiler_options
from rlkit.experiment.training.population import Population
from rlkit.types import PyTree


class Schedule(NamedTuple):
    """When things happen, in updates. Nothing here depends on how fast the machine is."""

    num_updates: int
    log_every: int
    probe_at: tuple[int, ...]  # ascending, with 0 and num_updates
    checkpoint_every: int

    def stops(self) -> list[int]:
        """Updates at which a chunk must end, ascending."""
        saves = range(self.checkpoint_every, self.num_updates, self.checkpoint_every)
        return sorted({*self.probe_at, *saves, self.num_updates} - {0})


def schedule(
    num_updates: int, *, log_every: int | None = None, probes: int = 20, checkpoint_every: int | None = None
) -> Schedule:
    """Fill a schedule in.

    Args:
      num_updates: length of the training.
      log_every: updates between log points; None makes about 200 of them.
      probes: probe points beside the one at the start, evenly spaced; the last one is the end.
      checkpoint_every: updates between checkpoints; None makes ten of them.

    Raises:
      ValueError: a number is out of range.
    """
    for name, value in (("num_updates", num_updates), ("log_every", log_every)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise ValueError(f"checkpoint_every={checkpoint_every}: expected at least 1")
    if probes < 0:
        raise ValueError(f"probes={probes}: expected at least 0")
    spread = {round(i * num_updates / probes) for i in range(probes + 1)} if probes else set()
    return Schedule(
        num_updates,
        log_every or max(1, num_updates // 200),
        tuple(sorted({0, num_updates} | spread)),
        checkpoint_every or max(1, num_updates // 10),
    )


class Program(NamedTuple):
    """The compiled chunk of a population."""

    run: Callable[..., Any]
    trace_seconds: float
    compile_seconds: float


def compile_chunk(pop: Population, template: PyTree) -> Program:
    """Compile ``pop.advance`` ahead of time, so that what compiling costs is known apart."""
    begin = time.perf_counter()
    born = jax.ShapeDtypeStruct((len(pop.leaves),), jnp.bool_)
    lowered = pop.advance.lower(template, jax.ShapeDtypeStruct((), jnp.int32), born)
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options())
    return Program(compiled, traced - begin, time.perf_counter() - traced)


class Chunk(NamedTuple):
    """What one call of the program gave."""

    update: int  # updates made in all
    state: PyTree  # valid until the next chunk is asked for
    rows: np.ndarray  # [S, n, M]
    finite: np.ndarray  # bool [S, L]
    seconds: float


class Pace:
    """Chooses the length of chunks by what they took: something for each call, and something for each update.

    Args:
      seconds: how long a chunk should take. Where a call alone costs more than a fifth of that, a chunk
        takes five times as long as the call alone.
    """

    MEMORY, GROWTH = 4, 4  # lengths that are remembered; how much longer the next chunk may be
    SHARE = 0.2  # of the time, at most, that calls may cost by themselves

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.took: dict[int, float] = {}  # seconds by length, the newest last

    def after(self, count: int, took: float, length: int) -> int:
        """The length of the next chunk, after one of ``count`` updates where ``length`` were wished."""
        self.took.pop(count, None)
        self.took[count] = took
        while len(self.took) > self.MEMORY:
            del self.took[next(iter(self.took))]
        call, each = self._costs()
        room = max(self.seconds, call / self.SHARE) - call
        most = self.GROWTH * length if len(self.took) > 1 else 2 * length
        return max(1, min(int(room / each) if each > 0 else most, most))

    def _costs(self) -> tuple[float, float]:
        """Seconds per call and per update: least squares, neither of them negative."""
        counts, times = np.array([*self.took], float), np.array([*self.took.values()])
        if len(counts) == 1:  # nothing tells them apart: try a longer one
            return float(times[0]), 0.0
        each = max(float(np.cov(counts, times)[0, 1] / np.var(counts, ddof=1)), 0.0)
        return max(float(times.mean() - each * counts.mean()), 0.0), each


def chunks(
    program: Program,
    pop: Population,
    state: PyTree,
    update: int,
    stops: Sequence[int],
    born: np.ndarray,
    *,
    seconds: float = 1.0,
    length: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Chunk]:
    """Advance a population to the last of ``stops``, ending a chunk at each of them.

    Args:
      program: from :func:`compile_chunk`.
      pop: the population.
      state: its state; donated.
      update: updates made in it.
      stops: ascending updates.
      born: passed to the program.
      seconds: how long a chunk should take; its length follows the measured speed, see :class:`Pace`,
        which changes no result.
      length: fixed number of updates in a chunk instead.
      stop: asked before each chunk; true ends the iteration.
    """
    n, pace = length or 1, Pace(seconds)
    for goal in stops:
        while update < goal:
            if stop():
                return
            count = min(n, goal - update, pop.max_chunk)
            begin = time.perf_counter()
            state, rows, finite = program.run(state, np.int32(count), born)
            rows, finite = np.asarray(rows)[:, :count], np.asarray(finite)
            took = time.perf_counter() - begin
            update += count
            yield Chunk(update, state, rows, finite, took)
            if length is None:
                n = pace.after(count, took, n)
