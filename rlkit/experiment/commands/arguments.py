"""Dataclasses from command-line arguments."""

import contextlib
import dataclasses
import functools
import os
import shutil
from collections.abc import Iterator
from typing import Any

from rlkit.errors import UsageError


class _Refused(Exception):
    """Carries what a dataclass says against its values past tyro, which would put it into a box."""

    def __init__(self, error: UsageError):
        super().__init__(str(error))
        self.error = error


def _made(cls: type, **values: Any) -> Any:
    try:
        return cls(**values)
    except UsageError as error:
        raise _Refused(error) from None


_LEAST_WIDTH = 40  # columns; with very few tyro never ends to lay out a help text


@contextlib.contextmanager
def _wide_enough() -> Iterator[None]:
    """Help is laid out for no fewer columns, whatever the terminal or ``COLUMNS`` says."""
    if shutil.get_terminal_size().columns >= _LEAST_WIDTH:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_LEAST_WIDTH)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def parse(cls: type, args: list[str], prog: str, default: Any = None) -> Any:
    """Read a dataclass from arguments with tyro; help texts are in the fields' metadata.

    Args:
      cls: the dataclass, see :func:`rlkit.fields.option`.
      args: the arguments.
      prog: the command, for help texts.
      default: an instance whose values are taken where an argument is not given.

    Raises:
      UsageError: the dataclass refuses a value.
      SystemExit: help was asked for, or an argument cannot be read; tyro has printed why.
    """
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    def type_of(entry: Any, known: Any) -> Any:
        return type(getattr(known, entry.name)) if entry.type is Any else entry.type

    @registry.struct_rule
    def _(info: Any) -> Any:
        """A dataclass whose fields carry their help; a field without a type takes its default's."""
        if not dataclasses.is_dataclass(info.type):
            return None
        entries = [entry for entry in dataclasses.fields(info.type) if "help" in entry.metadata]
        if not entries:
            return None
        known = info.default if isinstance(info.default, info.type) else info.type()
        return tyro.constructors.StructConstructorSpec(
            instantiate=functools.partial(_made, info.type),
            fields=tuple(
                tyro.constructors.StructFieldSpec(
                    name=entry.name,
                    type=type_of(entry, known),
                    default=getattr(known, entry.name),
                    helptext=entry.metadata["help"],
                )
                for entry in entries
            ),
        )

    described = (cls.__doc__ or "").split("\n")[0]
    with registry, _wide_enough():
        try:
            return tyro.cli(cls, prog=prog, args=args, default=default, description=described)
        except _Refused as refused:
            raise refused.error from None
