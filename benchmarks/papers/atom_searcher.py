"""Atom-Searcher (2508.12800): scores of single thoughts that fade as the outcome takes over.

A two-hop question: three thoughts (observe, hypothesise, verify), an answer of two tokens. One thought is
scored well by the rule but harms the answer, so that process and outcome disagree in the end.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, first_above, table_of, train

from rlkit.group import preset

PROMPTS, THOUGHTS, SYMBOLS = 16, 3, 12


def make_task() -> Task:
    init, logits = table_of(PROMPTS, THOUGHTS + 2, SYMBOLS)
    gold = jax.random.randint(jax.random.key(8), (PROMPTS, THOUGHTS + 2), 1, SYMBOLS)  # 0 is never gold

    def scored(tokens, own):
        good = (tokens[..., :THOUGHTS] == own[..., :THOUGHTS]).astype(jnp.float32)
        lure = tokens[..., 2] == 0  # a confident verification that checks nothing
        atomic = (good[..., 0] + good[..., 1] + jnp.where(lure, 1.0, 0.8 * good[..., 2])) / THOUGHTS
        answer = jnp.mean((tokens[..., THOUGHTS:] == own[..., THOUGHTS:]).astype(jnp.float32), -1)
        # The answer is reached through the thoughts: each one that is missing halves the chance of it.
        return atomic, answer * jnp.prod(0.5 + 0.5 * good, -1)

    def columns(key, params, index, tokens, mask):
        atomic, f1 = scored(tokens, gold[index][:, None])
        return {"atomic": atomic, "f1": f1}

    def evaluate(params, key):
        tokens = jax.random.categorical(key, params[:, None], shape=(PROMPTS, 16, THOUGHTS + 2))
        atomic, f1 = scored(tokens, gold[:, None])
        return {"F1": jnp.mean(f1), "atomic": jnp.mean(atomic), "lured": jnp.mean(tokens[..., 2] == 0)}

    return Task(init, logits, columns, evaluate, PROMPTS)


def main() -> None:
    task, setting = make_task(), Setting(steps=250, batch=16, group=8, rate=0.03)
    methods = {
        "outcome only": preset("atom_searcher", share=0.0),
        "constant mix": preset("atom_searcher", schedule="constant"),
        "Atom-Searcher": preset("atom_searcher"),
    }
    runs = {name: train(task, method, setting) for name, method in methods.items()}
    rows = {
        name: at_end(run, "F1", "lured") | {"updates to F1 0.6": first_above(run["F1"], 0.6)}
        for name, run in runs.items()
    }
    show("after 250 updates", rows, "outcome only")
    soon = {name: row["updates to F1 0.6"] for name, row in rows.items()}
    claim("faster than outcome only", better(soon["outcome only"], soon["Atom-Searcher"]))
    end = {name: row["F1"] for name, row in rows.items()}
    claim("and ends above a constant mix", better(end["Atom-Searcher"], end["constant mix"]))


if __name__ == "__main__":
    main()
    finish()
