"""A learned model of the rubric as the reward of a policy (RoboReward, arXiv 2601.00675).

A walker in a square of 9 x 9 cells is commanded to a cell, and ends its episode itself, or the time does
after 32 steps. Success: it said that it was done, in the cell. Models of the rubric are learned from a
script's successes, with negatives made of them or without; each seed has its own. PPO is then paid what the
model says at the end of each episode, or success alone, and judged by success. The model sees where the
walker is, the policy also its command.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, less, said, table
from _curves import success_curve

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import from_functions
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.train import train
from rlkit.rewards import embodied, success
from rlkit.spaces import Box, Discrete
from rlkit.types import FeatureSpec

SIZE, FRAMES, SEEDS, DEMOS = 9, 33, 8, 256
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]], np.int32)  # the last says that it is done
PLACE = Box((2,), 0.0, 1.0)
PPO = PPOConfig(num_envs=32, num_steps=64, sizes=(64, 64), learning_rate=1e-3, entropy_coef=0.01)


def commanded_walk():
    """The task, an environment of two functions."""
    seen = lambda state: jnp.concatenate([state["place"], state["command"]]) / jnp.float32(SIZE - 1)

    def reset(key):
        place, command = jax.random.randint(key, (2, 2), 0, SIZE)
        state = {"place": place, "command": command, "said": jnp.zeros((), bool)}
        return seen(state), state

    def step(key, state, action):
        place = jnp.clip(state["place"] + jnp.asarray(MOVES)[action], 0, SIZE - 1)
        state = state | {"place": place, "said": action == len(MOVES) - 1}
        return seen(state), state, jnp.float32(0.0), state["said"]

    return from_functions(
        reset, step, action_space=Discrete(len(MOVES)), observation_space=Box((4,), 0.0, 1.0),
        max_steps=FRAMES - 1, id="own/commanded-walk",
        success=lambda state: state["said"] & jnp.all(state["place"] == state["command"]),
        features=lambda state: {"command": state["command"]},
        feature_specs=[FeatureSpec("command", (2,), "int32", 0, SIZE - 1, meaning="the cell to end in")],
        task="Walk to the cell that the command names, and say that it is reached.",
    )  # fmt: skip


def judge(facts: dict, command: jax.Array) -> jax.Array:
    """The exact rubric of where an episode ended: the column is a major requirement, the row a minor one."""
    gap = lambda cell: jnp.sum(jnp.abs(cell - command)).astype(jnp.float32)
    progress = jnp.clip(1 - gap(facts["end"]) / jnp.maximum(gap(facts["start"]), 1.0), 0.0, 1.0)
    wanted = embodied.Requirements(jnp.ones(2, bool), jnp.array([False, True]))
    return embodied.rubric_score(facts["end"] == command, wanted, progress)


def successes(seed: int = 0) -> embodied.Episodes:
    """Episodes of a script that walks to its command and says so, one axis after the other."""
    rng = np.random.default_rng(seed)
    start, command = rng.integers(0, SIZE, (2, DEMOS, 2))
    place, valid = np.zeros((DEMOS, FRAMES, 2), np.int32), np.zeros((DEMOS, FRAMES), bool)
    for i in range(DEMOS):
        here, path = start[i].copy(), [start[i].copy()]
        for axis in rng.permutation(2):
            while here[axis] != command[i, axis]:
                here[axis] += np.sign(command[i, axis] - here[axis])
                path.append(here.copy())
        path.append(here)  # saying so is a step
        place[i, : len(path)], place[i, len(path) :] = path, here
        valid[i, : len(path)] = True
    share = np.arange(FRAMES) / (valid.sum(1, keepdims=True) - 1)
    facts = {"start": jnp.asarray(start), "end": jnp.asarray(command)}
    return embodied.Episodes(
        jnp.asarray(place / (SIZE - 1), jnp.float32), jnp.asarray(valid), jnp.asarray(command, jnp.int32),
        jnp.full(DEMOS, 5, jnp.int32), jnp.asarray(np.minimum(share, 1.0), jnp.float32), facts,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--budget", type=int, default=102_400, help="environment steps of each policy")
    args = parser.parse_args()
    env, data, points = commanded_walk(), successes(), 5
    curves = {"success alone": success_curve(ppo(env, PPO, success()), SEEDS, args.budget, points)}
    for name, augment in (("rubric of successes", "none"), ("rubric with negatives", "both")):
        config = embodied.RubricConfig(augment=augment, sizes=(64, 64), learning_rate=3e-3)
        learner = embodied.rubric_learner(PLACE, data, (SIZE, SIZE), judge, config)
        trained = train(learner, 10, seeds=SEEDS, probes=0, progress=False)
        print(f"{name}: error of its scores {trained.curve('error/score')[-1].mean():.2f}")
        one = jax.tree.map(lambda x: x[0], trained.state.params)
        reward = embodied.rubric_reward(learner.model, one, "command", frame=lambda obs: obs[..., :2])
        agent = ppo(env, PPO, reward)
        curves[name] = success_curve(agent, SEEDS, args.budget, points, trained.state.params)
    for name, found in curves.items():
        print(f"  {name:24} success along {args.budget} steps: {np.round(found.mean(1), 3)}")
    at = lambda point: {name: found[point] for name, found in curves.items()}
    early = less(at(1), "success alone")["rubric with negatives"]
    print(f"  after a fifth of the steps, with negatives less success alone: {said(early)}")
    gain = table(f"success after {args.budget} steps", at(points), "success alone")
    apart = interval(curves["rubric with negatives"][-1] - curves["rubric of successes"][-1])
    claim("a rubric with negatives trains better than success alone", above(gain["rubric with negatives"]))
    claim("and beyond a rubric that has seen successes alone", above(apart))
    finish()


if __name__ == "__main__":
    main()
