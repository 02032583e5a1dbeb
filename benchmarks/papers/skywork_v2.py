"""Skywork-Reward-V2 (arXiv 2507.01352): uncurated preferences add little, agreement of two reward models
helps, and judgements asked for where the model is unsure help most.

150 verified comparisons, 4000 of which 35 % are wrong, a linear reward of 60 features.
Usage: ``python benchmarks/papers/skywork_v2.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, over_seeds, table

from rlkit.prefs import curation, metrics
from rlkit.prefs.users import Taste, fit_taste

SEEDS, DIM, GOLD, SILVER, MORE, FLIPS = 20, 60, 150, 4000, 150, 0.35
ROWS = (
    "verified only", "all, uncurated", "verified model agrees", "both models agree",
    "both agree, flips recycled", f"{MORE} more, at random", f"{MORE} more, neighbours of errors",
    f"{MORE} more, the least certain", "all, clean",
)  # fmt: skip
PRIOR = Taste(jnp.zeros(DIM), jnp.eye(DIM))


def fit(x: jax.Array, label: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    return fit_taste(x, label, PRIOR, weight).mean


def neighbours_of_errors(x: jax.Array, label: jax.Array, silver: jax.Array) -> jax.Array:
    """Which of the pool to have judged: near to what a model of the other half gets wrong."""
    half = GOLD // 2
    ahead, behind = fit(x[:half], label[:half]), fit(x[half:], label[half:])
    margin = jnp.concatenate([x[:half] @ behind, x[half:] @ ahead])
    right = jax.nn.sigmoid(jnp.where(label > 0.5, margin, -margin))
    index, valid = curation.knn_retrieve(x, silver, curation.retrieval_budget(right), 8)
    found = jnp.zeros(SILVER).at[index].add(valid)
    return jax.lax.top_k(found, MORE)[1]


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 6)
    w = jax.random.normal(k[0], (DIM,)) * 2.0 / jnp.sqrt(DIM)
    draw = lambda key, n: jax.random.normal(key, (n, DIM))
    gold, silver, test = draw(k[1], GOLD), draw(k[2], SILVER), draw(k[3], 4000)
    truth = lambda x: (x @ w > 0).astype(jnp.float32)
    wrong = jax.random.bernoulli(k[4], FLIPS, (SILVER,))
    told = jnp.where(wrong, 1.0 - truth(silver), truth(silver))
    both, labels = jnp.concatenate([gold, silver]), jnp.concatenate([truth(gold), told])
    verified, raw = fit(gold, truth(gold)), fit(both, labels)

    def with_silver(label: jax.Array, weight: jax.Array) -> jax.Array:
        return fit(both, jnp.concatenate([truth(gold), label]), jnp.concatenate([jnp.ones(GOLD), weight]))

    def with_more(index: jax.Array) -> jax.Array:
        more = silver[index]
        return fit(jnp.concatenate([gold, more]), jnp.concatenate([truth(gold), truth(more)]))

    margins = jnp.stack([silver @ verified, silver @ raw])
    one, agreed = curation.agreement_filter(margins[:1], told), curation.agreement_filter(margins, told)
    models = dict(zip(ROWS, (
        verified, raw, with_silver(told, one.keep), with_silver(told, agreed.keep),
        with_silver(*curation.recycle_flips(told, agreed)),
        with_more(jax.random.permutation(k[5], SILVER)[:MORE]),
        with_more(neighbours_of_errors(gold, truth(gold), silver)),
        with_more(jnp.argsort(jnp.abs(margins[0]))[:MORE]), fit(both, truth(both)),
    ), strict=True))  # fmt: skip
    out = {name: metrics.pair_accuracy(test @ m, truth(test)) for name, m in models.items()}
    return out | {"flipped": agreed.flip.mean(), "kept": agreed.keep.mean()}


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = {name: found[name] for name in ROWS}
    gain = table("Accuracy on clean comparisons", rows, ROWS[0])
    print(f"  kept {found['kept'].mean():.0%} and flipped {found['flipped'].mean():.0%} of the uncurated")
    to_random = less(rows, ROWS[5])
    recycled = less(rows, ROWS[3])
    claim(
        "agreement of two models beats uncurated data",
        above(less(rows, ROWS[1])[ROWS[3]]),
    )
    claim("judgements where the model is unsure beat as many at random", above(to_random[ROWS[7]]))
    claim(
        "neighbours of errors beat as many at random (in the paper they are nearer the evaluation)",
        above(to_random[ROWS[6]]),
    )
    claim("uncurated data add almost nothing (less than 0.01)", gain[ROWS[1]].high < 0.01)
    claim("recycling flips adds to agreement", above(recycled[ROWS[4]]))
    finish()


if __name__ == "__main__":
    main()
