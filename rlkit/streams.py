"""Standard streams of a command: one that breaks never stops a run, and any encoding can be read."""

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

PLAIN = "rlkit-plain"
_SPELT = {
    "–": "-", "—": "-", "…": "...", "×": "x", "±": "+/-", "→": "->", "≤": "<=", "≥": ">=", "·": "*",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "λ": "lambda", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "θ": "theta", "φ": "phi", "Φ": "Phi", "Δ": "Delta",
    "│": "|", "─": "-", "━": "-", "╭": "+", "╮": "+", "╯": "+", "╰": "+", "┌": "+", "┐": "+", "└": "+",
    "┘": "+", "├": "+", "┤": "+", "“": '"', "”": '"', "‘": "'", "’": "'", "•": "*",
}  # fmt: skip


class Unbreakable:
    """A text stream whose failures stop nobody: a closed pipe, a full disk, no stream at all.

    Args:
      stream: any text stream, or None where there is none.

    Attributes:
      failure: the first error of the stream, None while there was none.
    """

    def __init__(self, stream: Any):
        self.stream = stream
        self.failure: OSError | ValueError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def _try(self, name: str, *args: Any) -> Any:
        if self.stream is None:
            return None
        try:
            return getattr(self.stream, name)(*args)
        except UnicodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self.failure = self.failure or error
            return None

    def write(self, text: str) -> int:
        """Write what can be written."""
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, if someone takes it."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(self._try("isatty"))


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What an encoding cannot show, spelt with characters that it can."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelt = []
    for char in error.object[error.start : error.end]:
        plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
        spelt.append(_SPELT.get(char, plain or "?"))
    return "".join(spelt), error.end


@contextlib.contextmanager
def guarded() -> Iterator[tuple[Unbreakable, Unbreakable]]:
    """Make standard output and standard error unbreakable and readable while the block runs."""
    _occupy()
    codecs.register_error(PLAIN, _plain)
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors=PLAIN)
    out, err = Unbreakable(sys.stdout), Unbreakable(sys.stderr)
    sys.stdout, sys.stderr = out, err  # pyrefly: ignore
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            stream.flush()
            if stream.failure is not None:
                _silence(stream.stream)


def _occupy() -> None:
    """Open what was closed (``2>&-``): a file of the run must not become standard error."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _silence(stream: Any) -> None:
    """What could not be written must not be tried again, and complained about, when Python ends."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
