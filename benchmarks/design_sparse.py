"""Whether designed rewards beat the sparse one: three sparse tasks, six ways to a reward, fresh seeds.

Each way may propose as many candidates, which are checked and trained for as many steps: evolution that
begins with what successes say (the default of a design), evolution that begins at random (``--guided 0``),
random search (the same sampler, the best taken). Beside them one reward of the untrained sampler, a
hand-made one, and the sparse reward. What is shown is success at the end of training on seeds that chose
nothing, and the difference to sparse with its 95 % interval over seeds. No model is asked.

Candidates are ranked by success, and by fitness where that is equal. Features that say the answer are
forbidden to all (see ``TASKS``). What is done is kept in ``--folder``: the same command goes on.

``python benchmarks/design_sparse.py keydoor lava maze [--seeds 10] [--folder FOLDER]``
"""

import argparse
import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jax

from rlkit.agents.ppo import PPOConfig
from rlkit.design.config import DesignConfig
from rlkit.design.data import outcome_from, to_data
from rlkit.design.designing import begun
from rlkit.design.evolution import RandomSearch
from rlkit.design.journal import Journal
from rlkit.design.loop import Loop
from rlkit.design.results import Fresh
from rlkit.design.screen import Later, screen
from rlkit.design.training import Trainer
from rlkit.design.types import Candidate, DesignTask, History
from rlkit.envs import make

AGENT = PPOConfig(  # rewards are normalised, because their scale is a candidate's choice
    learning_rate=1e-3, num_envs=8, num_steps=64, sizes=(64, 64), minibatches=4, normalize_reward=True
)
SMALL = DesignConfig(
    agent=AGENT, seeds=2, checkpoints=4, eval_episodes=16, candidates=12, generations=5, finalists=5,
    audit=False, curve="success", score="mean", fresh_seeds=10,
)  # fmt: skip

KEY = """
def reward(s, a, ns, done):
    key = jnp.where(ns.has_key & ~s.has_key, 0.3, 0.0)
    door = jnp.where(ns.door_open & ~s.door_open, 0.3, 0.0)
    before = jnp.where(s.behind_door, s.goal_distance, jnp.where(s.has_key, s.door_distance, s.key_distance))
    reached = jnp.where(s.has_key, ns.door_distance, ns.key_distance)
    after = jnp.where(s.behind_door, ns.goal_distance, reached)
    near = 0.05 * (before - after)
    return key + door + near, {"key": key, "door": door, "near": near}
"""
LAVA = """
def reward(s, a, ns, done):
    before = jnp.where(s.behind_lava, s.goal_distance, s.bridge_distance + 9.0)
    after = jnp.where(ns.behind_lava, ns.goal_distance, ns.bridge_distance + 9.0)
    near = 0.5 * (before - after)
    burnt = jnp.where(ns.in_lava, -1.0, 0.0)
    return near + burnt, {"near": near, "burnt": burnt}
"""
MAZE = """
def reward(s, a, ns, done):
    near = s.path_distance - ns.path_distance
    return near, {"near": near}
"""


def _lava():
    from _lava import lava_grid

    return lava_grid()


def _key():
    from rlkit.envs.keydoor import KeyDoor

    return KeyDoor(5)


TASKS = {  # environment, steps of a training, features that no reward may read, a hand-made reward
    "keydoor": (_key, 65_536, ("steps_left", "at_goal"), KEY),
    "lava": (_lava, 65_536, ("native_reward",), LAVA),
    "maze": (lambda: make("nav/pointmaze-medium-far"), 32_768, ("at_goal",), MAZE),
}


