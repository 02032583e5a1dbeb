"""Themis (arXiv 2310.01045): a reward model with a calculator judges sums that it has never seen.

Items are the tokens of "a + b = c" in digits; the better one is right. Training has operands below 50, the
test also larger ones. The tool says by how much c is off; at times it fails.
Usage: ``python benchmarks/papers/themis.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import heads, losses, metrics, reward_model
from rlkit.prefs.types import Segment

SEEDS, PAIRS, TEST = 5, 1000, 1000
PLUS, EQUALS = 10, 11
ROWS = ("no tool", "calculator", "calculator, learned call", "fails in 20 %, said", "fails in 20 %, not said")


def digits(x: jax.Array) -> jax.Array:
    return jnp.stack([x // 100 % 10, x // 10 % 10, x % 10], -1)


def written(a: jax.Array, b: jax.Array, c: jax.Array) -> Segment:
    sign = lambda token: jnp.full((*a.shape, 1), token)
    tokens = jnp.concatenate([digits(a), sign(PLUS), digits(b), sign(EQUALS), digits(c)], -1)
    return Segment(tokens.astype(jnp.int32), jnp.ones(tokens.shape, bool))


def calculator(item: Segment):
    number = lambda start: item.feats[:, start : start + 3] @ jnp.array([100, 10, 1])
    off = jnp.abs(number(0) + number(4) - number(8)).astype(jnp.float32)
    return jnp.log1p(off)[:, None], jnp.ones(len(off), bool)


def flaky(said: bool):
    def tool(item: Segment):
        evidence, valid = calculator(item)
        fails = (jnp.sum(item.feats * jnp.arange(1, 12) * 7, 1) % 5) == 0  # the same item always fails
        wrong = (jnp.sum(item.feats, 1) % 7).astype(jnp.float32)[:, None]
        return jnp.where(fails[:, None], wrong, evidence), valid & ~(fails & said)

    return tool


def pairs(key: jax.Array, count: int, low: int, high: int):
    k = jax.random.split(key, 4)
    a, b = jax.random.randint(k[0], (2, count), low, high)
    off = jax.random.randint(k[1], (count,), 1, 20) * jnp.where(
        jax.random.bernoulli(k[2], 0.5, (count,)), 1, -1
    )
    wrong = jnp.clip(a + b + off, 0, 999)
    wrong = jnp.where(wrong == a + b, a + b + 1, wrong)
    return written(a, b, a + b), written(a, b, wrong)


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 5)
    good, bad = pairs(k[0], PAIRS, 0, 50)
    tests = {"seen sizes": pairs(k[1], TEST, 0, 50), "larger": pairs(k[2], TEST, 100, 450)}
    backbone = heads.Backbone("gru", (32,), vocabulary=12, embedding=8)
    tooled = lambda tool, call=False: heads.ToolHead((tool,), backbone, (32,), call, "last")
    models = dict(zip(ROWS, (
        heads.OutcomeHead(backbone, "last"), tooled(calculator), tooled(calculator, True),
        tooled(flaky(True)), tooled(flaky(False)),
    ), strict=True))  # fmt: skip
    out = {}
    for name, head in models.items():
        model = reward_model(head, good)

        def loss(params, key, t, model=model):
            rows = jax.random.randint(key, (64,), 0, PAIRS)
            one, two = (model.apply(params, jax.tree.map(lambda x: x[rows], s)) for s in (good, bad))
            call = (one.extras["call"] + two.extras["call"]).mean() / 2 if one.extras else 0.0
            return losses.pairwise_logistic(one.total - two.total).mean() + 0.02 * call

        params = minimise(loss, model.init(k[3]), k[4], 200, 5e-3)
        for what, (one, two) in tests.items():
            margin = model.apply(params, one).total - model.apply(params, two).total
            out[f"{what}/{name}"] = metrics.pair_accuracy(margin, jnp.ones(TEST))
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    for what in ("seen sizes", "larger"):
        rows = {name: found[f"{what}/{name}"] for name in ROWS}
        gain = table(f"Accuracy on pairs, operands: {what}", rows, "no tool")
    claim(
        "without the tool larger operands are near chance (below 0.65)", bool(rows["no tool"].mean() < 0.65)
    )
    claim("the tool carries over to larger operands", above(gain["calculator"]))
    said = less(rows, ROWS[4])[ROWS[3]]
    claim("a tool that says when it failed beats one that does not", above(said))
    finish()


if __name__ == "__main__":
    main()
