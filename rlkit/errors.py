"""Errors that say what to do, and suggestions for misspelt names."""

import difflib
import operator
from collections.abc import Iterable
from typing import Any


class RlkitError(Exception):
    """A failure whose message is written for the user.

    The command line prints it as one sentence and exits with code 1; any other
    exception is a defect and keeps its traceback.
    """


class UsageError(RlkitError, ValueError):
    """A request that cannot be carried out as it was written (exit code 2 on the command line)."""


class UnknownNameError(UsageError, KeyError):
    """A name that is not in a table of names, with the nearest one as a suggestion."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class MissingExtraError(UsageError, ImportError):
    """A feature that needs a package which is not installed."""


def said(error: BaseException) -> str:
    """What an error says; the name of its type where its own ``__str__`` fails."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


class WrongTypeError(UsageError, TypeError):
    """An argument of another type than it can be."""


class InvalidEnvironmentError(WrongTypeError):
    """An environment whose methods do not agree with its specification or with each other."""


def unknown_name(kind: str, name: object, known: Iterable[str], *, where: str = "") -> UnknownNameError:
    """Build the error for an unknown name.

    Args:
      kind: what the name stands for, e.g. ``"environment"``.
      name: what the user wrote.
      known: the names there are.
      where: optional place, e.g. ``"of nav/pointmaze-umaze"``.

    Returns:
      The exception to raise; it suggests the nearest name, or lists all of them if none is near.
    """
    table = sorted(str(entry) for entry in known)
    place = f" {where}" if where else ""
    same = [entry for entry in table if entry.casefold() == str(name).casefold()]
    near = same or difflib.get_close_matches(str(name), table, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif table:
        hint = "known: " + ", ".join(table)
    else:
        hint = "there are none"
    return UnknownNameError(f"unknown {kind} {str(name)!r}{place}; {hint}")


def check_count(name: str, value: Any, least: int = 1) -> int:
    """An argument that counts something, as an int.

    Raises:
      UsageError: it is not an integer (of Python or NumPy) of at least ``least``.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if count < least or isinstance(value, bool):
        raise UsageError(f"{name}={value!r}: expected an integer of at least {least}")
    return count


def missing_extra(what: str, package: str, extra: str) -> MissingExtraError:
    """Build the error for a feature whose optional package is not installed."""
    return MissingExtraError(
        f"{what} needs the package {package!r}, which is not installed; "
        f"install it with: pip install 'rlkit-jax[{extra}]'"
    )
