"""Environments by name. Nothing is imported before it is made."""

import functools
import sys
from collections.abc import Mapping
from typing import Any

from rlkit import registry
from rlkit.envs.check import check_environment
from rlkit.envs.suggest import not_an_environment, unknown_environment
from rlkit.errors import UsageError
from rlkit.registry import Entry, is_target
from rlkit.types import Environment


def _mazes(*layouts: str) -> dict[str, Entry]:
    return {
        f"nav/pointmaze-{layout}{suffix}": Entry(
            "rlkit.envs.pointmaze:PointMaze",
            f"find the goal in the maze {layout!r}{', far from the start' if suffix else ''}",
            {"layout": layout, "far": bool(suffix)},
        )
        for layout in layouts
        for suffix in ("", "-far")[: 1 + (layout != "open")]
    }


class _Table(registry.Table):
    """A table whose unknown names suggest counterparts of other packages' environments."""

    def __getitem__(self, name: str) -> Entry:
        if name.startswith("host:") and name not in self:  # Gymnasium's registry knows what there is
            options = {"id": name.removeprefix("host:")}
            return Entry(_HOST, "an environment of Gymnasium, on the host", options)
        family, _, rest = name.partition("/")
        if family == "gymnax" and rest:  # its own registry knows what there is
            return Entry("rlkit.envs.gymnax:Gymnax", "an environment of gymnax", {"name": rest})
        if family == "xland" and rest:
            return Entry("rlkit.envs.xland:XLand", "an environment of XLand-MiniGrid", {"name": rest})
        if name in self or is_target(name):
            return super().__getitem__(name)
        raise unknown_environment(name, self)


_HOST = "rlkit.envs.host:host"

_ENTRIES: Mapping[str, Entry] = {
    "classic/cartpole": Entry("rlkit.envs.cartpole:CartPole", "balance a pole on a cart (= CartPole-v1)"),
    "classic/pendulum": Entry("rlkit.envs.pendulum:Pendulum", "swing a pendulum up (= Pendulum-v1)"),
    **_mazes("umaze", "medium", "large", "rooms", "open", "random-rooms"),
    "nav/pointmaze-open-clutter": Entry(
        "rlkit.envs.pointmaze:PointMaze",
        "find the goal in a field into which boxes drop meanwhile",
        {"layout": "open", "clutter": 12},
    ),
    "nav/unicycle-random-rooms-landmarks": Entry(
        "rlkit.envs.pointmaze:PointMaze",
        "drive through rooms with landmarks to a goal",
        {"layout": "random-rooms", "drive": "unicycle", "landmarks": 6},
    ),
    "nav/treerooms": Entry("rlkit.envs.treerooms:TreeRooms", "explore a tree of rooms to find a hidden goal"),
    "gui/pointing": Entry("rlkit.envs.pointing:Pointing", "click the right widget on a screen"),
    **{
        f"xland/MiniGrid-{name}": Entry(
            "rlkit.envs.xland:XLand", f"{summary} (XLand-MiniGrid)", {"name": f"MiniGrid-{name}"}
        )
        for name, summary in (
            ("DoorKey-8x8", "a key, a door, a goal"),
            ("FourRooms", "four rooms and a goal"),
            ("LockedRoom", "six rooms, one of them locked"),
        )
    },
    "nav/keydoor": Entry("rlkit.envs.keydoor:KeyDoor", "take the key, unlock the door, find the goal"),
    **{
        f"craft/{goal}": Entry("rlkit.envs.craftax:Craftax", f"Craftax-Classic: {summary}", {"goal": goal})
        for goal, summary in (
            ("classic", "22 achievements"),
            ("tree", "a first log"),
            ("cow", "eat a cow"),
            ("stone", "a first stone"),
            ("iron", "a first iron"),
            ("diamond", "a first diamond"),
        )
    },
    "craft/lava-explore": Entry(
        "rlkit.envs.craftax:Craftax",
        "Craftax-Classic: explore a cave with lava",
        {"goal": "lava-explore", "start": "cave"},
    ),
    "craft/full": Entry("rlkit.envs.craftax_full:CraftaxFull", "Craftax: nine floors, 67 achievements"),
    "craft/mini": Entry("rlkit.envs.craft_mini:CraftMini", "gather, craft, mine a diamond"),
    **{
        f"judge/{name}": Entry(f"rlkit.envs.judges.{name}:{name.title()}Judge", summary)
        for name, summary in (
            ("tools", "call tools, then say which answer is better (ARM-Thinker)"),
            ("order", "judge two answers in both orders (R1-Reward)"),
            ("score", "give an answer a score (WavReward)"),
            ("persona", "say whom you judge for, then what they prefer (P-GenRM)"),
        )
    },
    **{
        f"mujoco/{robot}": Entry("rlkit.envs.brax:Robot", f"{summary} (brax)", {"robot": robot})
        for robot, summary in (
            ("ant", "four legs run"),
            ("halfcheetah", "a planar cheetah runs"),
            ("hopper", "one planar leg hops"),
            ("humanoid", "a humanoid walks"),
            ("inverted_pendulum", "balance a pole on a sliding cart"),
            ("reacher", "a two-link arm reaches"),
            ("walker2d", "two planar legs walk"),
        )
    },
    "mujoco/walker2d-v5": Entry(
        "rlkit.envs.mjx_walker:MjxWalker2d", "two planar legs walk (Gymnasium's Walker2d-v5 in MJX)"
    ),
    **{
        f"box2d/{name}": Entry(_HOST, f"{summary} (Gymnasium, on the host)", {"id": f"box2d/{name}"})
        for name, summary in (
            ("bipedalwalker", "two legs walk over uneven ground"),
            ("bipedalwalker-hardcore", "two legs walk over ladders, stumps and pits"),
            ("lunarlander", "land a module"),
            ("lunarlander-continuous", "land a module with throttled engines"),
        )
    },
    **{
        f"host:{name}-v5": Entry(_HOST, f"{summary} (Gymnasium, on the host)", {"id": f"{name}-v5"})
        for name, summary in (
            ("Ant", "four legs run"),
            ("AntMaze_UMaze", "four legs walk through a maze"),
            ("HalfCheetah", "a planar cheetah runs"),
            ("Hopper", "one planar leg hops"),
            ("Humanoid", "a humanoid walks"),
            ("InvertedPendulum", "balance a pole on a sliding cart"),
            ("Walker2d", "two planar legs walk"),
        )
    },
    "host:PointMaze_UMaze-v3": Entry(
        _HOST, "a point mass in a maze (Gymnasium-Robotics, on the host)", {"id": "PointMaze_UMaze-v3"}
    ),
}

