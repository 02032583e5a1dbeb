"""An environment from two functions: a reset and a step.

What a language model, a report or a sweep wants to know of an environment (features, texts, success, fitness)
has defaults here; each can be given. An environment that computes features cheaply, or whose reward is a
function of features, is better written as a class with the methods of :class:`rlkit.types.Environment`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import AutoReset, Fresh
from rlkit.envs.check import check_environment
from rlkit.envs.core import strong
from rlkit.errors import InvalidEnvironmentError, check_count
from rlkit.spaces import Box, Discrete, Space
from rlkit.types import Environment, EnvSpec, Features, FeatureSpec, Key, PyTree, Terms


class Params(NamedTuple):
    """The time limit, and what the functions take as their last argument."""

    max_steps: jax.Array  # int32 []
    own: PyTree


class State(NamedTuple):
    """What a step returns, because functions do not tell observations and rewards from states."""

    inner: PyTree
    obs: jax.Array
    reward: jax.Array  # float32 []: of the step that led here, 0 after a reset
    returned: jax.Array  # float32 []: sum of the episode's rewards
    terminated: jax.Array  # bool []: that step ended the episode by itself


@dataclass(frozen=True, eq=False)  # an object of its own: functions can only be compared by identity
class FunctionEnvironment:
    """Made by :func:`from_functions`."""

    spec: EnvSpec
    functions: "_Functions"
    own: PyTree = field(repr=False, default=())

    def default_params(self) -> Params:
        return Params(jnp.int32(self.spec.max_steps), strong(self.own))

    def _given(self, params: Params) -> tuple[Any, ...]:
        return (params.own,) if jax.tree.leaves(self.own) else ()

    def initial(self, key: Key, params: Params) -> State:
        out = self.functions.reset(key, *self._given(params))
        obs, inner = _unpacked("reset", out, ("obs", "state"))
        zero = jnp.zeros((), jnp.float32)
        return State(strong(inner), jnp.asarray(obs), zero, zero, jnp.zeros((), bool))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        out = self.functions.step(key, state.inner, action, *self._given(params))
        obs, inner, reward, ended = _unpacked("step", out, ("obs", "state", "reward", "terminated"))
        reward = jnp.asarray(reward, jnp.float32)
        ended = jnp.asarray(ended)
        return State(strong(inner), jnp.asarray(obs), reward, state.returned + reward, ended)

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.obs

    def features(self, state: State, params: Params) -> Features:
        extra = self.functions.features
        own = {name: jnp.asarray(value) for name, value in extra(state.inner).items()} if extra else {}
        return {"observation": state.obs.reshape(-1), "native_reward": state.reward, **own}

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["native_reward"]
        return reward, {"native": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.terminated

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        reached = self.functions.success
        return jnp.zeros((), bool) if reached is None else reached(next_state.inner)

    def fitness(self, state: State, params: Params) -> jax.Array:
        judged = self.functions.fitness
        return state.returned if judged is None else judged(state.inner)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        if self.functions.render is not None:
            return np.asarray(self.functions.render(jax.device_get(state.inner), size))
        from rlkit.envs.draw import grey_map

        return grey_map(np.asarray(state.obs, np.float32), size)


class _Functions(NamedTuple):
    reset: Callable[..., Any]
    step: Callable[..., Any]
    success: Callable[[PyTree], Any] | None
    fitness: Callable[[PyTree], Any] | None
    features: Callable[[PyTree], Features] | None
    render: Callable[[PyTree, int], Any] | None


def _unpacked(function: str, out: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    if not isinstance(out, tuple) or len(out) != len(names) or hasattr(out, "_fields"):
        got = f"{len(out)} values" if type(out) is tuple else f"a {type(out).__name__}"
        raise InvalidEnvironmentError(f"{function} returns {got}; expected ({', '.join(names)})")
    return out


def from_functions(
    reset: Callable[..., Any],
    step: Callable[..., Any],
    *,
    action_space: Space,
    observation_space: Space | None = None,
    max_steps: int = 1000,
    params: PyTree = (),
    id: str = "own/environment",
    success: Callable[[PyTree], Any] | None = None,
    fitness: Callable[[PyTree], Any] | None = None,
    features: Callable[[PyTree], Features] | None = None,
    feature_specs: Sequence[FeatureSpec] = (),
    render: Callable[[PyTree, int], Any] | None = None,
    task: str = "Maximise the reward.",
    auto_reset: AutoReset | None = None,
) -> Environment:
    """An environment from a reset and a step.

    Args:
      reset: ``reset(key) -> (obs, state)``. The state is a pytree of arrays or numbers.
      step: ``step(key, state, action) -> (obs, state, reward, terminated)``: observation and state of the
        same shapes and dtypes as before, a number, and a truth value that is never the time limit.
      action_space: the actions.
      observation_space: the observations; None takes a box without bounds of what ``reset`` returns.
      max_steps: time limit in steps, also a parameter.
      params: numbers and arrays that both functions take as their last argument, to be varied in training and
        sweeps; empty: they take none.
      id: a name for listings and reports.
      success: ``success(state) -> bool``, the sparse signal that judges rewards; None: never.
      fitness: ``fitness(state) -> float``, read at the end of an episode; None: the sum of the rewards.
      features: ``features(state) -> {name: array}``, what rewards may read beside ``"observation"`` (flat)
        and ``"native_reward"``.
      feature_specs: meaning, unit and range of some of them; others get what their arrays tell.
      render: ``render(state, size) -> uint8 [size, size, 3]`` on the host; None draws the observation.
      task: the task in words, for language models that design rewards.
      auto_reset: what finished slots continue with; None is ``Fresh()``.

    Returns:
      The environment, checked.

    Raises:
      InvalidEnvironmentError: the functions do not agree with each other or with the spaces.
    """
    functions = _Functions(reset, step, success, fitness, features, render)
    max_steps = check_count("max_steps", max_steps)
    blank = EnvSpec(id, Box((1,)), action_space, (), max_steps, "", "", "", "")
    draft = FunctionEnvironment(blank, functions, params)

    def look(key: Key) -> tuple[Any, Any]:
        state = draft.initial(key, draft.default_params())
        return state.obs, draft.features(state, draft.default_params())

    try:
        obs, seen = jax.eval_shape(look, jax.eval_shape(lambda: jax.random.key(0)))
    except Exception as error:
        raise InvalidEnvironmentError(f"{id}: reset raises {type(error).__name__}: {error}") from error
    space = Box(obs.shape, dtype=obs.dtype.name) if observation_space is None else observation_space
    known = {spec.name: spec for spec in (*_default_specs(space, obs), *feature_specs)}
    spec = EnvSpec(
        id=id,
        observation_space=space,
        action_space=action_space,
        features=tuple(
            known.get(name, FeatureSpec(name, value.shape, value.dtype.name)) for name, value in seen.items()
        ),
        max_steps=max_steps,
        task=task,
        success="none" if success is None else "the environment's own signal of success",
        fitness="sum of the rewards in the episode" if fitness is None else "the environment's own score",
        native_reward="the environment's own",
        fitness_over="final",
        auto_reset=Fresh() if auto_reset is None else auto_reset,
    )
    env = FunctionEnvironment(spec, functions, params)
    check_environment(env)
    return env


def _default_specs(space: Any, obs: Any) -> tuple[FeatureSpec, ...]:
    low, high = -math.inf, math.inf
    if isinstance(space, Discrete):
        low, high = space.start, space.last
    elif isinstance(space, Box):
        bounds = space.bounds()
        low, high = float(bounds[0].min(initial=math.inf)), float(bounds[1].max(initial=-math.inf))
        low, high = (low, high) if low <= high else (-math.inf, math.inf)
    size = math.prod(obs.shape)
    return (
        FeatureSpec("observation", (size,), obs.dtype.name, low, high, meaning="what the agent sees, flat"),
        FeatureSpec("native_reward", meaning="the environment's reward for the step that led here"),
    )
