"""Dataclasses from command-line arguments."""

import dataclasses
from typing import Any


def parse(cls: type, args: list[str], prog: str, default: Any = None) -> Any:
    """Read a dataclass from arguments with tyro; help texts are in the fields' metadata."""
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
            instantiate=info.type,
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
    with registry:
        return tyro.cli(cls, prog=prog, args=args, default=default, description=described)
