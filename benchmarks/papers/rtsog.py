"""RTSoG (arXiv 2505.12476): search for answers in a graph of relations, guided by a scorer and a self-critic.

120 entities, 10 relations, 6 ways out of each, questions of 3 hops; the scorer of edges is noisy, the critic
of ends right in 90 %. Every method gets the same calls of the scorer, and the beam the same critic.
Usage: ``python benchmarks/papers/rtsog.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, over_seeds, table

from rlkit.prefs import search
from rlkit.prefs.search import Graph, TreeConfig

SEEDS, QUESTIONS, ENTITIES, RELATIONS, DEGREE, HOPS = 8, 30, 120, 10, 6, 3
BUDGETS = (60, 120)
NOISE, CRITIC, TRAP = 0.25, 0.9, 0.6
TREES = {
    "PUCT + critic": ("puct", 1.0, "mean"), "UCT as published + critic": ("uct", 0.7, "mean"),
    "UCT as in the code + critic": ("rtsog", 0.4, "visit_weighted"),
}  # fmt: skip
ROWS = ("greedy", "beam 3", "beam 3 + critic", "beam 8 + critic", *TREES)


def question(key: jax.Array, deceptive: jax.Array) -> tuple:
    """A graph, where to start, the relations to follow, and what scorer and critic see of it."""
    k = jax.random.split(key, 6)
    neighbour = jax.random.randint(k[0], (ENTITIES, DEGREE), 0, ENTITIES)
    relation = jnp.argsort(jax.random.uniform(k[1], (ENTITIES, RELATIONS)), 1)[:, :DEGREE]
    graph = Graph(neighbour, relation, jnp.ones((ENTITIES, DEGREE), bool))

    def hop(node, pick):
        return neighbour[node, pick], relation[node, pick]

    picks = jax.random.randint(k[2], (HOPS,), 0, DEGREE)
    answer, wanted = jax.lax.scan(hop, jnp.int32(0), picks)
    noise = NOISE * jax.random.normal(k[3], (HOPS, ENTITIES, DEGREE))
    noise = noise.at[0, 0, (picks[0] + 1) % DEGREE].add(TRAP * deceptive)  # another first hop looks good
    errs = jax.random.bernoulli(k[4], 1.0 - CRITIC, (ENTITIES,))
    return graph, answer, wanted, noise, errs


def run(key: jax.Array) -> dict[str, jax.Array]:
    """Means over questions, ``[plain or deceptive, budgets]``."""

    def one(key, deceptive):
        graph, answer, wanted, noise, errs = question(key, deceptive)

        def edge_score(path, relation, neighbour):
            at = jnp.minimum(path.length, HOPS - 1)
            return jnp.clip(0.3 + 0.5 * (relation == wanted[at]) + noise[at, path.last], 0.0, 1.0)

        def critic(path):
            """Says at the end of three hops whether this is the answer."""
            says = (path.last == answer) ^ errs[path.last]
            done = path.length == HOPS
            return jnp.where(done, 0.05 + 0.9 * says, 0.5), done

        problem = search.graph_problem(graph, edge_score, critic)

        def expand(path):
            told = problem.evaluate(path)
            children = jax.vmap(lambda a: problem.step(path, a))(jnp.arange(DEGREE))
            return children, told.child_value, told.valid, children.length >= HOPS

        root = search.start_path(0, HOPS)
        found, calls = {}, {}
        for width in (1, 3, 8):
            wide = search.beam(expand, root, width, HOPS)
            ends = jax.vmap(lambda path: path.last)(wide.state)
            says = jnp.where(wide.valid, jax.vmap(lambda path: critic(path)[0])(wide.state), -1.0)
            name = "greedy" if width == 1 else f"beam {width}"
            found[name], calls[name] = ends[0], wide.calls
            found[f"{name} + critic"], calls[f"{name} + critic"] = ends[jnp.argmax(says)], wide.calls + width
        for name, (rule, c, backup) in TREES.items():

            def searched(budget, rule=rule, c=c, backup=backup):
                config = TreeConfig(max(BUDGETS), rule, c, backup, HOPS, stop_value=0.9, budget=budget)
                tree = search.tree_search(root, problem, config)
                return _end(tree), tree.calls

            found[name], calls[name] = jax.vmap(searched)(jnp.array(BUDGETS))
        each = lambda x: jnp.broadcast_to(x, (len(BUDGETS),)) * 1.0
        return {name: (each(found[name] == answer), each(calls[name])) for name in ROWS}

    every = jax.vmap(jax.vmap(one, (0, None)), (None, 0))(jax.random.split(key, QUESTIONS), jnp.arange(2))
    return jax.tree.map(lambda x: jnp.mean(x, 1), every)


def _end(tree) -> jax.Array:
    """The entity where the best path ends."""
    best = search.best_node(tree)
    return tree.state.node[best, tree.state.length[best]]


def main() -> None:
    found = over_seeds(run, SEEDS)
    for what, deceptive in (("plain", 0), ("deceptive first hop", 1)):
        for i, (budget, beam) in enumerate(zip(BUDGETS, ("beam 3 + critic", "beam 8 + critic"), strict=True)):
            rows = {name: found[name][0][:, deceptive, i] for name in ROWS}
            gain = table(f"Right answers, {what}, {budget} calls", rows, beam)
            print("  calls: " + ", ".join(f"{n} {found[n][1][:, deceptive, i].mean():.0f}" for n in ROWS))
            claim(f"PUCT with the critic beats {beam} ({what}, {budget})", above(gain["PUCT + critic"]))
            mine = less(rows, "UCT as in the code + critic")
            claim(f"PUCT beats the released UCT ({what}, {budget})", above(mine["PUCT + critic"]))
    finish()


if __name__ == "__main__":
    main()
