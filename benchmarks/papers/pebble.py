"""Learning from preferences: Christiano et al. (1706.03741), PEBBLE (2106.05091), B-Pref (2111.03026).

Agents whose only reward is fitted to a simulated teacher's answers, against the same agents that are paid
what the teacher judges by; and, with a teacher who errs in one answer of ten, losses that expect it.

    python benchmarks/papers/pebble.py pendulum | maze | mistakes | members [--seeds N] [--heads H]

``pendulum`` and ``maze`` train agents: minutes of two cores each; with ``--heads`` the members of their
ensemble share all layers but the last. ``members`` compares an ensemble of networks, one of such heads (the
linear-layer ensemble of Zhang et al., 2401.16635) and one network: how right they are, and whether they
disagree where they are wrong.
"""

import argparse
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.agents import SACConfig, sac
from rlkit.envs import make, rollout, start
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.train import train
from rlkit.prefs.feedback import fit_steps, inputs, margins, segment_return, segments, simulate, teacher
from rlkit.prefs.feedback.agents import PreferenceSACConfig, preference_sac
from rlkit.prefs.feedback.fitting import FitConfig, agreement, optimiser_of
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.prefs.types import PairBatch
from rlkit.rewards import parse
from rlkit.types import Environment


class Task(NamedTuple):
    """What is learned, and by whom."""

    env: Environment
    criterion: str  # what the teacher judges by, and what the other agent is paid
    steps: int
    settings: dict[str, Any]  # of both agents
    feedback: dict[str, Any]


SETTINGS = {"num_envs": 4, "updates_to_data": 0.25, "learning_rate": 1e-3, "sizes": (64, 64),
            "batch_size": 128, "discount": 0.98, "buffer_size": 24_000}  # fmt: skip
TASKS = {
    # The largest cost of a step is 16.3: in this unit the true reward has the scale of the learnt one.
    "pendulum": lambda: Task(
        make("classic/pendulum"), "0.0625 * task()", 24_000, SETTINGS,
        {"queries": 200, "query_batch": 50, "query_every": 2000, "segment": 25},
    ),
    # Every step pays, so that segments differ, and no episode ends early, so that their lengths do not.
    "maze": lambda: Task(
        make("nav/pointmaze-umaze", observation="global", dense=True), "task()", 24_000, SETTINGS,
        {"queries": 400, "query_batch": 50, "query_starts": 1500, "query_every": 1000, "segment": 20},
    ),
}  # fmt: skip


def agents(name: str, seeds: int, heads: int = 1) -> None:
    """Train both agents and compare their returns, of the environment's own reward, in fresh episodes."""
    task = TASKS[name]()
    judged, rows = parse(task.criterion), {}
    for kind, agent in (
        (
            "preferences",
            preference_sac(
                task.env, PreferenceSACConfig(**task.settings, **task.feedback, reward_heads=heads), judged
            ),
        ),
        ("true reward", sac(task.env, SACConfig(**task.settings), judged)),
    ):
        begin = time.process_time()
        done = train(agent, total_steps=task.steps, seeds=seeds, probes=1, eval_episodes=32, progress=False)
        rows[kind] = done.curve("eval/return")[[0, -1]]
        took = time.process_time() - begin
        print(f"{kind:<14} return {_said(rows[kind][1])}, success {_said(done.curve('eval/success')[-1])}, "
              f"{took:.0f} CPU s", flush=True)  # fmt: skip
    floor = np.concatenate([rows[kind][0] for kind in rows]).mean()
    print(f"untrained {floor:.2f}; {task.feedback['queries']} questions, {task.steps} steps, {seeds} seeds")
    if interval(rows["true reward"][1] - rows["true reward"][0]).low <= 0:
        print("the true reward taught nothing in so many steps: there is nothing to compare with")
        return
    if floor >= 0:
        ratio = rows["preferences"][1] / rows["true reward"][1].mean()
        print(f"share of the true reward's return: {_said(ratio)}")
    share = (rows["preferences"][1] - floor) / (rows["true reward"][1].mean() - floor)
    print(f"share of what the true reward gains over an untrained policy: {_said(share)}")
    print(f"appears (at least 0.9 on average): {'yes' if share.mean() >= 0.9 else 'no'}")


ENV = make("classic/pendulum")


def drawn(key: jax.Array, questions: int, test: int = 600, length: int = 15) -> tuple[PairBatch, PairBatch]:
    """Answers about the pendulum of a teacher who errs in one of ten, and the truth about other pairs."""
    keys, params = jax.random.split(key, 4), ENV.default_params()
    count = 2 * (questions + test)
    slots = start(ENV, keys[0], params, count)
    act = lambda carry, obs, first, k: (
        jax.random.uniform(k, (count, 1), minval=-2.0, maxval=2.0),
        carry,
        {},
    )
    trajectory = rollout(
        ENV, act, (), slots, keys[1], params, length, inputs=jax.random.split(keys[2], length)
    )[2]
    items, paid = segments(inputs(ENV.spec), trajectory.transition), trajectory.reward.T
    sides = [(paid[i::2], items.mask[i::2]) for i in (0, 1)]
    first, second = jax.tree.map(lambda x: x[0::2], items), jax.tree.map(lambda x: x[1::2], items)
    label = simulate(keys[3], *sides, teacher=teacher("mistake")).label
    truth = (segment_return(*sides[0]) > segment_return(*sides[1])).astype(jnp.float32)
    one, none = jnp.ones(len(label)), jnp.zeros(len(label), jnp.int32)
    whole = PairBatch(
        first, second, jnp.where(jnp.arange(len(label)) < questions, label, truth), one, none, none
    )
    return jax.tree.map(lambda x: x[:questions], whole), jax.tree.map(lambda x: x[questions:], whole)


