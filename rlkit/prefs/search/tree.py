"""Monte Carlo tree search as arrays, with a critic that may end it.

For search against a policy with values use mctx; this one counts the calls of the scorer, stops at a budget
of them or when the critic is satisfied, and has the selection rules and backups of the papers. With PUCT and
mean backup it visits what mctx visits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.prefs.checks import known
from rlkit.types import PyTree

RULES = ("puct", "uct", "rtsog")
BACKUPS = ("mean", "max", "visit_weighted")


class Evaluation(NamedTuple):
    """What the scorer and the critic say of a partial item."""

    value: jax.Array  # float32 []: the critic's, best in [0, 1]
    terminal: jax.Array  # bool []: it is finished, or the critic says "end"
    logits: jax.Array  # float32 [A]: prior over the ways on
    child_value: jax.Array  # float32 [A]: what a way on is worth before it was visited
    valid: jax.Array  # bool [A]: which ways on there are
    calls: jax.Array  # int32 []: what this evaluation costs


class Problem(NamedTuple):
    """Something to search, as pure functions of a state without batch axes."""

    step: Callable[[PyTree, jax.Array], PyTree]
    """``step(state, action int32 []) -> state``"""

    evaluate: Callable[[PyTree], Evaluation]
    """``evaluate(state) -> Evaluation``"""

    most_calls: int | jax.Array | None = None
    """Calls that an evaluation may cost, at most, which is what a budget reckons with: what one costs is not
    known before it was made. None: as many as that of the root."""


class TreeConfig(NamedTuple):
    """How to search."""

    simulations: int = 40
    """Most ways down the tree; each adds a node, or visits one again that has no way on."""

    rule: str = "puct"
    """``"puct"``: ``Q + c P √N / (1 + n)`` (Silver et al. 2017; the rule of mctx with a constant c).
    ``"uct"``: ``Q + c √(ln N / n)``, unvisited first (Kocsis & Szepesvári 2006; RTSoG's paper, 2505.12476).
    ``"rtsog"``: RTSoG's released ``V + c √(2 ln N / n)`` with ``V + 0.8`` for the unvisited."""

    exploration: float = 1.0
    """c; 0.4 in RTSoG's code."""

    backup: str = "mean"
    """``"mean"`` of all values below, their ``"max"``, or ``"visit_weighted"``: the mean of the children by
    visits, without the node's own value, as RTSoG."""

    max_depth: int = 8
    """Nodes at this depth are not expanded."""

    stop_value: float | None = None
    """End when a terminal node has at least this value (0.95 in RTSoG); None: never."""

    budget: int | jax.Array | None = None
    """End when so many calls were made, before what could be more (:attr:`Problem.most_calls`); None: no
    budget; may be an array to map over. A node that is visited again costs nothing."""


class Tree(NamedTuple):
    """Nodes in the order in which they were made; the root is 0. ``M = 1 + simulations``."""

    state: PyTree  # leaves [M, ...]
    parent: jax.Array  # int32 [M]: -1 for the root
    depth: jax.Array  # int32 [M]
    children: jax.Array  # int32 [M, A]: -1 where there is none yet
    prior: jax.Array  # float32 [M, A]
    child_value: jax.Array  # float32 [M, A]
    valid: jax.Array  # bool [M, A]
    terminal: jax.Array  # bool [M]
    critic: jax.Array  # float32 [M]: value given by the critic
    value: jax.Array  # float32 [M]: value backed up
    visits: jax.Array  # int32 [M]
    size: jax.Array  # int32 []: nodes that there are
    calls: jax.Array  # int32 []
    stopped: jax.Array  # bool []: the critic ended it, or nothing is left to visit


def tree_search(root: PyTree, problem: Problem, config: TreeConfig = TreeConfig()) -> Tree:
    """Search from a root; pure, for ``jit`` and ``vmap`` over roots.

    Args:
      root: state without batch axes.
      problem: see :class:`Problem`.
      config: see :class:`TreeConfig`.

    Raises:
      UsageError: another name of a rule or backup, or a number out of range.
    """
    _check(config)
    first = problem.evaluate(root)
    tree = _plant(root, first, config)
    most = first.calls if problem.most_calls is None else problem.most_calls
    budget, spent = (None if config.budget is None else known(config.budget)), known(first.calls)
    if budget is not None and spent is not None and np.any(budget < spent):
        raise UsageError(
            f"budget={np.min(budget)}: to look at the root alone takes {np.max(spent)} calls; expected more"
        )

    def going(tree: Tree) -> jax.Array:
        within = tree.visits[0] <= config.simulations
        if config.budget is not None:
            within = within & (tree.calls + most <= config.budget)
        return within & ~tree.stopped

    def simulate(tree: Tree) -> Tree:
        node, action = _select(tree, config)
        closed = tree.terminal[node] | (tree.depth[node] >= config.max_depth) | ~jnp.any(tree.valid[node])
        return jax.lax.cond(
            closed,
            lambda: _backup(tree, node, tree.critic[node], config),
            lambda: _grow(tree, node, action, problem, config),
        )

    return jax.lax.while_loop(going, simulate, tree)


def _check(config: TreeConfig) -> None:
    check_count("simulations", config.simulations)
    check_count("max_depth", config.max_depth)
    if config.rule not in RULES:
        raise unknown_name("selection rule", config.rule, RULES)
    if config.backup not in BACKUPS:
        raise unknown_name("backup", config.backup, BACKUPS)
    if config.exploration < 0:
        raise UsageError(f"exploration={config.exploration}: expected a number of at least 0")
    if config.budget is not None and known(config.budget) is not None:
        check_count("budget", config.budget)


def _plant(root: PyTree, first: Evaluation, config: TreeConfig) -> Tree:
    count, actions = config.simulations + 1, first.logits.shape[0]
    whole = lambda fill, *shape: jnp.full((count, *shape), fill)
    empty = Tree(
        jax.tree.map(lambda x: jnp.zeros((count, *jnp.shape(x)), jnp.result_type(x)), root),
        whole(-1), whole(0), whole(-1, actions), whole(0.0, actions), whole(0.0, actions),
        whole(False, actions), whole(False), whole(0.0), whole(0.0), whole(0), jnp.int32(0), jnp.int32(0),
        jnp.bool_(False),
    )  # fmt: skip
    return _backup(_write(empty, root, first, jnp.int32(-1), jnp.int32(0), config), 0, first.value, config)


def _write(tree: Tree, state: PyTree, told: Evaluation, parent, depth, config: TreeConfig) -> Tree:
    """The tree with one more node, not yet visited."""
    i = tree.size
    masked = jnp.where(told.valid, told.logits, -jnp.inf)
    prior = jnp.where(jnp.any(told.valid), jax.nn.softmax(jnp.where(told.valid, masked, -1e30)), 0.0)
    ends = told.terminal
    stopped = tree.stopped
    if config.stop_value is not None:
        stopped = stopped | (ends & (told.value >= config.stop_value))
    return tree._replace(
        state=jax.tree.map(lambda all_, one: all_.at[i].set(one), tree.state, state),
        parent=tree.parent.at[i].set(parent),
        depth=tree.depth.at[i].set(depth),
        prior=tree.prior.at[i].set(jnp.where(told.valid, prior, 0.0)),
        child_value=tree.child_value.at[i].set(told.child_value),
        valid=tree.valid.at[i].set(told.valid),
        terminal=tree.terminal.at[i].set(ends),
        critic=tree.critic.at[i].set(told.value),
        value=tree.value.at[i].set(told.value),
        size=i + 1,
        calls=tree.calls + told.calls,
        stopped=stopped,
    )


def _scores(tree: Tree, node: jax.Array, config: TreeConfig) -> jax.Array:
    """What the selection rule says of each way on, ``[A]``."""
    child = tree.children[node]
    seen = child >= 0
    n = jnp.where(seen, tree.visits[child], 0).astype(jnp.float32)
    total = tree.visits[node].astype(jnp.float32)
    q = jnp.where(seen, tree.value[child], tree.child_value[node])
    c, log_total = config.exploration, jnp.log(jnp.maximum(total, 1.0))
    if config.rule == "puct":
        score = q + c * tree.prior[node] * jnp.sqrt(total) / (1.0 + n)
    elif config.rule == "uct":
        score = jnp.where(seen, q + c * jnp.sqrt(log_total / jnp.maximum(n, 1.0)), 1e6 + q)
    else:
        score = jnp.where(seen, q + c * jnp.sqrt(2.0 * log_total / jnp.maximum(n, 1.0)), q + 0.8)
    return jnp.where(tree.valid[node], score, -jnp.inf)


def _select(tree: Tree, config: TreeConfig) -> tuple[jax.Array, jax.Array]:
    """The node to expand and the way on from it; or a node that is closed."""

    def best(node: jax.Array) -> jax.Array:
        return jnp.argmax(_scores(tree, node, config))

    def descending(at: tuple[jax.Array, jax.Array]) -> jax.Array:
        node, action = at
        open_ = ~tree.terminal[node] & jnp.any(tree.valid[node]) & (tree.depth[node] < config.max_depth)
        return open_ & (tree.children[node, action] >= 0)

    def down(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        child = tree.children[at]
        return child, best(child)

    root = jnp.int32(0)
    return jax.lax.while_loop(descending, down, (root, best(root)))


def _grow(tree: Tree, node: jax.Array, action: jax.Array, problem: Problem, config: TreeConfig) -> Tree:
    """The tree with the child of a node, backed up."""
    state = problem.step(jax.tree.map(lambda x: x[node], tree.state), action)
    told, new = problem.evaluate(state), tree.size
    tree = _write(tree, state, told, node, tree.depth[node] + 1, config)
    tree = tree._replace(children=tree.children.at[node, action].set(new))
    return _backup(tree, new, told.value, config)


def _backup(tree: Tree, leaf, value: jax.Array, config: TreeConfig) -> Tree:
    """Visits and values from a leaf up to the root."""

    def up(at: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        node, visits, values = at
        n, old = visits[node], values[node]
        if config.backup == "mean":
            new = old + (value - old) / (n + 1)
            new = jnp.where(n == 0, value, new)
        elif config.backup == "max":
            new = jnp.maximum(old, value)
        else:
            child = tree.children[node]
            weight = jnp.where(child >= 0, visits[child], 0).astype(jnp.float32)
            mean = jnp.sum(weight * values[child]) / jnp.maximum(jnp.sum(weight), 1.0)
            new = jnp.where(jnp.sum(weight) > 0, mean, old)
        return tree.parent[node], visits.at[node].add(1), values.at[node].set(new)

    start = (jnp.asarray(leaf, jnp.int32), tree.visits, tree.value)
    _, visits, values = jax.lax.while_loop(lambda at: at[0] >= 0, up, start)
    return tree._replace(visits=visits, value=values)
