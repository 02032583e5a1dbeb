"""CRF (2511.09158): conciseness that only right answers earn, against a bonus that all earn.

Each of up to 20 tokens is a step of reasoning, filler, or the end; an answer is right with a probability that
grows with the steps of reasoning and saturates after what the prompt needs, 2 to 12. Filler helps nothing.
"""

import jax
import jax.numpy as jnp
from _common import claim, difference, finish, show
from _groups import Setting, Task, at_end, train

from rlkit.group import preset

PROMPTS, PLACES = 16, 20
STEP, FILLER, END = 0, 1, 2


def make_task(bonus: float) -> Task:
    needs = jnp.linspace(2.0, 12.0, PROMPTS)
    first = jnp.broadcast_to(jnp.array([1.0, 1.0, -2.0]), (PROMPTS, PLACES, 3))

    def judged(index_needs, tokens, mask):
        steps = jnp.sum(mask * (tokens == STEP), -1)
        length = jnp.sum(mask * (tokens != END), -1)
        return jax.nn.sigmoid(1.5 * (steps - index_needs + 2.0)), length

    def columns(key, params, index, tokens, mask):
        chance, length = judged(needs[index][:, None], tokens, mask)
        right = jax.random.bernoulli(key, chance).astype(jnp.float32)
        brief = jnp.clip(1.0 - length / PLACES, 0.1, 1.0)
        return {"correct": right, "conciseness": brief, "added": right + bonus * brief}

    def evaluate(params, key):
        tokens = jax.random.categorical(key, params[:, None], shape=(PROMPTS, 16, PLACES))
        mask = (jnp.cumsum(tokens == END, -1) == 0).astype(jnp.float32)
        chance, length = judged(needs[:, None], tokens, mask)
        filler = jnp.sum(mask * (tokens == FILLER), -1) / jnp.maximum(length, 1)
        return {"accuracy": jnp.mean(chance), "length": jnp.mean(length), "filler": jnp.mean(filler)}

    return Task(lambda key: first, lambda params, index: params[index], columns, evaluate, PROMPTS, end=END)


def main() -> None:
    setting = Setting(seeds=8, steps=300, batch=16, group=8, rate=0.03)
    runs = {
        "outcome only": train(make_task(0.0), preset("grpo", weights={"correct": 1.0}), setting),
        "added, 0.5": train(make_task(0.5), preset("grpo", weights={"added": 1.0}), setting),
        "added, 2": train(make_task(2.0), preset("grpo", weights={"added": 1.0}), setting),
        "CRF": train(make_task(0.0), preset("crf"), setting),
        "CRF, easier": train(make_task(0.0), preset("crf", difficulty="easier"), setting),
    }
    rows = {name: at_end(run, "accuracy", "length", "filler", last=20) for name, run in runs.items()}
    show("after 300 updates", rows, "outcome only")
    base, ours = rows["outcome only"], rows["CRF"]
    shorter = difference(ours["length"], base["length"]).high < 0
    kept = difference(ours["accuracy"], base["accuracy"]).low > -0.02
    claim("CRF is shorter than outcome only", shorter)
    claim("at equal accuracy (within 0.02)", kept)
    claim(
        "CRF is more accurate than an added bonus of 2",
        difference(ours["accuracy"], rows["added, 2"]["accuracy"]).low > 0,
    )


if __name__ == "__main__":
    main()
    finish()
