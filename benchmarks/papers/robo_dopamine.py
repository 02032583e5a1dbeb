"""Progress that is learned from demonstrations, as a reward (Robo-Dopamine, arXiv 2512.23703).

A model of hops is trained on demonstrations, then PPO is trained with success alone, and, for a tenth of the
steps, with success and the learned progress. A beginner hardly ever succeeds in either task. ``nav``: the key
and the locked door in a square of 21 cells, within 200 steps; demonstrations of a scripted expert that takes
over now and then from random actions, as people intervene in the paper. ``craft``:
a stone pickaxe, three wood and three stone within 100 steps in the small craft world; demonstrations are
successes of a policy that was trained with the exact potential. PPO's settings are the same with and without
progress, and were chosen with the exact potential alone.

Progress is paid as ``Φ(s') - Φ(s)`` (*difference*), which makes policies stop at false peaks of the model,
and as ``γ Φ(s') - Φ(s)`` (*invariant*), from which nothing is learned before the first success once the
critic knows Φ.

    python benchmarks/papers/robo_dopamine.py {nav,craft} [--keep FOLDER] [--only HALF]

``--keep`` stores each curve in a folder and does not compute it again: the halves may run apart. ``exact``
pays the exact potential instead of a learned one. ``sparse`` takes eight minutes.
"""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _common import above, claim, finish, kept, table
from _curves import steps_to, success_curve
from scipy.stats import spearmanr

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import rollout, start
from rlkit.envs.craft_mini import ITEMS, CraftMini
from rlkit.envs.keydoor import KeyDoor
from rlkit.envs.wrappers import observe_features
from rlkit.experiment.train import train
from rlkit.rewards import embodied, potential_difference, success, total

SEEDS, GAMMA = 8, 0.99
SIZE, SUPPLIES = 21, 3
HALVES = ("difference", "invariant", "exact", "sparse")
PPO = PPOConfig(
    num_envs=16, num_steps=64, epochs=10, minibatches=8, sizes=(64, 64), activation="relu",
    learning_rate=1e-3, discount=GAMMA, entropy_coef=0.01,
)  # fmt: skip


class LargeKeyDoor(KeyDoor):
    """``nav/keydoor`` within 200 steps."""

    def default_params(self) -> Any:
        return super().default_params()._replace(max_steps=jnp.int32(200))


class Supplies(CraftMini):
    """``craft/mini``, to hold a stone pickaxe, three wood and three stone within 100 steps. Ends there."""

    def default_params(self) -> Any:
        return super().default_params()._replace(max_steps=jnp.int32(100))

    def success(self, state: Any, action: jax.Array, next_state: Any, params: Any) -> jax.Array:
        has = dict(zip(ITEMS, next_state.items, strict=True))
        return (has["stone_pickaxe"] > 0) & (has["wood"] >= SUPPLIES) & (has["stone"] >= SUPPLIES)

    def terminated(self, state: Any, action: jax.Array, next_state: Any, params: Any) -> jax.Array:
        return super().terminated(state, action, next_state, params) | self.success(
            state, action, next_state, params
        )


def supplies() -> Any:
    near = (f"nearest_{what}_{how}" for what in ("tree", "stone", "lava") for how in ("offset", "visible"))
    held = (f"inventory_{item}" for item in ("wood", "stone", "wood_pickaxe", "stone_pickaxe"))
    return observe_features(Supplies(), (*near, "facing_block", "lava_adjacent", *held), keep=False)


def way(features: Any) -> jax.Array:
    """The exact potential of ``nav``: how few steps are left, of the most that ever are."""
    return 1.0 - features["steps_left"] / (6.0 * (SIZE - 1) + 3)


def gathered(features: Any) -> jax.Array:
    """The exact potential of ``craft``: the share that is done of five wood, four stone and two tools."""
    has = lambda item: features[f"inventory_{item}"].astype(jnp.float32)
    first, second = has("wood_pickaxe"), has("stone_pickaxe")
    wood = jnp.minimum(has("wood") + first + second, SUPPLIES + 2)
    stone = jnp.minimum(has("stone") + second, SUPPLIES + 1)
    return (wood + stone + first + second) / (2 * SUPPLIES + 5)


