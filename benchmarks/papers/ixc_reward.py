"""InternLM-XComposer2.5-Reward (arXiv 2501.12368): annotators like length; a length filter keeps it out of
the reward.

Utility does not depend on length. The three uses: selection (best of 4), reinforcement learning (the optimum
of expected reward less KL, exactly), cleaning of training data.
Usage: ``python benchmarks/papers/ixc_reward.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, over_seeds, table

from rlkit.prefs import curation, metrics
from rlkit.prefs.users import Taste, fit_taste

SEEDS, PAIRS, DIM, BIAS = 20, 1500, 8, 1.0
ROWS = ("raw", "filter, ratio 1.3", "filter, ratio 3", "length as a covariate")


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    w = 1.5 * jax.random.normal(k[0], (DIM,)) / jnp.sqrt(DIM)

    def draw(key, *shape):
        a, b = jax.random.split(key)
        return jax.random.normal(a, (*shape, DIM)), jnp.exp(
            0.5 * jax.random.normal(b, shape)
        )  # features, length

    see = lambda x, length: jnp.concatenate([x, jnp.log(length)[..., None]], -1)
    (a, la), (b, lb) = draw(k[1], PAIRS), draw(k[2], PAIRS)
    logit = (a - b) @ w + BIAS * jnp.log(la / lb)
    label = jax.random.bernoulli(k[3], jax.nn.sigmoid(logit)).astype(jnp.float32)
    chosen, rejected = jnp.where(label > 0.5, la, lb), jnp.where(label > 0.5, lb, la)
    prior = Taste(jnp.zeros(DIM + 1), 0.1 * jnp.eye(DIM + 1))
    difference = see(a, la) - see(b, lb)
    full = fit_taste(difference, label, prior).mean
    masks = [curation.length_filter(chosen, rejected, ratio) for ratio in (1.3, 3.0)]
    kept = [fit_taste(difference, label, prior, mask).mean for mask in masks]
    models = dict(zip(ROWS, (full, *kept, full.at[-1].set(0.0)), strict=True))
    (c, lc), (d, _) = draw(k[4], 4000), draw(k[5], 4000)
    four, length = draw(k[6], 500, 4)
    many, span = draw(k[7], 64, 256)
    out = {f"kept by {name}": m.mean() for name, m in zip(ROWS[1:3], masks, strict=True)}
    for name, m in models.items():
        r = see(c, lc) @ m
        balanced = see(c, lc) @ m - see(d, lc) @ m  # the same length on both sides
        best = jnp.argmax(see(four, length) @ m, 1)[:, None]
        tilt = jax.nn.softmax(see(many, span) @ m / 0.5, -1)
        worst = jnp.argsort(see(many, span) @ m, 1)[:, 128:]
        out |= {
            f"{name}/accuracy on pairs of equal length": metrics.pair_accuracy(
                balanced, ((c - d) @ w > 0) * 1.0
            ),
            f"{name}/correlation of reward and log length": jnp.corrcoef(r, jnp.log(lc))[0, 1],
            f"{name}/best of 4: utility": jnp.take_along_axis(four @ w, best, 1).mean(),
            f"{name}/best of 4: length": jnp.take_along_axis(length, best, 1).mean(),
            f"{name}/learned policy: utility": jnp.sum(tilt * (many @ w), 1).mean(),
            f"{name}/learned policy: length": jnp.sum(tilt * span, 1).mean(),
            f"{name}/cleaned half: utility": jnp.take_along_axis(many @ w, worst, 1).mean(),
            f"{name}/cleaned half: length": jnp.take_along_axis(span, worst, 1).mean(),
        }
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    gain = {}
    for what in [name.split("/")[1] for name in found if name.startswith("raw/")]:
        gain[what] = table(what, {name: found[f"{name}/{what}"] for name in ROWS}, "raw")
    print("  " + ", ".join(f"{name} {found[name].mean():.0%}" for name in found if name.startswith("kept")))
    print("  the optimum of reward less KL at a temperature of 1/2; lengths relative to the median")
    size = {n: abs(found[f"{n}/correlation of reward and log length"]) for n in ROWS}
    for name in ROWS[1:3]:
        held = gain["learned policy: length"][name].high < 0
        claim(f"{name}: a learned policy does not grow longer", held)
        claim(f"{name}: no utility is lost in best of 4 (0.02)", gain["best of 4: utility"][name].low > -0.02)
        claim(f"{name}: length goes out of the reward", less(size, "raw")[name].high < 0)
    covariate = gain["learned policy: utility"]["length as a covariate"]
    claim("length as a covariate adds utility (ours)", above(covariate))
    finish()


if __name__ == "__main__":
    main()
