"""The file of jobs: one JSON object a line, and line ``i`` is job ``i``.

A job is complete: the whole configuration of a run, the folder that it goes to, and what follows the
training. A worker needs nothing but this file and a number.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rlkit import outside
from rlkit.errors import UsageError
from rlkit.experiment.training import config
from rlkit.fields import shown
from rlkit.records import record


@dataclass(frozen=True)
class Job:
    """One training and what follows it.

    Attributes:
      name: for people, unique in its file.
      folder: of the run; relative to the folder of the file, absolute, or the URL of a store.
      config: of the run, as :func:`rlkit.experiment.training.config.to_dict` gives it.
      then: ``"module:function"`` that is called with the finished run's folder and ``options``; "" for none.
        It may be called again after a kill, and must then give the same.
      options: JSON data for ``then``.
    """

    name: str
    folder: str
    config: dict[str, Any]
    then: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def write(path: str | Path, jobs: Sequence[Job]) -> Path:
    """Write a file of jobs, whole or not at all.

    Raises:
      UsageError: two jobs share a name or a folder, or the file is there and holds other jobs.
    """
    path = Path(path)
    for what in ("name", "folder"):
        seen: set[str] = set()
        for job in jobs:
            if getattr(job, what) in seen:
                raise UsageError(f"two jobs have the {what} {getattr(job, what)!r}; each needs its own")
            seen.add(getattr(job, what))
    data = "".join(f"{json.dumps(_plain(job), allow_nan=False)}\n" for job in jobs).encode()
    if path.exists() and outside.read_bytes(path) != data:
        raise UsageError(f"{path} holds other jobs; name another file, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    outside.replace(path, lambda file: file.write(data))
    return path


def _plain(job: Job) -> dict[str, Any]:
    return {entry.name: getattr(job, entry.name) for entry in fields(job)}


def read(path: str | Path) -> list[Job]:
    """The jobs of a file.

    Raises:
      UsageError: there is no such file, or a line is no job; the message has its number.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file of jobs {path}; make one with: rlkit jobs make")
    jobs = []
    for number, line in enumerate(outside.read_text(path).split("\n"), 1):
        if not line:
            continue
        where = f"line {number} of {path} is no job"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} ({outside.why(error)}); make the file again") from None
        job = record(Job, data, where)
        if not job.folder or "\0" in job.folder:
            raise UsageError(f"{where}: folder={job.folder!r}; expected a path, or the URL of a store")
        jobs.append(job)
    if not jobs:
        raise UsageError(f"{path} holds no job; make the file again with: rlkit jobs make")
    return jobs


def plain(text: str, most: int = 80) -> str:
    """A text in a line for people; as Python writes it where a terminal would obey it, or it is long."""
    return text if text.isprintable() and len(text) <= most else shown(text, most)


def settings(job: Job) -> config.TrainConfig:
    """The configuration of a job.

    Raises:
      UsageError: it is none.
    """
    return config.from_dict(job.config, f"of the job {plain(job.name)}")


def indices(text: str, count: int) -> list[int]:
    """Read indices like ``"0-63"``, ``"3,7,9-11"``.

    Args:
      text: ranges include both ends.
      count: how many jobs there are.

    Raises:
      UsageError: it cannot be read, or there is no such job.
    """
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        ends = (low, high if dash else low)
        if not all(end.isascii() and end.isdecimal() and len(end) < 10 for end in ends):
            raise UsageError(f"indices {text[:60]!r}: expected numbers and ranges, e.g. 0-63 or 3,7,9-11")
        first, last = int(ends[0]), int(ends[1])
        if first <= last and last >= count:
            raise UsageError(f"index {max(first, count)}: the file has the jobs 0 to {count - 1}")
        found += range(first, last + 1)
    if not found:
        raise UsageError(f"indices {text[:60]!r}: a range that is empty; write the smaller number first")
    return list(dict.fromkeys(found))


def ranges(numbers: Iterable[int]) -> str:
    """Indices as :func:`indices` reads them, e.g. ``"0-2,5"``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
