"""SCOPE (2512.15146): labels voted by confidence in subgroups, against majority voting.

The first policy prefers a wrong answer on about half of the prompts, but says it less confidently.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, train

from rlkit.group import preset

PROMPTS, ANSWERS = 32, 8


def make_task() -> Task:
    truth, lure = jnp.zeros(PROMPTS, jnp.int32), jnp.ones(PROMPTS, jnp.int32)

    def init(key):
        noise = 0.3 * jax.random.normal(key, (PROMPTS, ANSWERS))
        gap = jnp.linspace(-0.8, 0.8, PROMPTS)[:, None]  # of the lure over the truth
        return (noise + 2.0 * jax.nn.one_hot(truth, ANSWERS) + (2.0 + gap) * jax.nn.one_hot(lure, ANSWERS))[
            :, None
        ]

    def columns(key, params, index, tokens, mask):
        answer = tokens[..., 0]
        confidence = (
            1.0 + 0.5 * (answer == truth[index][:, None]) + 0.2 * jax.random.normal(key, answer.shape)
        )
        return {"answer": answer, "confidence": jnp.maximum(confidence, 0.0),
                "correct": (answer == truth[index][:, None]).astype(jnp.float32)}  # fmt: skip

    def evaluate(params, key):
        chance = jax.nn.softmax(params[:, 0])
        return {
            "accuracy": jnp.mean(chance[:, 0]),
            "entropy": -jnp.mean(jnp.sum(chance * jnp.log(chance + 1e-20), -1)),
        }

    return Task(init, lambda params, index: params[index], columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(steps=120, batch=32, group=16, rate=0.05)
    methods = {
        "majority": preset("self_vote"),
        "SCOPE, weights only": preset("scope"),
        "SCOPE, subgroups of 4": preset("scope", sizes=(4,), votes=8),
        "SCOPE, size chosen": preset("scope", sizes=(1, 2, 4, 8, 16), votes=8),
        "true labels": preset("grpo", weights={"correct": 1.0}),
    }
    runs = {name: train(task, method, setting) for name, method in methods.items()}
    rows = {
        name: {"accuracy, update 1": run["accuracy"][:, 0], **at_end(run, "accuracy", "entropy")}
        for name, run in runs.items()
    }
    show("after 120 updates", rows, "majority")
    for name in ("SCOPE, weights only", "SCOPE, subgroups of 4", "SCOPE, size chosen"):
        claim(f"{name} above majority voting", better(rows[name]["accuracy"], rows["majority"]["accuracy"]))


if __name__ == "__main__":
    main()
    finish()
