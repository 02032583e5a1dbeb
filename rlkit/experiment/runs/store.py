"""The run folder: its name, its lock, its files.

``<root>/<env>/<agent>/<time>-<id>/`` holds ``config.json`` (re-runnable), ``env.json`` (where it
ran), ``metrics.jsonl`` (what was learned; no wall-clock values, so that a resumed run writes the
same bytes), ``timings.jsonl`` (what took how long, and all starts: the lines whose ``event`` is
``start`` have ``update``, ``provenance``, ``machine`` and ``config``), ``checkpoints/``, ``latents/``,
``report.html`` and, when training has finished, ``DONE`` (with ``learnt_nothing``, the seeds all of
whose updates were skipped, if there are any).
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlkit import outside
from rlkit.errors import RlkitError, UsageError

CONFIG, ENV, METRICS, TIMINGS, DONE = "config.json", "env.json", "metrics.jsonl", "timings.jsonl", "DONE"
LATENTS, CHECKPOINTS, LOCK = "latents", "checkpoints", ".lock"
UNTRAINED = "untrained.npz"  # in LATENTS: untrained networks on the observations of the last recording


def create(root: str | Path, env: str, agent: str) -> Path:
    """Make a new run folder below ``root``; two starts never share one, whatever the clock says.

    Raises:
      UsageError: its name is not in UTF-8.
      RlkitError: the folder cannot be written.
    """
    parent = Path(root) / env.replace("/", "-").replace(":", "-") / agent
    name = time.strftime("%Y%m%d-%H%M%S")
    _check_name(parent)
    with outside.at(f"{parent} (choose another --root)", "make a run folder in"):
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / f"{name}-{secrets.token_hex(3)}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder


def claim(folder: str | Path) -> Path:
    """Make ``folder`` the folder of a new run; it must not exist or must be empty.

    Raises:
      UsageError: it has content: nothing is ever overwritten; or its name is not in UTF-8.
      RlkitError: it cannot be written.
    """
    folder = Path(folder)
    _check_name(folder)
    with outside.at(folder, "write the run folder"):
        if (folder / CONFIG).exists():
            raise UsageError(
                f"{folder} already holds a run; continue it with --resume, or name another folder"
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is not a run of rlkit; name a folder that does not exist")
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def existing(folder: str | Path, *, write: bool = False) -> Path:
    """Check that ``folder`` is a run folder.

    Args:
      folder: the folder.
      write: whether it is to be written.

    Raises:
      UsageError: it is not a run folder, or is to be written and its name is not in UTF-8.
      RlkitError: it cannot be written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no run folder {folder}; list runs with: ls {folder.parent}")
    if not (folder / CONFIG).is_file():
        raise UsageError(
            f"{folder} is not a run of rlkit (it has no {CONFIG}); name the folder that holds it"
        )
    if write and not os.access(folder, os.W_OK):
        raise RlkitError(f"the run folder {folder} cannot be written; change its permissions")
    if write:  # what is only read may have any name
        _check_name(folder)
    return folder


def _check_name(folder: Path) -> None:
    """Refuse a folder in which no checkpoint could be written: they take names in UTF-8 alone."""
    real = os.path.realpath(folder)  # where they are written
    try:
        real.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the folder {real!r} is not named in UTF-8; use a name in UTF-8") from None


@contextlib.contextmanager
def locked(folder: Path, warn: Any = None) -> Iterator[None]:
    """Hold the only writer's lock of a run folder.

    Args:
      folder: the run folder.
      warn: called with one sentence if the last writer did not close the run.

    Raises:
      UsageError: another process holds it; the message names the process and its host.
    """
    from filelock import FileLock, Timeout

    owner = folder / f"{LOCK}.json"
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"{folder} is being written by {_owner(owner)}; wait for it, stop it, or start another run"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise RlkitError(outside.explain(error, folder / LOCK, "lock") or str(error)) from error
    try:
        if owner.exists() and warn is not None:
            warn(f"the last writer of {folder}, {_owner(owner)}, ended without closing the run")
        _sweep(folder)
        write_json(owner, {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()})
        yield
    finally:
        unlock(folder)
        lock.release()


