"""Environments that run on the host: any of Gymnasium's, through every agent.

``make("host:CartPole-v1")`` makes one by its Gymnasium id, :func:`from_gymnasium` from an instance or from
whatever makes one. Its ``spec.pure`` is False. Programs call it step by step, so that agents, populations,
runs and the command line work as with pure environments; what needs an environment as a function (wrappers,
``reset``, ``step``, ``to_gymnasium``) does not.
"""

import copy
import functools
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp

from rlkit.envs import host_rollout
from rlkit.envs.host_batch import Batch, HostError
from rlkit.envs.host_pool import Pool
from rlkit.envs.host_rollout import FITNESS, Glimpse, Layout
from rlkit.envs.host_spaces import action_space, observation_space
from rlkit.envs.host_tasks import HostTask, known_task, reader, specification
from rlkit.envs.host_worker import Blueprint, limited, said, seen_space, time_limit_of
from rlkit.envs.source import Source
from rlkit.errors import UsageError, check_count, missing_extra, unknown_name
from rlkit.reads import recorded_names
from rlkit.types import EnvSpec, Features, Key, PyTree, Terms

VECTORIZATIONS = ("sync", "async")
DEFAULT_LIMIT = 10_000
"""Time limit, in steps, of environments that are registered without one."""


class Params(NamedTuple):
    """The one number of a host environment that is known. It cannot be changed or mapped over: it is an
    argument of the environment's maker."""

    max_steps: jax.Array  # int32 []


@dataclass(frozen=True, eq=False)
class HostEnv:
    """An environment on the host; made by :func:`host` or :func:`from_gymnasium`. Equal to itself only.

    Attributes:
      spec: its specification.
      layout: how what it sends is read.
      pool: the environments that are running.
      make: makes one Gymnasium environment, ``make(**options)``.
    """

    spec: EnvSpec
    layout: Layout
    pool: Pool
    make: Callable[..., gymnasium.Env]

    def default_params(self) -> Params:
        return Params(jnp.int32(self.spec.max_steps))

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["native_reward"]
        return reward, {"native": reward}

    def source(self) -> Source:
        """Its source of experience, see :func:`rlkit.envs.source.source`."""
        return Source(
            spec=self.spec,
            start_keys=lambda num_envs, auto_reset=None: num_envs,
            start=functools.partial(host_rollout.start, self.pool, limit=self.spec.max_steps),
            rollout=functools.partial(
                host_rollout.rollout,
                self.pool,
                self.layout,
                self.task_reward,
                functools.partial(recorded_names, self),
            ),
            begin=functools.partial(host_rollout.begin, self.pool, self.layout),
            advance=functools.partial(host_rollout.advance, self.pool, self.layout),
            end=functools.partial(host_rollout.end, self.pool),
        )

    def failure(self, error: Exception) -> HostError | None:
        """The error of an environment that ended a program with ``error``; None if it was something else."""
        found = self.pool.failure
        return found if found is not None and str(found) in str(error) else None

    def close(self) -> None:
        """End all environments and worker processes; happens by itself when this object is collected."""
        self.pool.close()

    def initial(self, key: Key, params: Params) -> PyTree:
        raise self._not_a_function("initial")

    def transition(self, key: Key, state: PyTree, action: jax.Array, params: Params) -> PyTree:
        raise self._not_a_function("transition")

    def features(self, state: Glimpse, params: Params) -> Features:
        return self.layout.features(state.obs, state.facts)

    def fitness(self, state: Glimpse, params: Params) -> jax.Array:
        return state.facts[..., FITNESS]

    def observe(self, key: Key, state: Glimpse, params: Params) -> jax.Array:
        return state.obs

    def terminated(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Params) -> jax.Array:
        raise self._not_a_function("terminated")

    def success(self, state: PyTree, action: jax.Array, next_state: PyTree, params: Params) -> jax.Array:
        raise self._not_a_function("success")

    def render(self, state: PyTree, params: Params, size: int = 256) -> Any:
        raise self._not_a_function("render")

    def _not_a_function(self, name: str) -> UsageError:
        return UsageError(
            f"{self.spec.id} runs on the host and is no function of a state, so that it has no {name}(): run "
            "it by rlkit.envs.start and rollout, and wrap the Gymnasium environment before from_gymnasium"
        )


def host(
    id: str,
    *,
    vectorization: str = "sync",
    time_limit: float = 60.0,
    max_steps: int | None = None,
    max_streams: int = 64,
    **options: Any,
) -> HostEnv:
    """An environment by its Gymnasium id, or the host's counterpart of one of ours.

    Args:
      id: of Gymnasium, e.g. ``"LunarLander-v3"`` or ``"package:Maze-v0"``; or ``"mujoco/ant"``,
        ``"box2d/lunarlander"``: see :mod:`rlkit.envs.host_tasks`.
      vectorization: as :func:`from_gymnasium`, as are the next three.
      time_limit: seconds.
      max_steps: time limit in steps; None keeps the registered one.
      max_streams: most batches at once.
      **options: passed on to ``gymnasium.make``.

    Raises:
      UnknownNameError: Gymnasium does not know the id; the message suggests the nearest.
      UsageError: an option is wrong, or its spaces are of a kind that cannot be batched.
      MissingExtraError: it needs a package that is not installed.
    """
    named = id if id.startswith("box2d/") else f"host:{id}"
    task, id, fixed = known_task(id)
    spec = _gymnasium_spec(id)
    more: dict[str, Any] = {} if max_steps is None else {"max_episode_steps": max_steps}
    make = functools.partial(gymnasium.make, spec, disable_env_checker=True, **fixed, **options, **more)
    return from_gymnasium(
        make, id=named, task=task, vectorization=vectorization, time_limit=time_limit, max_streams=max_streams
    )


