"""OwlCap (arXiv 2508.18634): correctness plus completeness of a set keeps a captioner from saying little or
all.

A policy says for each possible event and attribute whether to name it; what it sees of each is noisy,
attributes more clearly than events.
Usage: ``python benchmarks/papers/owlcap.py``
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, less, minimise, over_seeds, table

from rlkit.prefs.aggregation import set_equivalence

SEEDS, UNITS, BATCH, GROUP, STEPS = 8, 12, 64, 8, 300
EVENTS = jnp.arange(UNITS) < UNITS // 2
CLARITY = jnp.where(EVENTS, 1.0, 2.0)
ROWS = ("correctness alone", "completeness alone", "their sum")


def scene(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """What is there, and what is seen of it: ``[count, UNITS]`` each."""
    a, b = jax.random.split(key)
    there = jax.random.bernoulli(a, 0.4, (count, UNITS))
    return there, CLARITY * jnp.where(there, 1.0, -1.0) + jax.random.normal(b, there.shape)


def judged(said: jax.Array, there: jax.Array):
    return set_equivalence(jnp.broadcast_to(jnp.eye(UNITS), (*said.shape, UNITS)), said, there)


def run(key: jax.Array) -> dict[str, jax.Array]:
    out = {}
    test_there, test_seen = scene(jax.random.fold_in(key, 9), 1000)
    for i, name in enumerate(ROWS):

        def loss(params, key, t, i=i):
            there, seen = scene(key, BATCH)
            logit = params["slope"] * seen + params["bias"]
            shape = (GROUP, BATCH, UNITS)
            said = jax.random.uniform(jax.random.fold_in(key, 1), shape) < jax.nn.sigmoid(logit)
            told = judged(said, jnp.broadcast_to(there, shape))
            reward = (told.correctness, told.completeness, told.reward)[i]
            advantage = reward - reward.mean(0)
            log_prob = jnp.sum(jax.nn.log_sigmoid(jnp.where(said, logit, -logit)), -1)
            return -jnp.mean(jax.lax.stop_gradient(advantage) * log_prob)

        start = {"slope": jnp.zeros(UNITS), "bias": jnp.zeros(UNITS)}
        params = minimise(loss, start, key, STEPS, 3e-2)
        said = params["slope"] * test_seen + params["bias"] > 0
        recall = [jnp.sum(said & test_there & w) / jnp.sum(test_there & w) for w in (EVENTS, ~EVENTS)]
        told = judged(said, test_there)
        out |= {
            f"{name}/units said": said.sum(1).mean(), f"{name}/correctness": told.correctness.mean(),
            f"{name}/completeness": told.completeness.mean(), f"{name}/sum of both": told.reward.mean(),
            f"{name}/recall of events less that of attributes": recall[0] - recall[1],
        }  # fmt: skip
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    rows = lambda what: {name: found[f"{name}/{what}"] for name in ROWS}
    for what in (
        "units said",
        "correctness",
        "completeness",
        "sum of both",
        "recall of events less that of attributes",
    ):
        table(what.capitalize(), rows(what), ROWS[2])
    claim("correctness alone says little", less(rows("units said"), ROWS[2])[ROWS[0]].high < 0)
    claim("completeness alone says everything", bool((rows("units said")[ROWS[1]] > 0.9 * UNITS).all()))
    gain = [above(less(rows("sum of both"), name)[ROWS[2]]) for name in ROWS[:2]]
    claim("the sum is best on both together", all(gain))
    gap = {name: abs(x) for name, x in rows("recall of events less that of attributes").items()}
    claim(
        "it is more balanced between events and attributes than correctness alone",
        above(less(gap, ROWS[2])[ROWS[0]]),
    )
    finish()


if __name__ == "__main__":
    main()
