"""How often the checks and alarms of a design are wrong: about honest runs, and about rewards that help.

*False alarms*: rewards that are known to be honest are trained with many seeds, and the detector of reward
hacking looks at each run as a design does, two seeds at a time, and after 6, 8 and 10 checkpoints. Honest are
the sparse reward; random potential differences beside it, which change no optimal policy (Ng, Harada &
Russell 1999), whether the checks know them for that or not; and beside it what a person would write, with
random weights: the way that is left, stages paid once, a penalty for dying. Beside it what the detector says
of rewards that pay for something else.

*Good candidates refused*: random genomes are trained without checks; then the screen is asked about each, in
the order in which a design would have met them. Good are those that end with more success than the sparse
reward does, on the mean of their seeds.

``python benchmarks/design_alarms.py [keydoor lava maze] [--seeds 16] [--genomes 12]``
"""

import argparse
import dataclasses
import time
from collections import Counter
from typing import NamedTuple

import jax
import numpy as np
from scipy.stats import binomtest

from rlkit.agents.ppo import PPOConfig
from rlkit.design import Candidate, DesignTask, History, hacking, score, screen
from rlkit.design.evolution import RandomSearch
from rlkit.design.genome import schema_of
from rlkit.design.screen import Screen
from rlkit.design.training import Trainer, Training
from rlkit.design.types import Outcome, Record, Verdict
from rlkit.envs import make

AGENT = PPOConfig(
    learning_rate=1e-3, num_envs=8, num_steps=64, sizes=(32, 32), minibatches=4, normalize_reward=True
)
TOGETHER = 2  # seeds of a run, as a design's default
LENGTHS = (6, 8, 10)  # checkpoints

PROGRAM = "def reward(s, a, ns, done):\n    r = {}\n    return r, {{'r': r}}\n"
PLANTED = {  # what is paid instead of success, by the name of a distance
    "hovering": "jnp.exp(-ns.{} / 3.0)",
    "oscillation": "jnp.maximum(s.{0} - ns.{0}, 0.0)",
    "living": "jnp.where(done, 0.0, 0.3)",
    "wrong sign": "0.1 * ns.{}",
}


def _lava():
    from _lava import lava_grid

    return lava_grid()


def _key():
    from rlkit.envs.keydoor import KeyDoor

    return KeyDoor(5)


KEY = """
def reward(s, a, ns, done):
    before = jnp.where(s.behind_door, s.goal_distance, jnp.where(s.has_key, s.door_distance, s.key_distance))
    reached = jnp.where(s.has_key, ns.door_distance, ns.key_distance)
    after = jnp.where(s.behind_door, ns.goal_distance, reached)
    key = jnp.where(ns.has_key & ~s.has_key, {1}, 0.0)
    door = jnp.where(ns.door_open & ~s.door_open, {2}, 0.0)
    near = {0} * (before - after)
    return near + key + door, {{"near": near}}
"""
LAVA = """
def reward(s, a, ns, done):
    before = jnp.where(s.behind_lava, s.goal_distance, s.bridge_distance + 9.0)
    after = jnp.where(ns.behind_lava, ns.goal_distance, ns.bridge_distance + 9.0)
    near = {0} * (before - after)
    behind = jnp.where(ns.behind_lava & ~s.behind_lava, {1}, 0.0)
    behind -= jnp.where(s.behind_lava & ~ns.behind_lava, {1}, 0.0)
    burnt = jnp.where(ns.in_lava, -{2}, 0.0)
    return near + behind + burnt, {{"near": near}}
"""
MAZE = """
def reward(s, a, ns, done):
    near = {0} * (s.path_distance - ns.path_distance)
    straight = {1} * (s.goal_distance - ns.goal_distance)
    return near + straight - 0.01 * {2}, {{"near": near}}
"""

TASKS = {  # environment, steps of a training, the distance that planted rewards pay by, an honest reward
    "keydoor": (_key, 32_768, "key_distance", KEY),
    "lava": (_lava, 16_384, "goal_distance", LAVA),
    "maze": (lambda: make("nav/pointmaze-umaze-far"), 16_384, "path_distance", MAZE),
}


def runs_of(outcome: Outcome, length: int) -> list[Outcome]:
    """Runs of a few seeds each, of which the first checkpoints are known."""
    seeds = len(outcome.fitness[0])
    cut = lambda rows, i: [row[i : i + TOGETHER] for row in rows[:length]]
    curves = ("fitness", "success", "returned", "length")
    return [
        Outcome(
            outcome.steps[:length],
            *(cut(getattr(outcome, name), i) for name in curves),
            {name: cut(rows, i) for name, rows in outcome.terms.items()},
            successes=cut(outcome.successes, i),
            ends=cut(outcome.ends, i),
        )
        for i in range(0, seeds, TOGETHER)
    ]


class Trained(NamedTuple):
    """The run of a reward, what the checks say of it, and what was paid beside it."""

    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    base: str


