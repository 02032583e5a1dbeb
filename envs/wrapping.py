"""What wrappers have in common: forwarding everything to the environment that they wrap."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from rlkit.envs.suggest import not_an_environment
from rlkit.errors import InvalidEnvironmentError
from rlkit.reads import private_features
from rlkit.types import Environment, EnvSpec, Features, FeatureSpec, Key, PyTree, Terms


def wrapped(env: Any) -> Environment:
    """What a wrapper was given, if it can be wrapped.

    Raises:
      InvalidEnvironmentError: it is no environment, or runs on the host.
    """
    if (sentence := not_an_environment(env)) is not None:
        raise InvalidEnvironmentError(sentence)
    if not env.spec.pure:
        raise InvalidEnvironmentError(
            f"{env.spec.id} runs on the host, where wrappers of rlkit.envs do not: wrap the Gymnasium "
            "environment, and give rlkit.envs.from_gymnasium a function that makes it"
        )
    return env


@dataclass(frozen=True)
class Wrapper:
    """Forwards everything to the environment that it wraps."""

    env: Environment

    @property
    def spec(self) -> EnvSpec:
        return self.env.spec

    @property
    def private_features(self) -> tuple[FeatureSpec, ...]:
        return private_features(self.env)

    def respec(self, suffix: str, **changes: Any) -> EnvSpec:
        """The wrapped environment's specification with changes, and ``+suffix`` in the id."""
        return dataclasses.replace(self.env.spec, id=f"{self.env.spec.id}+{suffix}", **changes)

    def default_params(self) -> Any:
        return self.env.default_params()

    def initial(self, key: Key, params: Any) -> PyTree:
        return self.env.initial(key, params)

    def transition(self, key: Key, state: PyTree, action: jax.Array, params: Any) -> PyTree:
        return self.env.transition(key, state, action, params)

    def observe(self, key: Key, state: PyTree, params: Any) -> jax.Array:
        return self.env.observe(key, state, params)

    def features(self, state: PyTree, params: Any) -> Features:
        return self.env.features(state, params)

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Any
    ) -> tuple[jax.Array, Terms]:
        return self.env.task_reward(features, action, next_features, params)

    def terminated(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        return self.env.terminated(state, action, next_state, params)

    def success(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Any) -> jax.Array:
        return self.env.success(state, action, next_state, params)

    def fitness(self, state: PyTree, params: Any) -> jax.Array:
        return self.env.fitness(state, params)

    def render(self, state: PyTree, params: Any, size: int = 256) -> Any:
        return self.env.render(state, params, size)


class Wrapped(NamedTuple):
    """The inner state of an environment whose wrapper keeps something beside it."""

    inner: PyTree
    memory: PyTree


@dataclass(frozen=True)
class StatefulWrapper(Wrapper):
    """Forwards everything, for inner states of type :class:`Wrapped`."""

    def observe(self, key: Key, state: Wrapped, params: Any) -> jax.Array:
        return self.env.observe(key, state.inner, params)

    def features(self, state: Wrapped, params: Any) -> Features:
        return self.env.features(state.inner, params)

    def terminated(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return self.env.terminated(state.inner, action, next_state.inner, params)

    def success(self, state: Wrapped, action: jax.Array, next_state: Wrapped, params: Any) -> jax.Array:
        return self.env.success(state.inner, action, next_state.inner, params)

    def fitness(self, state: Wrapped, params: Any) -> jax.Array:
        return self.env.fitness(state.inner, params)

    def render(self, state: Wrapped, params: Any, size: int = 256) -> Any:
        return self.env.render(state.inner, params, size)
