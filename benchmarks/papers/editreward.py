"""EditReward (arXiv 2509.26346): the paper's Gaussian pairwise loss learns which items are uncertain, the
released form of it does not; aspects and ties that are split.

Usage: ``python benchmarks/papers/editreward.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, minimise, over_seeds, table

from rlkit.prefs import heads, losses, metrics, reward_model, segment
from rlkit.prefs.curation import split_ties

SEEDS, PAIRS, DIM = 6, 8000, 6
BACKBONE = heads.Backbone(sizes=(32,))
BLIND = ("Bradley-Terry", "E[-log σ], as released", "-log E[σ], the paper's")


def items(key: jax.Array, count: int) -> jax.Array:
    return jax.random.normal(key, (count, 1, DIM))


def noisy_annotators(key: jax.Array) -> dict[str, jax.Array]:
    """Items whose sixth feature is positive are judged with a spread of 3, others with 0.1."""
    k = jax.random.split(key, 8)
    w = jax.random.normal(k[0], (DIM - 1,))
    utility = lambda x: 2.0 * x[:, 0, :-1] @ w / jnp.linalg.norm(w)
    spread = lambda x: jnp.where(x[:, 0, -1] > 0, 3.0, 0.1)
    item = lambda x: segment(x)

    def compare(k1, k2, k3, count):
        a, b = items(k1, count), items(k2, count)
        noise = jnp.sqrt(spread(a) ** 2 + spread(b) ** 2) * jax.random.normal(k3, (count,))
        logit = utility(a) - utility(b) + noise
        return (
            item(a),
            item(b),
            jax.random.bernoulli(jax.random.fold_in(k3, 1), jax.nn.sigmoid(logit)),
            utility,
        )

    a, b, label, utility = compare(k[1], k[2], k[3], PAIRS)
    model = reward_model(heads.AspectHead(1, BACKBONE, gaussian=True), a)
    test_a, test_b, test_label, _ = compare(k[4], k[5], k[6], 4000)
    out = {}
    for name in BLIND:

        def loss(params, key, t, name=name):
            rows = jax.random.randint(key, (256,), 0, PAIRS)
            one, two = (model.apply(params, jax.tree.map(lambda x: x[rows], s)) for s in (a, b))
            margin, y = one.total - two.total, label[rows].astype(jnp.float32)
            if name == BLIND[0]:
                return losses.pairwise_logistic(margin, y).mean()
            form = losses.gaussian_pairwise if name == BLIND[2] else losses.gaussian_pairwise_released
            return form(margin, one.log_std, two.log_std, y).mean()

        params = minimise(loss, model.init(k[7]), k[0], 700, decay=1e-3)
        one, two = model.apply(params, test_a), model.apply(params, test_b)
        margin, y = one.total - two.total, test_label.astype(jnp.float32)
        if name == BLIND[0]:
            predicted = jax.nn.sigmoid(margin)
        else:
            predicted = jnp.exp(-losses.gaussian_pairwise(margin, one.log_std, two.log_std))
        loud = test_a.feats[:, 0, -1] > 0
        std = jnp.exp(one.log_std)
        out |= {
            f"{name}/accuracy": metrics.pair_accuracy(margin, y),
            f"{name}/nll": losses.pairwise_logistic(jax.scipy.special.logit(predicted), y).mean(),
            f"{name}/ece": metrics.ece(predicted, y),
            f"{name}/loud": jnp.sum(std * loud) / loud.sum(),
            f"{name}/quiet": jnp.sum(std * ~loud) / (~loud).sum(),
        }
    return out


def aspects(key: jax.Array) -> dict[str, jax.Array]:
    """Two aspects; annotators give scores of 1 to 4 for each; what a model of the sum knows of the parts."""
    k = jax.random.split(key, 6)
    w = jax.random.normal(k[0], (DIM, 2)) / jnp.sqrt(DIM)
    rate = lambda x, key: jnp.round(2.5 + 1.5 * x[:, 0] @ w + 0.5 * jax.random.normal(key, (len(x), 2)))
    a, b = items(k[1], 600), items(k[2], 600)
    scores = rate(a, k[3]), rate(b, jax.random.fold_in(k[3], 1))
    split = split_ties(*scores)
    overall = jnp.sign((scores[0] - scores[1]).sum(1)) / 2 + 0.5
    model = reward_model(heads.AspectHead(2, BACKBONE), segment(a))

    def fit(kind):
        def loss(params, key, t):
            one, two = model.apply(params, segment(a)), model.apply(params, segment(b))
            if kind == "overall only":
                return losses.pairwise_logistic(one.total - two.total, overall).mean()
            margin = one.aspects - two.aspects
            if kind == "aspects":
                told = jnp.sign(scores[0] - scores[1]) / 2 + 0.5
                return losses.pairwise_logistic(margin, told).mean()
            label = jnp.broadcast_to(split.label[..., None], (2, *margin.shape))
            each = losses.pairwise_logistic(jnp.broadcast_to(margin, label.shape), label)
            return losses.weighted_mean(each, split.weight[..., None] * split.aspects)

        return minimise(loss, model.init(k[4]), k[5], 300)

    c, d = items(jax.random.fold_in(k[1], 9), 2000), items(jax.random.fold_in(k[2], 9), 2000)
    truth = ((c - d)[:, 0] @ w > 0).astype(jnp.float32)
    out = {}
    for kind in ("overall only", "overall, ties split by aspect", "aspects"):
        params = fit(kind)
        margin = model.apply(params, segment(c)).aspects - model.apply(params, segment(d)).aspects
        out[kind] = jnp.mean(metrics.pair_accuracy(margin.T, truth.T))
    return out


def main() -> None:
    found = over_seeds(noisy_annotators, SEEDS)
    pick = lambda what: {name: found[f"{name}/{what}"] for name in BLIND}
    table("Accuracy on pairs", pick("accuracy"), BLIND[0])
    nll = table("Negative log-likelihood, nats", pick("nll"), BLIND[0])
    table("Expected calibration error", pick("ece"), BLIND[0])
    spreads = {
        f"{name}, {kind} items": found[f"{name}/{kind}"] for name in BLIND[1:] for kind in ("loud", "quiet")
    }
    table("Mean learned standard deviation", spreads, f"{BLIND[1]}, loud items")
    gap = found[f"{BLIND[2]}/loud"] / found[f"{BLIND[2]}/quiet"]
    claim("items judged with a larger spread get the larger σ", bool((gap > 1.5).all()))
    claim(
        "the paper's loss fits the answers better than Bradley-Terry",
        above(nll[BLIND[2]]._replace(low=-nll[BLIND[2]].high)),
    )
    claim("the released form learns no spread", bool((found[f"{BLIND[1]}/loud"] < 0.1).all()))
    parts = table("Accuracy on single aspects", over_seeds(aspects, SEEDS), "overall only")
    claim(
        "splitting ties by aspect says more of the parts than overall labels",
        above(parts["overall, ties split by aspect"]),
    )
    finish()


if __name__ == "__main__":
    main()
