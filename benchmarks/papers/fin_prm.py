"""Fin-PRM (arXiv 2508.15202): labels of steps from three imperfect sources, and steps with the whole in
selection.

Chains of 6 steps; rollouts are lucky, a judge likes a style, a fact check knows little. A chain may have
right steps and a wrong answer. Mixing formulas are ours.
Usage: ``python benchmarks/papers/fin_prm.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import curation, heads, losses, metrics, reward_model, segment
from rlkit.prefs.aggregation import step_plus_trajectory

SEEDS, CHAINS, STEPS, DIM, QUESTIONS, CANDIDATES = 6, 1500, 6, 6, 300, 16
SOURCES = ("rollouts alone", "judge alone", "fact check alone", "vote", "softmax mixture")
ZETAS = {"steps alone": 0.0, "both": 0.5, "whole alone": 1.0}


def chains(key: jax.Array, w: jax.Array, v: jax.Array, count: int) -> dict[str, jax.Array]:
    k = jax.random.split(key, 3)
    x = jax.random.normal(k[0], (count, STEPS, DIM))
    right = x @ w + 0.3 * jax.random.normal(k[1], (count, STEPS)) > -0.8
    answer = x[:, -1] @ v + 0.3 * jax.random.normal(k[2], (count,)) > -0.3  # the last line is copied right
    return {"x": x, "right": right, "outcome": 1.0 * (jnp.all(right, 1) & answer), "style": x[..., 0] > 0}


def told(key: jax.Array, data: dict[str, jax.Array]) -> jax.Array:
    """What the three sources say of each step, in [0, 1], ``[count, STEPS, 3]``."""
    k = jax.random.split(key, 4)
    right, shape = data["right"], data["right"].shape
    rollouts = jax.random.binomial(k[0], 4, jnp.where(right, 0.8, 0.4)) / 4.0
    judge = jnp.where(jax.random.bernoulli(k[1], 0.6, shape), right, data["style"]) * 1.0
    known = jax.random.bernoulli(k[2], 0.3, shape)
    return jnp.stack([rollouts, judge, jnp.where(known, right * 1.0, 0.5)], -1)


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 8)
    w, v = jax.random.normal(k[0], (2, DIM)) / jnp.sqrt(DIM)
    data, test = chains(k[1], w, v, CHAINS), chains(k[2], w, v, QUESTIONS * CANDIDATES)
    sources, item, mask = told(k[3], data), segment(data["x"]), jnp.ones((CHAINS, STEPS), bool)
    fused = [curation.step_label_fuse(sources, beta)[0] for beta in (0.0, 4.0)]
    labels = dict(zip(SOURCES, (*jnp.moveaxis(sources, -1, 0), *fused), strict=True))
    backbone = heads.Backbone(sizes=(32,))
    model = reward_model(heads.ProcessHead(backbone, "mean"), item)
    whole = reward_model(heads.OutcomeHead(heads.Backbone("gru", (24,)), "last"), item)
    seen = segment(test["x"])
    out, logits = {}, {}
    for name, label in labels.items():

        def loss(params, key, t, label=label):
            rows = jax.random.randint(key, (256,), 0, CHAINS)
            r = model.apply(params, jax.tree.map(lambda x: x[rows], item)).step
            return losses.masked_mean(losses.step_logistic(r, label[rows], mask[rows]), mask[rows]).mean()

        logits[name] = model.apply(minimise(loss, model.init(k[4]), k[5], 250, 1e-2), seen).step
        out[f"label/{name}"] = jnp.mean((logits[name] > 0) == test["right"])

    def loss(params, key, t):
        rows = jax.random.randint(key, (256,), 0, CHAINS)
        r = whole.apply(params, jax.tree.map(lambda x: x[rows], item)).total
        return losses.pairwise_logistic(r, data["outcome"][rows]).mean()

    p_whole = jax.nn.sigmoid(whole.apply(minimise(loss, whole.init(k[6]), k[7], 250, 1e-2), seen).total)
    p_step = jax.nn.sigmoid(logits[SOURCES[-1]])
    gold = test["outcome"].reshape(QUESTIONS, CANDIDATES)
    for name, zeta in ZETAS.items():
        score = step_plus_trajectory(p_step, seen.mask, p_whole, zeta, "mean").reshape(gold.shape)
        for n, value in zip(
            (4, CANDIDATES), metrics.best_of_n_curve(score, gold, (4, CANDIDATES)).mean(0), strict=True
        ):
            out[f"{n}/{name}"] = value
    return out | {"4/at random": gold.mean(), f"{CANDIDATES}/at random": gold.mean()}


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = {name: found[f"label/{name}"] for name in SOURCES}
    table("Accuracy of steps, by what the model was trained on", rows, "vote")
    claim(
        "the mixture of sources beats each alone",
        all(above(less(rows, n)["softmax mixture"]) for n in SOURCES[:3]),
    )
    claim("the softmax mixture beats the plain vote", above(less(rows, "vote")["softmax mixture"]))
    for n in (4, CANDIDATES):
        rows = {name: found[f"{n}/{name}"] for name in (*ZETAS, "at random")}
        table(f"Right answers among the best of {n}", rows, "steps alone")
        claim(f"steps and the whole beat steps alone (best of {n})", above(less(rows, "steps alone")["both"]))
        claim(f"and the whole alone (best of {n})", above(less(rows, "whole alone")["both"]))
    finish()


if __name__ == "__main__":
    main()
