"""MORA (2605.11679): prompts that carry several intents, against prompts that carry one.

A prompt is four bits of intent, a completion four choices; the reward of a dimension is 0 for all completions
unless its bit is set. The policy is linear in the bits and shared, and is judged on prompts with all intents.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, train

from rlkit.group import preset
from rlkit.group.dimensions import achievable, dimension_coverage, single_reward_prompts

DIMENSIONS, SYMBOLS = 4, 6
NAMES = tuple(f"dimension_{k}" for k in range(DIMENSIONS))


def make_task(expanded: bool) -> Task:
    singles = jnp.eye(DIMENSIONS)
    extra = jnp.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1.0]])
    intents = jnp.tile(extra if expanded else singles, (4, 1))
    init = lambda key: {
        "own": jnp.zeros((DIMENSIONS, DIMENSIONS, SYMBOLS)),
        "base": jnp.zeros((DIMENSIONS, SYMBOLS)),
    }
    of = lambda params, bits: jnp.einsum("pk,kts->pts", bits, params["own"]) + params["base"]

    def columns(key, params, index, tokens, mask):
        met = (tokens == jnp.arange(DIMENSIONS)).astype(jnp.float32) * intents[index][:, None]
        return {name: met[..., k] for k, name in enumerate(NAMES)}

    def evaluate(params, key):
        chance = jax.nn.softmax(of(params, jnp.ones((1, DIMENSIONS))))[0]
        each = chance[jnp.arange(DIMENSIONS), jnp.arange(DIMENSIONS)]
        return {
            "mean of dimensions": jnp.mean(each),
            "worst dimension": jnp.min(each),
            "all at once": jnp.prod(each),
        }

    return Task(init, lambda params, index: of(params, intents[index]), columns, evaluate, 4 * DIMENSIONS)


def main() -> None:
    weights, setting = dict.fromkeys(NAMES, 1.0), Setting(steps=60, batch=16, group=8, rate=0.02)
    methods = {
        "one intent": (False, preset("grpo", weights=weights)),
        "expanded, GRPO": (True, preset("grpo", weights=weights)),
        "MORA": (True, preset("mora", weights=weights)),
        "MORA, decoupled": (True, preset("mora_decoupled", weights=weights)),
    }
    names = ("mean of dimensions", "worst dimension", "all at once")
    rows = {
        name: at_end(train(make_task(more), method, setting), *names)
        for name, (more, method) in methods.items()
    }
    show("prompts with all intents, after 60 updates", rows, "one intent")
    reached = achievable(jnp.eye(DIMENSIONS)[:, None].repeat(2, 1), 0.5)
    print(f"before expansion: {float(dimension_coverage(reached)):.1f} dimensions a prompt, "
          f"{int(single_reward_prompts(reached).sum())} of {DIMENSIONS} kinds with a single one")  # fmt: skip
    for name in names[:2]:
        claim(
            f"{name} further out with expanded prompts", better(rows["MORA"][name], rows["one intent"][name])
        )


if __name__ == "__main__":
    main()
    finish()
