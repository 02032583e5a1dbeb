"""SoliReward (arXiv 2512.22170): win-ties from pass and fail keep rewards from growing along a shortcut.

A shortcut feature goes with passing in training; candidates may have any amount of it. Where extremes of it
are harmful, and where they are not.
Usage: ``python benchmarks/papers/solireward.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import curation, heads, losses, metrics, reward_model, segment

SEEDS, ITEMS, DIM, PAIRS, QUESTIONS, CANDIDATES = 8, 600, 6, 2000, 200, 64
ROWS = {"Bradley-Terry": (0.0, 0.0), "Bradley-Terry, margin 3": (0.0, 3.0), "win-ties": (1.0, 0.0)}


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    w = jax.random.normal(k[0], (DIM,)) / jnp.sqrt(DIM)

    def draw(key, shape, spread):
        a, b, c = jax.random.split(key, 3)
        x = jax.random.normal(a, (*shape, DIM))
        quality = x @ w
        passed = quality + 0.3 * jax.random.normal(c, shape) > 0  # judges err near the border
        noise = jax.random.normal(b, shape)
        shortcut = jnp.where(passed, 1.0, -1.0) + noise if spread is None else spread * noise
        return jnp.concatenate([x, shortcut[..., None]], -1), passed, shortcut, quality

    x, passed, *_ = draw(k[1], (ITEMS,), None)
    tx, tpassed, *_ = draw(k[2], (ITEMS,), None)
    item = lambda x: segment(x[:, None])
    model = reward_model(heads.OutcomeHead(heads.Backbone(sizes=(32, 32))), item(x))
    pairs = curation.cross_pairs(k[3], passed, PAIRS, 0.5)
    cx, cpassed, shortcut, quality = draw(k[4], (QUESTIONS, CANDIDATES), 2.5)
    gold = {
        "harmful": 1.0 * (cpassed & (jnp.abs(shortcut) < 2.5)),
        "harmless": 1.0 * cpassed,
        "quality": quality,
    }
    out = {}
    for name, (tie_weight, offset) in ROWS.items():

        def loss(params, key, t, tie_weight=tie_weight, offset=offset):
            rows = jax.random.randint(key, (256,), 0, PAIRS)
            r = model.apply(params, item(x)).total
            each = losses.win_tie(
                r[pairs.first[rows]] - r[pairs.second[rows]], pairs.label[rows], tie_weight, offset
            )
            return each.mean()

        params = minimise(loss, model.init(k[5]), k[6], 400, 3e-3)
        r = model.apply(params, item(tx)).total
        margin = r[:, None] - r[None]
        cross = tpassed[:, None] & ~tpassed[None]
        proxy = model.apply(params, item(cx.reshape(-1, DIM + 1))).total.reshape(QUESTIONS, CANDIDATES)
        out |= {
            f"{name}/accuracy": jnp.sum((margin > 0) & cross) / cross.sum(),
            f"{name}/collapse": metrics.collapse_ratio(r, tpassed),
            f"{name}/spread": metrics.advantage_spread(r[: ITEMS // 8 * 8].reshape(-1, 8)).mean(),
            f"{name}/one": gold["harmful"].mean(),
        }
        for kind, value in gold.items():
            out[f"{name}/{kind}"] = metrics.best_of_n_curve(proxy, value, (CANDIDATES,)).mean()
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = lambda what: {name: found[f"{name}/{what}"] for name in ROWS}
    base = "Bradley-Terry"
    table("Accuracy on pass against fail", rows("accuracy"), base)
    spread = table("Spread of rewards among passes over the gap to fails", rows("collapse"), base)
    table("Largest standardised reward in groups of 8", rows("spread"), base)
    harmful = table(
        f"Passes among the best of {CANDIDATES}, extremes of the shortcut harmful", rows("harmful"), base
    )
    print(f"  one candidate at random: {found[f'{base}/one'].mean():.3f}")
    harmless = table(f"Passes among the best of {CANDIDATES}, the shortcut harmless", rows("harmless"), base)
    quality = table(f"Quality of the best of {CANDIDATES}, the shortcut harmless", rows("quality"), base)
    claim("win-ties narrow the rewards of what passes", spread["win-ties"].high < 0)
    claim("win-ties rescue best-of-n under a harmful shortcut", above(harmful["win-ties"]))
    claim("a margin does not", not above(harmful["Bradley-Terry, margin 3"]))
    claim(
        "win-ties cost ranking power where the shortcut is harmless",
        min(harmless["win-ties"].high, quality["win-ties"].high) < 0,
    )
    claim(
        "accuracy does not tell the two apart (within 0.03)",
        abs(less(rows("accuracy"), base)["win-ties"].mean) < 0.03,
    )
    finish()


if __name__ == "__main__":
    main()
