"""TopoNav (Hossain et al. 2024, arXiv 2402.04061): exploring with a topological map, and without one.

    python benchmarks/papers/toponav.py [--updates 240] [--seeds 3] [--only NAME ...] [--keep FOLDER]

Trees of 4 x 4 rooms (``nav/treerooms``), reward 1 at the goal alone, nothing points to it. Learners get the
same number of environment steps; all are judged on the same fresh mazes, 16 for each seed, by whether the
goal is found within 600, 1200 and 2400 steps. The paper claims 9 to 19 points of success more than the
methods it compares itself with, in worlds of its own; its code and worlds are not published. ``--keep``
stores what each method found in a folder and does not compute it again, so that they may run apart.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _common import kept
from scipy import stats

from rlkit.agents import PPOConfig, ppo
from rlkit.agents.evaluate import evaluate
from rlkit.agents.toponav import TopoNavConfig, toponav
from rlkit.envs import make, reset, step
from rlkit.types import Agent, Reward

ENV = make("nav/treerooms")
HORIZONS, MAZES = (600, 1200, 2400), 16
PARAMS = ENV.default_params()._replace(max_steps=jnp.int32(HORIZONS[-1]))
SAMPLES = {"num_envs": 16, "num_steps": 64}


class Found(NamedTuple):
    """When the goal was found, ``[seeds, mazes]``."""

    steps: np.ndarray
    success: np.ndarray


def count_bonus(weight: float = 0.1) -> Reward:
    """The task's reward and ``weight / sqrt(visits of the cell)`` (Bellemare et al. 2016, exact counts)."""

    def apply(memory, transition, params):
        visits = transition.next_features["cell_visits"].astype(jnp.float32)
        bonus = weight / jnp.sqrt(visits)
        return memory, transition.reward + bonus, {"task": transition.reward, "count": bonus}

    return Reward(lambda key: (), apply)


def trained(build: Callable[[], Agent], updates: int, seeds: int) -> Found:
    """Train seeds side by side and judge each on mazes of its own."""
    agent = build()
    keys = jax.random.split(jax.random.key(0), seeds)
    train = jax.jit(
        lambda states: jax.lax.scan(lambda s, _: (agent.step(s)[0], None), states, length=updates)[0]
    )
    judge = jax.jit(jax.vmap(
        lambda s, key: evaluate(agent, agent.policy(s), key, MAZES, env_params=PARAMS, greedy=False)
    ))  # fmt: skip
    states = jax.vmap(train)(jax.jit(jax.vmap(agent.init))(keys))
    found = judge(states, _mazes(seeds))
    return Found(np.asarray(found.length), np.asarray(found.success))


def _mazes(seeds: int) -> jax.Array:
    """Keys of the mazes of each seed, the same for every method."""
    return jax.random.split(jax.random.key(2024), seeds)


