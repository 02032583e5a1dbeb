"""FTRL (2508.08791): calls of tools paid by F1, against the number or the share of calls that help.

A task has two to four open goals out of eight; the policy makes up to six calls, or stops. A call helps if it
meets an open goal that no earlier call met.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, table_of, train

from rlkit.group import preset
from rlkit.group.tool_scores import solve_f1

TASKS, CALLS, GOALS = 16, 6, 8
STOP = GOALS


def make_task() -> Task:
    init, logits = table_of(TASKS, CALLS, GOALS + 1)
    wanted = jax.random.permutation(
        jax.random.key(4), jnp.arange(GOALS)[None] < jnp.array([2, 3, 4, 3])[jnp.arange(TASKS) % 4][:, None],
        axis=1, independent=True,
    )  # fmt: skip

    def counted(tokens, mask, goals):
        made = jax.nn.one_hot(tokens, GOALS) * (mask * (tokens != STOP))[..., None]
        solved = jnp.sum(jnp.any(made > 0, -2) * goals, -1)
        return jnp.sum(made, (-1, -2)), solved

    def columns(key, params, index, tokens, mask):
        goals = wanted[index][:, None]
        calls, solved = counted(tokens, mask, goals)
        none = jnp.zeros_like(calls)
        return {"calls": calls, "solved": solved, "open": jnp.sum(goals, -1) - solved, "answered": none,
                "broken": none, "empty": (calls == 0).astype(jnp.float32)}  # fmt: skip

    def evaluate(params, key):
        tokens = jax.random.categorical(key, params[:, None], shape=(TASKS, 16, CALLS))
        stops = (tokens == STOP).astype(jnp.int32)
        goals = wanted[:, None]
        calls, solved = counted(tokens, jnp.cumsum(stops, -1) == 0, goals)
        f1 = solve_f1(calls, solved, jnp.sum(goals, -1))
        precision = jnp.where(calls > 0, solved / jnp.maximum(calls, 1), 0.0)
        return {"F1": jnp.mean(f1), "precision": jnp.mean(precision),
                "completeness": jnp.mean(solved / jnp.sum(goals, -1)), "calls": jnp.mean(calls)}  # fmt: skip

    return Task(init, logits, columns, evaluate, TASKS, end=STOP)


def main() -> None:
    task, setting = make_task(), Setting(seeds=8, steps=200, batch=16, group=16, rate=0.05)
    rows = {
        name: at_end(
            train(task, preset("ftrl", measure=name), setting), "F1", "precision", "completeness", "calls"
        )
        for name in ("rate", "precision", "f1", "product")
    }
    show("after 200 updates", rows, "rate")
    f1 = {name: row["F1"] for name, row in rows.items()}
    claim("F1 of calls above that of rate alone", better(f1["f1"], f1["rate"]))
    claim("and above that of precision alone", better(f1["f1"], f1["precision"]))


if __name__ == "__main__":
    main()
    finish()
