"""How often the checks and alarms of a design are wrong: about honest runs, and about rewards that help.

*False alarms*: rewards that are known to be honest, because they change no optimal policy (the sparse reward,
and random potential differences beside it: Ng, Harada & Russell 1999), are trained with many seeds, and the
detector of reward hacking looks at each run as a design does, two seeds at a time, and after 6, 8 and 10
checkpoints. Beside it what it says of rewards that pay for something else.

*Good candidates refused*: random genomes are trained without checks; then the screen is asked about each, in
the order in which a design would have met them. Good are those that end with more success than the sparse
reward does, on the mean of their seeds.

``python benchmarks/design_alarms.py [keydoor lava maze] [--seeds 16] [--genomes 12]``
"""

import argparse
import dataclasses
import time
from collections import Counter

import jax
import numpy as np
from scipy.stats import binomtest

from rlkit.agents.ppo import PPOConfig
from rlkit.design import Candidate, DesignTask, History, hacking, score, screen
from rlkit.design.evolution import RandomSearch
from rlkit.design.genome import schema_of
from rlkit.design.training import Trainer, Training
from rlkit.design.types import Outcome, Record
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


TASKS = {  # environment, steps of a training, the distance that planted rewards pay by
    "keydoor": (_key, 32_768, "key_distance"),
    "lava": (_lava, 16_384, "goal_distance"),
    "maze": (lambda: make("nav/pointmaze-umaze-far"), 16_384, "path_distance"),
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
        )
        for i in range(0, seeds, TOGETHER)
    ]


def alarms(outcomes: list[Outcome]) -> str:
    """The share of runs that alarm, with its 95 % interval (Clopper-Pearson; runs of one reward count as
    independent), at each length."""
    out = []
    for length in LENGTHS:
        found = [hacking(run).passed is False for o in outcomes if not o.error for run in runs_of(o, length)]
        ends = binomtest(sum(found), len(found)).proportion_ci()
        out.append(f"{length}: {sum(found)}/{len(found)} [{ends.low:.1%}, {ends.high:.1%}]")
    return "  ".join(out)


def train(trainer: Trainer, candidates: list[Candidate], key: int, seeds: int) -> list[Outcome]:
    """Outcomes in the order of the candidates."""
    found = dict(trainer.train(candidates, jax.random.key(key), seeds=seeds))
    return [found[i] for i in range(len(candidates))]


def measure(name: str, seeds: int, genomes: int) -> list[Outcome]:
    """Print the tables of one task, row by row; its honest outcomes."""
    make_env, steps, distance = TASKS[name]
    begin = time.process_time()
    task = DesignTask(make_env(), base="success()")
    settings = Training(agent=AGENT, total_steps=steps, seeds=seeds, checkpoints=10, eval_episodes=16)
    honest_schema, schema = (
        schema_of(task, jax.random.key(0), potential_only=only, memory=False) for only in (True, False)
    )
    propose = lambda s, n: list(RandomSearch(s).propose(task, History(), jax.random.key(1), n))
    plain = Trainer(dataclasses.replace(task, base=""), settings)
    sparse = train(plain, [Candidate("success()")], 0, seeds)
    shaped = train(Trainer(task, settings, honest_schema), propose(honest_schema, genomes), 0, seeds)
    honest = sparse + shaped
    print(f"{name}: {steps} steps, {seeds} seeds, runs of {TOGETHER}; alarms after so many checkpoints")
    print(f"  honest ({len(honest)} rewards)  {alarms(honest)}", flush=True)
    hacks = [Candidate(PROGRAM.format(text.format(distance))) for text in PLANTED.values()]
    for hack, outcome in zip(PLANTED, train(plain, hacks, 0, seeds), strict=True):
        print(f"  planted: {hack:<12}  {alarms([outcome])}", flush=True)
    for row in refusals(task, Trainer(task, settings, schema), propose(schema, 2 * genomes), sparse[0]):
        print(row)
    print(f"  {time.process_time() - begin:.0f} CPU seconds", flush=True)
    return honest


def refusals(task: DesignTask, trainer: Trainer, proposed: list[Candidate], sparse: Outcome) -> list[str]:
    """What each check says of candidates that help, and of the others."""
    outcomes = train(trainer, proposed, 0, 4)
    least = np.asarray(sparse.success)[-1].mean()
    asked, records = screen(task, 0, steps=60), []
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
    honest = []
    for name in given.tasks:
        honest += measure(name, given.seeds, given.genomes)
    print(f"all honest runs  {alarms(honest)}")


if __name__ == "__main__":
    main()