def _gymnasium_spec(id: str) -> Any:
    """Gymnasium's specification of an id, so that worker processes need no registry."""
    if id.startswith(("PointMaze_", "AntMaze_")):
        if importlib.util.find_spec("gymnasium_robotics") is None:
            raise missing_extra(f"host:{id}", "gymnasium-robotics", "nav")
        import gymnasium_robotics  # pyrefly: ignore

        gymnasium.register_envs(gymnasium_robotics)
    try:
        return gymnasium.spec(id)
    except gymnasium.error.Error as error:
        raise unknown_name("Gymnasium environment", id, gymnasium.registry) from error
    except ModuleNotFoundError as error:
        raise UsageError(f"host:{id}: there is no module {error.name!r}") from error


def from_gymnasium(
    env: gymnasium.Env | Callable[[], gymnasium.Env],
    *,
    id: str | None = None,
    task: HostTask | None = None,
    vectorization: str = "sync",
    time_limit: float = 60.0,
    max_streams: int = 64,
) -> HostEnv:
    """Give a Gymnasium environment the interface of ours.

    Args:
      env: what makes one (a class, a function without arguments), or an instance, of which every slot gets a
        copy (by ``copy.deepcopy``, or made anew from its Gymnasium specification where that is impossible).
      id: its name; None takes ``host:`` and its Gymnasium id or class.
      task: what is known about it; None gives the features ``observation`` and ``native_reward``, and the
        success that ``info["is_success"]`` tells, if it does.
      vectorization: ``"sync"`` steps one slot after the other in this process; ``"async"`` gives each slot a
        process of its own, which pays off when a step takes more than about a millisecond and cores are free.
      time_limit: seconds that resetting or stepping a batch may take before it counts as hung.
      max_streams: most batches of it at once, one for each seed and evaluation.

    Returns:
      The environment; its ``spec.pure`` is False.

    Raises:
      UsageError: the environment cannot be made, copied, or its spaces are of a kind that cannot be batched.
      UnknownNameError: no such vectorization.
    """
    if vectorization not in VECTORIZATIONS:
        raise unknown_name("vectorization", vectorization, VECTORIZATIONS)
    if not time_limit > 0:
        raise UsageError(f"time_limit={time_limit!r}: expected seconds above 0")
    check_count("max_streams", max_streams)
    task = task or HostTask()
    make = _maker(env)
    example = _made(make, id)
    try:
        named = id or _name(example)
        seen, flattened = seen_space(example.observation_space)
        observations = observation_space(seen, flattened)
        actions, decode = action_space(example.action_space, task.actions)
        limit = time_limit_of(example) or DEFAULT_LIMIT
    except TypeError as error:
        raise UsageError(f"{id or _name(example)}: {error}") from error
    finally:
        example.close()
    features, num_facts, read = reader(task, observations, actions)
    layout = Layout(observations, actions, num_facts, read, decode)
    make = functools.partial(limited, make, DEFAULT_LIMIT)

    def batch(num_envs: int) -> Batch:
        prints = [Blueprint(make, slot, task.meter, num_facts) for slot in range(num_envs)]
        return Batch(named, prints, vectorization, time_limit)

    spec = specification(task, named, observations, actions, features, limit)
    return HostEnv(spec, layout, Pool(named, batch, max_streams), make)


def _maker(env: Any) -> Callable[..., gymnasium.Env]:
    """What makes the environments of a batch."""
    if not isinstance(env, gymnasium.Env):
        if not callable(env):
            raise UsageError(
                f"env={env!r}: expected a Gymnasium environment or what makes one, e.g. lambda: MyEnv(size=5)"
            )
        return env
    try:
        copy.deepcopy(env)
        return functools.partial(copy.deepcopy, env)
    except Exception as error:
        if env.spec is None:
            raise UsageError(
                f"{_name(env)} cannot be copied ({type(error).__name__}: {error}), and every slot needs one: "
                "give what makes it instead, e.g. lambda: MyEnv(size=5)"
            ) from error
        return functools.partial(gymnasium.make, env.spec, disable_env_checker=True)


def _made(make: Callable[..., gymnasium.Env], id: str | None) -> gymnasium.Env:
    """One environment, or a sentence why not."""
    name = id or getattr(make, "__name__", "the environment")
    try:
        env = make()
    except gymnasium.error.DependencyNotInstalled as error:
        raise UsageError(f"{name}: {error}; install it with: pip install 'rlkit-jax[host]'") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"{name} cannot be made: {said(error)}") from error
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"{name} made a {type(env).__name__}; expected a gymnasium.Env")
    for space in ("observation_space", "action_space"):
        if not isinstance(getattr(env, space, None), gymnasium.spaces.Space):
            raise UsageError(
                f"{name}: {type(env).__name__} has no {space}; expected a gymnasium.spaces.Space"
            )
    return env


def _name(env: gymnasium.Env) -> str:
    spec = getattr(env, "spec", None)
    return f"host:{spec.id if spec is not None else type(env.unwrapped).__name__}"


class _Quiet(logging.Filter):
    """Keeps JAX from logging errors of environments with tracebacks: they are raised anyway."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HostError))


logging.getLogger("jax._src.callback").addFilter(_Quiet())
