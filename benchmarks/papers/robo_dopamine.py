"""Progress that is learned from demonstrations, as a reward (Robo-Dopamine, arXiv 2512.23703).

A model of hops is trained on demonstrations, then PPO is trained with success alone, and, for a tenth of the
steps, with success and the learned progress as a potential. ``nav``: the key and the locked door,
demonstrations of a scripted expert. ``craft``: a stone pickaxe within 100 steps in the small craft world;
demonstrations are successful episodes of a policy that was trained with all achievements paid. PPO's settings
were chosen with the exact potential of ``nav``, and are the same with and without progress.

    python benchmarks/papers/robo_dopamine.py {nav,craft} [--keep FOLDER] [--only {progress,sparse,exact}]

``--keep`` stores each curve in a folder and does not compute it again: the halves may run apart.
``--only exact`` pays the exact potential of ``nav`` instead of a learned one.
"""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, kept, table
from _curves import steps_to, success_curve

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make, rollout, start
from rlkit.envs.craft_mini import ITEMS, CraftMini
from rlkit.experiment.train import train
from rlkit.rewards import embodied, potential_difference, success, total

SEEDS, GAMMA = 8, 0.99
PPO = PPOConfig(
    num_envs=16, num_steps=64, epochs=10, minibatches=8, sizes=(64, 64), activation="relu",
    learning_rate=1e-3, discount=GAMMA, entropy_coef=0.01,
)  # fmt: skip


class StonePickaxe(CraftMini):
    """``craft/mini``, to make a stone pickaxe in 100 steps: wood twice, a wood pickaxe, stone. Ends there."""

    def default_params(self) -> Any:
        return super().default_params()._replace(max_steps=jnp.int32(100))

    def success(self, state: Any, action: jax.Array, next_state: Any, params: Any) -> jax.Array:
        tool = ITEMS.index("stone_pickaxe")
        return next_state.items[tool] > state.items[tool]

    def terminated(self, state: Any, action: jax.Array, next_state: Any, params: Any) -> jax.Array:
        return super().terminated(state, action, next_state, params) | self.success(
            state, action, next_state, params
        )


def keydoor_expert(carry: Any, obs: jax.Array, first: jax.Array, key: Any) -> tuple[jax.Array, Any, dict]:
    """Take the key, walk to the door, unlock it, walk to the goal."""
    cells = jnp.round(obs[:, :6] * 8).astype(jnp.int32)
    to_key, to_door, to_goal = cells[:, :2], cells[:, 2:4], cells[:, 4:6]
    left, right, down, up, use = range(5)
    vertical = lambda d: jnp.where(d[:, 1] > 0, up, down)
    sideways = lambda d: jnp.where(d[:, 0] > 0, right, left)
    walk = lambda d: jnp.where(d[:, 1] != 0, vertical(d), sideways(d))
    fetch = jnp.where((to_key == 0).all(1), use, walk(to_key))
    beside = (to_door[:, 0] == 1) & (to_door[:, 1] == 0)
    closed = obs[:, 11] > 0.5  # the cell to the right is blocked
    door = jnp.where(to_door[:, 1] != 0, vertical(to_door), jnp.where(beside & closed, use, right))
    goal = jnp.where(to_door[:, 0] == 0, right, walk(to_goal))
    return jnp.where(obs[:, 9] < 0.5, fetch, jnp.where(to_door[:, 0] > 0, door, goal)), carry, {}


def demos_of(env: Any, policy: Any, carry: Any, inputs: Any, steps: int, slots: int, stages: tuple[str, ...]):
    begin, key = jax.random.split(jax.random.key(5))
    params = env.default_params()
    state = start(env, begin, params, slots)
    run = jax.jit(lambda s: rollout(env, policy, carry, s, key, params, steps, inputs=inputs)[2])
    return embodied.demonstrations(run(state), stages)


class Task(NamedTuple):
    env: Callable[[], Any]
    config: PPOConfig
    budget: int  # environment steps with progress; ten times as many without
    demos: Callable[[], tuple[Any, Any]]


def keydoor_demos() -> tuple[Any, Any]:
    env = make("nav/keydoor")
    return env, demos_of(env, keydoor_expert, (), None, 100, 40, ("has_key", "door_open"))


