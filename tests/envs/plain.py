"""An environment as a newcomer writes it, for cases that change one thing of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec


class Params(NamedTuple):
    max_steps: jax.Array


class State(NamedTuple):
    count: jax.Array
    paid: jax.Array


@dataclass(frozen=True)
class Plain:
    """Counts steps, pays 1 each."""

    limit: int = 10
    action: Any = Discrete(2)  # noqa: RUF009 (spaces are values)
    seen: Any = Box((1,))  # noqa: RUF009

    @property
    def spec(self):
        return EnvSpec("my/plain", self.seen, self.action, (FeatureSpec("paid"),), self.limit, "", "", "", "")

    def default_params(self):
        return Params(jnp.int32(self.limit))

    def initial(self, key, params):
        return State(jnp.zeros(()), jnp.zeros(()))

    def transition(self, key, state, action, params):
        return State(state.count + 1.0, jnp.ones(()))

    def observe(self, key, state, params):
        return state.count[None]

    def features(self, state, params):
        return {"paid": state.paid}

    def task_reward(self, features, action, next_features, params):
        return next_features["paid"], {}

    def terminated(self, state, action, next_state, params):
        return jnp.zeros((), bool)

    def success(self, state, action, next_state, params):
        return jnp.zeros((), bool)

    def fitness(self, state, params):
        return state.paid

    def render(self, state, params, size=256):
        return np.zeros((size, size, 3), np.uint8)


def changed(**methods: Any) -> type[Plain]:
    """The class with other methods, e.g. ``changed(success=lambda self, *_: 1.0)``."""
    return dataclass(frozen=True)(type("Changed", (Plain,), methods))
