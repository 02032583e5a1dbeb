"""WavReward (arXiv 2505.09558): a scorer learned by reinforcement from rewards that fall with the distance to
gold.

Scores of 1 to 5 from noisy experts; four shapes of the reward, and a baseline shared by the samples of one
item. Usage: ``python benchmarks/papers/wavreward.py``
"""

import jax
import jax.numpy as jnp
from _common import claim, finish, less, minimise, over_seeds, table

from rlkit.prefs import heads, reward_model, segment
from rlkit.prefs.aggregation import bounded_error

SEEDS, DIM, LEVELS, BATCH, SAMPLES, STEPS = 8, 6, 5, 64, 8, 500
SHAPES = ("exact", "linear", "power", "exp")
ROWS = (*SHAPES, "exp, no shared baseline")


def run(key: jax.Array) -> dict[str, jax.Array]:
    k = jax.random.split(key, 5)
    w = jax.random.normal(k[0], (DIM,)) / jnp.sqrt(DIM)
    gold = lambda x: jnp.clip(jnp.round(3.0 + 1.5 * x @ w / jnp.linalg.norm(w)), 1, LEVELS)
    item = lambda x: segment(x[:, None])
    test = jax.random.normal(k[3], (4000, DIM))
    model = reward_model(heads.AspectHead(LEVELS, heads.Backbone(sizes=(32, 32))), item(test))
    logits = lambda params, x: model.apply(params, item(x)).aspects
    out = {}
    for name in ROWS:

        def loss(params, key, t, name=name):
            a, b, c = jax.random.split(key, 3)
            x = jax.random.normal(a, (BATCH, DIM))
            off = jax.random.categorical(b, jnp.log(jnp.array([0.1, 0.8, 0.1])), shape=(BATCH,)) - 1
            told = jnp.clip(gold(x) + off, 1, LEVELS)  # experts are one off at times
            log_p = jax.nn.log_softmax(logits(params, x))
            said = jax.random.categorical(c, log_p, shape=(SAMPLES, BATCH))
            reward = bounded_error(said + 1.0, jnp.broadcast_to(told, said.shape), name.split(",")[0])
            advantage = reward - (reward.mean(0) if "," not in name else reward.mean())
            chosen = jnp.take_along_axis(jnp.broadcast_to(log_p, (*said.shape, LEVELS)), said[..., None], -1)[
                ..., 0
            ]
            return -jnp.mean(jax.lax.stop_gradient(advantage) * chosen)

        params = minimise(loss, model.init(k[2]), k[4], STEPS, 3e-3)
        error = jnp.abs(jnp.argmax(logits(params, test), 1) + 1.0 - gold(test))
        out |= {f"{name}/exact": (error == 0).mean(), f"{name}/off": error.mean()}
    return out


def main() -> None:
    found = over_seeds(run, SEEDS)
    exact = {name: found[f"{name}/exact"] for name in ROWS}
    table("Share of exact scores", exact, "exact")
    off = {name: found[f"{name}/off"] for name in ROWS}
    table("Mean absolute error, points", off, "exact")
    gain = less(exact, "linear")
    claim(
        "nonlinear rewards are more often exact than a linear one",
        gain["exp"].low > 0 or gain["power"].low > 0,
    )
    claim("graded rewards have a smaller error than exact match", less(off, "exact")["exp"].high < 0)
    shared = less(exact, "exp, no shared baseline")["exp"]
    claim("samples of one item sharing a baseline help", shared.low > 0)
    finish()


if __name__ == "__main__":
    main()
