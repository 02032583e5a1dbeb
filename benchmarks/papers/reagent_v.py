"""ReAgent-V (arXiv 2506.01300): a few calibrated key steps instead of uniform ones; three views of an answer.

Trajectories of 32 states, of which a reward model sees 4. What decides happens in few states, which are
relevant to the task and whose observation is not blank. And: three estimates of a value, fused if all are
confident. Usage: ``python benchmarks/papers/reagent_v.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import curation, heads, losses, metrics, reward_model, segment
from rlkit.prefs.aggregation import reflect

SEEDS, PAIRS, TEST, STEPS, KEPT, DIM = 6, 1200, 2000, 32, 4, 5
ROWS = ("uniform", "most relevant", "highest entropy", "calibrated", "all states")


def trajectories(key: jax.Array, w: jax.Array, count: int):
    k = jax.random.split(key, 5)
    x = jax.random.normal(k[0], (count, STEPS, DIM))
    near = jax.random.bernoulli(k[1], 0.2, (count, STEPS))  # at the task's object
    blank = jax.random.bernoulli(k[2], 0.3, (count, STEPS))  # the view is empty: nothing can be seen
    relevance = jnp.clip(0.8 * near + 0.15 * jax.random.normal(k[3], near.shape), 0.0, 1.0)
    entropy = jnp.where(blank, 0.1, 3.0) + 0.2 * jax.random.uniform(k[4], near.shape)
    counts = near & ~blank
    utility = jnp.sum((x @ w) * counts, 1) / jnp.sqrt(jnp.maximum(counts.sum(1), 1))
    x = jnp.where(blank[..., None], 0.0, x)
    return jnp.concatenate([x, near[..., None]], -1), relevance, entropy, utility


def chosen(name: str, relevance: jax.Array, entropy: jax.Array) -> jax.Array:
    everything = jnp.ones(relevance.shape, bool)
    if name == "all states":
        return everything
    if name == "uniform":
        return jnp.broadcast_to(jnp.arange(STEPS) % (STEPS // KEPT) == 0, relevance.shape)
    if name == "calibrated":
        return curation.select_key_steps(relevance, entropy, everything, KEPT)
    score = relevance if name == "most relevant" else entropy
    return jnp.argsort(jnp.argsort(-score, 1), 1) < KEPT


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 6)
    w = jax.random.normal(k[0], (DIM,)) / jnp.sqrt(DIM)
    sets = [trajectories(k[i], w, n) for i, n in ((1, PAIRS), (2, PAIRS), (3, TEST), (4, TEST))]
    out = {}
    for name in ROWS:
        a, b, c, d = (segment(s[0], chosen(name, s[1], s[2])) for s in sets)
        label, truth = ((sets[i][3] > sets[i + 1][3]) * 1.0 for i in (0, 2))
        model = reward_model(heads.OutcomeHead(heads.Backbone(sizes=(32,)), "mean_step"), a)

        def loss(params, key, t, model=model, a=a, b=b, label=label):
            rows = jax.random.randint(key, (128,), 0, PAIRS)
            one, two = (model.apply(params, jax.tree.map(lambda leaf: leaf[rows], s)).total for s in (a, b))
            return losses.pairwise_logistic(5.0 * (one - two), label[rows]).mean()

        params = minimise(loss, model.init(k[5]), k[0], 200, 5e-3)
        out[name] = metrics.pair_accuracy(model.apply(params, c).total - model.apply(params, d).total, truth)
    return out | views(k[5])


def views(key: jax.Array) -> dict[str, jax.Array]:
    """Squared error of a value from quantiles of 5 noisy members: 20 % pessimistic, mean, 80 % optimistic."""
    k = jax.random.split(key, 3)
    value, spread = jax.random.normal(k[0], (20000,)), jnp.exp(jax.random.normal(k[1], (20000,)))
    members = value + spread * jax.random.normal(k[2], (5, 20000))
    answers = jnp.stack([jnp.quantile(members, 0.2, 0), members.mean(0), jnp.quantile(members, 0.8, 0)])
    confidence = jnp.exp(-jnp.array([1.0, 0.7, 1.0])[:, None] * members.std(0) / 2.0)
    error = lambda x: jnp.mean((x - value) ** 2)
    told = reflect(answers, confidence)
    return {
        "views/pessimistic": error(answers[0]), "views/mean": error(answers[1]),
        "views/optimistic": error(answers[2]),
        "views/reflected": error(told.answer), "fused": told.fused.mean(),
    }  # fmt: skip


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = {name: found[name] for name in ROWS}
    gain = table(f"Accuracy on pairs, {KEPT} of {STEPS} states", rows, "uniform")
    claim("calibrated key states beat uniform ones", above(gain["calibrated"]))
    claim("they beat relevance alone", above(less(rows, "most relevant")["calibrated"]))
    names = ("pessimistic", "optimistic", "mean", "reflected")
    rows = {name: found[f"views/{name}"] for name in names}
    gain = table("Squared error of values, by view", rows, "mean")
    print(f"  fused in {found['fused'].mean():.0%}")
    claim("reflection beats the neutral view alone", gain["reflected"].high < 0)
    finish()


if __name__ == "__main__":
    main()
