"""What a design has found out, step by step: each step is computed once, also across processes.

``journal.jsonl`` has a line for each step: its name, its data and a digest that continues the one of the line
before. A process that goes on reads them; a line that was cut off by a kill is dropped.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlkit import outside
from rlkit.errors import UsageError

JOURNAL = "journal.jsonl"


class Journal:
    """Steps by name.

    Args:
      path: the file; None keeps them in memory.
      write: whether there will be more steps: a line that was cut off is then taken away.

    Raises:
      UsageError: a line is not as it was written.
    """

    def __init__(self, path: Path | None = None, *, write: bool = True):
        self.path, self.steps, self.last = path, {}, ""  # last: the digest of the newest line
        if path is not None and path.exists():
            self._load(path, write)

    def _load(self, path: Path, write: bool) -> None:
        with outside.at(path, "read"):
            data = outside.read_bytes(path)
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            name, found, digest, right = "", None, "", False
            try:
                entry = json.loads(line)
                name, found, digest = entry["step"], entry["data"], entry["digest"]
                right = digest == self._digest(name, found)
            except (ValueError, KeyError, TypeError, RecursionError):
                pass
            if not right:
                raise UsageError(f"line {number} of {path} has been changed since it was written; restore it")
            self.steps[name], self.last = found, digest
        if whole < len(data):
            if data[whole:][:1] != b"{":
                raise UsageError(f"{path} does not end with a line of a journal; restore it")
            if write:
                os.truncate(path, whole)

    def _digest(self, name: str, data: Any) -> str:
        text = json.dumps([self.last, name, data], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self.steps

    def note(self, name: str, data: Any) -> Any:
        """Write a step, and return its data as a later process would read it."""
        text = json.dumps(data, allow_nan=False)
        data = json.loads(text)
        self.last = self._digest(name, data)
        self.steps[name] = data
        if self.path is not None:
            line = json.dumps({"step": name, "data": data, "digest": self.last}) + "\n"
            with outside.at(self.path), open(self.path, "ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        return data

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """The data of a step, computed if it is not known."""
        return self.steps[name] if name in self.steps else self.note(name, compute())
