"""Members: settings that train side by side, each with all seeds, in one compiled program.

A member is a choice of hyper-parameters, environment parameters and reward parameters. Seed k starts from
the same key in every member, so that members differ by their settings alone.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit import fields
from rlkit.errors import UsageError, unknown_name
from rlkit.paths import dotted, named_leaves
from rlkit.types import Agent, Learner, PyTree

PARTS = ("agent", "env", "reward")


class Members(NamedTuple):
    """``M`` settings; what is None is the agent's own for all of them."""

    labels: tuple[str, ...]  # of each member, e.g. "learning_rate=0.0001"
    config: PyTree = None  # leaves [M, ...]
    env_params: PyTree = None  # leaves [M, ...]
    reward_params: PyTree = None  # leaves [M, ...]


def sweep(agent: Agent, grid: Mapping[str, Sequence[float]]) -> Members:
    """All combinations of some values of numbers that may vary.

    Args:
      agent: the agent.
      grid: values by name. ``agent.NAME`` is a field of the configuration, ``env.NAME`` of the environment's
        parameters, ``reward.NAME`` of the reward's (:attr:`rlkit.types.Reward.params`); deeper leaves have
        dotted names.

    Returns:
      The members, the last name of ``grid`` varying fastest.

    Raises:
      UnknownNameError: there is no such number; the message suggests the nearest one.
      UsageError: a field is fixed when the program is compiled, or a value is out of its range.
    """
    own = _settings(agent)
    if not isinstance(grid, Mapping) or not all(_listed(values) for values in grid.values()):
        raise UsageError(
            f"grid={fields.shown(grid)}: expected values by name, e.g. "
            "{'agent.learning_rate': [1e-4, 3e-4]}"
        )
    trees = {"agent": own["config"], "env": own["env_params"], "reward": own["reward_params"]}
    for name, values in grid.items():
        _check(agent, trees, name, values)
    rows = list(itertools.product(*grid.values()))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(grid)}
    swept = {part: _stack(trees[part], part, columns, len(rows)) for part in PARTS}
    return Members(grid_labels(grid), swept["agent"], swept["env"], swept["reward"])


def grid_labels(grid: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """The labels of the members of a sweep, e.g. ``"learning_rate=0.0001"``; one empty text without one."""
    rows = itertools.product(*grid.values())
    return tuple(", ".join(f"{_short(n)}={v:.6g}" for n, v in zip(grid, row, strict=True)) for row in rows)


def _settings(agent: Agent | Learner) -> dict[str, PyTree]:
    """What may differ between members: by the names of :class:`Members`."""
    if not isinstance(agent, Agent):
        raise UsageError(
            f"{agent.title} is no agent, so that it has no numbers to vary side by side; start a run for each"
        )
    return {
        "config": agent.config,
        "env_params": agent.env.default_params(),
        "reward_params": agent.reward.params,
    }


def _short(name: str) -> str:
    return name.partition(".")[2] if name.startswith("agent.") else name


def _check(agent: Agent, trees: dict[str, PyTree], name: str, values: Sequence[float]) -> None:
    part, _, inner = name.partition(".")
    if part not in PARTS or not inner:
        raise unknown_name("number", name, _all_names(trees))
    if part == "agent" and inner in _static_fields(agent.config):
        raise UsageError(
            f"{name} is fixed when the program is compiled, so its values cannot run side by side; sweep a "
            f"number ({', '.join(sorted(named_leaves(agent.config)))}) or start a run for each value"
        )
    if inner not in (leaves := named_leaves(trees[part])):
        raise unknown_name("number", name, _all_names(trees))
    if not len(values):
        raise UsageError(f"{name}: expected at least one value")
    whole = jnp.issubdtype(jnp.result_type(leaves[inner]), jnp.integer)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise UsageError(f"{name}={value!r}: expected a number")
        if part == "agent":
            fields.check(dataclasses.replace(agent.config, **{inner: float(value)}))
        elif problem := fields.not_float32(value):
            raise UsageError(f"{name}={value!r} ({problem}): expected a finite number")
        if whole and float(value) != int(value):
            raise UsageError(f"{name}={value!r}: expected an integer")
        if inner == "max_steps" and part == "env" and value < 1:
            raise UsageError(f"{name}={value!r}: expected at least 1 step in an episode")
    if len(set(values)) < len(values):
        raise UsageError(f"{name}={list(values)}: expected each value once, or members cannot be told apart")


def _listed(values: Any) -> bool:
    return isinstance(values, Sequence | np.ndarray | jax.Array) and not isinstance(values, str)


def _static_fields(config: Any) -> set[str]:
    return {entry.name for entry in dataclasses.fields(config) if entry.metadata.get("static")}


def _all_names(trees: dict[str, PyTree]) -> list[str]:
    return [f"{part}.{name}" for part in PARTS for name in named_leaves(trees[part]) if name]


def _stack(tree: PyTree, part: str, columns: dict[str, list[float]], size: int) -> PyTree:
    """The tree with a leading axis ``[M]``, or None if nothing in it is swept."""
    chosen = {
        name.partition(".")[2]: values for name, values in columns.items() if name.startswith(f"{part}.")
    }
    if not chosen:
        return None

    def stack(path: Any, leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        if (values := chosen.get(dotted(path))) is None:
            return jnp.broadcast_to(leaf, (size, *leaf.shape))
        column = jnp.asarray(np.asarray(values), leaf.dtype)
        return jnp.broadcast_to(column.reshape(size, *[1] * leaf.ndim), (size, *leaf.shape))

    return jax.tree_util.tree_map_with_path(stack, tree)


def check_members(agent: Agent | Learner, members: Members) -> int:
    """The number of members; raises a sentence if a part does not fit the agent.

    Raises:
      UsageError: there are no labels, or a leaf is not ``[M, ...]`` of what the agent has.
    """
    if not isinstance(members, Members):
        raise UsageError(
            f"members={fields.shown(members)}: expected Members; did you mean "
            "rlkit.experiment.sweep(agent, {'agent.learning_rate': [1e-4, 3e-4]})?"
        )
    size = len(members.labels)
    if not size:
        raise UsageError("members have no labels; expected one for each")
    for part, own in _settings(agent).items():
        given = getattr(members, part)
        if given is None:
            continue
        if jax.tree.structure(given) != jax.tree.structure(own):
            raise UsageError(
                f"members.{part} is {jax.tree.structure(given)}; expected {jax.tree.structure(own)}, with a "
                "leading axis of members in each leaf"
            )
        for (name, leaf), want in zip(named_leaves(given).items(), jax.tree.leaves(own), strict=True):
            shape = (size, *jnp.shape(want))
            if jnp.shape(leaf) != shape:
                raise UsageError(f"members.{part}.{name} has shape {jnp.shape(leaf)}; expected {shape}")
    return size


def parse_grid(texts: Iterable[str]) -> dict[str, list[float]]:
    """Read a grid from texts like ``agent.learning-rate=1e-4,3e-4``.

    Raises:
      UsageError: a text is not ``name=number,number,...``, or a name comes twice.
    """
    grid: dict[str, list[float]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.replace("-", "_")
        try:
            numbers = [float(value) for value in values.split(",")]
        except ValueError:
            numbers = []
        if not equals or not name or not numbers:
            raise UsageError(
                f"sweep has {text[:80]!r}: expected NAME=NUMBER,NUMBER,..., e.g. "
                "agent.learning-rate=1e-4,3e-4"
            )
        if name in grid:
            raise UsageError(f"sweep has {name} twice; give all its values in one list")
        grid[name] = numbers
    return grid
