"""The array MCTS of `rlkit.prefs.search` against mctx: the same tree, the same simulations, the same visits.

Prints the time of each for a batch of searches, interleaved, as a ratio; compilation apart.
Usage: ``python benchmarks/tree_search.py [--batch 64] [--simulations 64]``
"""

import argparse
import time

import jax
import jax.numpy as jnp
import mctx
import numpy as np

from rlkit.prefs.search import Evaluation, Problem, TreeConfig, tree_search, visit_counts

DEPTH, ACTIONS = 6, 4


def hashed(node: jax.Array, salt: int) -> jax.Array:
    """A number in [0, 1) that belongs to a node."""
    x = (node + salt).astype(jnp.uint32) * jnp.uint32(2654435761)
    x = (x ^ (x >> 15)) * jnp.uint32(2246822519)
    return (x ^ (x >> 13)).astype(jnp.float32) / 2.0**32


def step(state: jax.Array, action: jax.Array) -> jax.Array:
    return jnp.stack([state[0] * ACTIONS + 1 + action, state[1] + 1])


def evaluate(state: jax.Array) -> Evaluation:
    logits = jax.vmap(lambda i: hashed(state[0], 7919 * (i + 1)))(jnp.arange(ACTIONS)) * 2.0
    valid = jnp.broadcast_to(state[1] < DEPTH, (ACTIONS,))
    return Evaluation(hashed(state[0], 1), state[1] >= DEPTH, logits, jnp.zeros(ACTIONS), valid, jnp.int32(1))


def ours(roots: jax.Array, simulations: int) -> jax.Array:
    config = TreeConfig(simulations, max_depth=DEPTH)
    return jax.vmap(lambda root: visit_counts(tree_search(root, Problem(step, evaluate), config)))(roots)


def theirs(roots: jax.Array, simulations: int) -> jax.Array:
    def recurrent(params, key, action, embedding):
        state = jax.vmap(step)(embedding, action)
        told, one = jax.vmap(evaluate)(state), jnp.ones(len(action))
        return mctx.RecurrentFnOutput(
            reward=0.0 * one, discount=one, prior_logits=told.logits, value=told.value
        ), state

    told = jax.vmap(evaluate)(roots)
    root = mctx.RootFnOutput(prior_logits=told.logits, value=told.value, embedding=roots)
    seen = lambda tree, node: jnp.where(tree.children_visits[node] > 0, tree.children_values[node], 0.0)
    out = mctx.muzero_policy(
        None, jax.random.key(0), root, recurrent, simulations, max_depth=DEPTH, dirichlet_fraction=0.0,
        pb_c_init=1.0, pb_c_base=1e9, qtransform=seen,
    )  # fmt: skip
    return out.search_tree.summary().visit_counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--simulations", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    roots = jnp.stack([jnp.arange(options.batch) * 5, jnp.zeros(options.batch, jnp.int32)], 1).astype(
        jnp.int32
    )
    ways, took = {"rlkit": ours, "mctx": theirs}, {}
    compiled, visits = {}, {}
    for name, way in ways.items():
        begin = time.perf_counter()
        compiled[name] = jax.jit(lambda r, w=way: w(r, options.simulations)).lower(roots).compile()
        print(f"{name}: compiled in {time.perf_counter() - begin:.1f} s")
        visits[name] = np.asarray(compiled[name](roots))
    for _ in range(options.repeats):
        for name, run in compiled.items():
            begin = time.perf_counter()
            run(roots).block_until_ready()
            took.setdefault(name, []).append(time.perf_counter() - begin)
    best = {name: min(times) for name, times in took.items()}
    same = (visits["rlkit"] == visits["mctx"]).all(1).mean()
    print(f"{options.batch} searches of {options.simulations} simulations; same visits in {same:.0%}")
    for name, seconds in best.items():
        rate = options.batch * options.simulations / seconds
        print(f"{name}: {1e3 * seconds:.1f} ms, {rate:,.0f} simulations/s")
    print(f"rlkit / mctx: {best['rlkit'] / best['mctx']:.2f} of the time")


if __name__ == "__main__":
    main()
