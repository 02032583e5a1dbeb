"""Names of the leaves of a pytree: dotted, as a person writes them."""

from typing import Any

import jax

from rlkit.types import PyTree


def dotted(path: tuple[Any, ...]) -> str:
    """The name of a leaf, e.g. ``params.actor_torso.Dense_0.kernel``; empty for a tree that is a leaf."""
    return ".".join(_word(entry) for entry in path)


def _word(entry: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their dotted names, in the order of the tree."""
    return {dotted(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
