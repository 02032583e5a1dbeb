"""Implicit Reward as the Bridge (2507.00018): supervised losses that keep their divergence term.

A prior over strings, demonstrations of a narrower kind; the loss is f_sft with four choices of phi, ours from
the paper's abstract. Reported: divergence from the prior, how often the implicit reward ranks a better string
above a worse one that both come from the prior, and how often the policy's strings win against the prior's,
before and after a little DPO on pairs of the prior's strings, with the policy itself as the reference.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import better, claim, finish, show
from _groups import descend, log_probs
from tgdpo import _Policy

from rlkit import group
from rlkit.group import preset

DEMOS, PLACES, LETTERS, SEEDS, STEPS = 64, 6, 6, 16, 150
PAIRS, DPO = 64, optax.adam(0.004)


def batch_of(params, tokens, columns):
    """Completions ``[P, G, PLACES]`` of one prompt, with the policy of ``params`` as the reference."""
    index = jnp.zeros(len(tokens), jnp.int32)
    reference = log_probs(_Policy, params, index, tokens)[0]
    return group.Completions(
        prompt=index[:, None], prompt_mask=jnp.ones((len(tokens), 1)), tokens=tokens,
        mask=jnp.ones(tokens.shape, jnp.float32), behaviour_log_prob=reference, rewards=columns,
        reference_log_prob=reference,
    )  # fmt: skip


def learn(method, optimiser, params, batch):
    """Full-batch training from ``params``."""
    ctx = group.Context(jnp.int32(0), jnp.int32(1), jax.random.key(0))
    _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    update = group.make_update(method.loss, batch, credit)

    def step(carry, _):
        params, inner, _ = descend(_Policy, optimiser, method.loss, *carry, update)
        return (params, inner), None

    return jax.lax.scan(step, (params, optimiser.init(params)), length=STEPS)[0][0]


def win_rate(key, params, prior, worth):
    """How often a string of a policy is worth more than one of the prior; ties count half."""
    value = lambda x: jnp.sum(worth[jnp.arange(PLACES), x], -1)
    one, two = (
        value(jax.random.categorical(k, p[0], shape=(4096, PLACES)))
        for k, p in zip(jax.random.split(key), (params, prior), strict=True)
    )
    return jnp.mean((one > two) + 0.5 * (one == two))


def life(key, method, rate):
    one, two, three, four, five, six = jax.random.split(key, 6)
    prior = 0.7 * jax.random.normal(one, (1, PLACES, LETTERS))
    worth = jax.random.normal(two, (PLACES, LETTERS))
    # Demonstrations are tilted towards better strings.
    shown = jax.random.categorical(three, prior[0] + worth, shape=(DEMOS, 1, PLACES))
    demonstrations = batch_of(prior, shown, {"shown": jnp.ones((DEMOS, 1))})
    params = learn(method, optax.adam(rate), prior, demonstrations)
    log, log_prior = jax.nn.log_softmax(params[0]), jax.nn.log_softmax(prior[0])
    pairs = jax.random.categorical(four, prior[0], shape=(512, 2, PLACES))
    value = jnp.sum(worth[jnp.arange(PLACES), pairs], -1)
    reward = jnp.sum((log - log_prior)[jnp.arange(PLACES), pairs], -1)
    agrees = (value[:, 0] > value[:, 1]) == (reward[:, 0] > reward[:, 1])
    asked, told = jax.random.split(five)
    pairs = jax.random.categorical(asked, prior[0], shape=(PAIRS, 2, PLACES))
    value = jnp.sum(worth[jnp.arange(PLACES), pairs], -1)
    first = jax.random.bernoulli(told, jax.nn.sigmoid(value[:, 0] - value[:, 1]))
    chosen = jnp.stack([first, ~first], 1).astype(jnp.float32)
    after = learn(
        preset("dpo", weights={"chosen": 1.0}), DPO, params, batch_of(params, pairs, {"chosen": chosen})
    )
    return {
        "KL to the prior": jnp.sum(jnp.exp(log) * (log - log_prior)),
        "preference accuracy": jnp.mean(agrees),
        "E[value]": jnp.sum(jnp.exp(log) * worth),
        "win rate": win_rate(six, params, prior, worth),
        "win rate after DPO": win_rate(six, after, prior, worth),
    }


def main() -> None:
    keys, rows = jax.random.split(jax.random.key(0), SEEDS), {}
    for name, divergence, rate in (
        ("SFT", "linear", 0.04), ("SFT, rate x 0.25", "linear", 0.01), ("chi2", "chi2", 0.04),
        ("hellinger", "hellinger", 0.04), ("exponential", "exponential", 0.04),
    ):  # fmt: skip
        method = preset("implicit_bridge", divergence=divergence, beta=1.0)
        run = jax.jit(jax.vmap(lambda key, m=method, r=rate: life(key, m, r)))
        rows[name] = jax.tree.map(np.asarray, run(keys))
    show("after 150 steps on 64 demonstrations", rows, "SFT")
    kl = {name: row["KL to the prior"] for name, row in rows.items()}
    ranked = {name: row["preference accuracy"] for name, row in rows.items()}
    for name in ("chi2", "hellinger", "exponential"):
        claim(f"{name} stays closer to the prior than SFT", better(kl["SFT"], kl[name]))
    claim("a smaller rate ranks preferences better", better(ranked["SFT, rate x 0.25"], ranked["SFT"]))
    wins = {name: row["win rate after DPO"] for name, row in rows.items()}
    for name in ("SFT, rate x 0.25", "chi2", "hellinger", "exponential"):
        claim(f"{name} wins more often after DPO than SFT", better(wins[name], wins["SFT"]))


if __name__ == "__main__":
    main()
    finish()
