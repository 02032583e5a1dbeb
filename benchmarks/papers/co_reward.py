"""Co-Reward (2508.00410): each view of a question is judged by the other view's majority, against its own.

Sums modulo 8, in two alphabets. The policy adds what it knows of the sum, which both views share, to a
bias of each view toward one answer, which they do not.
"""

import jax
import jax.numpy as jnp
from _common import better, claim, finish, show
from _groups import Setting, Task, at_end, train

from rlkit.group import preset

SUMS, ANSWERS = 24, 8
BIAS = 1.2


def make_task() -> Task:
    truth = jnp.arange(SUMS) % ANSWERS  # prompt 2 i and 2 i + 1 are two views of sum i
    view = jnp.arange(2 * SUMS) % 2
    which = jnp.arange(2 * SUMS) // 2

    def init(key):
        known = 0.5 * jax.random.normal(key, (SUMS, ANSWERS)) + 1.0 * jax.nn.one_hot(truth, ANSWERS)
        bias = BIAS * jax.nn.one_hot(jnp.array([0, 3]), ANSWERS)  # the exploitable answer of each view
        return {"known": known, "bias": bias}

    def of(params, index):
        return (params["known"][which[index]] + params["bias"][view[index]])[:, None]

    def columns(key, params, index, tokens, mask):
        place = jnp.zeros(2 * SUMS, jnp.int32).at[index].set(jnp.arange(index.shape[0]))
        other = index + 1 - 2 * view[index]
        return {"answer": tokens[..., 0], "pair": place[other]}

    def evaluate(params, key):
        chance = jax.nn.softmax(of(params, jnp.arange(2 * SUMS))[:, 0])
        right = jnp.take_along_axis(chance, truth[which][:, None], 1)
        over = jnp.mean(chance, 0)  # one answer for every prompt is a collapse
        return {"accuracy": jnp.mean(right), "answers' entropy": -jnp.sum(over * jnp.log(over + 1e-20))}

    return Task(init, of, columns, evaluate, 2 * SUMS)


def main() -> None:
    task, setting = make_task(), Setting(steps=150, batch=2 * SUMS, group=8, rate=0.03)
    runs = {name: train(task, preset(own), setting) for name, own in
            (("self-vote", "self_vote"), ("Co-Reward", "co_reward"))}  # fmt: skip
    names = ("accuracy", "answers' entropy")
    rows = {
        name: {"accuracy, update 1": run["accuracy"][:, 0], **at_end(run, *names)}
        for name, run in runs.items()
    }
    show("after 150 updates", rows, "self-vote")
    claim("Co-Reward above self-voting", better(rows["Co-Reward"]["accuracy"], rows["self-vote"]["accuracy"]))
    entropy = {name: row["answers' entropy"] for name, row in rows.items()}
    claim("its answers are more varied over prompts", better(entropy["Co-Reward"], entropy["self-vote"]))


if __name__ == "__main__":
    main()
    finish()
