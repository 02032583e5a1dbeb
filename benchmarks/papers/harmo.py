"""HARMO (arXiv 2510.05283): rules where answers can be verified, a reward model elsewhere, and a penalty of
length.

Half of the prompts are verifiable. The reward model errs there, and likes length everywhere. A policy chooses
one of four answers and one of four lengths; formulas are ours.
Usage: ``python benchmarks/papers/harmo.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs.aggregation import hybrid, length_penalty

SEEDS, DIM, ANSWERS, STEPS, BATCH, GROUP = 8, 6, 4, 500, 128, 8
LENGTHS = jnp.array([100.0, 200.0, 400.0, 800.0])
ROWS = ("model only", "rule only", "hybrid", "hybrid + length penalty", "hybrid + penalty, not gated")


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 4)
    w, taste = jax.random.normal(k[0], (2, DIM, ANSWERS))

    def prompts(key, count):
        x = jax.random.normal(key, (count, DIM))
        return x, jnp.arange(count) % 2 == 0, jnp.argmax(x @ w, 1)

    def paid(name, x, verifiable, right, answer, length):
        correct = (answer == right) * 1.0
        biased = (answer == jnp.argmax(x @ taste, 1)) * 1.0  # what it prefers where it should not judge
        model = (
            jnp.where(verifiable, 0.5 * correct + 0.7 * biased, correct)
            + 0.3 * jnp.log2(length / 100.0) / 3.0
        )
        rule = jnp.where(verifiable, correct, jnp.nan)
        if name == "model only":
            return model
        if name == "rule only":
            return jnp.where(verifiable, correct, 0.0)
        shorter = 0.0
        if "penalty" in name:
            relief = 0.0 if "not gated" in name else 0.5
            shorter = length_penalty(length, 150.0, correct, scale=0.5, tolerance=4.0, relief=relief)
        return hybrid(rule, verifiable * 1.0, model, shorter)

    features = lambda x, v: jnp.concatenate([x, x * v[:, None], v[:, None] * 1.0], 1)
    test, test_v, test_right = prompts(k[2], 4000)
    out = {}
    for name in ROWS:

        def loss(params, key, t, name=name):
            x, v, right = prompts(key, BATCH)
            logits = features(x, v) @ params
            draw = lambda i, z: jax.random.categorical(jax.random.fold_in(key, i), z, shape=(GROUP, BATCH))
            answer, span = draw(1, logits[:, :ANSWERS]), draw(2, logits[:, ANSWERS:])
            reward = paid(name, x, jnp.broadcast_to(v, answer.shape), right, answer, LENGTHS[span])
            advantage = reward - reward.mean(0)
            log_p = lambda z, i: jnp.take_along_axis(
                jnp.broadcast_to(jax.nn.log_softmax(z), (GROUP, *z.shape)), i[..., None], -1
            )[..., 0]
            chosen = log_p(logits[:, :ANSWERS], answer) + log_p(logits[:, ANSWERS:], span)
            return -jnp.mean(jax.lax.stop_gradient(advantage) * chosen)

        params = minimise(loss, jnp.zeros((2 * DIM + 1, ANSWERS + len(LENGTHS))), k[3], STEPS, 2e-2)
        logits = features(test, test_v) @ params
        right = jnp.argmax(logits[:, :ANSWERS], 1) == test_right
        out |= {
            f"{name}/all": right.mean(), f"{name}/verifiable": right[::2].mean(),
            f"{name}/other": right[1::2].mean(),
            f"{name}/length": (jax.nn.softmax(logits[:, ANSWERS:]) @ LENGTHS).mean(),
        }  # fmt: skip
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = lambda what: {name: found[f"{name}/{what}"] for name in ROWS}
    for what in ("all", "verifiable", "other", "length"):
        table(
            {"length": "Mean length, tokens"}.get(what, f"Right answers, {what} prompts"),
            rows(what),
            "model only",
        )
    wins = [above(less(rows("all"), name)["hybrid"]) for name in ROWS[:2]]
    claim("rules and model together beat either alone", all(wins))
    cut = less(rows("length"), "hybrid")["hybrid + length penalty"]
    claim("the length penalty takes back the length that the model pays for", cut.high < 0)
    kept = less(rows("all"), "hybrid")["hybrid + length penalty"]
    claim("it costs no correctness (0.01)", kept.low > -0.01)
    finish()


if __name__ == "__main__":
    main()
