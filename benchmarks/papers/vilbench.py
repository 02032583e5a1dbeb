"""ViLBench (arXiv 2503.20271): neither process nor outcome rewards win everywhere, and an indicator says
where which.

Half of the questions are ruined by one bad step, in the other half only the end matters; which it is, models
see. Usage: ``python benchmarks/papers/vilbench.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import heads, losses, metrics, reward_model, segment

SEEDS, CHAINS, STEPS, DIM, QUESTIONS, CANDIDATES = 8, 1200, 6, 5, 300, 24
KINDS = ("one bad step ruins it", "only the end matters")


def chains(key: jax.Array, w: jax.Array, kind: jax.Array):
    """Features of steps, whether each is right, and whether the chain is; ``kind [count]`` as in KINDS."""
    k = jax.random.split(key)
    x = jax.random.normal(k[0], (len(kind), STEPS, DIM))
    right = x @ w + 0.3 * jax.random.normal(k[1], x.shape[:2]) > -0.7
    flag = jnp.broadcast_to(kind[:, None, None], (*x.shape[:2], 1))
    good = jnp.where(kind == 0, jnp.all(right, 1), right[:, -1])
    return segment(jnp.concatenate([x, flag], -1)), right * 1.0, good * 1.0


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    w = jax.random.normal(k[0], (DIM,)) / jnp.sqrt(DIM)
    item, right, good = chains(k[1], w, jnp.arange(CHAINS) % 2)
    question = jnp.arange(QUESTIONS) % 2
    seen, _, gold = chains(k[2], w, jnp.repeat(question, CANDIDATES))
    process = reward_model(heads.ProcessHead(heads.Backbone(sizes=(32,)), "min"), item)
    outcome = reward_model(heads.OutcomeHead(heads.Backbone("gru", (24,)), "last"), item)

    def steps(params, key, t):
        rows = jax.random.randint(key, (128,), 0, CHAINS)
        some = jax.tree.map(lambda x: x[rows], item)
        return losses.step_logistic(process.apply(params, some).step, right[rows], some.mask).mean()

    def ends(params, key, t):
        rows = jax.random.randint(key, (128,), 0, CHAINS)
        return losses.pairwise_logistic(
            outcome.apply(params, jax.tree.map(lambda x: x[rows], item)).total, good[rows]
        ).mean()

    shape = (QUESTIONS, CANDIDATES)
    prm = process.apply(minimise(steps, process.init(k[3]), k[4], 200, 1e-2), seen).total.reshape(shape)
    orm = jax.nn.sigmoid(
        outcome.apply(minimise(ends, outcome.init(k[5]), k[6], 200, 1e-2), seen).total
    ).reshape(shape)
    gold = gold.reshape(shape)
    by_process, by_outcome = (metrics.best_of_n_curve(s, gold, (CANDIDATES,))[:, 0] for s in (prm, orm))
    indicator = metrics.prm_preference(prm, orm)
    out = {"correlation": metrics.rank_correlation(indicator, by_process - by_outcome)}
    half = indicator > jnp.median(indicator)
    for which, mask in (("high", half), ("low", ~half)):
        out[f"indicator {which}"] = jnp.sum((by_process - by_outcome) * mask) / mask.sum()
    for i, kind in enumerate(KINDS):
        mask = question == i
        mean = lambda x, mask=mask: jnp.sum(x * mask) / mask.sum()
        out |= {f"{kind}/process": mean(by_process), f"{kind}/outcome": mean(by_outcome)}
        out[f"{kind}/at random"] = mean(gold.mean(1))
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    gain = {}
    for kind in KINDS:
        rows = {name: found[f"{kind}/{name}"] for name in ("process", "outcome", "at random")}
        gain[kind] = table(f"Right answers among the best of {CANDIDATES}, {kind}", rows, "outcome")[
            "process"
        ]
    claim("the process model wins where one bad step ruins the answer", above(gain[KINDS[0]]))
    claim("the outcome model wins where only the end matters", gain[KINDS[1]].high < 0)
    rows = {name: found[name] for name in ("indicator high", "indicator low")}
    table("Process less outcome, by the PRM-preference indicator", rows, "indicator low")
    print(f"  rank correlation over questions: {found['correlation'].mean():.3f}")
    lower = less(rows, "indicator high")["indicator low"]
    claim("where the indicator is high, process scoring has the edge", lower.high < 0)
    claim("where it is high, outcome scoring has the edge (the opposite)", above(lower))
    finish()


if __name__ == "__main__":
    main()
