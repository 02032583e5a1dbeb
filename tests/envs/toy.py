"""A counter: the observation names the episode and the step, so that every mix-up shows."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs import Fresh
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec


class CounterParams(NamedTuple):
    max_steps: jax.Array  # int32 []
    end: jax.Array  # int32 []: terminates when the count reaches it


class CounterState(NamedTuple):
    episode: jax.Array  # int32 []: drawn at random, names the episode
    count: jax.Array  # int32 []


@dataclass(frozen=True)
class Counter:
    """Counts up by one; action 1 is also paid."""

    @property
    def spec(self):
        return EnvSpec(
            id="toy/counter",
            observation_space=Box((2,), dtype="int32"),
            action_space=Discrete(2),
            features=(
                FeatureSpec("episode", dtype="int32", meaning="name of the episode"),
                FeatureSpec("count", dtype="int32", low=0, meaning="steps so far"),
            ),
            max_steps=100,
            task="Count.",
            success="the count reached the end",
            fitness="the count",
            native_reward="the new count, plus 100 for action 1",
            auto_reset=Fresh(),
        )

    def default_params(self):
        return CounterParams(jnp.int32(100), jnp.int32(100))

    def initial(self, key, params):
        return CounterState(jax.random.randint(key, (), 0, 2**31 - 1, jnp.int32), jnp.zeros((), jnp.int32))

    def transition(self, key, state, action, params):
        return state._replace(count=state.count + 1)

    def observe(self, key, state, params):
        return jnp.stack(state)

    def features(self, state, params):
        return state._asdict()

    def task_reward(self, features, action, next_features, params):
        count = next_features["count"].astype(jnp.float32)
        bonus = 100.0 * action.astype(jnp.float32)
        return count + bonus, {"count": count, "bonus": bonus}

    def terminated(self, state, action, next_state, params):
        return next_state.count >= params.end

    def success(self, state, action, next_state, params):
        return next_state.count == params.end

    def fitness(self, state, params):
        return state.count.astype(jnp.float32)

    def render(self, state, params, size=256):
        raise NotImplementedError
