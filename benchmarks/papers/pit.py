"""PIT (2310.00898): a policy that improves a reference answer, paid by a learnt model of quality gaps.

Answers are eight letters with a hidden quality. The gap's model is linear in letters and learns from pairs by
PIT's five orders; the policy makes two edits of the reference, a weak policy's answer first, its own later.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import better, claim, finish, show
from _groups import Setting  # noqa: F401 (sets how programs are compiled)

from rlkit import group
from rlkit.group import preset
from rlkit.group.preference_losses import gap_order_loss

PLACES, LETTERS, EDITS, PROMPTS, MEMBERS, STEPS, SEEDS = 8, 6, 2, 32, 8, 300, 16


def quality(table, answer):
    return jnp.sum(table[jnp.arange(PLACES), answer], -1)


def gap_model(key, worth):
    """Letters' weights, from 256 pairs of answers."""
    pairs = jax.random.randint(key, (256, 2, PLACES), 0, LETTERS)
    value = quality(worth, pairs)
    order = (value[:, 0] < value[:, 1]).astype(jnp.int32)
    good, bad = (jnp.take_along_axis(pairs, x[:, None, None], 1)[:, 0] for x in (order, 1 - order))
    optimiser = optax.adam(0.05)

    def loss(w):
        g = lambda a, b: quality(w, a) - quality(w, b)
        return jnp.mean(gap_order_loss(g(good, bad), g(good, good), g(bad, bad), g(bad, good)))

    def step(carry, _):
        changes, inner = optimiser.update(jax.grad(loss)(carry[0]), carry[1])
        return (optax.apply_updates(carry[0], changes), inner), None

    w = jnp.zeros((PLACES, LETTERS))
    return jax.lax.scan(step, (w, optimiser.init(w)), length=200)[0][0]


def edit_logits(params, reference, conditioned):
    """Which letter to write where: ``[..., PLACES * LETTERS]``; what stands there counts if conditioned."""
    there = params["old"][jnp.arange(PLACES), reference]
    each = params["new"] - (there[..., None] if conditioned else 0.0)
    return jnp.broadcast_to(each, (*reference.shape, LETTERS)).reshape(*reference.shape[:-1], -1)


def edited(reference, tokens):
    for e in range(EDITS):
        place, letter = tokens[..., e] // LETTERS, tokens[..., e] % LETTERS
        reference = jnp.where(jnp.arange(PLACES) == place[..., None], letter[..., None], reference)
    return reference


def improve(key, params, reference, conditioned):
    logits = edit_logits(params, reference, conditioned)
    tokens = jax.random.categorical(key, logits[..., None, :], shape=(*reference.shape[:-1], EDITS))
    return edited(reference, tokens), tokens


def life(key, conditioned, switch):
    one, two, three, rest = jax.random.split(key, 4)
    worth = jax.random.normal(one, (PLACES, LETTERS))
    model, optimiser = gap_model(two, worth), optax.adam(0.05)
    params = {"new": jnp.zeros((PLACES, LETTERS)), "old": jnp.zeros((PLACES, LETTERS))}
    method = preset("pit", own="own", switch=switch)

    def step(carry, now):
        params, inner = carry
        number, key = now
        a, b, c, d = jax.random.split(key, 4)
        data = jax.random.categorical(a, 0.3 * worth, shape=(PROMPTS, PLACES))  # a weak policy's answers
        own = jnp.arange(PROMPTS) % 2 == 1
        reference = jnp.where(own[:, None], improve(b, params, data, conditioned)[0], data)
        grouped = jnp.broadcast_to(reference[:, None], (PROMPTS, MEMBERS, PLACES))
        answer, tokens = improve(c, params, grouped, conditioned)
        gap = quality(model, answer) - quality(model, grouped)

        def log_prob(p):
            every = jax.nn.log_softmax(edit_logits(p, grouped, conditioned))
            return jnp.take_along_axis(every, tokens, -1)

        batch = group.Completions(
            prompt=reference, prompt_mask=jnp.ones(reference.shape), tokens=tokens,
            mask=jnp.ones(tokens.shape, jnp.float32), behaviour_log_prob=log_prob(params), rewards={},
            extras={"gap": gap, "own": own.astype(jnp.float32)},
        )  # fmt: skip
        ctx = group.Context(number, jnp.int32(STEPS), d)
        _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
        update = group.make_update(method.loss, batch, credit)
        gradient = jax.grad(lambda p: group.objective(method.loss, log_prob(p), update)[0])(params)
        changes, inner = optimiser.update(gradient, inner)
        return (optax.apply_updates(params, changes), inner), None

    steps = jnp.arange(STEPS), jax.random.split(rest, STEPS)
    params = jax.lax.scan(step, (params, optimiser.init(params)), steps)[0][0]
    answer = jax.random.categorical(three, 0.3 * worth, shape=(256, PLACES))
    told = {"round 0": jnp.mean(quality(worth, answer))}
    for round in range(1, 4):
        answer, _ = improve(jax.random.fold_in(three, round), params, answer, conditioned)
        told[f"round {round}"] = jnp.mean(quality(worth, answer))
    return told


def main() -> None:
    keys = jax.random.split(jax.random.key(0), SEEDS)
    runs = {
        "not conditioned": (False, STEPS // 2), "PIT": (True, STEPS // 2), "stage 1 only": (True, STEPS),
        "stage 2 only": (True, 0),
    }  # fmt: skip
    rows = {}
    for name, arguments in runs.items():
        out = jax.jit(jax.vmap(lambda key, x=arguments: life(key, *x)))(keys)
        rows[name] = jax.tree.map(np.asarray, out)
    show("true quality of answers", rows, "not conditioned")
    ours = rows["PIT"]
    for round in range(1, 4):
        claim(
            f"round {round} improves on the one before",
            better(ours[f"round {round}"], ours[f"round {round - 1}"]),
        )
    claim("conditioning on the reference helps", better(ours["round 3"], rows["not conditioned"]["round 3"]))
    claim("two stages above the first alone", better(ours["round 3"], rows["stage 1 only"]["round 3"]))


if __name__ == "__main__":
    main()
    finish()
