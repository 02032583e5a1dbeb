"""Run folders behind a store (extra ``remote``): anything that fsspec opens, e.g. ``s3://bucket/study/cell``.

A worker trains in a local folder, and its copy in the store follows. What is small goes through fsspec as it
is. A checkpoint is saved locally, uploaded as a folder, and counts only when its marker is there, which is
written last: whatever moment a worker is killed at, the store holds a run that can be resumed.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlkit.errors import RlkitError, UsageError, missing_extra, unknown_name
from rlkit.experiment.runs import checkpoint, store

MARKS = "committed"  # folder of the markers of checkpoints, one a file
OWNER = ".owner.json"
ALIVE = 300.0  # seconds without a sign of life after which a worker counts as dead
EVERY = 30.0  # seconds between two uploads
_LOCAL = re.compile(r"^(\..*|.*\.tmp|.*\.lock)$")  # names that are of this machine alone


def is_url(folder: str) -> bool:
    """Whether a folder is a store's."""
    return "://" in folder


def local_name(url: str) -> str:
    """A name for the local copy of a store's folder; two URLs never share one."""
    from hashlib import sha256

    return f"{url.rstrip('/').rsplit('/', 1)[-1]}-{sha256(url.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _reached(url: str) -> Iterator[None]:
    """Turn what a store raises into a sentence."""
    try:
        yield
    except RlkitError:
        raise
    except Exception as error:
        said = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise RlkitError(
            f"the store of {url} does not answer ({said}); what was computed is kept here, run the job again"
        ) from error


def check_store(url: str) -> None:
    """Refuse the URL of a store that nothing opens; without fsspec only workers can tell.

    Raises:
      UnknownNameError: fsspec has no such protocol; the message suggests the nearest one.
    """
    protocol, here, _ = url.rpartition("::")[2].partition("://")
    try:
        import fsspec
    except ImportError:
        return
    if here and protocol not in (known := fsspec.available_protocols()):
        raise unknown_name("protocol", protocol, known, where=f"of the store {url}")


