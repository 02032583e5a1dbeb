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


def _mazes(*layouts: str) -> dict[str, Entry]:
    return {
        f"nav/pointmaze-{layout}{suffix}": Entry(
            "rlkit.envs.pointmaze:PointMaze",
            {"layout": layout, "far": bool(suffix)},
            f"find the goal in the maze {layout!r}{', far from the start' if suffix else ''}",
        )
        for layout in layouts
        for suffix in ("", "-far")[: 1 + (layout != "open")]
    }


TABLE: dict[str, Entry] = {
    "classic/cartpole": Entry("rlkit.envs.cartpole:CartPole", {}, "balance a pole on a cart (= CartPole-v1)"),
    "classic/pendulum": Entry("rlkit.envs.pendulum:Pendulum", {}, "swing a pendulum up (= Pendulum-v1)"),
    **_mazes("umaze", "medium", "large", "rooms", "open"),
    **{
        f"craft/{goal}": Entry("rlkit.envs.craftax:Craftax", {"goal": goal}, f"Craftax-Classic: {summary}")
        for goal, summary in (
            ("classic", "22 achievements"),
            ("tree", "a first log"),
            ("cow", "eat a cow"),
            ("stone", "a first stone"),
            ("iron", "a first iron"),
            ("diamond", "a first diamond"),
        )
    },
    "craft/mini": Entry("rlkit.envs.craft_mini:CraftMini", {}, "gather, craft, mine a diamond"),
    "mujoco/ant": Entry("rlkit.envs.brax:Robot", {"robot": "ant"}, "four legs run (brax)"),
    "mujoco/halfcheetah": Entry(
        "rlkit.envs.brax:Robot", {"robot": "halfcheetah"}, "a planar cheetah runs (brax)"
    ),
    "mujoco/hopper": Entry("rlkit.envs.brax:Robot", {"robot": "hopper"}, "one planar leg hops (brax)"),
    "mujoco/humanoid": Entry("rlkit.envs.brax:Robot", {"robot": "humanoid"}, "a humanoid walks (brax)"),
    "mujoco/inverted_pendulum": Entry(
        "rlkit.envs.brax:Robot", {"robot": "inverted_pendulum"}, "balance a pole on a sliding cart (brax)"
    ),
    "mujoco/reacher": Entry("rlkit.envs.brax:Robot", {"robot": "reacher"}, "a two-link arm reaches (brax)"),
    "mujoco/walker2d": Entry("rlkit.envs.brax:Robot", {"robot": "walker2d"}, "two planar legs walk (brax)"),
}


def list() -> tuple[str, ...]:
    """The ids that :func:`make` knows, sorted."""
    return tuple(sorted(TABLE))


def make(id: str, **options: Any) -> Environment:
    """Make an environment.

    Args:
      id: a name from :func:`list`, e.g. ``"nav/pointmaze-umaze-far"``, or ``"gymnax/"`` and an id of gymnax.
      **options: static choices of that environment, e.g. ``actions="discrete"``.

    Returns:
      A frozen, hashable :class:`rlkit.types.Environment`.

    Raises:
      UnknownNameError: no such id, or no such option; the message suggests the nearest one.
      MissingExtraError: the environment needs a package that is not installed.
    """
    family, _, name = id.partition("/")
    if family == "gymnax":  # its own registry knows what there is
        entry = Entry("rlkit.envs.gymnax:Gymnax", {"name": name}, "an environment of gymnax")
    elif id in TABLE:
        entry = TABLE[id]
    else:
        raise unknown_name("environment", id, TABLE)
    module, name = entry.target.split(":")
    factory = getattr(importlib.import_module(module), name)
    accepted = [p for p in inspect.signature(factory).parameters if p not in entry.options]
    for option in options:
        if option not in accepted:
            if not accepted:
                raise UsageError(f"{id} has no options, but got {option}={options[option]!r}; leave it out")
            raise unknown_name("option", option, accepted, where=f"of {id}")
    return factory(**entry.options, **options)
