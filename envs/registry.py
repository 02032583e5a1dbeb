"""Environments by name. Nothing is imported before it is made."""

import importlib
import inspect
from typing import Any, NamedTuple

from rlkit.errors import UsageError, unknown_name
from rlkit.types import Environment


class Entry(NamedTuple):
    """Where an environment is made."""

    target: str  # "module:factory"
    options: dict[str, Any]  # static choices that the id fixes
    summary: str  # a few words for listings


TABLE: dict[str, Entry] = {
    "classic/cartpole": Entry("rlkit.envs.cartpole:CartPole", {}, "balance a pole on a cart (= CartPole-v1)"),
}


def list() -> tuple[str, ...]:
    """The ids that :func:`make` knows, sorted."""
    return tuple(sorted(TABLE))


def make(id: str, **options: Any) -> Environment:
    """Make an environment.

    Args:
      id: a name from :func:`list`, e.g. ``"nav/pointmaze-umaze-far"``.
      **options: static choices of that environment, e.g. ``actions="discrete"``.

    Returns:
      A frozen, hashable :class:`rlkit.types.Environment`.

    Raises:
      UnknownNameError: no such id, or no such option; the message suggests the nearest one.
      MissingExtraError: the environment needs a package that is not installed.
    """
    if id not in TABLE:
        raise unknown_name("environment", id, TABLE)
    entry = TABLE[id]
    module, name = entry.target.split(":")
    factory = getattr(importlib.import_module(module), name)
    accepted = [p for p in inspect.signature(factory).parameters if p not in entry.options]
    for option in options:
        if option not in accepted:
            if not accepted:
                raise UsageError(f"{id} has no options, but got {option}={options[option]!r}; leave it out")
            raise unknown_name("option", option, accepted, where=f"of {id}")
    return factory(**entry.options, **options)