def walked(policy: Callable[[jax.Array, dict[str, jax.Array]], jax.Array], seeds: int) -> Found:
    """Judge a rule that sees the number of visits of the cells beside it, and which of them are walls."""

    def episode(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_reset, key_steps = jax.random.split(key)
        _, begin = reset(ENV, key_reset, PARAMS)

        def body(carry, t):
            state, length, won = carry
            key_act, key_step = jax.random.split(jax.random.fold_in(key_steps, t))
            out = step(ENV, key_step, state, policy(key_act, _beside(state.inner)), PARAMS)
            return (out.state, length + ~won, won | out.success), None

        carry = (begin, jnp.int32(0), jnp.zeros((), bool))
        (_, length, won), _ = jax.lax.scan(body, carry, jnp.arange(HORIZONS[-1]))
        return length, won

    keys = jax.vmap(lambda key: jax.random.split(key, MAZES))(_mazes(seeds))
    return Found(*map(np.asarray, jax.jit(jax.vmap(jax.vmap(episode)))(keys)))


def _beside(state) -> dict[str, jax.Array]:
    x, y = state.position
    rows, columns = y + jnp.array([0, 0, -1, 1]), x + jnp.array([-1, 1, 0, 0])
    return {"wall": state.walls[rows, columns] > 0, "visits": state.visits[rows, columns]}


def at_random(key: jax.Array, beside: dict[str, jax.Array]) -> jax.Array:
    """Any of the four moves."""
    return jax.random.randint(key, (), 0, 4)


def flat_counting(key: jax.Array, beside: dict[str, jax.Array]) -> jax.Array:
    """The neighbouring cell that was visited least, ties at random: exact counts without a map."""
    score = beside["visits"] + jax.random.uniform(key, (4,)) + 1e6 * beside["wall"]
    return jnp.argmin(score)


def methods(updates: int, seeds: int) -> dict[str, Callable[[], Found]]:
    """What is compared, by name."""
    recurrent = PPOConfig(torso="gru", minibatches=4, entropy_coef=0.01, **SAMPLES)

    def topological(**changes):
        config = TopoNavConfig(**SAMPLES).replace(**changes)
        return lambda: trained(lambda: toponav(ENV, config), updates, seeds)

    return {
        "random": lambda: walked(at_random, seeds),
        "flat counting": lambda: walked(flat_counting, seeds),
        "PPO (GRU), sparse": lambda: trained(lambda: ppo(ENV, recurrent), updates, seeds),
        "PPO (GRU), count bonus": lambda: trained(lambda: ppo(ENV, recurrent, count_bonus()), updates, seeds),
        "TopoNav": topological(),
        "TopoNav, no line of sight": topological(line_of_sight=False),
        "TopoNav, no ownership": topological(owned_frontier=False),
        "TopoNav, no novelty": topological(novelty_weight=0.0, novelty_bonus=0.0),
    }


def difference(ours: Found, other: Found, horizon: int) -> tuple[float, float, float]:
    """Difference of success within a horizon, paired over mazes, and its 95 % interval (t, over all
    mazes)."""
    gain = within(ours, horizon).ravel().astype(float) - within(other, horizon).ravel().astype(float)
    half = stats.t.ppf(0.975, len(gain) - 1) * stats.sem(gain)
    return gain.mean(), gain.mean() - half, gain.mean() + half


def within(found: Found, horizon: int) -> np.ndarray:
    return found.success & (found.steps <= horizon)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=240, help="of 1024 environment steps each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--keep", metavar="FOLDER")
    args = parser.parse_args()
    table = methods(args.updates, args.seeds)
    found: dict[str, Found] = {}
    print(f"{args.seeds} seeds x {MAZES} mazes; learners: {args.updates * 1024} steps; success within")
    print(f"{', '.join(map(str, HORIZONS))} steps; mean steps of all (lost: {HORIZONS[-1]})")
    for name in args.only or table:
        begin = time.process_time()
        place = f"toponav-{args.updates}-{args.seeds}-{''.join(c if c.isalnum() else '_' for c in name)}"
        steps, success = kept(args.keep, place, lambda name=name: np.stack(table[name]()))
        found[name] = Found(steps, success.astype(bool))
        shares = "  ".join(f"{within(found[name], h).mean():6.1%}" for h in HORIZONS)
        steps = np.where(found[name].success, found[name].steps, HORIZONS[-1]).mean()
        print(f"{name:28} {shares}  {steps:6.0f}  ({time.process_time() - begin:.0f} CPU s)", flush=True)
    if "TopoNav" not in found:
        return
    middle = HORIZONS[1]
    print(f"TopoNav - ... within {middle} steps, with the 95 % interval, paired over mazes:")
    others = {name: other for name, other in found.items() if name != "TopoNav"}
    gains = {name: difference(found["TopoNav"], other, middle) for name, other in others.items()}
    for name, (gain, low, high) in gains.items():
        print(f"  {name:28} {100 * gain:+5.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]")
    flat = [gain for name, (gain, _, _) in gains.items() if "TopoNav" not in name]
    if flat:
        print(
            f"at least 15 points more than everything without a map: {'yes' if min(flat) >= 0.15 else 'NO'}"
        )


if __name__ == "__main__":
    main()
