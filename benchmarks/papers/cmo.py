"""Concepts that conflict at first (Correlation-Weighted Multi-Reward Optimization, arXiv 2603.18528).

A policy of 7 independent Bernoulli "concepts" given logits; concepts 0 and 1 are drawn from one categorical
choice whose three values satisfy one, the other, or (rarely at first) both; the others are easy. Group-
relative updates with advantages of uniformly summed concepts, or of correlation-weighted ones. Judged: how
often all concepts are met together after few updates.
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, over_seeds, table

from rlkit.rewards import embodied

GROUP, GROUPS, UPDATES, RATE, EASY, SEEDS = 16, 8, 150, 0.15, 5, 24


def trained(key: jax.Array, how: str) -> jax.Array:
    """Probability that all concepts are met, averaged over training (the area under the curve)."""
    logits = {"pair": jnp.array([2.0, 2.0, -1.0]), "easy": jnp.zeros(EASY)}

    def log_prob(logits, pair, easy):
        choice = jax.nn.log_softmax(logits["pair"])[pair]
        each = jnp.where(easy, jax.nn.log_sigmoid(logits["easy"]), jax.nn.log_sigmoid(-logits["easy"]))
        return choice + each.sum(-1)

    def update(logits, key):
        one, two, noise = jax.random.split(key, 3)
        pair = jax.random.categorical(one, logits["pair"], shape=(GROUPS, GROUP))
        easy = jax.random.bernoulli(two, jax.nn.sigmoid(logits["easy"]), (GROUPS, GROUP, EASY))
        hard = jnp.stack([pair != 1, pair != 0], -1)
        rewards = jnp.concatenate([hard, easy], -1).astype(jnp.float32)
        rewards += 0.05 * jax.random.normal(noise, rewards.shape)  # scores of a judge, not exact
        if how == "hardest first":
            rewards = rewards * (rewards.mean((0, 1)) == rewards.mean((0, 1)).min())
        weighted = how.startswith("correlation")
        advantage = embodied.correlation_weighted_advantage(
            rewards, weighted=weighted, shrink=how.endswith("shrunk")
        )
        loss = lambda logits: -jnp.mean(advantage * log_prob(logits, pair, easy))
        slope = jax.grad(loss)(logits)
        logits = jax.tree.map(lambda x, g: x - RATE * g, logits, slope)
        both = jax.nn.softmax(logits["pair"])[2] * jnp.prod(jax.nn.sigmoid(logits["easy"]))
        return logits, both

    _, both = jax.lax.scan(update, logits, jax.random.split(key, UPDATES))
    return both.mean(), both[-1]


def main() -> None:
    ways = ("uniform", "correlation", "correlation, shrunk", "hardest first")

    def run(key):
        found = {how: trained(key, how) for how in ways}
        return {f"{how}|{i}": found[how][i] for how in ways for i in (0, 1)}

    found = over_seeds(run, SEEDS)
    pick = lambda i: {how: found[f"{how}|{i}"] for how in ways}
    less = table(f"all {EASY + 2} concepts met together, mean over {UPDATES} updates", pick(0), "uniform")
    last = table("the same at the end", pick(1), "uniform")
    claim("correlation weights beat a uniform sum", above(less["correlation"]) and above(last["correlation"]))
    finish()


if __name__ == "__main__":
    main()
