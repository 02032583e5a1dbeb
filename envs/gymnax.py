"""Environments of gymnax (0.0.9 and 1.x) as ``gymnax/<its id>``.

Dynamics, observations and rewards are gymnax's own. Its automatic reset is not used. Its time
limit is a truncation here, in all its versions; older ones end an episode by it as if by a failure.
"""

import functools
import importlib.util
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.envs.check import check_environment
from rlkit.envs.core import strong
from rlkit.errors import UsageError, missing_extra, unknown_name
from rlkit.spaces import Box, Discrete, Space
from rlkit.types import Environment, EnvSpec, Features, FeatureSpec, Key, Terms

_NEVER = 2**30  # steps


class Params(NamedTuple):
    """Our time limit, and gymnax's parameters (a dataclass of strongly typed arrays)."""

    max_steps: jax.Array  # int32 []
    gymnax: Any


class State(NamedTuple):
    """What gymnax's step returns, because it does not tell observations and rewards from states."""

    gymnax: Any
    obs: jax.Array
    reward: jax.Array  # float32 []: of the step that led here, 0 after a reset
    returned: jax.Array  # float32 []: sum of the episode's rewards
    terminated: jax.Array  # bool []: that step ended the episode by itself


class _Engine(NamedTuple):
    env: Any
    params: Params
    obs: Any  # its shape and dtype
    observation_space: Space
    action_space: Space


@functools.cache
def _engine(name: str) -> _Engine:
    with jax.ensure_compile_time_eval():
        import gymnax

        if name not in gymnax.registered_envs:
            raise unknown_name("gymnax environment", name, gymnax.registered_envs)
        return _engine_of(name, *gymnax.make(name))


def _engine_of(name: str, env: Any, native: Any) -> _Engine:
    limit = int(getattr(native, "max_steps_in_episode", _NEVER))
    params = Params(jnp.int32(limit), strong(native))
    obs = jax.eval_shape(env.reset_env, jax.eval_shape(lambda: jax.random.key(0)), params.gymnax)[0]
    if not hasattr(obs, "shape"):
        raise UsageError(f"gymnax/{name} observes {type(obs).__name__}, not an array; flatten it in gymnax")
    seen = _space(name, env.observation_space(native), obs)
    return _Engine(env, params, obs, seen, _space(name, env.action_space(native)))


def _space(name: str, space: Any, obs: Any = None) -> Space:
    """A gymnax space as ours; ``obs`` is what observations really are (cast to its dtype)."""
    shape = None if obs is None else obs.shape
    if hasattr(space, "n") and (obs is None or (shape == () and jnp.issubdtype(obs.dtype, np.integer))):
        return Discrete(int(space.n))
    if hasattr(space, "n"):
        return Box(shape or (), 0.0, float(space.n))
    if not hasattr(space, "low"):
        raise UsageError(
            f"gymnax/{name} has a space of type {type(space).__name__}; expected Box or Discrete"
        )
    shape = tuple(space.shape) if shape is None else shape

    def bound(value: Any, instead: float) -> tuple[float, ...]:
        try:
            value = np.broadcast_to(np.asarray(value, np.float64), shape)
        except ValueError:  # some spaces do not have the shape of their observations
            value = np.full(shape, instead)
        return tuple(value.reshape(-1).tolist())

    return Box(shape, bound(space.low, -math.inf), bound(space.high, math.inf))


