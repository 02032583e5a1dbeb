"""RiskPO (2510.00911): a mixed value-at-risk of bundles, as published and with each prompt's mean subtracted.

40 prompts from easy to hard (the first probability of an accepted answer falls), three accepted answers each.
Gradient steps are plain: in a table, where each answer has a number of its own, Adam makes whole steps of the
noise that a bundle's other prompts bring to a hard one. It is shown beside them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, first_above, train

from rlkit.group import preset

PROMPTS, ANSWERS, ACCEPTED, TRIES = 40, 16, 3, 8
LEVEL = 0.45  # what all but one reach


def make_task() -> Task:
    handicap = jnp.linspace(0.0, 4.0, PROMPTS)[:, None]
    first = jnp.where(jnp.arange(ANSWERS) < ACCEPTED, -handicap, 0.0)[:, None]

    def columns(key, params, index, tokens, mask):
        return {"correct": (tokens[..., 0] < ACCEPTED).astype(jnp.float32)}

    def evaluate(params, key):
        chance = jax.nn.softmax(params[:, 0])
        right = jnp.sum(chance[:, :ACCEPTED], -1)
        return {
            "pass@1": jnp.mean(right), "hard pass@1": jnp.mean(right[PROMPTS // 2 :]),
            "pass@8": jnp.mean(1 - (1 - right) ** TRIES),
            "entropy": -jnp.mean(jnp.sum(chance * jnp.log(chance + 1e-20), -1)),
        }  # fmt: skip

    return Task(lambda key: first, lambda params, index: params[index], columns, evaluate, PROMPTS)


SETTINGS = {
    "plain steps of 16": Setting(steps=400, batch=40, group=8, rate=16.0, optimiser=optax.sgd),
    "Adam, 0.02": Setting(steps=300, batch=40, group=8, rate=0.02),
}
PRESETS = {"GRPO": "grpo", "Dr. GRPO": "dr_grpo", "RiskPO": "risk_po", "RiskPO, hard": "risk_po_hard",
           "RiskPO, centred": "risk_po_centred"}  # fmt: skip


def main() -> None:
    for name, setting in SETTINGS.items():
        compare(name, setting)


def compare(title: str, setting: Setting) -> None:
    task, rows = make_task(), {}
    for name, own in PRESETS.items():
        run = train(task, preset(own, weights={"correct": 1.0}), setting)
        place = np.minimum(first_above(run["pass@1"], LEVEL).astype(int), setting.steps) - 1
        matched = run["entropy"][np.arange(setting.seeds), place]
        rows[name] = at_end(run, "pass@1", "hard pass@1", "pass@8") | {"entropy at 0.45": matched}
    show(f"{title}: after {setting.steps} updates; entropy when pass@1 first reaches 0.45", rows, "GRPO")
    base = rows["GRPO"]
    for name in ("RiskPO", "RiskPO, centred"):
        own = rows[name]
        claim(
            f"{name}, above GRPO on the hard half ({title})", better(own["hard pass@1"], base["hard pass@1"])
        )
        claim(
            f"{name}, keeps more entropy at equal pass@1 ({title})",
            better(own["entropy at 0.45"], base["entropy at 0.45"]),
        )


if __name__ == "__main__":
    main()
    finish()
