"""TGDPO (2506.14574): DPO whose tokens are weighed by the implicit reward of a model that DPO trained.

Strings of eight letters, of which two places have a hidden value. Preferences between pairs of a uniform
policy are drawn by Bradley and Terry's model; all methods see the same pairs. Gradient steps are plain: in a
table, where each letter has a number of its own, Adam moves those that hardly matter as far as those that do.
It is shown beside them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import better, claim, finish, show
from _groups import descend, log_probs

from rlkit import group
from rlkit.group import preset

PAIRS, PLACES, LETTERS, SEEDS, STEPS = 512, 8, 6, 16, 300
OPTIMISERS = {"plain steps of 10": optax.sgd(10.0), "of 40": optax.sgd(40.0), "Adam, 0.02": optax.adam(0.02)}
METHODS = {
    "TGDPO": ("tgdpo", {}),
    "TGDPO, bounded": ("tgdpo_bounded", {}),
    "TGDPO, alpha 2": ("tgdpo", {"alpha": 2.0}),
}


class _Policy:
    """One prompt: a factored softmax."""

    @staticmethod
    def logits(params, index):
        return params[index]


def draw(key):
    """Pairs and which was preferred, the values of letters."""
    one, two, three = jax.random.split(key, 3)
    worth = jnp.zeros((PLACES, LETTERS)).at[jnp.array([1, 5])].set(2 * jax.random.normal(one, (2, LETTERS)))
    tokens = jax.random.randint(two, (PAIRS, 2, PLACES), 0, LETTERS)
    value = jnp.sum(worth[jnp.arange(PLACES), tokens], -1)
    first = jax.random.bernoulli(three, jax.nn.sigmoid(value[:, 0] - value[:, 1]))
    chosen = jnp.stack([first, ~first], 1).astype(jnp.float32)
    return tokens, chosen, worth


def fit(method, optimiser, tokens, chosen, guide):
    """Full-batch training on the pairs."""
    start = jnp.zeros((1, PLACES, LETTERS))
    index = jnp.zeros(PAIRS, jnp.int32)
    reference = log_probs(_Policy, start, index, tokens)[0]
    ones = jnp.ones(tokens.shape, jnp.float32)
    batch = group.Completions(
        prompt=index[:, None], prompt_mask=jnp.ones((PAIRS, 1)), tokens=tokens, mask=ones,
        behaviour_log_prob=reference, rewards={"chosen": chosen}, reference_log_prob=reference,
        extras={"guide_log_prob": log_probs(_Policy, guide, index, tokens)[0]},
    )  # fmt: skip
    ctx = group.Context(jnp.int32(0), jnp.int32(1), jax.random.key(0))
    _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    update = group.make_update(method.loss, batch, credit)

    def step(carry, _):
        params, inner, _ = descend(_Policy, optimiser, method.loss, *carry, update)
        return (params, inner), None

    return jax.lax.scan(step, (start, optimiser.init(start)), length=STEPS)[0][0]


def judge(params, worth):
    chance = jax.nn.softmax(params[0])
    kl = jnp.sum(chance * jnp.log(chance * LETTERS + 1e-20), -1)
    decisive = jnp.zeros(PLACES).at[jnp.array([1, 5])].set(1.0)
    return {"E[value]": jnp.sum(chance * worth), "KL, decisive": jnp.sum(kl * decisive),
            "KL, others": jnp.sum(kl * (1 - decisive))}  # fmt: skip


def compare(optimiser):
    """Results of all methods with an optimiser, one number a seed."""
    weights = {"chosen": 1.0}

    def life(key):
        tokens, chosen, worth = draw(key)
        nobody = jnp.zeros((1, PLACES, LETTERS))
        plain = fit(preset("dpo", weights=weights), optimiser, tokens, chosen, nobody)
        out = {"DPO": plain}
        for name, (own, options) in METHODS.items():
            out[name] = fit(preset(own, weights=weights, **options), optimiser, tokens, chosen, plain)
        return {name: judge(params, worth) for name, params in out.items()}

    rows = jax.jit(jax.vmap(life))(jax.random.split(jax.random.key(0), SEEDS))
    return jax.tree.map(np.asarray, {name: rows[name] for name in ("DPO", *METHODS)})


def main() -> None:
    for name, optimiser in OPTIMISERS.items():
        rows = compare(optimiser)
        show(f"{name}: after {STEPS} steps on {PAIRS} pairs", rows, "DPO")
        for method in ("TGDPO", "TGDPO, alpha 2"):
            gain = {metric: better(x, rows["DPO"][metric]) for metric, x in rows[method].items()}
            claim(f"{method}, a larger expected value than DPO ({name})", gain["E[value]"])
            claim(f"{method}, tokens that matter move further ({name})", gain["KL, decisive"])


if __name__ == "__main__":
    main()
    finish()