def compare(name: str, config: DesignConfig, folder: Path | None, wanted: Sequence[str]) -> str:
    """The table of one task."""
    make_env, _, forbidden, hand = TASKS[name]
    task = DesignTask(make_env(), base="success()", forbidden=forbidden)
    schema = config.schema(task)
    trainer = Trainer(task, config, schema)
    journal = Journal(None if folder is None else folder / f"{name}.jsonl")
    check = Later(lambda: screen(task, config.seed, schema=schema))
    found: dict[str, Candidate] = {}
    searches = {"evolution": begun(config, schema, task, check), "random": RandomSearch(schema)}
    for way, designer in ((way, searches[way]) for way in wanted):
        own = Journal(None if folder is None else folder / f"{name}.{way}.jsonl")
        loop = Loop(task, config, designer, trainer, check, journal=own)
        history = History()
        for generation in range(config.generations):
            history = loop.generation(history, 0, generation)
            scores = [record.score for record in history.generation(-1)]
            told(f"{name}: {way}, generation {generation}", scores)
        refused = Counter(v.check for r in history.records for v in r.verdicts if v.stops)
        told(f"{name}: {way}, refused by {dict(refused)}", [])
        validated = loop.validate([history])
        told(f"{name}: {way}, finalists scored again", [r.score for r in validated])
        found[way] = validated[0].candidate
    (found["sampler"],) = RandomSearch(schema).propose(task, History(), jax.random.key(99), 1)
    found["hand-made"], found["sparse"] = Candidate(hand), Candidate("success()")
    plain = Trainer(dataclasses.replace(task, base=""), config)
    key = jax.random.key(2**20 + config.seed)

    def train(way: str) -> dict:
        trains = plain if way == "sparse" else trainer
        ((_, outcome),) = trains.train([found[way]], key, seeds=config.fresh_seeds)
        return to_data(outcome)

    outcomes = {}
    for way in found:
        outcomes[way] = outcome_from(journal.once(f"{way} judged", lambda way=way: train(way)))
        told(f"{name}: {way} on fresh seeds", [] if outcomes[way].error else outcomes[way].success[-1])
    rows = [f"{name}: {config.total_steps} steps, {config.fresh_seeds} fresh seeds"]
    for way, outcome in outcomes.items():
        if outcome.error:
            rows.append(f"  {way:<16} {outcome.error}")
            continue
        judged = Fresh({"winner": outcome, "sparse": outcomes["sparse"]})
        mean, gain = judged.interval("winner", "success"), judged.gain("success")
        rows.append(
            f"  {way:<16} success {mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]  "
            f"against sparse {gain.mean:+.3f} [{gain.low:.3f}, {gain.high:.3f}]"
        )
    for way, candidate in found.items():
        if candidate.genome is not None:
            rows.append(f"  {way}, from {candidate.origin}: {candidate.genome}")
    return "\n".join(rows)


def told(what: str, values: Sequence[float]) -> None:
    """A line about where the benchmark is."""
    numbers = " ".join(f"{x:.3f}" for x in values)
    print(f"  {what} ({time.process_time():.0f} CPU seconds): {numbers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=SMALL.fresh_seeds)
    parser.add_argument("--candidates", type=int, default=SMALL.candidates)
    parser.add_argument("--generations", type=int, default=SMALL.generations)
    parser.add_argument("--finalists", type=int, default=SMALL.finalists)
    parser.add_argument("--curve", default=SMALL.curve, help="what ranks candidates: fitness or success")
    parser.add_argument(
        "--guided", type=float, default=SMALL.guided, help="share read off successes; 0: none"
    )
    parser.add_argument("--seed", type=int, default=SMALL.seed, help="of the searches and of the fresh seeds")
    parser.add_argument("--potential-only", action="store_true", help="potential differences alone")
    parser.add_argument("--steps", type=int, help="of each training; the task's own by default")
    parser.add_argument("--searches", nargs="*", default=["evolution", "random"], help="those that are run")
    parser.add_argument("--folder", type=Path, help="keep what is done there, and go on from it")
    given = parser.parse_args()
    sizes = {
        "candidates": given.candidates,
        "generations": given.generations,
        "finalists": given.finalists,
        "fresh_seeds": given.seeds,
        "curve": given.curve,
        "guided": given.guided,
        "seed": given.seed,
        "potential_only": given.potential_only,
    }
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.tasks:
        steps = given.steps or TASKS[name][1]
        print(
            compare(
                name, dataclasses.replace(SMALL, **sizes, total_steps=steps), given.folder, given.searches
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