def unlock(folder: Path) -> None:
    """Say that the writer of a run folder has closed it."""
    with contextlib.suppress(OSError):
        (folder / f"{LOCK}.json").unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what a writer that was killed has left half written."""
    for pattern in (".*.tmp", f"{LATENTS}/.*.tmp"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
    for path in (folder / CHECKPOINTS).glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path, ignore_errors=True)
    torn = folder / TIMINGS
    with contextlib.suppress(OSError, UsageError):
        data = outside.read_bytes(torn)
        if not data.endswith(b"\n"):
            os.truncate(torn, data.rfind(b"\n") + 1)


def _owner(path: Path) -> str:
    try:
        data = json.loads(path.read_text())
        return f"process {data['pid']} on {data['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown process"


DIGEST = "sha256"


def write_json(path: Path, data: Any, digest: bool = False) -> None:
    """Write a JSON file; readers see the old content or the new one, never a part.

    Args:
      path: the file.
      data: its content.
      digest: add ``"sha256"`` of an object's other entries, which :func:`read_json` checks.
    """
    if digest:
        data = data | {DIGEST: _digest(data)}
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    outside.replace(path, lambda file: file.write(text.encode()))


def _digest(data: dict[str, Any]) -> str:
    """sha256 of the entries of an object but the digest, whatever their layout in a file."""
    rest = {name: value for name, value in data.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder with its content, or nothing: what is written into the folder given is moved to ``path``
    in the end, which must not exist or be empty; on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    part.mkdir()
    try:
        yield part
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
      UsageError: it does not exist or is damaged, or its digest (if it has one) is that of another content;
        the message names it.
    """
    try:
        found = json.loads(outside.read_bytes(path).decode())
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except RlkitError:
        raise
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        why = outside.why(error)
        raise UsageError(f"{path} cannot be read as JSON ({why}); restore it or start a new run") from None
    if isinstance(found, dict) and DIGEST in found and found[DIGEST] != _digest(found):
        raise UsageError(f"{path} is not what was written: something has changed it; make it again")
    return found


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Write named arrays as an uncompressed ``.npz``, atomically; equal arrays give equal bytes."""
    host: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    outside.replace(path, lambda file: np.savez(file, **host))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays from an ``.npz``.

    Raises:
      UsageError: it does not exist or is damaged; the message names it.
    """
    return outside.read_arrays(path, "recording", "delete it or repeat the run")


def append_jsonl(path: Path, line: dict[str, Any]) -> None:
    """Append one line, whole or not at all, and hand it to the operating system.

    Half a line at the end, which a power cut leaves, is cut off and told: it would swallow the new one.
    """
    data = (json.dumps(line, allow_nan=False) + "\n").encode()
    with outside.at(path), open(path, "ab+", buffering=0) as file:
        size = _whole_lines(file)
        if size < file.seek(0, os.SEEK_END):
            print(f"warning: {path} ended in half a line, which was cut off", file=sys.stderr, flush=True)
            file.truncate(size)
        try:
            while data:  # a disk that fills up takes a part
                data = data[file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def _whole_lines(file: Any) -> int:
    """Bytes up to the last newline of a file, read backwards."""
    end, step = file.seek(0, os.SEEK_END), 1
    while end:
        begin = max(end - step, 0)
        file.seek(begin)
        if (found := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        end, step = begin, 1 << 16
    return 0


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file (none if it does not exist); what follows the last newline was torn, and is
    skipped.

    Raises:
      UsageError: a line is damaged or no JSON object.
    """
    if not os.path.lexists(path):  # a link that leads nowhere is no file that was never written
        return []
    with outside.at(path, "read"):
        rows = outside.read_bytes(path).split(b"\n")
    lines = []
    for number, row in enumerate(rows, 1):
        if number == len(rows):  # what follows the last newline: nothing, or a line that was torn
            if row[:1] not in (b"", b"{"):
                raise UsageError(f"line {number} of {path} is no JSON object; restore the file")
            break
        try:
            lines.append(json.loads(row))
        except (ValueError, RecursionError):
            raise UsageError(f"line {number} of {path} is damaged; restore the file") from None
        if not isinstance(lines[-1], dict):
            raise UsageError(f"line {number} of {path} is no JSON object; restore the file")
    return lines


def cut(path: Path, size: int) -> None:
    """Cut a file back to ``size`` bytes (0 if it does not exist).

    Raises:
      UsageError: it is shorter than that: something else has changed it.
    """
    have = path.stat().st_size if path.exists() else 0
    if have < size:
        raise UsageError(f"{path} has {have} bytes, the checkpoint was made at {size}; restore the file")
    if have > size:
        with outside.at(path):
            os.truncate(path, size)


def recordings(folder: Path) -> dict[int, Path]:
    """The files of recorded latents of a run by update, ascending; files with other names are none."""
    found = (folder / LATENTS).glob("*.npz")
    numbers = {path: int(path.stem) for path in sorted(found) if path.stem.isdecimal()}
    return {number: path for path, number in numbers.items() if path.stem == f"{number:08d}"}


def latents(folder: Path) -> list[Path]:
    """Every file of latents of a run: its recordings, and the untrained networks where they are made."""
    untrained = folder / LATENTS / UNTRAINED
    return [*recordings(folder).values(), *([untrained] if os.path.isfile(untrained) else [])]


def runs(root: str | Path) -> list[Path]:
    """The run folders below ``root``, sorted."""
    return sorted(path.parent for path in Path(root).rglob(CONFIG) if path.is_file())
