"""Parameters that learn and parameters that do not, as two trees of one structure."""

from typing import NamedTuple

import jax

from rlkit.types import PyTree


class Split(NamedTuple):
    """Two trees; where one has a leaf, the other has None."""

    learnt: PyTree
    frozen: PyTree


def split(params: PyTree, learns: PyTree) -> Split:
    """Divide parameters.

    Args:
      params: all of them.
      learns: bools of the same structure.
    """
    part = lambda wanted: jax.tree.map(lambda x, learn: x if learn == wanted else None, params, learns)
    return Split(part(True), part(False))


def join(learnt: PyTree, frozen: PyTree) -> PyTree:
    """The inverse of :func:`split`."""
    pick = lambda a, b: b if a is None else a
    return jax.tree.map(pick, learnt, frozen, is_leaf=lambda x: x is None)
