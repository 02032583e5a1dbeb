"""TGDPO (2506.14574): DPO whose tokens are weighed by the implicit reward of a model that DPO trained.

Strings of eight letters, of which two places have a hidden value. Preferences between pairs of a uniform
policy are drawn by Bradley and Terry's model; all methods see the same pairs.
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


def fit(method, tokens, chosen, guide):
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
    update, optimiser = group.make_update(method.loss, batch, credit), optax.adam(0.02)

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


def main() -> None:
    weights = {"chosen": 1.0}

    def life(key):
        tokens, chosen, worth = draw(key)
        plain = fit(preset("dpo", weights=weights), tokens, chosen, jnp.zeros((1, PLACES, LETTERS)))
        out = {"DPO": plain}
        for name, (own, options) in METHODS.items():
            out[name] = fit(preset(own, weights=weights, **options), tokens, chosen, plain)
        return {name: judge(params, worth) for name, params in out.items()}

    rows = jax.jit(jax.vmap(life))(jax.random.split(jax.random.key(0), SEEDS))
    rows = jax.tree.map(np.asarray, {name: rows[name] for name in ("DPO", *METHODS)})
    show("after 300 steps on 512 pairs", rows, "DPO")
    claim("a larger expected value than DPO", better(rows["TGDPO"]["E[value]"], rows["DPO"]["E[value]"]))
    claim(
        "tokens that matter move further", better(rows["TGDPO"]["KL, decisive"], rows["DPO"]["KL, decisive"])
    )


if __name__ == "__main__":
    main()
    finish()
