"""A toy learner with a ring of experience, as agents with a replay buffer have."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.registry import make
from rlkit.rewards import task
from rlkit.types import ActInfo, Agent, Environment, Key

CAPACITY = 20_000


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RingConfig:
    """Settings of the toy learner."""

    sick_at: int = field(default=-1, metadata={"static": True, "help": "update that stores a NaN"})
    cured: bool = field(default=False, metadata={"static": True, "help": "other keys do not fall sick"})

    def replace(self, **changes: Any) -> "RingConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


class Ring(NamedTuple):
    """The ring."""

    stored: jax.Array  # float32 [CAPACITY]
    cursor: jax.Array  # int32 []: written next, and how many there are


class State(NamedTuple):
    """Everything that learning needs."""

    ring: Ring
    params: jax.Array
    key: Key
    origin: jax.Array  # the key's data at the start
    update: jax.Array


def ring(env: Environment | None = None, config: RingConfig | None = None, reward: Any = None) -> Agent:
    """Follow the mean of what was stored; ``env`` only gives its name."""
    config, env = config or RingConfig(), env or make("classic/cartpole")

    def init(key, given=None, env_params=None, reward_params=None):
        empty = Ring(jnp.zeros(CAPACITY), jnp.int32(0))
        return State(empty, jnp.float32(0), key, jax.random.key_data(key), jnp.int32(0))

    def step(state):
        key = jax.random.fold_in(state.key, state.update)
        sick = state.ring.cursor == config.sick_at
        sick &= (jax.random.key_data(state.key) == state.origin).all() | (not config.cured)
        new = 1 + jax.random.uniform(key) + jnp.where(sick, jnp.nan, 0.0)
        stored = state.ring.stored.at[state.ring.cursor].set(new)
        count = state.ring.cursor + 1
        drawn = stored[jax.random.randint(key, (64,), 0, count)]
        error = jnp.where(sick, new, drawn.mean()) - state.params
        rows = Ring(stored, count % CAPACITY)
        new = State(rows, state.params + 0.1 * error, state.key, state.origin, state.update + 1)
        return new, {"loss": error**2}

    def act(params, carry, obs, key=None):
        return jnp.int32(0), carry, ActInfo(params[None], jnp.float32(0), jnp.float32(0))

    policy, carry = (lambda state: state.params), (lambda: ())
    return Agent(init, step, policy, carry, act, env, task(), config, 1, bulk=("ring.stored",))