def pickaxe_demos() -> tuple[Any, Any]:
    env = StonePickaxe()
    teacher = ppo(CraftMini(), LARGER)  # paid the world's own reward: every achievement
    state = train(teacher, total_steps=400_000, seeds=1, probes=0, progress=False).state
    policy = teacher.policy(jax.tree.map(lambda x: x[0], state))
    act = lambda carry, obs, first, keys: (
        jax.vmap(lambda o, k: teacher.act(policy, teacher.carry(), o, k)[0])(obs, keys), carry, {},
    )  # fmt: skip
    inputs = jax.random.split(jax.random.key(6), (500, 64))
    stages = ("achievement_collect_wood", "achievement_make_wood_pickaxe", "achievement_collect_stone")
    return env, demos_of(env, act, (), inputs, 500, 64, stages)


LARGER = dataclasses.replace(PPO, sizes=(128, 128), epochs=4, minibatches=4)
TASKS = {
    "nav": Task(lambda: make("nav/keydoor"), PPO, 102_400, keydoor_demos),
    "craft": Task(StonePickaxe, LARGER, 51_200, pickaxe_demos),
}


def learned_model(env: Any, demos: Any) -> tuple[Any, Any]:
    config = embodied.ProgressConfig(sizes=(64, 64), steps_per_update=100)
    learner = embodied.progress_learner(env.spec.observation_space, demos, config)
    found = train(learner, 20, seeds=1, probes=0, progress=False)
    params = jax.tree.map(lambda x: x[0], found.state.params)
    follow = jax.jit(jax.vmap(lambda obs: embodied.episode_progress(learner.model, params, obs)))
    voc = jax.vmap(embodied.value_order_correlation)(
        follow(demos.obs), jnp.arange(demos.obs.shape[1]) < demos.length[:, None]
    )
    print(f"{demos.length.shape[0]} demonstrations of {demos.length.mean():.0f} frames; "
          f"error of hops {found.curve('error/hop')[-1, 0]:.3f}; VOC {voc.mean():.3f}")  # fmt: skip
    return learner.model, params


def progress_curve(which: str, config: PPOConfig, budget: int) -> np.ndarray:
    """Success while success and learned progress are paid."""
    env, demos = TASKS[which].demos()
    model, params = learned_model(env, demos)
    shaped = total((1.0, success()), (1.0, embodied.learned_progress(model, params, GAMMA)))
    return success_curve(ppo(env, config, shaped), SEEDS, budget, 5)


def exact_curve(config: PPOConfig, budget: int) -> np.ndarray:
    """Success in ``nav`` while success and the steps that are left are paid."""
    env, most = make("nav/keydoor"), 51.0  # steps, the most that are ever left
    potential = potential_difference(lambda features: 1.0 - features["steps_left"] / most, GAMMA)
    return success_curve(ppo(env, config, total((1.0, success()), (1.0, potential))), SEEDS, budget, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--only", choices=("progress", "sparse", "exact"))
    args = parser.parse_args()
    if args.only == "exact" and args.task != "nav":
        parser.error("the exact potential is known in nav alone")
    task = TASKS[args.task]
    halves = {
        "progress": lambda: progress_curve(args.task, task.config, task.budget),
        "sparse": lambda: success_curve(ppo(task.env(), task.config, success()), SEEDS, 10 * task.budget, 10),
        "exact": lambda: exact_curve(task.config, task.budget),
    }
    found = {
        name: kept(args.keep, f"robo_dopamine-{args.task}-{name}-{task.budget}", compute)
        for name, compute in halves.items()
        if name == args.only or (args.only is None and name != "exact")
    }
    for name, values in found.items():
        steps = task.budget * (10 if name == "sparse" else 1)
        print(f"  {name}: success along {steps} steps: {values.mean(1).round(3)}; "
              f"half after {steps_to(values, steps):.0f}")  # fmt: skip
    if len(found) == 2:
        few, many = found["progress"], found["sparse"]
        rows = {"sparse": many[1], "sparse, ten times the steps": many[-1], "success + progress": few[-1]}
        less = table(f"{args.task}: success after {task.budget} steps", rows, "sparse")
        claim("progress beats success alone at equal steps", above(less["success + progress"]))
        last = {name: values.mean() for name, values in rows.items()}
        claim("it is as good as success alone with ten times the steps",
              last["success + progress"] >= last["sparse, ten times the steps"] > 0)  # fmt: skip
        ratio = steps_to(many, 10 * task.budget) / steps_to(few, task.budget)
        claim(f"half of the episodes succeed after a tenth of the steps (x {ratio:.1f} fewer)", ratio >= 10)
    finish()


if __name__ == "__main__":
    main()
