"""Dataclasses from JSON data that anybody may have written."""

import dataclasses
import types
import typing
from typing import Any, TypeVar

from rlkit.errors import UsageError, unknown_name

T = TypeVar("T")

_WORDS = {str: "text", bool: "true or false", int: "an integer", float: "a number", dict: "an object"}
_WORDS |= {tuple: "a list", list: "a list"}


def record(kind: type[T], data: Any, where: str) -> T:
    """An instance of a dataclass from a JSON object.

    Args:
      kind: the dataclass. Fields that are texts, booleans, numbers, dictionaries, lists or tuples must be
        given as such; others are taken as they are.
      data: the JSON data; fields with defaults may be left out.
      where: it comes from, for messages, e.g. ``"in line 3 of jobs.jsonl"``.

    Raises:
      UnknownNameError: a key that is no field.
      UsageError: no object, a field that is missing, or one of another type.
    """
    what = kind.__name__.lower()
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a JSON object for a {what}, got {_shown(data)}")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}  # pyrefly: ignore
    for name in data:
        if name not in fields:
            raise unknown_name("key", name, fields, where=where)
    hints = typing.get_type_hints(kind)
    for name, entry in fields.items():
        needed = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if name not in data and needed:
            raise UsageError(f"{where}: a {what} is not complete: {name!r} is missing")
        if name in data and (wanted := _wanted(hints[name], data[name])):
            raise UsageError(f"{where}: {name}={_shown(data[name])}: expected {wanted}")
    return kind(**data)


def _wanted(hint: Any, value: Any) -> str:
    """What a value should have been, empty if it is that."""
    plain = typing.get_origin(hint) or hint
    if plain in (typing.Union, types.UnionType):
        wanted = [_wanted(one, value) for one in typing.get_args(hint)]
        return "" if "" in wanted else " or ".join(wanted)
    if plain is type(None):
        return "" if value is None else "null"
    if plain not in _WORDS:
        return ""
    good: tuple[type, ...] = {float: (int, float), tuple: (list, tuple)}.get(plain, (plain,))
    right = isinstance(value, good) and (plain is bool or not isinstance(value, bool))
    return "" if right else _WORDS[plain]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
