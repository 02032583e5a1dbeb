"""The large part of a state that is cheap to lose, such as a replay buffer: ``Learner.bulk`` names it.

A name is the dotted path of a field, and stands for all leaves below it: ``"buffer.stored"``. What is lost is
begun anew together with the field around it, so that a buffer whose rows are gone does not count them.
"""

from typing import Any

import jax

from rlkit.errors import unknown_name
from rlkit.paths import dotted, named_leaves
from rlkit.types import PyTree


def is_below(path: tuple[Any, ...], names: tuple[str, ...]) -> bool:
    """Whether a leaf belongs to one of the named fields."""
    leaf = dotted(path) + "."
    return any(leaf.startswith(name + ".") for name in names)


def check_bulk(state: PyTree, names: tuple[str, ...]) -> None:
    """Check that every name of bulk is that of a part of the state.

    Raises:
      UnknownNameError: one is not.
    """
    leaves = list(named_leaves(state))
    for name in names:
        if not any((leaf + ".").startswith(name + ".") for leaf in leaves):
            raise unknown_name("field", name, leaves, where="of the state, in the bulk of the agent")


def rest(names: tuple[str, ...], state: PyTree) -> list[Any]:
    """The leaves of a state that belong to none of the named fields."""
    return [x for path, x in jax.tree_util.tree_flatten_with_path(state)[0] if not is_below(path, names)]


def replace_rest(names: tuple[str, ...], state: PyTree, leaves: list[Any]) -> PyTree:
    """The state with other leaves outside the named fields; :func:`rest` gives them."""
    new = iter(leaves)
    choose = lambda path, x: x if is_below(path, names) else next(new)
    return jax.tree_util.tree_map_with_path(choose, state)


def around(names: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that hold the named ones: ``"buffer"`` of ``"buffer.stored"``, else the field itself."""
    return tuple(name.rpartition(".")[0] or name for name in names)
