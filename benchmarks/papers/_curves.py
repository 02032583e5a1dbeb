"""Learning curves by success in fresh episodes, of seeds side by side."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _common import keys

from rlkit.agents.evaluate import evaluate
from rlkit.types import Agent


def success_curve(
    agent: Agent, seeds: int, budget: int, points: int, reward_params: Any = None, episodes: int = 64
) -> np.ndarray:
    """Share of fresh episodes that succeed, before and after each part of training, ``[points + 1, seeds]``.

    Actions are sampled: in grids, the most likely actions of a policy that has half learned lead to and fro
    between two cells for ever.

    Args:
      agent: whose policy it is.
      seeds: how many.
      budget: environment steps of each seed.
      points: parts of the training.
      reward_params: of each seed, leaves ``[seeds, ...]``; None: the agent's own.
      episodes: how many are judged each time.
    """
    updates = budget // (agent.steps_per_update * points)
    begin = lambda key, params: agent.init(key, None, None, params)
    states = jax.jit(jax.vmap(begin, (0, None if reward_params is None else 0)))(keys(seeds), reward_params)

    def train(state: Any) -> Any:
        return jax.lax.scan(lambda s, _: (agent.step(s)[0], None), state, length=updates)[0]

    def judge(state: Any, key: jax.Array) -> jax.Array:
        return jnp.mean(evaluate(agent, agent.policy(state), key, episodes, greedy=False).success)

    train, judge, found = jax.jit(jax.vmap(train)), jax.jit(jax.vmap(judge)), []
    for point in range(points + 1):
        found.append(judge(states, keys(seeds, 100 + point)))
        states = train(states) if point < points else states
    return np.array(found)


def steps_to(curve: np.ndarray, budget: int, share: float = 0.5) -> float:
    """Environment steps after which the mean over seeds reaches a share; infinity if it does not."""
    mean, at = curve.mean(1), np.linspace(0, budget, len(curve))
    reached = np.flatnonzero(mean >= share)
    if not len(reached):
        return np.inf
    k = reached[0]
    return float(at[0] if k == 0 else np.interp(share, mean[k - 1 : k + 1], at[k - 1 : k + 1]))
