"""Run folders behind a store (extra ``remote``): anything that fsspec opens, e.g. ``s3://bucket/study/cell``.

A worker trains in a local folder, and its copy in the store follows. What is small goes through fsspec as it
is. A checkpoint is saved locally, uploaded as a folder, and counts only when its marker is there, which is
written last and names its files: whatever moment a worker is killed at, the store holds a run that can be
resumed. A worker that finds another one's sign in place of its own writes there no more.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlkit.errors import RlkitError, UsageError, missing_extra, unknown_name
from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs import state
from rlkit.jobs.file import plain

MARKS = "committed"  # folder of the markers of checkpoints, one a file
OWNER = ".owner.json"
ALIVE = 300.0  # seconds without a sign of life after which a worker counts as dead
EVERY = 30.0  # seconds between two uploads
_LAST = (store.DONE, state.MARK)  # they say that all the rest is there
_LOCAL = re.compile(r"^(\..*|.*\.tmp|.*\.lock)$")  # names that are of this machine alone


def is_url(folder: str) -> bool:
    """Whether a folder is a store's."""
    return "://" in folder


def local_name(url: str) -> str:
    """A name for the local copy of a store's folder; two URLs never share one."""
    from hashlib import sha256

    return f"{url.rstrip('/').rsplit('/', 1)[-1]}-{sha256(url.encode()).hexdigest()[:12]}"


