"""RAG-RewardBench (arXiv 2412.13746): accuracy by scenario shows where a good average hides a coin.

Reward models of several forms learn from the same comparisons of trajectories and are judged by
``prefbench``; and labels of four noisy judges are kept where they agree, or all by majority.
Usage: ``python benchmarks/papers/rag_rewardbench.py``
"""

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, keys, less, minimise, table

from rlkit.prefs import heads, losses, prefbench, reward_model
from rlkit.prefs.curation import judge_consensus
from rlkit.prefs.types import take

SEEDS, TRAIN = 5, 800
NARROW = heads.Backbone(sizes=(32, 32))
HEADS = {
    "mean of steps": heads.OutcomeHead(NARROW, "mean_step"),
    "sum of steps": heads.OutcomeHead(NARROW, "sum_step"),
    "last state (GRU)": heads.OutcomeHead(heads.Backbone("gru", (32,)), "last"),
}  # fmt: skip


def fit(model, pairs, label, weight, key):
    def loss(params, key, t):
        rows = jax.random.randint(key, (64,), 0, len(label))
        some = take(pairs, rows)
        margin = model.apply(params, some.first).total - model.apply(params, some.second).total
        return losses.weighted_mean(losses.pairwise_logistic(margin, label[rows]), weight[rows])

    return minimise(loss, model.init(key), key, 300, 3e-3)


def main() -> None:
    bench = prefbench.prefbench(0, TRAIN, 400)
    pairs, whole = bench.train, jnp.ones(TRAIN)
    verdicts = {"length alone": prefbench.judge(lambda item: item.length * 1.0, bench)}
    by_seed = {}
    for name, head in HEADS.items():
        model = reward_model(head, pairs.first)
        params = jax.jit(jax.vmap(lambda k, m=model: fit(m, pairs, pairs.label, whole, k)))(keys(SEEDS))
        score = jax.jit(model.apply)
        every = [
            prefbench.judge(lambda i, p=take(params, s), f=score: f(p, i).total, bench) for s in range(SEEDS)
        ]
        verdicts[name] = every[0]
        by_seed[name] = {s: np.array([v.accuracy[s] for v in every]) for s in prefbench.SCENARIOS}
    print("Accuracy by scenario, first seed; ! is not above chance")
    print(prefbench.tabulate(verdicts))
    for scenario in ("plain", "long-horizon", "abstain", "length"):
        table(
            f"Scenario {scenario}", {name: told[scenario] for name, told in by_seed.items()}, "mean of steps"
        )
    hidden = [n for n, v in verdicts.items() if v.accuracy["plain"] > 0.6 and v.at_chance]
    claim(
        f"some model that is good on plain pairs is at chance in a scenario: {', '.join(hidden)}",
        bool(hidden),
    )

    model = reward_model(HEADS["mean of steps"], pairs.first)

    def curated(key):
        wrong = jax.random.bernoulli(key, 0.25, (4, TRAIN))
        told = jnp.where(wrong, 1.0 - pairs.label, pairs.label)
        agreed = judge_consensus(told) * 1.0
        out = {}
        most = jnp.where(told.mean(0) == 0.5, told[0], jnp.round(told.mean(0)))
        for name, label, weight in (
            ("one judge", told[0], whole),
            ("majority of four", most, whole),
            ("where four agree", told[0], agreed),
        ):
            params = fit(model, pairs, label, weight, key)
            margin = (
                model.apply(params, bench.test.first).total - model.apply(params, bench.test.second).total
            )
            out[name] = jnp.mean((margin > 0) == (bench.test.label > 0.5))
        return out

    found = jax.jit(jax.vmap(curated))(keys(SEEDS, 1))
    gain = table("Accuracy over all scenarios, judges wrong in 25 %", found, "one judge")
    claim("keeping what four judges agree on beats one judge", above(gain["where four agree"]))
    claim("and their majority on all pairs", above(less(found, "majority of four")["where four agree"]))
    finish()


if __name__ == "__main__":
    main()
