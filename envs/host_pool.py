"""Streams of experience: which batch of host environments serves which state.

A program's state cannot hold a running host environment. It holds a *stream*: two numbers that name it, the
count of steps taken (its turn) and the seeds of its slots. The pool keeps the batch that serves a stream. A
state whose batch is not where the state is (it was restored in another process, undone, or stepped before)
cannot go on in the middle of its episodes: all its slots begin new ones, with seeds made of the old ones and
the turn, so that what follows is a function of the state all the same.
"""

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rlkit.envs.host_batch import Batch, HostError, Outcome

_PROCESS = int.from_bytes(os.urandom(4), "little")  # streams of another process are not ours
_COUNT = itertools.count()


class Seen(NamedTuple):
    """Where a stream goes on."""

    stream: np.ndarray  # uint32 [2]
    records: np.ndarray  # [B, R]
    first: np.ndarray  # bool [B]


class _Served:
    """A batch and where its stream is."""

    def __init__(self, batch: Batch, turn: int):
        self.batch, self.turn = batch, turn
        self.records = np.zeros(0)
        self.first = np.zeros(0, bool)


class Pool:
    """The batches of one environment.

    Args:
      name: of the environment, for messages.
      make: ``make(num_envs) -> Batch``.
      max_streams: most batches at once. One more takes over the one that was used least recently; its stream
        cannot be gone on with.

    Attributes:
      failure: the last error of an environment.
    """

    def __init__(self, name: str, make: Callable[[int], Batch], max_streams: int = 64):
        self.name, self.make, self.max_streams = name, make, max_streams
        self.failure: HostError | None = None
        self._served: dict[int, _Served] = {}  # by the second number of the stream, least recently used first
        self._idle: list[Batch] = []
        self._taken: set[int] = set()  # streams whose batch was taken over
        self._lock = threading.RLock()
        self._end = weakref.finalize(self, _close, self._served, self._idle)

    def open(self) -> np.ndarray:
        """The name of a new stream, uint32 ``[2]``. Its environments are made when it is first run."""
        return np.array([_PROCESS, next(_COUNT)], np.uint32)

    def resume(self, stream: np.ndarray, turn: int, seeds: np.ndarray) -> Seen:
        """Where the stream goes on at ``turn``; all slots begin new episodes if no batch is there."""
        with self._guard(), self._lock:
            if int(stream[0]) != _PROCESS:
                stream = self.open()
            number = int(stream[1])
            served = self._served.pop(number, None)
            if served is None or served.turn != turn or served.batch.size != len(seeds):
                if number in self._taken:
                    raise HostError(
                        f"{self.name}: more than {self.max_streams} batches of it are in use at once; make "
                        "it with a larger max_streams, or train fewer seeds beside each other"
                    )
                batch = served.batch if served is not None else self._batch(len(seeds))
                served = _Served(batch, turn)
                served.records = batch.reset(_seeds(seeds, turn))
                served.first = np.ones(len(seeds), bool)
            self._served[number] = served  # as the one used last
            return Seen(stream, served.records, served.first)

    def step(self, stream: np.ndarray, turn: int, actions: np.ndarray) -> Outcome:
        """Step the stream's batch, which must be at ``turn``."""
        with self._guard():
            served = self._served.get(int(stream[1]))
            if served is None or served.turn != turn:
                raise HostError(
                    f"{self.name}: two states share one batch of environments; give every member its own key "
                    "(map over the keys given to init as well)"
                )
            served.turn = -1  # nowhere, while it moves
            outcome = served.batch.step(actions)
            served.records = outcome.records
            served.first = outcome.terminated | outcome.truncated
            served.turn = turn + 1
            return outcome

    def release(self, stream: np.ndarray) -> None:
        """Give the stream's batch to whoever needs one next."""
        with self._lock:
            served = self._served.pop(int(stream[1]), None)
            if served is not None:
                self._idle.append(served.batch)

    def close(self) -> None:
        """Close all environments and end their processes. States that are run later begin new episodes."""
        with self._lock:
            _close(self._served, self._idle)

    def _batch(self, size: int) -> Batch:
        for batch in self._idle:
            if batch.size == size:
                self._idle.remove(batch)
                return batch
        if len(self._idle) + len(self._served) >= self.max_streams:
            if self._idle:
                self._idle.pop(0).close()
            else:
                number = next(iter(self._served))
                self._taken.add(number)
                self._served.pop(number).batch.close()
        return self.make(size)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Remember the error that ends the block, and drop the batch that it closed."""
        try:
            yield
        except HostError as error:
            self.failure = error
            with self._lock:
                for number in [number for number, s in self._served.items() if s.batch.vector is None]:
                    del self._served[number]
            raise


def _seeds(seeds: np.ndarray, turn: int) -> list[int]:
    """The seeds of a reset at ``turn``: those of the stream at the start, other ones later."""
    if turn == 0:
        return [int(seed) for seed in seeds]
    return [int(np.random.SeedSequence((int(s), turn)).generate_state(1)[0] >> 1) for s in seeds]


def _close(served: dict[int, _Served], idle: list[Batch]) -> None:
    for batch in (*(s.batch for s in served.values()), *idle):
        batch.close()
    served.clear()
    idle.clear()