def mistakes(seeds: int, questions: int = 300) -> None:
    """Held-out accuracy against clean labels of losses fitted to answers of which one in ten is wrong."""
    built = build(ENV.spec, ModelConfig(sizes=(32, 32), members=1))

    def accuracy(key: jax.Array, loss: str) -> jax.Array:
        data, clean = drawn(key, questions)
        config = FitConfig(loss=loss, noise=0.2 if loss == "contaminated" else 0.1, members=1)
        params = built.whole.init(jax.random.fold_in(key, 1))
        state = jax.vmap(optimiser_of(config).init)(params)
        bits = jax.random.bits(jax.random.fold_in(key, 2), (1000, 1, 32))
        params, _, _ = fit_steps(built.member, params, state, data, bits, config)
        return agreement(margins(built.whole, params, clean)[0], clean.label, clean.weight)

    keys = jax.random.split(jax.random.key(0), seeds)
    found = {
        loss: np.asarray(
            jax.jit(lambda keys, loss=loss: jax.lax.map(lambda k: accuracy(k, loss), keys))(keys)
        )
        for loss in ("bt", "contaminated", "forward", "backward")
    }
    print(f"{questions} answers, a tenth of them mistaken; accuracy on clean pairs, {seeds} seeds")
    for loss, values in found.items():
        less = "" if loss == "bt" else f"   less bt {_said(values - found['bt'])}"
        print(f"{loss:<14}{_said(values)}{less}")
    aware = [interval(found[loss] - found["bt"]) for loss in found if loss != "bt"]
    print(f"appears (an interval above 0): {'yes' if any(x.low > 0 for x in aware) else 'no'}")


def members(seeds: int, questions: int = 300, size: int = 5) -> None:
    """One network, an ensemble of networks and one of heads: right answers, and what disagreement knows."""

    def judge(key: jax.Array, count: int, heads: int) -> tuple[jax.Array, jax.Array]:
        built = build(ENV.spec, ModelConfig(sizes=(32, 32), members=count, heads=heads))
        data, clean = drawn(key, questions)
        config = FitConfig(members=count, heads=heads)
        params = built.whole.init(jax.random.fold_in(key, 1))
        state = jax.vmap(optimiser_of(config).init)(params)
        bits = jax.random.bits(jax.random.fold_in(key, 2), (1000, count, 32))
        params, _, _ = fit_steps(built.member, params, state, data, bits, config)
        margin = margins(built.whole, params, clean)
        mean, spread = margin.mean(0), jax.nn.sigmoid(margin).std(0)
        wrong = (mean > 0) != (clean.label > 0.5)
        above = (spread[:, None] > spread) + 0.5 * (spread[:, None] == spread)
        both = wrong[:, None] & ~wrong
        return agreement(mean, clean.label, clean.weight), jnp.sum(above * both) / jnp.sum(both)

    keys, found, took = jax.random.split(jax.random.key(0), seeds), {}, {}
    for name, (count, heads) in {"network": (1, 1), "networks": (size, 1), "heads": (size, size)}.items():
        run = jax.jit(lambda keys, c=count, h=heads: jax.lax.map(lambda k: judge(k, c, h), keys))
        program = run.lower(keys).compile()
        begin = time.process_time()
        found[name] = [np.asarray(x) for x in program(keys)]
        took[name] = time.process_time() - begin
    print(f"{questions} answers, a tenth of them mistaken; {size} members; {seeds} seeds")
    print(
        "accuracy on clean pairs; chance that a pair judged wrongly is disputed more than one judged rightly"
    )
    for name, (right, knows) in found.items():
        disputed = f"disputed {_said(knows)}" if name != "network" else ""
        less = _said(right - found["network"][0])
        print(f"{name:<10}{_said(right)}   less one network {less}   {disputed}   {took[name]:.1f} CPU s")
    low = {name: interval(found[name][0] - found["network"][0]).low for name in ("networks", "heads")}
    known = {name: interval(found[name][1]).low for name in low}
    for name in low:
        print(f"{name} above one network: {'yes' if low[name] > 0 else 'no'}; disputed where wrong: "
              f"{'yes' if known[name] > 0.5 else 'no'}")  # fmt: skip


def _said(values: np.ndarray) -> str:
    found = interval(np.asarray(values))
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=[*TASKS, "mistakes", "members"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--heads", type=int, default=1, help="members that share all layers but the last")
    chosen = parser.parse_args()
    if chosen.part in TASKS:
        agents(chosen.part, chosen.seeds, chosen.heads)
    else:
        {"mistakes": mistakes, "members": members}[chosen.part](4 * chosen.seeds)