class Mirror:
    """A run folder and its copy in a store."""

    def __init__(self, url: str, local: Path):
        try:
            import fsspec
        except ImportError:
            raise missing_extra(f"the folder {url}", "fsspec", "remote") from None
        self.url, self.local = url, local
        with _reached(url):
            self.store, self.root = fsspec.core.url_to_fs(url)
            self.store.invalidate_cache()
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of what was uploaded
        self._busy = threading.Lock()

    def pull(self) -> None:
        """Bring the run of the store here, unless the local folder has one that is at least as far.

        The local folder takes its place when all of it has arrived: half a run would pass for one.
        """
        with _reached(self.url):
            self.local.mkdir(parents=True, exist_ok=True)
            marks = self._marks()
            if checkpoint.steps(self.local / store.CHECKPOINTS)[-1:] >= sorted(marks)[-1:] and any(
                self.local.iterdir()
            ):
                return
            arriving = self.local.with_name(f"{self.local.name}.arriving")
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir(parents=True)
            for name in self._files():
                parts = name.split("/")
                if parts[0] == MARKS or (parts[0] == store.CHECKPOINTS and int(parts[1]) not in marks):
                    continue
                target = arriving / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self.store.get_file(f"{self.root}/{name}", str(target))
            shutil.rmtree(self.local)
            arriving.rename(self.local)

    def push(self) -> None:
        """Upload what has changed: small files, then checkpoints, then their markers."""
        with self._busy, _reached(self.url):
            saved = checkpoint.steps(self.local / store.CHECKPOINTS)  # first: the log belongs to them
            for path in sorted(self.local.rglob("*")):
                name = path.relative_to(self.local).as_posix()
                if path.is_file() and not _LOCAL.match(path.name) and not name.startswith(store.CHECKPOINTS):
                    self._send(path, name)
            marks = self._marks()
            for update in saved:
                if update not in marks:
                    self._send_checkpoint(update)
            for update in marks - set(saved):
                self.store.rm_file(f"{self.root}/{MARKS}/{update}")
                self.store.rm(f"{self.root}/{store.CHECKPOINTS}/{update}", recursive=True)

    def sign(self) -> None:
        """Leave a sign of life."""
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "time": time.time()})
        with _reached(self.url):
            self.store.makedirs(self.root, exist_ok=True)
            self.store.pipe_file(f"{self.root}/{OWNER}", text.encode())

    def claim(self) -> None:
        """Refuse a folder that another worker has signed not long ago.

        A store has no locks: two workers that start within the same second may both pass. Schedulers give an
        index to one worker; this is for those that are started twice.

        Raises:
          UsageError: another worker is alive.
        """
        with _reached(self.url):
            if self.store.exists(f"{self.root}/{OWNER}"):
                owner: Any = json.loads(self.store.cat_file(f"{self.root}/{OWNER}"))
                me = (os.getpid(), socket.gethostname())
                if (owner["pid"], owner["host"]) != me and time.time() - owner["time"] < ALIVE:
                    raise UsageError(
                        f"process {owner['pid']} on {owner['host']} is at {self.url}; wait for it, or "
                        f"{ALIVE:.0f} s if it was killed"
                    )
        self.sign()

    def release(self) -> None:
        """Say that nobody is at it."""
        with _reached(self.url), contextlib.suppress(FileNotFoundError):
            self.store.rm_file(f"{self.root}/{OWNER}")

    def _files(self) -> list[str]:
        if not self.store.exists(self.root):
            return []
        prefix = self.store._strip_protocol(self.root).rstrip("/") + "/"
        found = [name.removeprefix(prefix) for name in self.store.find(self.root)]
        return [name for name in found if not _LOCAL.match(name.rsplit("/", 1)[-1])]

    def _marks(self) -> set[int]:
        where = f"{self.root}/{MARKS}"
        if not self.store.exists(where):
            return set()
        names = (name.rsplit("/", 1)[-1] for name in self.store.ls(where, detail=False))
        return {int(name) for name in names if name.isdecimal()}

    def _send(self, path: Path, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # pruned meanwhile
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if self._sent.get(name) != stamp:
                self.store.makedirs(f"{self.root}/{name}".rsplit("/", 1)[0], exist_ok=True)
                self.store.put_file(str(path), f"{self.root}/{name}")
                self._sent[name] = stamp

    def _send_checkpoint(self, update: int) -> None:
        folder = self.local / store.CHECKPOINTS / str(update)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self._send(path, path.relative_to(self.local).as_posix())
        if folder.is_dir():  # it was not pruned meanwhile
            self.store.makedirs(f"{self.root}/{MARKS}", exist_ok=True)
            self.store.pipe_file(f"{self.root}/{MARKS}/{update}", b"")


def standing(url: str) -> str:
    """Where the job of a store's folder stands, see :mod:`rlkit.jobs.state`."""
    from rlkit.jobs import state

    mirror = Mirror(url, Path())
    with _reached(url):
        if mirror.store.exists(f"{mirror.root}/{state.MARK}"):
            return state.DONE
        if mirror.store.exists(f"{mirror.root}/{OWNER}"):
            owner = json.loads(mirror.store.cat_file(f"{mirror.root}/{OWNER}"))
            if time.time() - owner["time"] < ALIVE:
                return state.RUNNING
        return state.PARTIAL if mirror._files() else state.NEW


@contextlib.contextmanager
def mirrored(url: str, local: Path, every: float = EVERY) -> Iterator[Mirror]:
    """Work on a store's folder through a local one, which is uploaded all along and in the end.

    Args:
      url: of the folder in the store.
      local: the local folder.
      every: seconds between two uploads. One that fails is made up for by the next; the last one must not.

    Raises:
      UsageError: another worker is at it. RlkitError: the store does not answer.
    """
    mirror = Mirror(url, local)
    mirror.claim()
    over = threading.Event()

    def follow() -> None:
        while not over.wait(every):
            with contextlib.suppress(RlkitError):
                mirror.sign()
                mirror.push()

    follower, here = threading.Thread(target=follow, daemon=True), False
    try:
        mirror.pull()
        here = True
        follower.start()
        yield mirror
    finally:
        over.set()
        if follower.is_alive():
            follower.join()
        try:
            if here:  # a push takes out of the store what is not here
                mirror.push()
        finally:
            with contextlib.suppress(RlkitError):
                mirror.release()
