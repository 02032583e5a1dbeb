"""Search against mctx, exhaustive enumeration and networkx."""

import itertools

import jax
import jax.numpy as jnp
import mctx
import networkx
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.prefs import search
from rlkit.prefs.search import Evaluation, Problem, TreeConfig

DEPTH, ACTIONS = 3, 4
RNG = np.random.default_rng(0)
NODES = sum(ACTIONS**d for d in range(DEPTH + 1))
VALUE = RNG.uniform(size=NODES).astype(np.float32)  # of the node that a path leads to, numbered by level
PRIOR = RNG.normal(size=(NODES, ACTIONS)).astype(np.float32)
START = jnp.array([0, 0])  # node, depth


def step(state, action):
    return jnp.stack([state[0] * ACTIONS + 1 + action, state[1] + 1])


def evaluate(state):
    node, depth = state
    valid = jnp.broadcast_to(depth < DEPTH, (ACTIONS,))
    nothing = jnp.zeros(ACTIONS)
    return Evaluation(
        jnp.asarray(VALUE)[node], depth >= DEPTH, jnp.asarray(PRIOR)[node], nothing, valid, jnp.int32(1)
    )


PROBLEM = Problem(step, evaluate)


def mctx_visits(simulations):
    """Visits at the root by mctx's PUCT with raw values, without noise; unvisited ways count 0."""

    def recurrent(params, key, action, embedding):
        state = jax.vmap(step)(embedding, action)
        told = jax.vmap(evaluate)(state)
        discount = jnp.ones(1)
        out = {"prior_logits": told.logits, "value": told.value}
        return mctx.RecurrentFnOutput(reward=jnp.zeros(1), discount=discount, **out), state

    told = evaluate(START)
    root = mctx.RootFnOutput(prior_logits=told.logits[None], value=told.value[None], embedding=START[None])
    seen = lambda tree, node: tree.children_visits[node] > 0
    out = mctx.muzero_policy(
        None, jax.random.key(0), root, recurrent, simulations, max_depth=DEPTH, dirichlet_fraction=0.0,
        pb_c_init=1.0, pb_c_base=1e9,
        qtransform=lambda tree, node: jnp.where(seen(tree, node), tree.children_values[node], 0.0),
    )  # fmt: skip
    return np.asarray(out.search_tree.summary().visit_counts[0])


def test_puct_with_mean_backup_visits_what_mctx_visits():
    tree = jax.jit(lambda: search.tree_search(START, PROBLEM, TreeConfig(20, max_depth=DEPTH)))()
    visits = np.asarray(search.visit_counts(tree))
    assert np.array_equal(visits, mctx_visits(20))
    assert visits.sum() == 20
    assert tree.visits[0] == 21


def test_a_long_search_finds_the_best_leaf():
    leaves = np.arange(NODES - ACTIONS**DEPTH, NODES)
    for rule, backup, c in (("puct", "max", 0.4), ("uct", "mean", 5.0), ("rtsog", "visit_weighted", 0.4)):
        config = TreeConfig(600, rule, c, backup, DEPTH)
        tree = jax.jit(lambda c=config: search.tree_search(START, PROBLEM, c))()
        made = np.asarray(tree.state[: int(tree.size), 0])
        assert len(np.unique(made)) == len(made)
        assert tree.critic[search.best_node(tree)] == VALUE[made[made >= leaves[0]]].max()
        assert tree.visits[0] == 601 == 1 + np.asarray(search.visit_counts(tree)).sum()
        if rule == "uct":  # nothing is left out
            assert tree.size == NODES
            assert tree.state[search.best_node(tree), 0] == leaves[np.argmax(VALUE[leaves])]
        if backup == "max":
            assert tree.value[0] == VALUE[made].max()


def test_the_visit_weighted_backup_is_the_mean_of_the_children():
    tree = jax.jit(
        lambda: search.tree_search(START, PROBLEM, TreeConfig(30, "rtsog", 0.4, "visit_weighted", DEPTH))
    )()
    children = np.asarray(tree.children)
    visits, values = np.asarray(tree.visits), np.asarray(tree.value)
    for node in range(int(tree.size)):
        own = children[node][children[node] >= 0]
        if len(own):
            np.testing.assert_allclose(values[node], np.average(values[own], weights=visits[own]), rtol=1e-4)


def test_a_satisfied_critic_and_a_spent_budget_end_the_search():
    leaves = VALUE[-(ACTIONS**DEPTH) :]
    config = TreeConfig(84, "uct", max_depth=DEPTH, stop_value=float(np.sort(leaves)[-3]))
    tree = jax.jit(lambda: search.tree_search(START, PROBLEM, config))()
    assert tree.stopped
    assert tree.size < NODES
    assert tree.critic[search.best_node(tree)] >= config.stop_value
    tree = jax.jit(lambda: search.tree_search(START, PROBLEM, TreeConfig(84, max_depth=DEPTH, budget=11)))()
    assert tree.calls == tree.size == 11