def keydoor_expert(
    carry: Any, obs: jax.Array, first: jax.Array, aside: jax.Array
) -> tuple[jax.Array, Any, dict]:
    """Take the key, walk to the door, unlock it, walk to the goal: by any shortest way, as ``aside`` says of
    each step. Off the one way of a habit, no cell is ever seen, and progress has false peaks there."""
    cells = jnp.round(obs[:, :6] * (SIZE - 1)).astype(jnp.int32)
    to_key, to_goal = cells[:, :2], cells[:, 4:6]
    before_door = cells[:, 2:4] - jnp.array([1, 0])
    left, right, down, up, use = range(5)

    def walk(d: jax.Array) -> jax.Array:
        sideways = (d[:, 0] != 0) & (aside | (d[:, 1] == 0))
        return jnp.where(sideways, jnp.where(d[:, 0] > 0, right, left), jnp.where(d[:, 1] > 0, up, down))

    there = lambda d: (d == 0).all(1)
    closed = obs[:, 11] > 0.5  # the cell to the right is blocked
    fetch = jnp.where(there(to_key), use, walk(to_key))
    door = jnp.where(there(before_door), jnp.where(closed, use, right), walk(before_door))
    goal = jnp.where(before_door[:, 0] == -1, right, walk(to_goal))  # out of the doorway first
    action = jnp.where(obs[:, 9] < 0.5, fetch, jnp.where(before_door[:, 0] >= 0, door, goal))
    return action, carry, {}


class Task(NamedTuple):
    env: Callable[[], Any]
    config: PPOConfig
    exact: Callable[[Any], jax.Array]  # potential of features
    stages: tuple[str, ...]  # of demonstrations
    model: embodied.ProgressConfig
    perspective: str  # by agreement with the exact potential in random episodes
    expert: Any = None  # a policy; None: PPO that is paid the exact potential
    takeovers: int = 0  # steps in which the expert takes over from random actions; 0: whole demonstrations
    updates: int = 20  # of the model
    steps: int = 204_800  # with progress; ten times as many without


CAREFUL = dataclasses.replace(PPO, epochs=8, minibatches=4, normalize_obs=True)
MODEL = embodied.ProgressConfig(sizes=(128, 128), steps_per_update=200)
ASKING = dataclasses.replace(MODEL, steps_per_update=400, goal_pairs=0.9)  # most of what "backward" asks
TASKS = {
    "nav": Task(
        lambda: LargeKeyDoor(SIZE), PPO, way, ("has_key", "door_open"), ASKING, "backward", keydoor_expert,
        takeovers=6000, updates=120, steps=409_600,
    ),
    "craft": Task(
        supplies, CAREFUL, gathered,
        tuple(f"achievement_{x}" for x in ("collect_wood", "make_wood_pickaxe", "collect_stone",
                                           "make_stone_pickaxe")),
        MODEL, "forward",
    ),
}  # fmt: skip


def with_exact(task: Task) -> Any:
    return total((1.0, success()), (1.0, potential_difference(task.exact, 1.0)))


def recorded(env: Any, policy: Any, steps: int, inputs: Any = None) -> Any:
    """A trajectory ``[steps, 64]`` of a policy ``f(carry, obs, first, inputs)``."""
    begin, key = jax.random.split(jax.random.key(5))
    params = env.default_params()
    state = start(env, begin, params, 64)
    return jax.jit(lambda s: rollout(env, policy, (), s, key, params, steps, inputs=inputs)[2])(state)


def expert_trajectory(task: Task, env: Any) -> Any:
    if task.expert is not None:
        return recorded(env, task.expert, 600, jax.random.bernoulli(jax.random.key(6), 0.5, (600, 64)))
    teacher = ppo(env, task.config, with_exact(task))
    state = train(teacher, total_steps=2 * task.steps, seeds=1, probes=0, progress=False).state
    policy = teacher.policy(jax.tree.map(lambda x: x[0], state))
    act = lambda carry, obs, first, keys: (
        jax.vmap(lambda o, k: teacher.act(policy, teacher.carry(), o, k)[0])(obs, keys), carry, {},
    )  # fmt: skip
    return recorded(env, act, 600, jax.random.split(jax.random.key(6), (600, 64)))


def taken_over(task: Task, env: Any) -> tuple[Any, np.ndarray]:
    """A trajectory of random actions and of an expert in turns, 20 and 40 steps on average, and the steps
    ``[T, 64]`` in which the expert takes over."""
    shape = task.takeovers, 64
    keys = jax.random.split(jax.random.key(6), 4)
    aside = jax.random.bernoulli(keys[0], 0.5, shape)
    anything = jax.random.randint(keys[1], shape, 0, env.spec.action_space.n)
    change = jax.random.uniform(keys[2], shape)
    turn = lambda astray, u: (now := jnp.where(astray, u > 1 / 20, u < 1 / 40), now)
    astray = jax.lax.scan(turn, jnp.ones(64, bool), change)[1]

    def act(carry: Any, obs: jax.Array, first: jax.Array, inputs: Any) -> tuple[jax.Array, Any, dict]:
        astray, anything, aside = inputs
        wise, carry, extras = task.expert(carry, obs, first, aside)
        return jnp.where(astray, anything, wise), carry, extras

    before = np.asarray(astray)
    trajectory = recorded(env, act, task.takeovers, (astray, anything, aside))
    return trajectory, np.roll(before, 1, axis=0) & ~before


