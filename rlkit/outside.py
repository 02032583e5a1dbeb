"""Errors of the outside world - disks, permissions, memory - as one sentence with the place and advice."""

import contextlib
import errno
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rlkit.errors import RlkitError, UsageError

_ELSEWHERE = "choose another place"
ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: f"change its permissions, or {_ELSEWHERE}",
    errno.EPERM: f"change its permissions, or {_ELSEWHERE}",
    errno.EROFS: _ELSEWHERE,
    errno.ENOENT: "it was removed, or never there; restore it",
    errno.EEXIST: "move away what is there",
    errno.EISDIR: "a folder is in its place; move it away",
    errno.ENOTDIR: f"a file is where a folder should be; move it away, or {_ELSEWHERE}",
    errno.ELOOP: "a link leads nowhere; remove it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "close other programs, or ask for fewer seeds",
    errno.EIO: "the disk does not work; choose another one",
    errno.ESTALE: "the network disk went away; mount it again",
    errno.ENODEV: "the disk went away; mount it again",
}
_LIBRARIES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EIO, errno.EMFILE)
_MEMORY = "not enough memory: ask for fewer seeds or smaller networks, or close other programs"


def explain(error: BaseException, place: str | Path | None = None, doing: str = "use") -> str | None:
    """One sentence about an error of the outside world; None for any other error, which is a defect.

    Libraries hide the operating system's errors in errors, and pages, of their own: their text is searched.

    Args:
      error: what was raised.
      place: the file or folder that was used; None takes the one that the error names.
      doing: what was done to it, e.g. ``"write"``.
    """
    number = error.errno if isinstance(error, OSError) else _hidden(error)
    if number is not None:
        named = getattr(error, "filename", None)
        where = place if place is not None else named
        if number == errno.ENOENT and not where and _nowhere():
            return "the folder that this was started in was removed: change to another one (cd)"
        what = f"cannot {doing} {where}" if where else f"cannot {doing} a file"
        return f"{what}: {os.strerror(number)}; {ADVICE.get(number, _ELSEWHERE)}"
    if isinstance(error, OSError):
        said = str(error).split("\n")[0][:200] or type(error).__name__
        return f"cannot {doing} {place or 'a file'}: {said}; {_ELSEWHERE}"
    if isinstance(error, UnicodeDecodeError):
        return f"cannot {doing} {place or 'a file'}: {_encoding(error)}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:2000]:
        return _MEMORY
    return None


def _nowhere() -> bool:
    """Whether the working folder is gone."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _hidden(error: BaseException) -> int | None:
    """The operating system's error in the text of a library's."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in ADVICE:
            return seen.errno
        text = str(seen)
        for number in _LIBRARIES:
            if os.strerror(number) in text:
                return number
        seen = seen.__cause__ or seen.__context__
    return None


@contextlib.contextmanager
def at(place: str | Path, doing: str = "write") -> Iterator[None]:
    """Turn errors of the outside world into an :class:`~rlkit.errors.RlkitError` that names a place.

    Args:
      place: the file or folder that the block uses.
      doing: what the block does to it, a verb.
    """
    try:
        yield
    except RlkitError:
        raise
    except Exception as error:
        text = explain(error, place, doing)
        if text is None:
            raise
        raise RlkitError(text) from error


def replace(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name, make it durable, and move it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with at(path):
            path.parent.mkdir(exist_ok=True)
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _encoding(error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"it is not text in UTF-8 (byte 0x{byte:02x} at place {error.start}); save it as UTF-8"


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8.

    Raises:
      UsageError: it does not exist, cannot be read, or is not text in UTF-8; the message names it.
    """
    try:
        return io.TextIOWrapper(io.BytesIO(read_bytes(path)), encoding="utf-8").read()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise UsageError(explain(error, path, "read") or f"cannot read {path}: {why(error)}") from None


def read_arrays(
    path: str | Path, what: str = "file of arrays", advice: str = "restore it"
) -> dict[str, np.ndarray]:
    """The named arrays of an ``.npz``; of an ``.npy``, its array by the name ``""``.

    Args:
      path: the file.
      what: it is, for messages.
      advice: what to do where it is damaged.

    Raises:
      UsageError: there is none, it cannot be read, is damaged, or holds Python objects; the message names it.
    """
    try:
        with regular(path) as file:
            return _arrays(file)
    except RlkitError:
        raise
    except FileNotFoundError:
        raise UsageError(f"there is no {what} {path}") from None
    except OSError as error:
        raise UsageError(explain(error, path, "read") or str(error)) from None
    except Exception as error:  # zipfile, zlib and NumPy raise anything on damage
        raise UsageError(f"the {what} {path} is damaged ({why(error)}); {advice}") from None


@contextlib.contextmanager
def regular(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read. What is no regular file - a pipe, a device - is refused: it would hang, or never end.

    Raises:
      OSError: there is none, or it cannot be read.
      UsageError: it is no regular file; the message names it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path} is a pipe or a device; expected a regular file: move it away")
    except BaseException:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as file:
        yield file


def read_bytes(path: str | Path) -> bytes:
    """All of a regular file, see :func:`regular`."""
    with regular(path) as file:
        return file.read()


_ZIP_END = b"PK\x05\x06"  # begins the last record of an archive, of 22 bytes where there is no comment


def _arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` or ``.npy``, of which every byte counts.

    NumPy reads of a member what its header says. A header that says less, or a member that begins elsewhere,
    leaves the checksum at its end unread; and an archive behind another one is taken for both.
    """
    if file.read(6) == b"\x93NUMPY":
        file.seek(0)
        return {"": _array(file)}
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no .npz and no .npy")
    file.seek(-22, os.SEEK_END)
    ends = file.read(4) == _ZIP_END
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        begins = min((info.header_offset for info in archive.infolist()), default=0) == 0
        if not (begins and ends and len(set(names)) == len(names)):
            raise ValueError("there is more in it than one archive")
        return {name.removesuffix(".npy"): _array(io.BytesIO(archive.read(name))) for name in names}


def _array(file: BinaryIO) -> np.ndarray:
    """One array, to the end of the file."""
    found = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("there is more in it than its header says")
    return found


def why(error: BaseException) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError | MemoryError):
        return "it is nested too deeply, or too large"
    return str(error).split("\n")[0][:160] or type(error).__name__
