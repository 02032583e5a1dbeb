"""CausalRM (arXiv 2603.18736): feedback that is wrong at times and given more by the pleased.

R² of a linear reward model over the whole population, of which only some gave feedback.
Usage: ``python benchmarks/papers/causal_rm.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import curation, heads, losses, reward_model, segment

SEEDS, COUNT, DIM, CLEAN = 8, 3000, 8, 200
FALSE_NEG, FALSE_POS = 0.2, 0.1
ROWS = (
    "naive", "propensity", "noise-aware, anchors", "propensity, anchors", "propensity, 200 clean labels",
    "propensity, true rates", "doubly robust, anchors", "doubly robust, 200 clean labels",
)  # fmt: skip


def r_squared(predicted: jax.Array, truth: jax.Array) -> jax.Array:
    return 1.0 - jnp.mean((predicted - truth) ** 2) / jnp.var(truth)


def population(key: jax.Array, by_label: bool) -> tuple[jax.Array, ...]:
    """``(x, P(r* = 1), r*, r, o)``: pleased units answer more often; a linear model cannot be right."""
    k = jax.random.split(key, 6)
    x = jax.random.normal(k[0], (COUNT, DIM))
    w, v = jax.random.normal(k[1], (2, DIM)) / jnp.sqrt(DIM)
    u = x @ w + 0.7 * ((x @ v) ** 2 - jnp.mean((x @ v) ** 2))
    p = jax.nn.sigmoid(4.0 * u / jnp.std(u))
    truth = jax.random.bernoulli(k[2], p).astype(jnp.float32)
    wrong = jax.random.bernoulli(k[3], jnp.where(truth > 0, FALSE_NEG, FALSE_POS))
    told = jnp.where(wrong, 1.0 - truth, truth)
    drive = truth if by_label else p
    seen = jax.random.bernoulli(k[4], 0.05 + 0.85 * drive**3).astype(jnp.float32)
    return x, p, truth, told, seen


def run(key: jax.Array, by_label: bool = False) -> dict[str, jax.Array]:
    k = jax.random.split(key, 4)
    x, p, truth, told, seen = population(k[0], by_label)
    item = segment(x[:, None])
    wide = reward_model(heads.OutcomeHead(heads.Backbone(sizes=(32,))), item)
    score = lambda params: wide.apply(params, item).total
    start = wide.init(k[1])
    squared = lambda params, key, t: jnp.mean((jax.nn.sigmoid(score(params)) - seen) ** 2)
    propensity = jnp.clip(jax.nn.sigmoid(score(minimise(squared, start, k[2], 200, 1e-2))), 0.02, 1.0)
    pseudo = lambda params, key, t: losses.ips(
        losses.pairwise_logistic(score(params), told), seen, propensity
    ).mean()
    noisy = jax.nn.sigmoid(score(minimise(pseudo, start, k[3], 150, 1e-2, decay=1e-2)))
    first = jnp.arange(COUNT) < 2 * CLEAN
    anchors = curation.anchor_noise_rates(noisy)
    clean = curation.clean_set_noise_rates(told, truth, first * 1.0)
    features = jnp.concatenate([x, jnp.ones((COUNT, 1))], 1)

    def fit(weighted: bool, rates=None, robust: bool = False) -> jax.Array:
        def loss(w, key, t):
            logit = jnp.clip(features @ w, -8.0, 8.0)
            one, zero = losses.pairwise_logistic(logit, 1.0), losses.pairwise_logistic(logit, 0.0)
            if rates is not None:
                each = [losses.noise_backward(one, zero, jnp.full(COUNT, y), *rates) for y in (0.0, 1.0)]
                zero, one = each
            l = told * one + (1.0 - told) * zero
            if robust:
                return losses.doubly_robust(l, noisy * one + (1.0 - noisy) * zero, seen, propensity).mean()
            return losses.ips(l, seen, propensity).mean() if weighted else losses.weighted_mean(l, seen)

        w = minimise(loss, jnp.zeros(DIM + 1), k[3], 300, 3e-2)
        return r_squared(jax.nn.sigmoid(features @ w), p)

    true = (FALSE_NEG, FALSE_POS)
    values = (
        fit(False), fit(True), fit(False, anchors), fit(True, anchors), fit(True, clean), fit(True, true),
        fit(True, anchors, True), fit(True, clean, True),
    )  # fmt: skip
    return dict(zip(ROWS, values, strict=True)) | {
        "anchor fn": anchors.false_neg, "anchor fp": anchors.false_pos,
        "clean fn": clean.false_neg, "clean fp": clean.false_pos,
    }  # fmt: skip


def main() -> None:
    for what, by_label in (("the probability of being pleased", False), ("being pleased itself", True)):
        found = over_seeds(lambda key, by_label=by_label: run(key, by_label), SEEDS)
        gain = table(f"R², answers depend on {what}", {name: found[name] for name in ROWS}, ROWS[0])
        rates = {name: found[name].mean().round(3) for name in found if name not in ROWS}
        print(f"  estimated rates (true: {FALSE_NEG}, {FALSE_POS}): {rates}")
        claim("propensities beat naive training", above(gain[ROWS[1]]))
        claim("propensities and noise rates together beat naive training", above(gain[ROWS[4]]))
        claim("the doubly robust loss beats naive training", above(gain[ROWS[7]]))
        base = less({name: found[name] for name in ROWS}, ROWS[1])
        claim("noise rates of clean labels add to propensities", above(base[ROWS[4]]))
        claim("noise rates of anchors add to propensities", above(base[ROWS[3]]))
    finish()


if __name__ == "__main__":
    main()
