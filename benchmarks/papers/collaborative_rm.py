"""Collaborative Reward Modeling (arXiv 2505.10597): two reward models that filter each other's data, at 40 %
flips.

With the two controls that reviewers missed: two models averaged, and a wrong noise rate.
Usage: ``python benchmarks/papers/collaborative_rm.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import curation, heads, losses, metrics, reward_model, segment

SEEDS, PAIRS, DIM, STEPS, BATCH, FLIPS = 6, 800, 10, 600, 128, 0.4
METHODS = (
    "naive",
    "self-filter",
    "peer review",
    "peer review, rate 0.3",
    "peer review, rate 0.45",
    "unbiased loss",
)


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    first, second = jax.random.normal(k[0], (2, PAIRS, 1, DIM))
    hidden, out = jax.random.normal(k[1], (DIM, 16)) / jnp.sqrt(DIM), jax.random.normal(k[2], (16,)) / 2
    utility = lambda x: jnp.tanh(2.0 * x[:, 0] @ hidden) @ out
    truth = lambda a, b: (utility(a) > utility(b)).astype(jnp.float32)
    wrong = jax.random.bernoulli(k[3], FLIPS, (PAIRS,))
    label = jnp.where(wrong, 1.0 - truth(first, second), truth(first, second))
    test = jax.random.normal(k[4], (2, 4000, 1, DIM))
    model = reward_model(heads.OutcomeHead(heads.Backbone(sizes=(64, 64))), segment(first))
    margin = lambda params, a, b: (
        model.apply(params, segment(a)).total - model.apply(params, segment(b)).total
    )
    members = jax.vmap(model.init)(jax.random.split(k[5], 2))

    def fit(method: str):
        noise = float(method.rsplit(" ", 1)[-1]) if "rate" in method else FLIPS

        def loss(params, key, t):
            rows = jax.random.randint(
                key, (2, BATCH), 0, PAIRS
            )  # members see other pairs, or they never differ
            rows = rows if "peer" not in method else jnp.stack([rows[0], rows[0]])
            m = jax.vmap(lambda p, r: margin(p, first[r], second[r]))(params, rows)
            y = label[rows]
            if method == "unbiased loss":
                return losses.noise_backward_logistic(m, y, FLIPS, FLIPS).mean()
            each = losses.pairwise_logistic(m, y)
            rate = curation.keep_rate(t, noise, STEPS // 4)
            still = jax.lax.stop_gradient(each)
            if method == "naive":
                mask = jnp.ones(each.shape)
            elif method == "self-filter":
                mask = jnp.stack([curation.small_loss_mask(l, rate) for l in still])
            else:
                mask = jnp.stack(curation.peer_masks(*still, rate))
            return sum(losses.weighted_mean(l, m) for l, m in zip(each, mask, strict=True))

        return minimise(loss, members, k[6], STEPS, 1e-3)

    found = {}
    for method in METHODS:
        margins = jax.vmap(lambda p: margin(p, *test))(fit(method))
        found[method] = metrics.pair_accuracy(margins, jnp.broadcast_to(truth(*test), margins.shape)).mean()
        found[f"{method}, two averaged"] = metrics.pair_accuracy(margins.mean(0), truth(*test))
    return found


def main() -> None:
    found = over_seeds(run, SEEDS)
    gain = table("Accuracy on clean comparisons, single members", {m: found[m] for m in METHODS}, "naive")
    pairs = {f"{m}, two averaged": found[f"{m}, two averaged"] for m in METHODS}
    table("The same of two members averaged", {"naive": found["naive"]} | pairs, "naive")
    for method in METHODS[1:]:
        claim(f"{method} beats naive training at {FLIPS:.0%} flips", above(gain[method]))
    peers = less({m: found[m] for m in METHODS}, "self-filter")
    claim("peer review beats a model that filters by itself", above(peers["peer review"]))
    averaged = table(
        "Averaging alone", {"naive": found["naive"], "two": found["naive, two averaged"]}, "naive"
    )
    claim("averaging two naive models does not explain it", averaged["two"].high < gain["peer review"].mean)
    finish()


if __name__ == "__main__":
    main()
