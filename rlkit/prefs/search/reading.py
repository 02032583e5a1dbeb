"""What a tree search found."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.prefs.checks import known
from rlkit.prefs.search.tree import Tree


class Paths(NamedTuple):
    """Paths through a tree, best first."""

    node: jax.Array  # int32 [k, depth + 1]: from the root; -1 behind the end
    weight: jax.Array  # float32 [k]: the critic's value of the last node
    valid: jax.Array  # bool [k]


def visit_counts(tree: Tree) -> jax.Array:
    """Visits of the ways on from the root, int32 ``[A]``; the most visited is the one to take."""
    child = tree.children[0]
    return jnp.where(child >= 0, tree.visits[child], 0)


def _made(tree: Tree) -> jax.Array:
    return jnp.arange(tree.parent.shape[0]) < tree.size


def best_node(tree: Tree, terminal: bool = True) -> jax.Array:
    """The node with the best value of the critic, among those that ended if there are any, int32 []."""
    made = _made(tree)
    ended = made & tree.terminal
    among = jnp.where(jnp.any(ended) & terminal, ended, made)
    return jnp.argmax(jnp.where(among, tree.critic, -jnp.inf)).astype(jnp.int32)


def path_stack(tree: Tree, k: int, depth: int) -> Paths:
    """The k best paths to nodes where the tree ends, weighted by value: RTSoG's evidence (arXiv 2505.12476; k
    = 10).

    Args:
      tree: from :func:`rlkit.prefs.search.tree_search`.
      k: how many, at most the nodes of the tree.
      depth: longest path; the ``max_depth`` of the search.

    Raises:
      UsageError: a known node is deeper than ``depth``.
    """
    deepest = known(jnp.max(jnp.where(_made(tree), tree.depth, 0)))
    if deepest is not None and deepest > check_count("depth", depth):
        raise UsageError(
            f"path_stack: depth={depth}: the tree has paths of {int(deepest)} steps; give the max_depth of "
            "its search"
        )
    count = tree.parent.shape[0]
    ends = _made(tree) & jnp.all(tree.children < 0, -1)
    value, leaf = jax.lax.top_k(jnp.where(ends, tree.critic, -jnp.inf), min(check_count("k", k), count))

    def upwards(node: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return jnp.where(node >= 0, tree.parent[node], -1), node

    _, backwards = jax.lax.scan(upwards, leaf, None, length=depth + 1)
    turned = backwards[::-1].T  # the root is last among those that are there, first after turning
    missing = jnp.sum(turned < 0, 1, keepdims=True)
    column = (jnp.arange(depth + 1) + missing) % (depth + 1)
    node = jnp.take_along_axis(turned, column, 1)
    valid = value > -jnp.inf
    return Paths(jnp.where(valid[:, None], node, -1), jnp.where(valid, value, 0.0), valid)
