"""Resetting and stepping one environment: time, time limits and keys live here, once."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.fields import shown
from rlkit.keys import typed_key
from rlkit.products import full_products
from rlkit.reads import private_features
from rlkit.spaces import Discrete, Space
from rlkit.types import Environment, EnvState, Features, Key, PyTree, Terms


class Step(NamedTuple):
    """What one step of one environment gives. Nothing here comes from a reset."""

    state: EnvState
    obs: jax.Array
    reward: jax.Array  # float32 []: the environment's own
    terms: Terms  # its terms
    terminated: jax.Array  # bool []: ended by itself
    truncated: jax.Array  # bool []: time limit reached; both may be true
    success: jax.Array  # bool []: sparse task signal
    features: Features  # of the new state


class Advance(NamedTuple):
    """The part of a step that does not depend on what is paid for it."""

    state: EnvState
    obs: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    success: jax.Array


def strong(tree: PyTree) -> PyTree:
    """The same values (arrays or Python numbers) without weak types: what a step returns keeps its dtypes."""
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), tree)


@full_products
def observe(env: Environment, key: Key, state: PyTree, params: Any) -> jax.Array:
    """``env.observe`` in the dtype of the observation space, whatever the default widths of JAX are."""
    dtype = jax.dtypes.canonicalize_dtype(env.spec.observation_space.dtype)
    return jnp.asarray(env.observe(key, state, params), dtype)


@full_products
def features(env: Environment, state: PyTree, params: Any) -> Features:
    """``env.features`` in the dtypes of their specifications, with the private ones."""
    seen = env.features(state, params)
    specs = (*env.spec.features, *private_features(env))
    dtypes = {spec.name: jax.dtypes.canonicalize_dtype(spec.dtype) for spec in specs}
    return {name: jnp.asarray(value, dtypes[name]) for name, value in seen.items() if name in dtypes}


@full_products
def task_reward(
    env: Environment, features: Features, action: jax.Array, next_features: Features, params: Any
) -> tuple[jax.Array, Terms]:
    """``env.task_reward`` in float32."""
    paid = env.task_reward(features, action, next_features, params)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), paid)


def reset(env: Environment, key: Key, params: Any) -> tuple[jax.Array, EnvState]:
    """Start an episode.

    Args:
      env: the environment.
      key: PRNG key; split into (initial state, observation), in this order.
      params: the environment's parameters.

    Returns:
      The first observation and the state, at ``t = 0``.
    """
    return reset_with(env, jax.random.split(typed_key(key)), params)


@full_products
def reset_with(env: Environment, keys: Key, params: Any) -> tuple[jax.Array, EnvState]:
    """:func:`reset` with its two keys given: ``keys[0]`` for the state, ``keys[1]`` for the observation."""
    inner = env.initial(keys[0], params)
    return observe(env, keys[1], inner, params), EnvState(inner, jnp.zeros((), jnp.int32))


def proper(
    action: Any, space: Space, batch: tuple[int, ...] = (), skipped: np.ndarray | None = None
) -> np.ndarray:
    """An action, or a batch of them, as an array of the space's dtype.

    Args:
      action: numbers, not traced.
      space: where they should be.
      batch: the axes before those of the space.
      skipped: bool ``[B]``: rows that are not looked at.

    Raises:
      UsageError: the action has another shape, is no number, not whole where the space is, or lies outside.
    """
    array, expected = np.asarray(action), (*batch, *space.shape)
    array = array.astype(np.float32) if array.dtype == jnp.bfloat16 else array
    wrong = lambda why: UsageError(f"action={shown(action)} {why}")
    if array.dtype.kind not in "biuf":
        raise wrong(f"is of the type {array.dtype}; expected numbers of the shape {expected}")
    if array.shape != expected:
        raise wrong(f"has shape {array.shape}; expected {expected}")
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(space.dtype))
    looked = array if skipped is None else array[~skipped]
    if array.dtype.kind == "f" and np.isnan(looked).any():
        raise wrong("is not a number (NaN); look for a loss or an observation that is not finite")
    if isinstance(space, Discrete):
        low, high = np.asarray(space.start), np.asarray(space.last)
    else:
        low, high = space.bounds()
    slack = 1e-5 * np.maximum(1.0, np.abs(np.where(np.isfinite(high - low), high - low, 1.0)))
    if np.any(looked < low - slack) or np.any(looked > high + slack):
        raise wrong(f"is outside {np.min(low):g} .. {np.max(high):g}; clip it")
    if dtype.kind != "f" and np.any(looked != np.round(looked)):
        raise wrong("is no whole number; the space is one of integers")
    return array.astype(dtype)


def advance(env: Environment, key: Key, state: EnvState, action: jax.Array, params: Any) -> Advance:
    """Advance one environment by one step, without reward and without reset.

    Args:
      env: the environment.
      key: PRNG key; split into (transition, observation), in this order.
      state: state before the step.
      action: element of ``env.spec.action_space``.
      params: the environment's parameters; the time limit is ``params.max_steps``.
    """
    return advance_with(env, jax.random.split(typed_key(key)), state, action, params)


@full_products
def advance_with(env: Environment, keys: Key, state: EnvState, action: jax.Array, params: Any) -> Advance:
    """:func:`advance` with its two keys given: ``keys[0]`` for the transition, ``keys[1]`` to observe."""
    inner = env.transition(keys[0], state.inner, action, params)
    t = state.t + 1
    return Advance(
        state=EnvState(inner, t),
        obs=observe(env, keys[1], inner, params),
        terminated=jnp.asarray(env.terminated(state.inner, action, inner, params), bool),
        truncated=t >= params.max_steps,
        success=jnp.asarray(env.success(state.inner, action, inner, params), bool),
    )


def step(env: Environment, key: Key, state: EnvState, action: jax.Array, params: Any) -> Step:
    """Advance one environment by one step and pay the environment's own reward.

    Arguments as in :func:`advance`. A finished episode is *not* reset: that is what
    :func:`rlkit.envs.rollout` does.

    Raises:
      UsageError: the action is NaN, of another shape, or outside its space. Only actions that are numbers
        already can be looked at: compiled programs cannot stop.
    """
    if not isinstance(action, jax.core.Tracer):
        try:
            action = jnp.asarray(proper(action, env.spec.action_space))
        except UsageError as error:
            raise UsageError(f"{env.spec.id}: {error}") from None
    out = advance(env, key, state, action, params)
    before, after = (features(env, s.inner, params) for s in (state, out.state))
    reward, terms = task_reward(env, before, action, after, params)
    public = {feature.name: after[feature.name] for feature in env.spec.features}
    return Step(out.state, out.obs, reward, terms, out.terminated, out.truncated, out.success, public)