def beginners(task: Task, env: Any, follow: Any) -> tuple[float, float]:
    """Rank correlation of learned progress with the exact potential in random episodes: of all frames
    together, and of the frames of an episode, on average over episodes."""
    act = lambda carry, obs, first, action: (action, carry, {})
    steps = int(env.default_params().max_steps)
    actions = jax.random.randint(jax.random.key(7), (steps, 64), 0, env.spec.action_space.n)
    seen = recorded(env, act, steps, actions).transition
    within = np.asarray(jnp.cumsum(seen.first, 0) == 1)  # the first episode of each slot
    learned = np.asarray(follow(jnp.moveaxis(seen.obs, 0, 1))).T
    exact = np.asarray(jax.vmap(jax.vmap(task.exact))(seen.features))
    each = [spearmanr(learned[w, b], exact[w, b])[0] for b, w in enumerate(within.T) if np.ptp(exact[w, b])]
    return float(spearmanr(learned[within], exact[within])[0]), float(np.mean(each))


@functools.cache
def learned_model(which: str) -> tuple[Any, Any]:
    task = TASKS[which]
    env = task.env()
    trajectory, over = taken_over(task, env) if task.takeovers else (expert_trajectory(task, env), None)
    demos = embodied.demonstrations(trajectory, task.stages, over)
    learner = embodied.progress_learner(env.spec.observation_space, demos, task.model)
    found = train(learner, task.updates, seeds=1, probes=0, progress=False)
    params = jax.tree.map(lambda x: x[0], found.state.params)
    follow = jax.jit(
        jax.vmap(lambda obs: embodied.episode_progress(learner.model, params, obs, task.perspective))
    )
    voc = jax.vmap(embodied.value_order_correlation)(
        follow(demos.obs), jnp.arange(demos.obs.shape[1]) < demos.length[:, None]
    )
    together, each = beginners(task, env, follow)
    print(f"{demos.length.shape[0]} demonstrations of {demos.length.mean():.0f} frames; "
          f"error of hops {found.curve('error/hop')[-1, 0]:.3f}; VOC {voc.mean():.3f}; rank correlation with "
          f"the exact potential in random episodes {together:.3f}, within each {each:.3f}")  # fmt: skip
    return learner.model, params


def curve(which: str, half: str) -> np.ndarray:
    """Success along the training of a half."""
    task = TASKS[which]
    if half == "sparse":
        return success_curve(ppo(task.env(), task.config, success()), SEEDS, 10 * task.steps, 10)
    if half == "exact":
        reward = with_exact(task)
    else:
        model, params = learned_model(which)
        discount = GAMMA if half == "invariant" else 1.0
        paid = embodied.learned_progress(model, params, discount, perspective=task.perspective)
        reward = total((1.0, success()), (1.0, paid))
    return success_curve(ppo(task.env(), task.config, reward), SEEDS, task.steps, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--only", choices=HALVES)
    args = parser.parse_args()
    found, budget = {}, TASKS[args.task].steps
    for half in HALVES if args.only is None else (args.only,):
        steps = budget * (10 if half == "sparse" else 1)
        values = kept(
            args.keep, f"robo_dopamine-{args.task}-{half}", functools.partial(curve, args.task, half)
        )
        print(f"  {half}: success along {steps} steps: {values.mean(1).round(3)}")
        found[half] = values
    if args.only is None:
        many = found["sparse"]
        rows = {"sparse": many[1], "sparse, ten times the steps": many[-1]}
        rows |= {half: found[half][-1] for half in HALVES[:3]}
        less = table(f"{args.task}: success after {budget} steps", rows, "sparse")
        level = found["exact"][-1].mean() / 2
        alone = steps_to(many, 10 * budget, level)
        for half in HALVES[:2]:
            few = found[half]
            claim(f"{half}: beats success alone at equal steps", above(less[half]))
            claim(f"{half}: as good as success alone with ten times the steps",
                  0 < few[-1].mean() >= many[-1].mean())  # fmt: skip
            own = steps_to(few, budget, level)
            claim(f"{half}: {level:.0%}, half of what the exact potential comes to, in a tenth of the steps: "
                  f"{own:.0f} instead of {alone:.0f}", alone >= 10 * own < np.inf)  # fmt: skip
    finish()


if __name__ == "__main__":
    main()
