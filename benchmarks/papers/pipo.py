"""PIPO (2604.00860): feedback from the improvement that the last update brought, under a noisy verifier.

24 prompts with 16 answers; a quarter of the verdicts is turned round. PIPO makes two gradient steps a batch.
The paper compares it with GRPO on as many batches; for equal gradient steps there is GRPO with two steps on
each batch, and GRPO at twice the step size. Gradient steps are plain: an optimiser that divides by the
gradient's size divides out how much improvement is rewarded.
"""

import jax
import jax.numpy as jnp
import optax
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit.group import preset

PROMPTS, ANSWERS, FLIPPED = 24, 16, 0.25


def make_task() -> Task:
    init, logits = table_of(PROMPTS, 1, ANSWERS)
    truth = jnp.arange(PROMPTS) % ANSWERS

    def columns(key, params, index, tokens, mask):
        right = tokens[..., 0] == truth[index][:, None]
        return {"verdict": (right ^ jax.random.bernoulli(key, FLIPPED, right.shape)).astype(jnp.float32)}

    def evaluate(params, key):
        chance = jax.nn.softmax(params[:, 0])
        return {"accuracy": jnp.mean(jnp.take_along_axis(chance, truth[:, None], 1))}

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, weights = make_task(), {"verdict": 1.0}
    one = Setting(steps=150, batch=24, group=8, rate=4.0, optimiser=optax.sgd)
    runs = {
        "GRPO": train(task, preset("grpo", weights=weights), one),
        "GRPO, 2 epochs": train(task, preset("grpo", weights=weights), one._replace(epochs=2)),
        "GRPO, twice the rate": train(task, preset("grpo", weights=weights), one._replace(rate=8.0)),
        "PIPO": train(task, preset("pipo", weights=weights), one),
        "PIPO as published": train(task, preset("pipo_published", weights=weights), one),
        "PIPO, relu, capped": train(task, preset("pipo_capped", weights=weights), one),
    }
    rows = {
        name: {"accuracy, update 60": run["accuracy"][:, 59], **at_end(run, "accuracy")}
        for name, run in runs.items()
    }
    for base, what in (("GRPO", "equal batches"), ("GRPO, 2 epochs", "equal gradient steps")):
        show("true accuracy", rows, base)
        for name in ("PIPO", "PIPO as published", "PIPO, relu, capped"):
            for when in rows[base]:
                appears = better(rows[name][when], rows[base][when])
                claim(f"{name} above GRPO at {what}, {when}", appears)


if __name__ == "__main__":
    main()
    finish()
