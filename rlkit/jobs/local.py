"""Workers on this machine: processes, each with one job at a time."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rlkit.experiment.training import signals


def run_local(
    path: str | Path,
    indices: Sequence[int],
    workers: int,
    *,
    options: Sequence[str] = (),
    say: Callable[[str], None] = print,
    poll: float = 0.2,
) -> int:
    """Run jobs by processes of their own, so that one that fails or is killed leaves the others alone.

    Args:
      path: the file of jobs.
      indices: which of them.
      workers: processes at a time.
      options: further arguments of ``rlkit jobs run``.
      say: called with a sentence when a job ends.
      poll: seconds between looks at the processes.

    Returns:
      0 if every job ended well, 1 if one did not, or 128 plus the number of the signal that ended all.
    """
    waiting, running, failed = list(indices), {}, []
    free = list(range(workers))  # places, each with its cards
    with signals.listening() as stop:
        while waiting or running:
            while waiting and len(running) < workers and not stop():
                index, place = waiting.pop(0), free.pop(0)
                running[index] = _start(Path(path), index, options, workers, place), place
            if stop():
                waiting = []
                for process, _ in running.values():
                    with contextlib.suppress(ProcessLookupError):
                        process.terminate()
            for index, (process, place) in list(running.items()):
                code = process.poll()
                if code is not None:
                    del running[index]
                    free.append(place)
                    if code:
                        failed.append(index)
                        say(f"job {index} ended with exit code {code}")
            time.sleep(poll)
        if stop():
            return stop.exit_code
    return 1 if failed else 0


def _start(path: Path, index: int, options: Sequence[str], workers: int, place: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "rlkit", "jobs", "run", str(path), "--index", str(index), *options]
    return subprocess.Popen(command, env=surroundings(workers, place))


_MEMORY = (
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
)


def surroundings(workers: int, place: int) -> dict[str, str]:
    """The environment variables of one of several processes.

    The cards that ``CUDA_VISIBLE_DEVICES`` lists are dealt out; each process sees its own. JAX takes three
    quarters of a GPU's memory when it starts: beside other processes it takes what it needs instead, unless a
    variable of JAX says something about memory already.

    Args:
      workers: how many there are at a time.
      place: which of them this is, from 0.
    """
    found = dict(os.environ)
    cards = [card for card in found.get("CUDA_VISIBLE_DEVICES", "").split(",") if card.strip()]
    if workers > 1 and len(cards) > 1:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(cards[place::workers] or [cards[place % len(cards)]])
    if workers > 1 and not any(name in found for name in _MEMORY):
        found["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    return found
