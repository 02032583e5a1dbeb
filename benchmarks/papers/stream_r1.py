"""Distillation with weights by reliability and saliency (Stream-R1, arXiv 2605.03849).

A student (a linear map to 8 frames of 16 pixels) follows a teacher through noisy directions. A third of the
examples have corrupted targets, which a reward partly sees; a tenth of the pixels decide the quality that
is judged, which the reward's gradient finds. Judged: the student's error in those pixels on fresh inputs.
"""

import jax
import jax.numpy as jnp
from _common import above, claim, finish, over_seeds, table

from rlkit.rewards import embodied

FRAMES, PIXELS, INPUTS, BATCH, UPDATES, RATE, SEEDS = 8, 16, 12, 64, 400, 0.02, 16
WAYS = ("unweighted", "reliability", "saliency", "both", "both, published reliability")


def run(key: jax.Array) -> dict[str, jax.Array]:
    world, where, key = jax.random.split(key, 3)
    truth = jax.random.normal(world, (INPUTS, FRAMES, PIXELS)) / jnp.sqrt(INPUTS)
    matters = jax.random.uniform(where, (FRAMES, PIXELS))
    matters = matters >= jnp.sort(matters.ravel())[-FRAMES * PIXELS // 10]

    def student(x, w):
        # A narrow student: it cannot follow every pixel.
        return jnp.tensordot(jnp.tanh(x @ w["in"]), w["out"], 1)

    def example(key):
        inputs, bad, noise, which = jax.random.split(key, 4)
        x = jax.random.normal(inputs, (BATCH, INPUTS))
        clean = jnp.tensordot(x, truth, 1)
        corrupt = jax.random.bernoulli(which, 1 / 3, (BATCH, 1, 1))
        wrong = 3.0 * jax.random.normal(bad, clean.shape)
        target = jnp.where(corrupt, wrong, clean) + 0.3 * jax.random.normal(noise, clean.shape)
        return x, clean, target

    def quality(y, clean):
        """What the reward model says of one target: minus the error in the pixels that matter."""
        return -jnp.sqrt(jnp.sum(jnp.where(matters, (y - clean) ** 2, 0.0)) / matters.sum() + 1e-6)

    def trained(how: str) -> jax.Array:
        def update(w, key):
            draw, seen = jax.random.split(key)
            x, clean, target = example(draw)
            r = jax.vmap(quality)(target, clean) + 0.3 * jax.random.normal(seen, (BATCH,))
            made = student(x, w)
            slope = jax.vmap(lambda y, c: embodied.gradient_saliency(lambda y: quality(y, c), y))(made, clean)
            ones, flat = jnp.ones_like(made), jnp.ones(BATCH)
            saliency = (
                jax.vmap(embodied.saliency_weight)(slope) if how.startswith(("saliency", "both")) else ones
            )
            if how.endswith("published reliability"):
                reliability = embodied.published_reliability(r)
            else:
                reliability = embodied.reliability_weight(r) if how in ("reliability", "both") else flat

            def loss(w):
                made = student(x, w)
                return embodied.weighted_distillation_loss(made, made - target, reliability, saliency)

            g = jax.grad(loss)(w)
            return jax.tree.map(lambda a, b: a - RATE * FRAMES * PIXELS * b / 10, w, g), None

        first, second = jax.random.split(world)
        w = {
            "in": 0.3 * jax.random.normal(first, (INPUTS, 6)),
            "out": 0.1 * jax.random.normal(second, (6, FRAMES, PIXELS)),
        }
        w, _ = jax.lax.scan(update, w, jax.random.split(key, UPDATES))
        x, clean, _ = example(jax.random.key(123))
        return jnp.mean(jax.vmap(quality)(student(x, w), clean))

    _, clean, target = example(key)
    slope = embodied.gradient_saliency(lambda y: quality(y, clean[0]), target[0])
    inside = jnp.sum(jnp.where(matters, slope, 0.0)) / jnp.sum(slope)
    return {how: trained(how) for how in WAYS} | {"found": inside}


def main() -> None:
    found = over_seeds(run, SEEDS)
    inside = found.pop("found")
    less = table("minus the student's error in the pixels that matter", found, "unweighted")
    print(f"  share of the saliency that lies in the tenth of pixels that matter: {inside.mean():.2f}")
    claim("both weights beat the unweighted student", above(less["both"]))
    claim("reliability alone does", above(less["reliability"]))
    claim("saliency alone does", above(less["saliency"]))
    finish()


if __name__ == "__main__":
    main()
