"""ARMed (2508.12957): a semantic score whose spread collapsed, spread out around a quantile of its past.

24 answers a prompt; the raw score is 0.86 + 0.04 quality + noise, the reward of the text is sparse, and
advantages are not divided by deviations, so that the weight of the two terms is what their spreads make it.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit.group import preset

PROMPTS, ANSWERS = 24, 24


def make_task() -> Task:
    init, logits = table_of(PROMPTS, 1, ANSWERS)
    quality = jax.random.uniform(jax.random.key(9), (PROMPTS, ANSWERS))
    right = jax.random.bernoulli(jax.random.key(10), 0.1, (PROMPTS, ANSWERS))

    def columns(key, params, index, tokens, mask):
        own = jnp.take_along_axis(quality[index], tokens[..., 0], 1)
        text = jnp.take_along_axis(right[index], tokens[..., 0], 1).astype(jnp.float32)
        raw = 0.86 + 0.04 * own + 0.01 * jax.random.normal(key, own.shape)
        return {"semantic": raw, "correct": text}

    def evaluate(params, key):
        chance = jax.nn.softmax(params[:, 0])
        return {
            "quality": jnp.mean(jnp.sum(chance * quality, -1)),
            "correct": jnp.mean(jnp.sum(chance * right, -1)),
        }

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(steps=250, batch=24, group=8, rate=0.03)
    weights = {"correct": 1.0, "semantic": 1.0}
    methods = {
        "raw": preset("grpo", weights=weights, scale="none"),
        "ARMed": preset("armed_unscaled"),
        "raw, divided": preset("grpo", weights=weights),
        "ARMed, divided": preset("armed"),
    }
    rows = {
        name: at_end(train(task, method, setting), "quality", "correct") for name, method in methods.items()
    }
    show("after 250 updates", rows, "raw")
    claim("quality up, not divided", better(rows["ARMed"]["quality"], rows["raw"]["quality"]))
    claim(
        "quality up, divided by deviations",
        better(rows["ARMed, divided"]["quality"], rows["raw, divided"]["quality"]),
    )
    lost = better(rows["raw"]["correct"] - 0.02, rows["ARMed"]["correct"])
    claim("at no loss of correctness (beyond 0.02)", not lost)


if __name__ == "__main__":
    main()
    finish()