def test_paths_lead_from_the_root_to_the_best_ends():
    tree = jax.jit(lambda: search.tree_search(START, PROBLEM, TreeConfig(40, max_depth=DEPTH)))()
    paths = search.path_stack(tree, 5, DEPTH)
    assert np.all(np.diff(np.asarray(paths.weight)) <= 0)
    parent = np.asarray(tree.parent)
    for row, weight in zip(np.asarray(paths.node), paths.weight, strict=True):
        there = row[row >= 0]
        assert there[0] == 0
        assert np.all(parent[there[1:]] == there[:-1])
        assert tree.critic[there[-1]] == weight
        assert np.all(tree.children[there[-1]] < 0)


def expand(state):
    children = jax.vmap(lambda a: step(state, a))(jnp.arange(ACTIONS))
    ended = children[:, 1] >= DEPTH
    return children, jnp.log(jnp.asarray(VALUE)[children[:, 0]]), jnp.ones(ACTIONS, bool), ended


def test_a_wide_beam_is_exhaustive_and_a_narrow_one_greedy():
    def total(path):
        node, out = 0, 0.0
        for action in path:
            node = node * ACTIONS + 1 + action
            out += np.log(VALUE[node])
        return out, node

    every = sorted((total(p) for p in itertools.product(range(ACTIONS), repeat=DEPTH)), reverse=True)
    found = jax.jit(lambda: search.beam(expand, START, ACTIONS**DEPTH, DEPTH))()
    np.testing.assert_allclose(found.score, [score for score, _ in every], rtol=1e-4, atol=1e-5)
    assert found.state[:, 0].tolist() == [node for _, node in every]
    assert found.ended.all()
    node = 0
    for _ in range(DEPTH):
        children = node * ACTIONS + 1 + np.arange(ACTIONS)
        node = children[np.argmax(VALUE[children])]
    one = jax.jit(lambda: search.greedy(expand, START, DEPTH + 2))()
    assert one.state[0, 0] == node
    assert one.calls == DEPTH * ACTIONS
    two = jax.jit(lambda: search.beam(expand, START, 2, DEPTH))()
    assert two.calls == ACTIONS + 2 * ACTIONS * (DEPTH - 1)


def test_votes():
    answers = jnp.array([[0, 1, 1, 2], [2, 2, 0, 1]])
    assert search.majority_vote(answers, 3).tolist() == [1, 2]
    assert search.majority_vote(answers, 3, jnp.array([[3.0, 1, 1, 0], [1, 1, 1, 5.0]])).tolist() == [0, 1]


EDGES = [[0, 0, 1], [1, 0, 2], [2, 0, 0], [0, 1, 3], [3, 0, 4], [1, 1, 4], [2, 1, 5]]


def walk(graph, length=4):
    problem = search.graph_problem(
        graph, lambda path, r, n: jnp.ones(r.shape), lambda path: (0.1 * path.last, path.last == 5)
    )
    config = TreeConfig(60, "uct", max_depth=length, budget=1000)
    return jax.jit(lambda: search.tree_search(search.start_path(0, length), problem, config))()


def test_paths_in_a_graph_with_a_cycle_visit_nothing_twice():
    tree = walk(search.graph(EDGES, 6))
    size = int(tree.size)
    made = {tuple(int(n) for n in row if n >= 0) for row in np.asarray(tree.state.node)[:size]}
    table = networkx.DiGraph([(a, b) for a, _, b in EDGES])
    simple = {(0,)} | {
        tuple(p) for t in range(1, 6) for p in networkx.all_simple_paths(table, 0, t, cutoff=4)
    }
    assert made == {p for p in simple if 5 not in p[:-1]}
    assert tree.state.node[search.best_node(tree)].tolist() == [0, 1, 2, 5, -1]


def test_what_a_call_is_in_a_graph():
    tree = walk(search.graph(EDGES, 6), 1)
    # the root's critic and two ways on; the two children have a critic each, and no room to go on
    assert tree.calls == 3 + 2
    np.testing.assert_allclose(search.child_values(jnp.ones(2), jnp.zeros(2)), 2 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: search.graph(np.zeros((0, 3), int), 3), "edges is empty"),
        (lambda: search.graph([[0, 0, 3]], 3), "entities from 0 to 2"),
        (lambda: search.graph([[0, -1, 1]], 3), "negative relation"),
        (lambda: search.graph(EDGES, 6, degree=1), "degree=1"),
        (
            lambda: search.graph(EDGES, 6, acyclic=True),
            "hold the cycle [012] -> [012] -> [012] -> [012];",
        ),
        (lambda: search.graph([[0.5, 0, 1]], 3), "expected integers"),
        (lambda: search.tree_search(START, PROBLEM, TreeConfig(rule="pct")), "did you mean 'puct'"),
        (lambda: search.tree_search(START, PROBLEM, TreeConfig(backup="means")), "did you mean 'mean'"),
        (lambda: search.tree_search(START, PROBLEM, TreeConfig(0)), "simulations=0"),
        (lambda: search.majority_vote(jnp.array([3]), 3), r"answers\[0\]=3"),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_a_graph_without_cycles_is_accepted_as_such():
    assert search.graph([[0, 0, 1], [0, 1, 2], [1, 0, 2]], 3, acyclic=True).mask.sum() == 3