def alarms(trained: list[Trained]) -> str:
    """The share of runs that alarm, with its 95 % interval (Clopper-Pearson; runs of one reward count as
    independent), at each length."""
    out = []
    for length in LENGTHS:
        found = [
            hacking(run, one.verdicts, one.base).passed is False
            for one in trained
            if not one.outcome.error
            for run in runs_of(one.outcome, length)
        ]
        ends = binomtest(sum(found), len(found)).proportion_ci()
        out.append(f"{length}: {sum(found)}/{len(found)} [{ends.low:.1%}, {ends.high:.1%}]")
    return "  ".join(out)


def train(
    trainer: Trainer, candidates: list[Candidate], key: int, seeds: int, asked: Screen
) -> list[Trained]:
    """Runs in the order of the candidates."""
    found = dict(trainer.train(candidates, jax.random.key(key), seeds=seeds))
    return [Trained(found[i], asked(c), trainer.task.base) for i, c in enumerate(candidates)]


def aligned(text: str, number: int) -> list[Candidate]:
    """A reward with random weights: uniform in their logarithm between 0.1 and 3."""
    weights = 10 ** np.random.default_rng(2).uniform(-1, np.log10(3), (number, 3))
    return [Candidate(text.format(*(f"{x:.3f}" for x in row))) for row in weights]


def measure(name: str, seeds: int, genomes: int) -> dict[str, list[Trained]]:
    """Print the tables of one task, row by row; its honest runs by kind."""
    make_env, steps, distance, text = TASKS[name]
    begin = time.process_time()
    task = DesignTask(make_env(), base="success()")
    settings = Training(agent=AGENT, total_steps=steps, seeds=seeds, checkpoints=10, eval_episodes=16)
    honest_schema, schema = (
        schema_of(task, jax.random.key(0), potential_only=only, memory=False) for only in (True, False)
    )
    propose = lambda s, n: list(RandomSearch(s).propose(task, History(), jax.random.key(1), n))
    bare = dataclasses.replace(task, base="")
    plain, alone, asked = Trainer(bare, settings), screen(bare, 0, steps=60), screen(task, 0, steps=60)
    print(f"{name}: {steps} steps, {seeds} seeds, runs of {TOGETHER}; alarms after so many checkpoints")
    potentials = propose(honest_schema, genomes)
    honest = {
        "sparse": train(plain, [Candidate("success()")], 0, seeds, alone),
        "potential differences": train(Trainer(task, settings, honest_schema), potentials, 0, seeds, asked),
        "as a person would": train(Trainer(task, settings), aligned(text, genomes), 0, seeds, asked),
    }
    for kind, trained in honest.items():
        known = sum(
            v.check == "potential-based" and v.passed is True for one in trained for v in one.verdicts
        )
        print(f"  honest: {kind}, {len(trained)} rewards ({known} known for potential differences)")
        print(f"    {alarms(trained)}", flush=True)
    hacks = [Candidate(PROGRAM.format(pays.format(distance))) for pays in PLANTED.values()]
    for hack, one in zip(PLANTED, train(plain, hacks, 0, seeds, alone), strict=True):
        print(f"  planted: {hack:<12}  {alarms([one])}", flush=True)
    sparse, proposed = honest["sparse"][0].outcome, propose(schema, 2 * genomes)
    for row in refusals(Trainer(task, settings, schema), proposed, sparse, asked):
        print(row)
    print(f"  {time.process_time() - begin:.0f} CPU seconds", flush=True)
    return honest


def refusals(trainer: Trainer, proposed: list[Candidate], sparse: Outcome, asked: Screen) -> list[str]:
    """What each check says of candidates that help, and of the others."""
    found = dict(trainer.train(proposed, jax.random.key(0), seeds=4))
    outcomes = [found[i] for i in range(len(proposed))]
    least, records = np.asarray(sparse.success)[-1].mean(), []
    counts: dict[bool, Counter] = {True: Counter(), False: Counter()}
    number = Counter()
    for i, (candidate, outcome) in enumerate(zip(proposed, outcomes, strict=True)):
        candidate = dataclasses.replace(candidate, id=f"0.0.{i}")
        good = not outcome.error and bool(np.asarray(outcome.success)[-1].mean() > least)
        number[good] += 1
        verdicts = asked(candidate, History(tuple(records)))
        stopped = [v.check for v in verdicts if v.stops]
        counts[good].update(stopped or ["none"])
        records.append(
            Record(candidate, verdicts, None if stopped else outcome, 0.0 if stopped else score(outcome))
        )
    rows = [f"  {len(proposed)} random genomes of 4 seeds; success of sparse {least:.2f}; stopped by:"]
    for good, words in ((True, "better than sparse"), (False, "not better")):
        found = ", ".join(f"{check} {n}" for check, n in counts[good].most_common())
        rows.append(f"    {words} ({number[good]}): {found or '-'}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--genomes", type=int, default=12)
    given = parser.parse_args()
    honest = [measure(name, given.seeds, given.genomes) for name in given.tasks]
    for kind in honest[0]:
        print(f"all honest runs, {kind}  {alarms([one for kinds in honest for one in kinds[kind]])}")
    print(f"all honest runs  {alarms([one for kinds in honest for runs in kinds.values() for one in runs])}")


if __name__ == "__main__":
    main()