@dataclass(frozen=True)
class Gymnax:
    """``gymnax/<name>``: an environment that gymnax registers, with its default parameters.

    Features are the flat observation and the reward of the last step. gymnax has no sparse
    success signal, so that ``success`` is never true: judge agents by their return.

    Attributes:
      name: gymnax's id, e.g. ``"CartPole-v1"`` or ``"Breakout-MinAtar"``.
    """

    name: str

    def __post_init__(self) -> None:
        if importlib.util.find_spec("gymnax") is None:
            raise missing_extra(f"gymnax/{self.name}", "gymnax", "gymnax")
        _engine(self.name)

    @property
    def _engine(self) -> _Engine:
        return _engine(self.name)

    @property
    def spec(self) -> EnvSpec:
        engine = self._engine
        return EnvSpec(
            id=f"gymnax/{self.name}",
            observation_space=engine.observation_space,
            action_space=engine.action_space,
            features=(
                FeatureSpec(
                    "observation",
                    (math.prod(engine.obs.shape),),
                    engine.observation_space.dtype,
                    meaning="what the agent sees, flat",
                ),
                FeatureSpec("native_reward", meaning="gymnax's reward for the step that led here"),
            ),
            max_steps=int(engine.params.max_steps),
            task=f"{self.name} of gymnax: maximise its reward.",
            success="none: gymnax has no sparse success signal",
            fitness="sum of gymnax's rewards in the episode",
            native_reward="gymnax's",
            fitness_over="final",
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        return self._engine.params

    def initial(self, key: Key, params: Params) -> State:
        obs, state = self._engine.env.reset_env(key, _native(params))
        zero = jnp.zeros((), jnp.float32)
        return State(
            strong(state), obs.astype(self._engine.observation_space.dtype), zero, zero, jnp.zeros((), bool)
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        env, native = self._engine.env, _native(params)
        obs, after, reward, ended, *_ = env.step_env(key, state.gymnax, action, native)
        if not hasattr(env, "is_truncated"):  # before 1.0 the time limit ends episodes too
            ended = env.is_terminal(after, _native(params._replace(max_steps=jnp.int32(_NEVER))))
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        return State(
            jax.tree.map(lambda new, old: jnp.asarray(new).astype(old.dtype), after, state.gymnax),
            obs.astype(state.obs.dtype),
            reward,
            state.returned + reward,
            jnp.asarray(ended, bool).reshape(()),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.obs

    def features(self, state: State, params: Params) -> Features:
        return {"observation": state.obs.reshape(-1), "native_reward": state.reward}

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["native_reward"]
        return reward, {"native": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.terminated

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return jnp.zeros((), bool)

    def fitness(self, state: State, params: Params) -> jax.Array:
        return state.returned

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """The observation as a map of grey values, its channels one beside the other."""
        from rlkit.envs.draw import grey_map

        return grey_map(np.asarray(state.obs, np.float32), size)


@dataclass(frozen=True)
class _Held:
    """An environment object and its engine; compared by identity."""

    engine: _Engine = field(hash=False, compare=False)
    env: int  # its id


@dataclass(frozen=True)
class _Instance(Gymnax):
    held: _Held = field(kw_only=True)

    def __post_init__(self) -> None:
        pass

    @property
    def _engine(self) -> _Engine:
        return self.held.engine


def from_gymnax(env: Any, params: Any = None) -> Environment:
    """An environment of gymnax from an object, e.g. one of your own: its class, not a registered id.

    Args:
      env: a ``gymnax.environments.environment.Environment``.
      params: its parameters; None takes ``env.default_params``.

    Returns:
      The environment, checked; as :class:`Gymnax` otherwise.

    Raises:
      InvalidEnvironmentError: its methods do not agree with each other or with its spaces.
      UsageError: its observations are not arrays, or a space is neither a box nor discrete.
    """
    if not callable(getattr(env, "step_env", None)):
        raise UsageError(f"env={env!r:.80}: expected an environment of gymnax, with reset_env and step_env")
    name = str(getattr(env, "name", type(env).__name__))
    engine = _engine_of(name, env, env.default_params if params is None else params)
    made = _Instance(name, held=_Held(engine, id(engine)))
    check_environment(made)
    return made


def _native(params: Params) -> Any:
    """gymnax's parameters with our time limit."""
    if not hasattr(params.gymnax, "max_steps_in_episode"):
        return params.gymnax
    limit = params.max_steps.astype(jnp.asarray(params.gymnax.max_steps_in_episode).dtype)
    return params.gymnax.replace(max_steps_in_episode=limit)
