"""Judges as agents: every seed and every way of paying in one program, and what they do in the end."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _common import keys

from rlkit.agents import ppo
from rlkit.agents.episodes import Moment, run_episodes
from rlkit.agents.ppo import PPOConfig
from rlkit.envs import make

SMALL = PPOConfig(num_envs=16, num_steps=64, sizes=(32, 32), learning_rate=3e-3, discount=1.0)


def trained(
    id: str, ways: dict[str, Any], seeds: int, updates: int, episodes: int = 512
) -> dict[str, dict[str, np.ndarray]]:
    """Features at the end of fresh episodes, means over episodes, by way of paying: each ``[seeds]``.

    Args:
      id: of the environment.
      ways: parameters of the environment that judges are trained with, by name.
      seeds: how many of each.
      updates: of PPO.
      episodes: that they are judged in, with the default parameters.
    """
    env = make(id)
    agent = ppo(env, SMALL)
    params = jax.tree.map(lambda *x: jnp.repeat(jnp.stack(x), seeds, 0), *ways.values())

    def start(state):
        return jax.tree.map(
            lambda x: jnp.zeros((), jnp.float32), env.features(state.inner, env.default_params())
        )

    def see(totals, moment: Moment):
        told = env.features(moment.after.state.inner, env.default_params())
        return jax.tree.map(lambda x: x.astype(jnp.float32), told)

    def one(key, params):
        state = agent.init(key, env_params=params)
        state = jax.lax.scan(lambda s, _: (agent.step(s)[0], None), state, None, length=updates)[0]
        default = env.default_params()
        found = run_episodes(
            agent, agent.policy(state), jax.random.key(7), episodes, default, start, see, greedy=True
        )
        return jax.tree.map(lambda x: x.mean(0), found)

    every = jax.jit(jax.vmap(one))(jnp.tile(keys(seeds), len(ways)), params)
    cut = lambda i: {name: np.asarray(x)[i * seeds : (i + 1) * seeds] for name, x in every.items()}
    return {name: cut(i) for i, name in enumerate(ways)}
