"""Environments of gymnax (0.0.9 and 1.x) as ``gymnax/<its id>``.

Dynamics, observations and rewards are gymnax's own. Its automatic reset is not used. Its time
limit is a truncation here, in all its versions; older ones end an episode by it as if by a failure.
"""

import functools
import importlib.util
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.envs.core import strong
from rlkit.errors import UsageError, missing_extra, unknown_name
from rlkit.spaces import Box, Discrete, Space
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

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
        env, native = gymnax.make(name)
        limit = int(getattr(native, "max_steps_in_episode", _NEVER))
        params = Params(jnp.int32(limit), strong(native))
        obs = jax.eval_shape(env.reset_env, jax.eval_shape(lambda: jax.random.key(0)), params.gymnax)[0]
        if not hasattr(obs, "shape"):
            raise UsageError(
                f"gymnax/{name} observes {type(obs).__name__}, not an array; flatten it in gymnax"
            )
        seen = _space(name, env.observation_space(native), obs.shape)
        return _Engine(env, params, obs, seen, _space(name, env.action_space(native)))


def _space(name: str, space: Any, shape: tuple[int, ...] | None = None) -> Space:
    """A gymnax space as ours; ``shape`` is what observations really have (they are cast to float32)."""
    if shape is None and hasattr(space, "n"):
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
    def spec(self) -> EnvSpec:
        engine = _engine(self.name)
        return EnvSpec(
            id=f"gymnax/{self.name}",
            observation_space=engine.observation_space,
            action_space=engine.action_space,
            features=(
                FeatureSpec(
                    "observation", (math.prod(engine.obs.shape),), meaning="what the agent sees, flat"
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
        return _engine(self.name).params

    def initial(self, key: Key, params: Params) -> State:
        obs, state = _engine(self.name).env.reset_env(key, _native(params))
        zero = jnp.zeros((), jnp.float32)
        return State(strong(state), obs.astype(jnp.float32), zero, zero, jnp.zeros((), bool))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        env, native = _engine(self.name).env, _native(params)
        obs, after, reward, ended, *_ = env.step_env(key, state.gymnax, action, native)
        if not hasattr(env, "is_truncated"):  # before 1.0 the time limit ends episodes too
            ended = env.is_terminal(after, _native(params._replace(max_steps=jnp.int32(_NEVER))))
        reward = jnp.asarray(reward, jnp.float32).reshape(())
        return State(
            jax.tree.map(lambda new, old: jnp.asarray(new).astype(old.dtype), after, state.gymnax),
            obs.astype(jnp.float32),
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
        obs = np.asarray(state.obs, np.float32)
        grid = np.concatenate(list(np.moveaxis(obs, -1, 0)), 1) if obs.ndim == 3 else np.atleast_2d(obs)
        grid = grid.reshape(grid.shape[0], -1)
        span = max(float(grid.max() - grid.min()), 1e-6)
        rows, columns = (np.arange(size) * n // size for n in grid.shape)
        grey = 255 * (grid.max() - grid[rows][:, columns]) / span
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, -1)


def _native(params: Params) -> Any:
    """gymnax's parameters with our time limit."""
    if not hasattr(params.gymnax, "max_steps_in_episode"):
        return params.gymnax
    limit = params.max_steps.astype(jnp.asarray(params.gymnax.max_steps_in_episode).dtype)
    return params.gymnax.replace(max_steps_in_episode=limit)
