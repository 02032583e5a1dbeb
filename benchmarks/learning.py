"""What agents learn: mean return of greedy fresh episodes, with the 95 % interval over seeds.

    python benchmarks/learning.py [TASK ...] [--seeds 8] [--first 0] [--steps N] [--each]

Settings are those that are published for a task where the comment says so, else found by trying a few with
other keys than those that are judged: the numbers say what agents can learn, not what a first try gives.
``--each`` trains one seed after the other and prints each as it is done.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from rlkit.agents import PPOConfig, PQNConfig, SACConfig, evaluate, ppo, pqn, sac
from rlkit.agents.replaying import gradient_steps
from rlkit.envs import make
from rlkit.parallel import over_seeds, seed_keys

DECAY = 1.0  # replaced by the number of updates: the learning rate falls to 0 over the whole run


class Task(NamedTuple):
    """An agent on an environment."""

    env: str
    agent: Callable[..., Any]
    config: Any
    steps: int
    episodes: int = 32


# What RL Baselines3 Zoo publishes for LunarLander: minibatches of 64 steps, nothing is normalised.
_LANDER = PPOConfig(
    learning_rate=3e-4, discount=0.999, gae_lambda=0.98, num_envs=16, num_steps=1024, minibatches=256
)
# Smaller networks and batches than usual (256, 256 and 256), so that eight seeds take minutes.
_CHEETAH = SACConfig(learning_rate=1e-3, batch_size=128, buffer_size=50_000, sizes=(128, 128), num_steps=16)
_CRAFT: dict[str, Any] = {
    "learning_rate": 5e-4, "decay_updates": DECAY, "num_envs": 128, "num_steps": 32, "sizes": (128, 128),
    "epochs": 4, "minibatches": 4,
}  # fmt: skip

TASKS = {
    "lunarlander-ppo": Task("box2d/lunarlander", ppo, _LANDER, 1_000_000),
    "halfcheetah-sac": Task("host:HalfCheetah-v5", sac, _CHEETAH, 30_000, 4),
    "craft-mini-ppo": Task("craft/mini", ppo, PPOConfig(**_CRAFT), 300_000),
    "craft-mini-pqn": Task(
        "craft/mini", pqn, PQNConfig(epsilon_steps=60_000.0, epsilon_end=0.01, **_CRAFT), 300_000
    ),
}  # fmt: skip


def outcome(name, env, config, steps, seeds, reward=None, episodes=32, make_agent=ppo, first=0):
    """Train seeds from ``first`` for so many steps each, and judge them.

    Prints mean return, success and fitness with their 95 % intervals, every seed, steps and CPU time.

    Returns:
      Means over the episodes of each seed, :class:`rlkit.agents.evaluate.Evaluation` of arrays ``[seeds]``.
    """
    agent = make_agent(env, config, reward)
    updates = -(-steps // agent.steps_per_update)
    if getattr(config, "decay_updates", 0.0):
        each = gradient_steps(config) if hasattr(config, "updates_to_data") else 1
        agent = make_agent(env, config.replace(decay_updates=float(updates * each)), reward)

    def learn(key, updates):
        key_learn, key_judge = jax.random.split(key)
        state = jax.lax.fori_loop(0, updates, lambda i, s: agent.step(s)[0], agent.init(key_learn))
        return evaluate(agent, agent.policy(state), key_judge, episodes)

    begin = time.process_time()
    keys = seed_keys(jax.random.key(0), first + seeds)[first:]
    found = jax.tree.map(np.asarray, jax.jit(over_seeds(learn))(keys, jnp.int32(updates)))
    seconds = time.process_time() - begin
    means = found._replace(**{field: getattr(found, field).mean(1) for field in found._fields})
    for what in ("returned", "success", "fitness"):
        x = getattr(means, what)
        half = stats.t.ppf(0.975, seeds - 1) * x.std(ddof=1) / np.sqrt(seeds) if seeds > 1 else np.nan
        print(f"\n{name}: {what} {x.mean():.2f} ± {half:.2f} {np.round(x, 2).tolist()}", end="")
    print(f"\n  {updates * agent.steps_per_update} steps per seed, {seconds:.0f} CPU-s in all", flush=True)
    return means


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first seed")
    parser.add_argument("--steps", type=int, default=0, help="of each seed; 0: those of the task")
    parser.add_argument("--each", action="store_true", help="one seed after the other")
    chosen = parser.parse_args()
    for name in chosen.tasks:
        task = TASKS[name]
        train = functools.partial(
            outcome, name, make(task.env), task.config, chosen.steps or task.steps,
            episodes=task.episodes, make_agent=task.agent,
        )  # fmt: skip
        if chosen.each:
            for seed in range(chosen.first, chosen.first + chosen.seeds):
                train(1, first=seed)
        else:
            train(chosen.seeds, first=chosen.first)


if __name__ == "__main__":
    main()
