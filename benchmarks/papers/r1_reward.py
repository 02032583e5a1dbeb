"""R1-Reward (2505.02835): pre-clipped ratios, a 3-sigma filter and a consistency reward, against REINFORCE++.

A reward model as a policy: three thoughts and a verdict on which of two strings is better; a referee says
whether the last thought agrees with the verdict. Eight steps on each batch at a large step size.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit import group
from rlkit.group import preset

PROMPTS, PLACES = 16, 4


def make_task() -> Task:
    init, logits = table_of(PROMPTS, PLACES, 2, scale=0.5)
    better_one = jax.random.randint(jax.random.key(3), (PROMPTS,), 0, 2)

    def columns(key, params, index, tokens, mask):
        right = (tokens[..., -1] == better_one[index][:, None]).astype(jnp.float32)
        agrees = jnp.where(tokens[..., -2] == tokens[..., -1], 1.0, -1.0)
        return {"correct": right, "consistency": agrees, "format": jnp.ones(right.shape)}

    def evaluate(params, key):
        chance = jax.nn.softmax(params)
        right = jnp.take_along_axis(chance[:, -1], better_one[:, None], 1)
        return {
            "accuracy": jnp.mean(right),
            "consistency": jnp.mean(jnp.sum(chance[:, -2] * chance[:, -1], -1)),
        }

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(steps=120, batch=16, group=4, rate=0.3, epochs=8)
    plain = preset("reinforce_pp", weights={"correct": 1.0, "format": 0.5})
    ours = preset("r1_reward")
    unbound = ours._replace(loss=group.LossConfig(objective="unclipped", log_ratio_clamp=40.0))
    parts = {
        "REINFORCE++": plain, "R1-Reward": ours, "no clip, no pre-clip": unbound,
        "no consistency": preset("r1_reward", consistency="format"),
        "no clip, pre-clip": ours._replace(loss=ours.loss.replace(objective="unclipped")),
        "released filter": preset("r1_reward_released"),
    }  # fmt: skip
    runs = {name: train(task, method, setting) for name, method in parts.items()}
    rows = {}
    for name, run in runs.items():
        norms = run["grad_norm"]
        rows[name] = at_end(run, "accuracy", "consistency") | {
            "largest gradient": np.where(np.isfinite(norms), norms, np.inf).max(1),
            "not finite": (~np.isfinite(norms)).any(1).astype(float),
        }
    show("after 120 updates of 8 steps", rows, "REINFORCE++")
    base, mine = rows["REINFORCE++"], rows["R1-Reward"]
    claim("verdicts follow from thoughts", better(mine["consistency"], base["consistency"]))
    claim("nothing that is not finite", not mine["not finite"].any())
    spikes = rows["no clip, no pre-clip"]["largest gradient"]
    claim(
        "pre-clip bounds gradients without a clip",
        better(spikes, rows["no clip, pre-clip"]["largest gradient"]),
    )


if __name__ == "__main__":
    main()
    finish()
