"""Implicit Reward as the Bridge (2507.00018): supervised losses that keep their divergence term.

A prior over strings, demonstrations of a narrower kind; the loss is f_sft with four choices of phi, ours from
the paper's abstract. Reported: divergence from the prior, and how often the implicit reward ranks a better
string above a worse one that both come from the prior.
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


def life(key, method, rate):
    one, two, three, four = jax.random.split(key, 4)
    prior = 0.7 * jax.random.normal(one, (1, PLACES, LETTERS))
    worth = jax.random.normal(two, (PLACES, LETTERS))
    index = jnp.zeros(DEMOS, jnp.int32)
    tokens = jax.random.categorical(
        three, prior[0] + worth, shape=(DEMOS, 1, PLACES)
    )  # tilted: better strings
    reference = log_probs(_Policy, prior, index, tokens)[0]
    batch = group.Completions(
        prompt=index[:, None], prompt_mask=jnp.ones((DEMOS, 1)), tokens=tokens,
        mask=jnp.ones(tokens.shape, jnp.float32), behaviour_log_prob=reference,
        rewards={"shown": jnp.ones((DEMOS, 1))}, reference_log_prob=reference,
    )  # fmt: skip
    ctx = group.Context(jnp.int32(0), jnp.int32(1), jax.random.key(0))
    _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    update, optimiser = group.make_update(method.loss, batch, credit), optax.adam(rate)

    def step(carry, _):
        params, inner, _ = descend(_Policy, optimiser, method.loss, *carry, update)
        return (params, inner), None

    params = jax.lax.scan(step, (prior, optimiser.init(prior)), length=STEPS)[0][0]
    log, log_prior = jax.nn.log_softmax(params[0]), jax.nn.log_softmax(prior[0])
    pairs = jax.random.categorical(four, prior[0], shape=(512, 2, PLACES))
    value = jnp.sum(worth[jnp.arange(PLACES), pairs], -1)
    reward = jnp.sum((log - log_prior)[jnp.arange(PLACES), pairs], -1)
    agrees = (value[:, 0] > value[:, 1]) == (reward[:, 0] > reward[:, 1])
    return {
        "KL to the prior": jnp.sum(jnp.exp(log) * (log - log_prior)),
        "preference accuracy": jnp.mean(agrees),
        "E[value]": jnp.sum(jnp.exp(log) * worth),
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


if __name__ == "__main__":
    main()
    finish()
