"""Names of things that can be made: one shape of table for environments, agents, rewards and sinks.

Each table stands beside what it registers. Whatever has a name there can also be named by where it is
defined, ``"package.module:factory"``, so that what a user wrote needs no registration.
"""

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from rlkit.errors import RlkitError, UsageError, said, unknown_name


class Entry(NamedTuple):
    """Where something is made."""

    target: str  # "module:factory"
    summary: str = ""  # a few words for listings
    options: Mapping[str, Any] = {}  # arguments of the factory that the name fixes


class Table(Mapping[str, Entry]):
    """Entries by name. Nothing is imported before it is made.

    Attributes:
      kind: what the names stand for, in messages, e.g. ``"environment"``.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]):
        self.kind, self._entries = kind, dict(sorted(entries.items()))

    def __getitem__(self, name: str) -> Entry:
        """The entry of a name, or one for ``"module:factory"``.

        Raises:
          UnknownNameError: no such name; the message suggests the nearest one.
        """
        if name in self._entries:
            return self._entries[name]
        if is_target(name):
            return Entry(name, "your own")
        raise unknown_name(self.kind, name, self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def make(self, name: str, /, *args: Any, **options: Any) -> Any:
        """Call the factory of ``name``.

        Args:
          name: a name of the table, or ``"module:factory"``.
          *args: its positional arguments.
          **options: its keyword arguments, beside those that the name fixes.

        Raises:
          UnknownNameError: no such name, or no such option.
          UsageError: the module cannot be imported, or has no such factory.
        """
        entry = self[name]
        factory = load_target(entry.target)
        if not callable(factory):
            raise UsageError(f"{name!r} is {factory!r:.80}; expected what makes the {self.kind}")
        check_options(factory, name, options, entry.options)
        return called(name, factory, *args, **entry.options, **options)


def called(name: str, factory: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """What a factory makes; if a user wrote it, its failure says whose it is.

    Raises:
      UsageError: the factory that ``"module:factory"`` names raised something else than a sentence of ours.
    """
    if not is_target(name):
        return factory(*args, **options)
    try:
        return factory(*args, **options)
    except (RlkitError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit and its like, too
        raise UsageError(f"{name} failed with {type(error).__name__}: {said(error)}") from error


def is_target(name: str) -> bool:
    """Whether a name reads ``package.module:factory``."""
    module, colon, factory = name.partition(":")
    parts = [*module.split("."), *factory.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)


def load_target(target: str) -> Callable[..., Any]:
    """What ``"package.module:factory"`` names. Modules in the working directory are found as well.

    Such names stand in files too (run folders, studies, jobs), so nothing that Python itself ships can be
    named, whether by its own module or through one that imports it.

    Raises:
      UsageError: there is no such module, it fails while it is imported, or it has no such factory; or
        that is part of Python, or a module.
    """
    module_name, _, path = target.partition(":")
    if _ships_with_python(module_name):
        raise _not_yours(target, f"the module {module_name} is part of Python")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    found: Any
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(
                f"{target!r}: there is no module {error.name!r}; run from the folder that holds it, or "
                "install it"
            ) from error
        raise  # it is there, but needs something that is not: that message is the better one
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if module_name.startswith("rlkit."):
            raise
        raise UsageError(
            f"{target!r}: importing {module_name} failed with {type(error).__name__}: {said(error)}"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise unknown_name("name", name, public, where=f"in the module {module_name}")
        found = getattr(found, name)
        if inspect.ismodule(found):
            raise _not_yours(target, f"{name} is a module")
    if inspect.isroutine(found) or inspect.isclass(found):
        home = getattr(found, "__module__", None) or ""
        if _ships_with_python(home):
            raise _not_yours(target, f"{path} is defined in {home}, which is part of Python")
    return cast(Callable[..., Any], found)


def _ships_with_python(module_name: str) -> bool:
    return module_name.partition(".")[0] in sys.stdlib_module_names


def _not_yours(target: str, why: str) -> UsageError:
    return UsageError(f"{target!r}: {why}; name a factory of your own module")


def check_options(
    factory: Callable[..., Any], name: str, options: Mapping[str, Any], fixed: Mapping[str, Any] = {}
) -> None:
    """Check that a factory takes some options.

    Raises:
      UnknownNameError: it does not know one; the message suggests the nearest.
      UsageError: it takes none.
    """
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return
    accepted = [p.name for p in parameters if p.name not in fixed]
    for option, value in options.items():
        if option not in accepted:
            if not accepted:
                raise UsageError(f"{name} has no options, but got {option}={value!r}; leave it out")
            raise unknown_name("option", option, accepted, where=f"of {name}")


class Origin(NamedTuple):
    """The source of something that a user's module defines."""

    target: str  # "module:factory"
    file: str  # of the module
    digest: str  # SHA-256 of that file, hexadecimal


def origin(target: str) -> Origin:
    """Where ``"module:factory"`` comes from, and a digest that tells whether its file has changed.

    Raises:
      UsageError: as :func:`load_target`, or the module has no file.
    """
    load_target(target)
    file = getattr(sys.modules[target.partition(":")[0]], "__file__", None)
    if not file:
        raise UsageError(f"{target!r}: its module has no file; define it in a file")
    with open(file, "rb") as source:
        return Origin(target, file, hashlib.sha256(source.read()).hexdigest())