class _TakenError(RlkitError):
    """Another worker has taken a folder over."""


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
        self._listed: dict[int, dict[str, int]] = {}  # what markers say, which never changes
        self._token = secrets.token_hex(8)  # pods of one index share their host and process
        self._signed = False
        self._signing = False  # a sign that is half written is this worker's
        self._busy = threading.Lock()

    def pull(self) -> None:
        """Bring the run of the store here, unless the local folder has one that is at least as far.

        The local folder takes its place when all of it has arrived: half a run would pass for one.
        """
        with _reached(self.url):
            self.local.mkdir(parents=True, exist_ok=True)
            files = self._files()
            marks = self._marks(files)
            if checkpoint.steps(self.local / store.CHECKPOINTS)[-1:] >= sorted(marks)[-1:] and any(
                self.local.iterdir()
            ):
                return
            arriving = self.local.with_name(f"{self.local.name}.arriving")
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir(parents=True)
            whole = tuple(_folder(update) for update in marks)
            for name in files:
                if name.startswith((f"{MARKS}/", f"{store.CHECKPOINTS}/")) and not name.startswith(whole):
                    continue
                target = arriving / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self.store.get_file(f"{self.root}/{name}", str(target))
            shutil.rmtree(self.local)
            arriving.rename(self.local)

    def push(self) -> None:
        """Upload what has changed: small files, then checkpoints, then their markers, then the end.

        Raises:
          RlkitError: another worker has taken the folder over, or the store does not answer.
        """
        with self._busy, _reached(self.url):
            self._check()
            files = self._files()
            self._sent = {name: stamp for name, stamp in self._sent.items() if name in files}
            saved = checkpoint.steps(self.local / store.CHECKPOINTS)  # first: the log belongs to them
            for path in sorted(self.local.rglob("*")):
                name = path.relative_to(self.local).as_posix()
                later = name in _LAST or name.startswith(store.CHECKPOINTS)
                if path.is_file() and not _LOCAL.match(path.name) and not later:
                    self._send(path, name)
            markers, whole = _markers(files), self._marks(files)
            for update in saved:
                if update not in whole:
                    self._check()
                    if update in markers:  # of files that are gone
                        self._drop(update, files)
                    self._send_checkpoint(update)
            for update in sorted(markers - set(saved)):
                self._check()
                self._drop(update, files)
            for name in _LAST:
                self._send(self.local / name, name)

    def sign(self) -> None:
        """Leave a sign of life.

        Raises:
          RlkitError: another worker has taken the folder over, or the store does not answer.
        """
        with _reached(self.url):
            self._check()
            about = {"pid": os.getpid(), "host": socket.gethostname(), "token": self._token}
            self.store.makedirs(self.root, exist_ok=True)
            self._signing = True
            self.store.pipe_file(f"{self.root}/{OWNER}", json.dumps(about | {"time": time.time()}).encode())
            self._signed, self._signing = True, False

    def claim(self) -> None:
        """Refuse a folder that another worker has signed not long ago.

        A store has no locks: two workers that start within the same second may both pass. Schedulers give an
        index to one worker; this is for those that are started twice.

        Raises:
          UsageError: another worker is alive.
        """
        with _reached(self.url):
            owner, me = self._owner(), (os.getpid(), socket.gethostname())
            if _is_alive(owner) and (owner.get("pid"), owner.get("host")) != me:
                raise UsageError(
                    f"{_who(owner)} is at {self.url}; wait for it, or {ALIVE:.0f} s if it was killed"
                )
        self._signed = False  # it is taken, whoever had it
        self.sign()

    def release(self) -> None:
        """Say that nobody is at it."""
        with _reached(self.url), contextlib.suppress(FileNotFoundError):
            self._check()
            self.store.rm_file(f"{self.root}/{OWNER}")
        self._signed = False

    def _owner(self) -> dict[str, Any]:
        """The sign of life of a worker; empty if there is none, and for one that cannot be read."""
        try:
            owner = json.loads(self.store.cat_file(f"{self.root}/{OWNER}"))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _check(self) -> None:
        """Refuse to write where another worker has signed since this one did: it was silent for too long."""
        if not self._signed:
            return
        owner = self._owner()
        if owner.get("token") != self._token and (owner or not self._signing):
            who = _who(owner) if owner else "another worker, which has ended,"
            raise _TakenError(
                f"{who} took over {self.url} while this one was silent; nothing more is written there, and "
                f"what was computed is kept in {self.local}"
            )

    def _files(self) -> dict[str, int]:
        """The files of the store and their sizes."""
        self.store.invalidate_cache()
        if not self.store.exists(self.root):
            return {}
        prefix = self.store._strip_protocol(self.root).rstrip("/") + "/"
        found = self.store.find(self.root, detail=True)
        sizes = {name.removeprefix(prefix): entry["size"] for name, entry in found.items()}
        return {name: size for name, size in sizes.items() if not _LOCAL.match(name.rsplit("/", 1)[-1])}

    def _marks(self, files: dict[str, int]) -> set[int]:
        """The updates whose checkpoint is there: its marker, and every file that the marker names."""
        whole = set()
        for update in _markers(files):
            named = self._named(update)
            if named:
                there = all(files.get(name) == size for name, size in named.items())
            else:  # an older one
                there = any(name.startswith(_folder(update)) for name in files)
            if there and named is not None:
                whole.add(update)
        return whole

    def _named(self, update: int) -> dict[str, int] | None:
        """What a marker says: files and their sizes. Older ones are empty; None for one that is damaged."""
        if update not in self._listed:
            try:
                named = json.loads(self.store.cat_file(f"{self.root}/{MARKS}/{update}") or b"{}")
            except (FileNotFoundError, ValueError, RecursionError):  # the first: pruned meanwhile
                return None
            if not isinstance(named, dict):
                return None
            self._listed[update] = named
        return self._listed[update]

    def _drop(self, update: int, files: dict[str, int]) -> None:
        """Remove a checkpoint, first its marker."""
        self._listed.pop(update, None)
        self.store.rm_file(f"{self.root}/{MARKS}/{update}")
        for name in files:  # not as a folder, which fsspec takes for a pattern
            if name.startswith(_folder(update)):
                self.store.rm_file(f"{self.root}/{name}")
        self._sent = {n: stamp for n, stamp in self._sent.items() if not n.startswith(_folder(update))}

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
        names = [p.relative_to(self.local).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
        for name in names:
            self._send(self.local / name, name)
        if folder.is_dir() and all(name in self._sent for name in names):  # it was not pruned meanwhile
            said = {name: self._sent[name][0] for name in names if not _LOCAL.match(name.rsplit("/", 1)[-1])}
            self.store.makedirs(f"{self.root}/{MARKS}", exist_ok=True)
            self.store.pipe_file(f"{self.root}/{MARKS}/{update}", json.dumps(said).encode())


def _folder(update: int) -> str:
    return f"{store.CHECKPOINTS}/{update}/"


def _markers(files: dict[str, int]) -> set[int]:
    """The updates that have a marker, whatever is there of their checkpoints."""
    parts = (name.split("/") for name in files)
    return {int(part[1]) for part in parts if part[0] == MARKS and len(part) == 2 and part[1].isdecimal()}


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether a sign of life is a recent one; not if it is far in the future: a clock was ahead."""
    since, now = owner.get("time"), time.time()
    return isinstance(since, int | float) and now - ALIVE < since < now + ALIVE


def _who(owner: dict[str, Any]) -> str:
    return plain(f"process {owner.get('pid')} on {owner.get('host')}")


def standing(url: str) -> state.Standing:
    """Where the job of a store's folder stands, see :mod:`rlkit.jobs.state`.

    Raises:
      RlkitError: the store does not answer, or the mark there is damaged.
    """
    mirror = Mirror(url, Path())
    with _reached(url):
        files = mirror._files()
        if state.MARK in files:
            place = f"{mirror.root}/{state.MARK}"
            mark = state.as_mark(mirror.store.cat_file(place), f"{url}/{state.MARK}")
            if state.is_whole(mark, lambda name: name in files or bool(_LOCAL.match(Path(name).name))):
                return state.Standing(state.DONE)
        update = max(mirror._marks(files), default=0)
        if _is_alive(mirror._owner()):
            return state.Standing(state.RUNNING, update)
        return state.Standing(state.PARTIAL if files else state.NEW, update)


@contextlib.contextmanager
def mirrored(url: str, local: Path, every: float = EVERY) -> Iterator[Mirror]:
    """Work on a store's folder through a local one, which is uploaded all along and in the end.

    Args:
      url: of the folder in the store.
      local: the local folder.
      every: seconds between two uploads. One that fails is made up for by the next; the last one must not.

    Raises:
      UsageError: another worker is at it. RlkitError: the store does not answer, or another worker has taken
        the folder over meanwhile: the work goes on here, and that is said in the end.
    """
    mirror = Mirror(url, local)
    mirror.claim()
    over = threading.Event()

    def follow() -> None:
        while not over.wait(every):
            try:
                mirror.sign()
                mirror.push()
            except _TakenError as error:
                print(f"warning: {error}", file=sys.stderr, flush=True)
                return
            except RlkitError:  # made up for by the next
                continue

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
