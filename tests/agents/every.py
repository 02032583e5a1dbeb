"""A small agent of each kind, compiled once for all tests of what must hold for every agent."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from small import Restless, jit

from rlkit.agents.dqn import DQNConfig, dqn
from rlkit.agents.ppo import PPOConfig, ppo
from rlkit.agents.pqn import PQNConfig, pqn
from rlkit.agents.sac import SACConfig, sac
from rlkit.agents.toponav import TopoNavConfig, toponav
from rlkit.envs.cartpole import CartPole
from rlkit.envs.pendulum import Pendulum
from rlkit.envs.treerooms import TreeRooms
from rlkit.envs.wrappers import select_observation

_ON_POLICY = {"num_envs": 4, "num_steps": 8, "epochs": 2, "minibatches": 2, "sizes": (8, 6)}
_REPLAY = {"num_envs": 2, "num_steps": 4, "updates_to_data": 0.25, "batch_size": 8, "buffer_size": 40}
_REPLAY |= {"sizes": (8, 6), "learning_starts": 16, "normalize_obs": True}
_SETTINGS = {
    "ppo": (ppo, Restless(), PPOConfig(learning_rate=1e-3, **_ON_POLICY)),
    "sac": (sac, Pendulum(), SACConfig(learning_rate=1e-3, **_REPLAY)),
    "dqn": (dqn, Restless(), DQNConfig(learning_rate=1e-3, n_step=3, target_every=3, **_REPLAY)),
    "pqn": (pqn, Restless(), PQNConfig(learning_rate=1e-3, **_ON_POLICY)),
    "pqn-gru": (
        pqn,
        select_observation(CartPole(), (0, 2)),
        PQNConfig(learning_rate=1e-3, torso="gru", normalize_reward=True, **_ON_POLICY),
    ),
    "toponav": (
        toponav,
        TreeRooms(rooms=2, room_size=2, view=3),
        TopoNavConfig(learning_rate=1e-3, capacity=6, extent=13, meta_sizes=(5,), **_ON_POLICY),
    ),
}
KINDS = tuple(_SETTINGS)
REPLAYING = ("sac", "dqn")
WARM = 3
"""Updates after which every one of them learns."""


class Small(NamedTuple):
    agent: Any
    init: Any  # compiled
    step: Any  # compiled

    def after(self, updates, state=None, key=0):
        """The state after some updates, and the metrics of each."""
        state, metrics = self.init(jax.random.key(key)) if state is None else state, []
        for _ in range(updates):
            state, found = self.step(state)
            metrics.append(found)
        return state, metrics


def build(kind, **options):
    """The agent of one of the KINDS, with other options."""
    make, env, config = _SETTINGS[kind]
    return make(env, config, **options)


@functools.cache
def small(kind):
    """The agent of one of the KINDS, which reports its latents."""
    agent = build(kind, latents=True)
    return Small(agent, jit(agent.init), jit(agent.step))


def learned(agent, state):
    """What learning changes: parameters, optimiser, targets."""
    return state.learner if hasattr(state, "learner") else (state.params, state.optimiser)


def parameters(state):
    """What the optimiser changes."""
    return state.learner.params if hasattr(state, "learner") else state.params


def value_metric(kind):
    """A metric of what is learned."""
    return "loss/value" if kind == "ppo" else "value/mean"


def flat(tree):
    """All numbers of a tree as one vector."""
    return jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(tree)])
