"""ToolRL (2504.13958): rewards of parts of a call against all or nothing.

A call is a name and three arguments of eight values each; a prompt asks for one. Chance is 1 in 4096.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, first_above, table_of, train

from rlkit import group

PROMPTS, ARGUMENTS, VALUES = 16, 3, 8


def make_task() -> Task:
    init, logits = table_of(PROMPTS, ARGUMENTS + 1, VALUES)
    gold = jax.random.randint(jax.random.key(7), (PROMPTS, ARGUMENTS + 1), 0, VALUES)

    def columns(key, params, index, tokens, mask):
        return {
            "gold_name": gold[index, :1], "gold_values": gold[index, None, 1:],
            "call_name": tokens[..., :1], "call_values": tokens[..., None, 1:],
            "parsed": jnp.ones(tokens.shape[:2]), "format": jnp.ones(tokens.shape[:2]),
        }  # fmt: skip

    def evaluate(params, key):
        right = jnp.take_along_axis(jax.nn.softmax(params), gold[..., None], -1)[..., 0]
        return {"exact": jnp.mean(jnp.prod(right, -1))}

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(steps=200, batch=16, group=8, rate=0.15)
    runs = {
        name: train(task, group.preset(preset), setting)
        for name, preset in {
            "coarse": "tool_rl_coarse",
            "fine": "tool_rl",
            "scheduled": "tool_rl_scheduled",  # the format never fails here: a scale, which is divided out
        }.items()
    }
    rows = {
        name: {**at_end(run, "exact"), "updates to 0.8": first_above(run["exact"], 0.8)}
        for name, run in runs.items()
    }
    show("exact calls", rows, "coarse")
    claim("fine rewards above all or nothing", better(rows["fine"]["exact"], rows["coarse"]["exact"]))


if __name__ == "__main__":
    main()
    finish()