TABLE = _Table("environment", _ENTRIES)


def names() -> tuple[str, ...]:
    """The ids that :func:`make` knows, sorted."""
    return tuple(TABLE)


def make(id: str, **options: Any) -> Environment:
    """Make an environment.

    Args:
      id: a name from :func:`names`, e.g. ``"nav/pointmaze-umaze-far"``; ``"gymnax/"`` and an id of gymnax;
        ``"host:"`` and an id of Gymnasium, see :mod:`rlkit.envs.host`; or
        ``"package.module:factory"`` for one of your own, where the factory is a class or function that
        returns an environment, ours or one of Gymnasium's (which then runs on the host).
      **options: static choices of that environment, e.g. ``actions="discrete"``.

    Returns:
      A frozen, hashable :class:`rlkit.types.Environment`. Your own is checked first, see
      :func:`rlkit.envs.check.check_environment`; agents and rollouts check all.

    Raises:
      UnknownNameError: no such id, or no such option; the message suggests the nearest one.
      InvalidEnvironmentError: what your factory gives is no environment, or contradicts itself.
      MissingExtraError: the environment needs a package that is not installed.
    """
    if not isinstance(id, str):
        hint = not_an_environment(id) or "it is an environment already: use it as it is"
        raise UsageError(f"id={id!r:.80}: expected the name of an environment; {hint}")
    env = TABLE.make(id, **options)
    if is_target(id):
        env = _hosted(id, env, options)
        check_environment(env)
    return env


def _hosted(id: str, env: Any, options: Mapping[str, Any]) -> Any:
    """What a factory of the user's made; an environment of Gymnasium's moves behind the bridge."""
    gymnasium = sys.modules.get("gymnasium")
    if gymnasium is None or not isinstance(env, gymnasium.Env):
        return env
    from rlkit.envs.host import from_gymnasium

    env.close()
    return from_gymnasium(functools.partial(registry.load_target(id), **options), id=id)
