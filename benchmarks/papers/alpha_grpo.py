"""AlphaGRPO (2605.12495): the geometric mean of two kinds of questions, against one score and a plain mean.

An image is six attributes of eight values; the prompt asks for four (semantics), and two say how well it is
made (quality). The holistic score is the share of what is right, on a coarse scale and with noise.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, first_above, table_of, train

from rlkit.group import preset

PROMPTS, ATTRIBUTES, VALUES, SEMANTIC = 16, 6, 8, 4


def make_task(refines: bool = False) -> Task:
    init, logits = table_of(PROMPTS, ATTRIBUTES, VALUES)
    wanted = jax.random.randint(jax.random.key(6), (PROMPTS, ATTRIBUTES), 0, VALUES)

    def dvreward(met):
        return jnp.sqrt(jnp.mean(met[..., :SEMANTIC], -1) * jnp.mean(met[..., SEMANTIC:], -1))

    def columns(key, params, index, tokens, mask):
        met = (tokens == wanted[index][:, None]).astype(jnp.float32)
        noise = 0.3 * jax.random.normal(key, met.shape[:2])
        again = jax.random.categorical(key, logits(params, index)[:, None], shape=tokens.shape)
        kept = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.5, tokens.shape)
        draft = jnp.where(kept, met, (again == wanted[index][:, None]).astype(jnp.float32))
        sure = 0.05 + 0.9 * met
        return {
            "semantic_answers": sure[..., :SEMANTIC], "quality_answers": sure[..., SEMANTIC:],
            "holistic": jnp.round(4 * (jnp.mean(met, -1) + noise)) / 4, "mean": jnp.mean(sure, -1),
            "draft_reward": dvreward(0.05 + 0.9 * draft),
        }  # fmt: skip

    def evaluate(params, key):
        right = jnp.take_along_axis(jax.nn.softmax(params), wanted[..., None], -1)[..., 0]
        return {"all met": jnp.mean(jnp.prod(right, -1)), "met": jnp.mean(right)}

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(seeds=8, steps=150, batch=16, group=14, rate=0.05)
    ratio = {"loss": preset("alpha_grpo").loss}  # the same loss for all: rewards are compared
    methods = {
        "holistic": preset("grpo", weights={"holistic": 1.0})._replace(**ratio),
        "arithmetic": preset("grpo", weights={"mean": 1.0})._replace(**ratio),
        "AlphaGRPO": preset("alpha_grpo"),
        "AlphaGRPO, floor": preset("alpha_grpo_refine"),
    }
    runs = {name: train(task, method, setting) for name, method in methods.items()}
    rows = {
        name: at_end(run, "all met", "met") | {"updates to 0.5": first_above(run["all met"], 0.5)}
        for name, run in runs.items()
    }
    show("after 150 updates", rows, "holistic")
    met = {name: row["all met"] for name, row in rows.items()}
    claim("decomposed rewards above a holistic score", better(met["AlphaGRPO"], met["holistic"]))
    claim("the geometric mean above the arithmetic one", better(met["AlphaGRPO"], met["arithmetic"]))
    claim(
        "a floor for refinements that improve nothing helps",
        better(met["AlphaGRPO, floor"], met["AlphaGRPO"]),
    )


if __name__ == "__main__":
    main()
    finish()
