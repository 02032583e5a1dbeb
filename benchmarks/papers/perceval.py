"""Perceval (CVPR 2026): less advantage for tokens that a process reward model flags.

A completion describes a scene in five claims and gives an answer; the reward is for the answer alone, and a
flag is on each claim that does not hold.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit.group import preset

SCENES, CLAIMS, SYMBOLS = 16, 5, 8


def make_task() -> Task:
    init, logits = table_of(SCENES, CLAIMS + 1, SYMBOLS)
    holds = jax.random.bernoulli(jax.random.key(1), 0.7, (SCENES, CLAIMS, SYMBOLS)).at[..., 0].set(True)
    answer = jax.random.randint(jax.random.key(2), (SCENES,), 0, SYMBOLS)

    def columns(key, params, index, tokens, mask):
        right = (tokens[..., -1] == answer[index][:, None]).astype(jnp.float32)
        own = jnp.broadcast_to(holds[index][:, None], (*tokens.shape[:2], CLAIMS, SYMBOLS))
        true = jnp.take_along_axis(own, tokens[..., :-1, None], -1)[..., 0]
        flag = jnp.concatenate([1.0 - true, jnp.zeros((*tokens.shape[:2], 1))], -1)
        return {"correct": right, "flag": flag}

    def evaluate(params, key):
        chance = jax.nn.softmax(params)
        wrong = 1 - jnp.sum(chance[:, :-1] * holds, -1)
        accuracy = jnp.mean(jnp.take_along_axis(chance[:, -1], answer[:, None], 1))
        return {"accuracy": accuracy, "hallucinated": jnp.mean(wrong)}

    return Task(init, logits, columns, evaluate, SCENES)


def main() -> None:
    task, setting = make_task(), Setting(steps=400, batch=16, group=8, rate=0.01)
    weights = {"correct": 1.0}
    runs = {"GRPO": train(task, preset("grpo", weights=weights), setting)}
    for alpha in (0.03, 0.1, 0.3):
        runs[f"alpha {alpha}"] = train(task, preset("perceval", alpha=alpha, weights=weights), setting)
    rows = {name: at_end(run, "accuracy", "hallucinated") for name, run in runs.items()}
    show("after 400 updates", rows, "GRPO")
    appears = better(rows["GRPO"]["hallucinated"], rows["alpha 0.1"]["hallucinated"])
    claim("fewer claims that do not hold with alpha = 0.1", appears)
    lost = better(rows["GRPO"]["accuracy"] - 0.01, rows["alpha 0.1"]["accuracy"])
    claim("at no loss of accuracy (beyond 0.01)", not lost)


if __name__ == "__main__":
    main()
    finish()
