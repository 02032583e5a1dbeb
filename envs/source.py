"""Where experience comes from: a pure environment, or one on the host, behind the same functions.

Agents run environments through :func:`start` and :func:`rollout` of this module (they are those of
``rlkit.envs``) and need not know which kind they have.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from rlkit.envs.autoreset import AutoReset
from rlkit.envs.check import check_environment
from rlkit.envs.core import Advance, advance, reset
from rlkit.envs.rollout import Policy
from rlkit.envs.rollout import rollout as pure_rollout
from rlkit.envs.rollout import start as pure_start
from rlkit.envs.rollout import start_keys as pure_start_keys
from rlkit.types import Environment, EnvSpec, EnvState, Key, PyTree, Trajectory


class Source(NamedTuple):
    """A batch of environments as functions of explicit state; made by :func:`source`.

    ``start`` and ``rollout`` are those below without their first argument. Whole episodes, whose number of
    steps is not known before, take ``begin``, ``advance`` and ``end``; nothing is reset there.
    """

    spec: EnvSpec

    start_keys: Callable[..., int]
    """``start_keys(num_envs, auto_reset=None) -> pairs of keys that start takes``"""

    start: Callable[..., PyTree]
    """``start(key, params, num_envs, *, auto_reset=None, record=None) -> slots``"""

    rollout: Callable[..., tuple[PyTree, PyTree, Trajectory]]
    """``rollout(policy, carry, slots, key, params, num_steps, *, inputs=None, auto_reset=None, record=None)
    -> (slots, carry, trajectory)``"""

    begin: Callable[..., tuple[jax.Array, EnvState, PyTree]]
    """``begin(keys [B], params) -> (obs [B, ...], state [B, ...], world)``; ``world`` is what runs them."""

    advance: Callable[..., tuple[Advance, PyTree]]
    """``advance(world, keys [B], state, actions [B, ...], params, wanted) -> (advance [B, ...], world)``; the
    result is not used where ``wanted`` (bool []) is false."""

    end: Callable[[PyTree], None]
    """``end(world)``: it is not gone on with."""


def source(env: Environment) -> Source:
    """The source of experience of an environment.

    Args:
      env: a pure environment, whose steps are compiled into the program, or one on the host
        (``env.spec.pure`` is False, see :mod:`rlkit.envs.host`), which the program calls and which makes its
        source itself (``env.source()``).
    """
    check_environment(env)
    if not env.spec.pure:
        make: Callable[[], Source] = getattr(env, "source")  # noqa: B009 (only environments on the host have it)
        return make()
    bind = functools.partial
    return Source(
        spec=env.spec,
        start_keys=bind(pure_start_keys, env),
        start=bind(pure_start, env),
        rollout=bind(pure_rollout, env),
        begin=bind(_begin, env),
        advance=bind(_advance, env),
        end=lambda world: None,
    )


def _begin(env: Environment, keys: Key, params: Any) -> tuple[jax.Array, EnvState, PyTree]:
    return *jax.vmap(lambda key: reset(env, key, params))(keys), ()


def _advance(
    env: Environment, world: PyTree, keys: Key, state: EnvState, actions: jax.Array, params: Any, wanted: Any
) -> tuple[Advance, PyTree]:
    return jax.vmap(lambda key, state, action: advance(env, key, state, action, params))(
        keys, state, actions
    ), world


def start_keys(env: Environment, num_envs: int, auto_reset: AutoReset | None = None) -> int:
    """How many pairs of keys :func:`start` takes: one for each initial state that it draws."""
    return source(env).start_keys(num_envs, auto_reset)


def start(
    env: Environment,
    key: Key,
    params: Any,
    num_envs: int,
    *,
    auto_reset: AutoReset | None = None,
    record: tuple[str, ...] | None = None,
) -> PyTree:
    """Start ``num_envs`` environments, see :func:`rlkit.envs.rollout.start`.

    Environments on the host draw their seeds from the keys and ignore ``params`` and ``auto_reset``: they
    have none, and reset in the step in which an episode ends.
    """
    return source(env).start(key, params, num_envs, auto_reset=auto_reset, record=record)


def rollout(
    env: Environment,
    policy: Policy,
    carry: PyTree,
    slots: PyTree,
    key: Key,
    params: Any,
    num_steps: int,
    *,
    inputs: PyTree = None,
    auto_reset: AutoReset | None = None,
    record: tuple[str, ...] | None = None,
) -> tuple[PyTree, PyTree, Trajectory]:
    """Run all slots for ``num_steps`` steps, see :func:`rlkit.envs.rollout.rollout`.

    Of environments on the host, ``key`` is not used: their randomness follows from their seeds.
    """
    return source(env).rollout(
        policy, carry, slots, key, params, num_steps, inputs=inputs, auto_reset=auto_reset, record=record
    )


@contextlib.contextmanager
def host_failures(env: Environment) -> Iterator[None]:
    """Raise what an environment on the host failed by, instead of what JAX makes of it.

    An error in a compiled program's call of the host reaches Python as a ``JaxRuntimeError`` with many lines;
    around the call of a program of your own, ``with host_failures(env): ...`` makes it the sentence that it
    was. Results must be waited for inside (``jax.block_until_ready``).

    Raises:
      HostError: an environment failed or did not answer; the message names it and its slot.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        failure = None if env.spec.pure else getattr(env, "failure")(error)  # noqa: B009
        if failure is None:
            raise
        raise failure from None
