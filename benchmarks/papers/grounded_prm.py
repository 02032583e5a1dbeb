"""GroundedPRM (arXiv 2510.14942): a verifier and rollouts, fused as evidence per step, find first errors
best.

Chains of 8 steps; wrong ones succeed in 25 % of rollouts, right ones fail in 15 %. The last column of the
family, log-odds of the verifier plus the change of the rollouts' log-odds, is ours.
Usage: ``python benchmarks/papers/grounded_prm.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, over_seeds, table

from rlkit.prefs import curation, metrics

SEEDS, CHAINS, STEPS, ROLLOUTS, LUCKY, SLIP = 10, 4000, 6, 8, 0.25, 0.15
ERRORS = (0.05, 0.1, 0.2, 0.3)
ROWS = ("outcome only", "Monte Carlo", "verifier only", "rollout value as label", "log-odds fused")


def best_f1(score: jax.Array, label: jax.Array) -> jax.Array:
    """F1 on one half of the chains at the threshold that is best on the other."""
    mask = jnp.ones(score.shape, bool)
    limits = jnp.quantile(score, jnp.linspace(0.02, 0.98, 49))
    f1 = lambda rows, limit: (
        metrics.first_error_f1(
            metrics.first_error(jax.nn.sigmoid(score[rows]), mask[rows], jax.nn.sigmoid(limit)), label[rows]
        ).f1
    )
    half = slice(0, CHAINS // 2), slice(CHAINS // 2, None)
    return f1(half[1], limits[jnp.argmax(jax.vmap(lambda l: f1(half[0], l))(limits))])


def values_ahead(verdict: jax.Array, outcome: jax.Array) -> jax.Array:
    """The value of each step if the verdicts from there on are those of its rollout, ``[CHAINS, STEPS]``."""
    step = jnp.arange(STEPS)
    there = lambda t: jnp.broadcast_to(step < STEPS - t, verdict.shape)
    return jax.vmap(lambda t: curation.rollout_value(jnp.roll(verdict, -t, 1), there(t), outcome))(step).T


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    slips = jax.random.bernoulli(k[0], SLIP, (CHAINS, STEPS))
    label = metrics.first_error(1.0 - slips, jnp.ones(slips.shape, bool))
    spoilt = jnp.cumsum(slips, 1) > 0  # the chain is wrong from here on
    wrong = slips | (spoilt & jax.random.bernoulli(k[2], 0.5, spoilt.shape))
    clean = (1.0 - SLIP) ** jnp.arange(STEPS - 1, -1, -1)  # probability that the steps to come are right
    success = jnp.where(spoilt, LUCKY, clean + (1.0 - clean) * LUCKY)
    share = jax.random.binomial(k[3], ROLLOUTS, success) / ROLLOUTS
    start = (1.0 - SLIP) ** STEPS
    first = jax.random.binomial(k[4], ROLLOUTS, start + (1.0 - start) * LUCKY, (CHAINS, 1)) / ROLLOUTS
    before = jnp.concatenate([first, share[:, :-1]], 1)
    outcome = jnp.where(spoilt[:, -1], jax.random.bernoulli(k[5], LUCKY, (CHAINS,)), True)
    out = {}
    for error in ERRORS:
        verdict = jnp.where(wrong, -1.0, 1.0) * jnp.where(
            jax.random.bernoulli(k[6], error, wrong.shape), -1.0, 1.0
        )
        ahead = values_ahead(verdict, 2.0 * outcome - 1.0)
        scores = (
            jnp.broadcast_to(2.0 * outcome[:, None] - 1.0, verdict.shape), share, verdict, ahead,
            curation.fuse_labels(verdict, error, before, share),
        )  # fmt: skip
        for name, score in zip(ROWS, scores, strict=True):
            out[f"{error}/{name}"] = best_f1(score, label)
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    wins = []
    for error in ERRORS:
        rows = {name: found[f"{error}/{name}"] for name in ROWS}
        table(f"F1 of the first error, verifier wrong in {error:.0%}", rows, "verifier only")
        wins.append(all(above(less(rows, name)[ROWS[-1]]) for name in ROWS[:-1]))
    for error, won in zip(ERRORS, wins, strict=True):
        claim(f"fused evidence beats each source alone at a verifier error of {error:.0%}", won)
    finish()


if __name__ == "__main__":
    main()
