"""Whether a run folder still says what the run wrote into it.

Each checkpoint's description records the files of the run as they were then: for logs that grow, the
length and sha256 of what had been written; for recordings, those of the whole file. A changed digit, a
flipped bit or a deleted recording is therefore noticed, and named, when the run is resumed or reported.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rlkit.errors import UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.fields import shown

GROWING = (store.METRICS, store.TIMINGS, store.ENV)
_BLOCK = 1 << 20


class Written(NamedTuple):
    """A file, or the beginning of one, as it was when a checkpoint was made."""

    size: int
    sha256: str


class Ledger:
    """Keeps account of the files that a run writes.

    Args:
      folder: the run folder.
      recordings: latents that were recorded before, by name; they are not measured again, so that damage
        done in between is not taken for the truth.
    """

    def __init__(self, folder: Path, recordings: dict[str, Written] | None = None):
        self.folder = folder
        self.recordings = dict(recordings or {})
        self._open = {name: (0, hashlib.sha256()) for name in GROWING}

    def written(self) -> dict[str, Written]:
        """All files of the run as they are now; reads only what is new."""
        found = {}
        for name, (size, total) in self._open.items():
            size += _hash(self.folder / name, total, size)
            self._open[name] = size, total
            found[name] = Written(size, total.hexdigest())
        for path in store.latents(self.folder):
            name = f"{store.LATENTS}/{path.name}"
            if name not in self.recordings:
                self.recordings[name] = measure(path)
        return found | self.recordings


def _hash(path: Path, total: Any, begin: int = 0, size: int | None = None) -> int:
    """Feed a file from ``begin`` on to a digest; returns how many bytes there were."""
    if not path.is_file():
        return 0
    count = 0
    with open(path, "rb") as file:
        file.seek(begin)
        while block := file.read(_BLOCK if size is None else min(_BLOCK, size - count)):
            total.update(block)
            count += len(block)
    return count


def measure(path: Path) -> Written:
    """A file as it is now."""
    total = hashlib.sha256()
    return Written(_hash(path, total), total.hexdigest())


def recordings(files: dict[str, Any]) -> dict[str, Written]:
    """Of recorded files, the latents."""
    return {name: Written(*files[name]) for name in files if name.startswith(f"{store.LATENTS}/")}


def measured(folder: Path) -> dict[str, Written]:
    """The recordings of a run folder as they are now, by name."""
    return {f"{store.LATENTS}/{path.name}": measure(path) for path in store.latents(folder)}


def problem(folder: Path, name: str, files: dict[str, Any]) -> str:
    """What is wrong with one recorded file, as a sentence; empty if nothing is."""
    wanted, path, total = Written(*files[name]), folder / name, hashlib.sha256()
    try:
        if wanted.size and not path.is_file():
            return f"{path} is missing"
        size = _hash(path, total, size=wanted.size)
        there = path.stat().st_size if wanted.size else 0
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if size < wanted.size or (there > wanted.size and name not in GROWING):
        return f"{path} has {there} bytes where {wanted.size} were written"
    if total.hexdigest() != wanted.sha256:
        return f"{path} is not what the run wrote: something has changed its first {wanted.size} bytes"
    return ""


def problems(
    folder: Path, files: dict[str, Any], keep: Callable[[str], bool] = lambda name: True
) -> list[str]:
    """What is wrong with the recorded files, one sentence each."""
    found = (problem(folder, name, files) for name in files if keep(name))
    return [sentence for sentence in found if sentence]


def flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested JSON data by dotted names."""
    out: dict[str, Any] = {}
    for name, value in data.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return out


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys of two configurations (JSON data) that differ, each with the old and the new value."""
    old, new = flat(old), flat(new)
    lines = []
    for name in [*old, *(n for n in new if n not in old)]:
        if name not in old or name not in new or old[name] != new[name]:
            was, now = (shown(side[name]) if name in side else "nothing" for side in (old, new))
            lines.append(f"{name} was {was} and is {now}")
    return lines


def completed(old: dict[str, Any]) -> dict[str, Any]:
    """A recorded configuration with the defaults of options that are newer than it."""
    from rlkit.experiment.training import config

    try:
        return config.to_dict(config.from_dict(old))
    except UsageError:  # it has what this version does not know: compared as it is
        return old


def check_run(folder: Path, config: dict[str, Any]) -> list[str]:
    """What in a run folder is not as its newest readable checkpoint recorded it, one sentence each.

    Args:
      folder: the run folder.
      config: what its ``config.json`` says now, as JSON data.
    """
    where, found = folder / store.CHECKPOINTS, []
    for update in reversed(checkpoint.steps(where)):
        try:
            meta = checkpoint.describe(where, update)
        except (OSError, ValueError) as error:
            found.append(f"checkpoint {update} in {where} is damaged: {error}")
            continue
        changed = differences(completed(meta["config"]), config)
        found += [f"{folder / store.CONFIG} is not what the run was started with: {c}" for c in changed]
        found += meta["noticed"] + [p for p in problems(folder, meta["files"]) if p not in meta["noticed"]]
        return found + _added(folder, update, meta["files"])
    if (folder / store.DONE).exists():
        found.append(f"{where} has no readable checkpoint: nothing says whether the run wrote these files")
    return found


def _added(folder: Path, update: int, files: dict[str, Any]) -> list[str]:
    """What stands in a run folder, or behind a log, that the run had not written at its newest checkpoint."""
    found, over = [], (folder / store.DONE).exists()
    for path in sorted((folder / store.LATENTS).glob("*.npz")):
        number = int(path.stem) if path.stem.isdecimal() else None
        later = not over and number is not None and path.stem == f"{number:08d}" and number > update
        later |= not over and path.name == store.UNTRAINED
        if not later and f"{store.LATENTS}/{path.name}" not in files:
            found.append(f"{path} is no recording of this run; remove it")
    log, wanted = folder / store.METRICS, files.get(store.METRICS, (0,))[0]
    if over and os.path.isfile(log) and (there := log.stat().st_size) > wanted:
        found.append(f"{log} has {there} bytes where {wanted} were written: there are lines behind its end")
    return found
