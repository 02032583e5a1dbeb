"""Whether designed rewards beat the sparse one: three sparse tasks, five ways to a reward, fresh seeds.

Each way may train as many candidates for as many steps: evolution, random search (the same sampler, the best
taken), and beside them one reward of the untrained sampler, a hand-made one, and the sparse reward. What is
shown is success at the end of training on seeds that chose nothing, and the difference to sparse with its
95 % interval over seeds. No model is asked.

``python benchmarks/design_sparse.py [keydoor lava maze] [--seeds 10]``
"""

import argparse
import dataclasses
import time

import jax

from rlkit.agents.ppo import PPOConfig
from rlkit.design.config import DesignConfig
from rlkit.design.evolution import Evolution, RandomSearch
from rlkit.design.loop import Loop
from rlkit.design.results import Fresh
from rlkit.design.training import Trainer
from rlkit.design.types import Candidate, DesignTask, History
from rlkit.envs import make

AGENT = PPOConfig(num_envs=8, num_steps=64, sizes=(32, 32), minibatches=2)
SMALL = DesignConfig(
    agent=AGENT, seeds=1, checkpoints=4, eval_episodes=16, candidates=6, generations=3, finalists=2,
    checks=False, audit=False, curve="success", score="mean", fresh_seeds=10,
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
    far = jnp.where(s.behind_lava, s.goal_distance, s.bridge_distance + 9.0)
    left = jnp.where(ns.behind_lava, ns.goal_distance, ns.bridge_distance + 9.0)
    near = 0.1 * (far - 0.99 * jnp.where(done, 0.0, left))
    return near, {"near": near}
"""
MAZE = """
def reward(s, a, ns, done):
    near = s.path_distance - 0.99 * jnp.where(done, 0.0, ns.path_distance)
    return near, {"near": near}
"""


def _lava():
    from _lava import lava_grid

    return lava_grid()


def _key():
    from rlkit.envs.keydoor import KeyDoor

    return KeyDoor(5)


TASKS = {  # environment, steps of a training, a hand-made reward
    "keydoor": (_key, 24_576, KEY),
    "lava": (_lava, 8_192, LAVA),
    "maze": (lambda: make("nav/pointmaze-medium-far"), 24_576, MAZE),
}


def compare(name: str, seeds: int) -> str:
    """The table of one task."""
    make_env, steps, hand = TASKS[name]
    begin = time.process_time()
    task = DesignTask(make_env(), base="success()")
    config = dataclasses.replace(SMALL, total_steps=steps, fresh_seeds=seeds)
    schema = config.schema(task)
    trainer = Trainer(task, config, schema)
    found: dict[str, Candidate] = {}
    for designer in (Evolution(schema), RandomSearch(schema)):
        loop = Loop(task, config, designer, trainer)
        history = History()
        for generation in range(config.generations):
            history = loop.generation(history, 0, generation)
        found[designer.name] = loop.validate([history])[0].candidate
    (found["sampler"],) = RandomSearch(schema).propose(task, History(), jax.random.key(99), 1)
    found["hand-made"] = Candidate(hand)
    key = jax.random.key(2**20)
    outcomes = {}
    for way, candidate in found.items():
        ((_, outcomes[way]),) = trainer.train([candidate], key, seeds=seeds)
    plain = Trainer(dataclasses.replace(task, base=""), config)
    ((_, outcomes["sparse"]),) = plain.train([Candidate("success()")], key, seeds=seeds)
    rows = [f"{name}: {steps} steps, {seeds} fresh seeds, {time.process_time() - begin:.0f} CPU seconds"]
    for way, outcome in outcomes.items():
        if outcome.error:
            rows.append(f"  {way:<10} {outcome.error}")
            continue
        judged = Fresh({"winner": outcome, "sparse": outcomes["sparse"]})
        mean, gain = judged.interval("winner", "success"), judged.gain("success")
        rows.append(
            f"  {way:<10} success {mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]  "
            f"against sparse {gain.mean:+.3f} [{gain.low:.3f}, {gain.high:.3f}]"
        )
    rows.append(f"  evolution: {found['evolution'].genome}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    for name in given.tasks:
        print(compare(name, given.seeds), flush=True)


if __name__ == "__main__":
    main()
