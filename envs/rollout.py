"""Running a batch of environments with same-step automatic reset.

One rollout is one ``lax.scan`` whose body does only what is sequential: act, advance, reset.
Initial states are drawn before it (where the strategy allows), everything else is computed after
it on whole arrays. What the scan carries and stacks is packed into one row per dtype, and stays so between
rollouts.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.autoreset import AutoReset, Chunk, Fresh, Off, Pool, Same
from rlkit.envs.check import check_environment
from rlkit.envs.core import advance_with, features, reset_with, task_reward
from rlkit.errors import check_count
from rlkit.keys import typed_key
from rlkit.packing import PackedTree
from rlkit.reads import recorded_names
from rlkit.types import Environment, EnvState, Features, Key, PyTree, Trajectory, Transition


class Row(NamedTuple):
    """What a running environment is, between two steps."""

    state: EnvState
    obs: jax.Array
    features: Features  # the recorded ones only
    first: jax.Array  # bool []: `obs` is the first observation of an episode


class Slots(NamedTuple):
    """``B`` running environments."""

    packed: PackedTree  # of the rows, leaves [B, size]: what loops carry
    memory: PyTree  # what the reset strategy remembers, its rows packed as well

    @property
    def row(self) -> Row:
        """The rows, leaves ``[B, ...]``."""
        return self.packed.tree

    def with_row(self, row: Row) -> "Slots":
        """The same slots with other rows of the same structure."""
        return self._replace(packed=PackedTree.of(row, lead=1))

    @property
    def first(self) -> jax.Array:
        """bool ``[B]``: the next observation is the first of an episode."""
        return self.row.first


Policy = Callable[[PyTree, jax.Array, jax.Array, Any], tuple[jax.Array, PyTree, dict[str, jax.Array]]]
"""``policy(carry, obs[B, ...], first[B], input) -> (action[B, ...], carry, extras)``"""


def _pick(features: Features, names: tuple[str, ...]) -> Features:
    return {name: features[name] for name in names}


def _beginning(env: Environment, names: tuple[str, ...]) -> Callable[[Key, Any], PackedTree]:
    """A function that starts an episode: its row, packed."""

    def begin(keys: Key, params: Any) -> PackedTree:
        obs, state = reset_with(env, keys, params)
        recorded = _pick(features(env, state.inner, params), names)
        return PackedTree.of(Row(state, obs, recorded, jnp.ones((), bool)))

    return begin


def reset_strategy(env: Environment, auto_reset: AutoReset | None = None) -> AutoReset:
    """The strategy that is used: the one given, else ``env.spec.auto_reset``, else ``Fresh()``.

    ``Fresh()`` is right for every environment, and costs most where resets are expensive.

    Raises:
      TypeError: it is no strategy.
    """
    chosen = auto_reset if auto_reset is not None else env.spec.auto_reset
    if not isinstance(chosen, AutoReset | None):
        raise TypeError(f"auto_reset={chosen!r}: expected Fresh(), Pool(k), Chunk(r), Same() or Off()")
    return Fresh() if chosen is None else chosen


def start_keys(env: Environment, num_envs: int, auto_reset: AutoReset | None = None) -> int:
    """How many pairs of keys :func:`start` takes: one for each initial state that it draws."""
    strategy = reset_strategy(env, auto_reset)
    return num_envs + (strategy.size if isinstance(strategy, Pool) else 0)


def start(
    env: Environment,
    key: Key,
    params: Any,
    num_envs: int,
    *,
    auto_reset: AutoReset | None = None,
    record: tuple[str, ...] | None = None,
) -> Slots:
    """Start ``num_envs`` environments.

    Args:
      env: the environment.
      key: PRNG key, or typed keys ``[start_keys(...), 2]``; a single key is split so.
      params: the environment's parameters, shared by all slots.
      num_envs: ``B``.
      auto_reset: reset strategy; None takes the environment's, see :func:`reset_strategy`.
      record: names of the features that rollouts shall record; None records all.

    Returns:
      The slots, to be given to :func:`rollout` with the same strategy and names.

    Raises:
      UnknownNameError: ``record`` names a feature that the environment does not have.
    """
    check_environment(env)
    num_envs = check_count("num_envs", num_envs)
    key, strategy = typed_key(key, many=True), reset_strategy(env, auto_reset)
    begin = _beginning(env, recorded_names(env, record))
    keys = key if key.ndim else jax.random.split(key, (start_keys(env, num_envs, auto_reset), 2))
    if isinstance(strategy, Fresh | Off):
        rows = jax.vmap(begin, (0, None))(keys, params)
    else:  # one after the other: these strategies are for expensive resets
        rows = jax.lax.map(lambda k: begin(k, params), keys)
    memory: PyTree = ()
    if isinstance(strategy, Pool):
        memory = (jax.tree.map(lambda a: a[num_envs:], rows), jnp.zeros((), jnp.int32))
        rows = jax.tree.map(lambda a: a[:num_envs], rows)
    elif isinstance(strategy, Same):
        memory = rows
    return Slots(rows, memory)


def _prepare(
    strategy: AutoReset, keys: Key, params: Any, memory: PyTree, begin: Callable[[Key, Any], PackedTree]
) -> tuple[PyTree, PyTree, Callable[[Any, jax.Array], PackedTree | None]]:
    """What resets need: the memory after it, inputs ``[T, ...]``, ``rows(input, done) -> packed rows``.

    ``keys`` is ``[T, B, 2]``.
    """
    if isinstance(strategy, Fresh):
        fresh = jax.vmap(jax.vmap(begin, (0, None)), (0, None))(keys, params)
        return (), fresh, lambda x, done: x
    if isinstance(strategy, Pool):
        pool, cursor = memory
        if strategy.refresh:
            new_keys = jax.random.split(keys[0, 0, 1], (strategy.refresh, 2))
            new = jax.lax.map(lambda k: begin(k, params), new_keys)
            where = (cursor + jnp.arange(strategy.refresh)) % strategy.size
            pool = jax.tree.map(lambda old, row: old.at[where].set(row), pool, new)
            cursor = (cursor + strategy.refresh) % strategy.size
        draws = jax.random.randint(keys[0, 0, 0], keys.shape[:2], 0, strategy.size)
        return (pool, cursor), draws, lambda x, done: jax.tree.map(lambda a: a[x], pool)
    if isinstance(strategy, Chunk):
        chunk_keys = jax.vmap(lambda k: jax.random.split(k, (strategy.size, 2)))(keys[:, 0, 0])

        def hand_out(x: jax.Array, done: jax.Array) -> PackedTree:
            fresh = jax.lax.map(lambda k: begin(k, params), x)
            rank = jnp.cumsum(done) - 1
            return jax.tree.map(lambda a: a[rank % strategy.size], fresh)

        return (), chunk_keys, hand_out
    if isinstance(strategy, Same):
        return memory, None, lambda x, done: memory
    return (), None, lambda x, done: None  # Off


def rollout(
    env: Environment,
    policy: Policy,
    carry: PyTree,
    slots: Slots,
    key: Key,
    params: Any,
    num_steps: int,
    *,
    inputs: PyTree = None,
    auto_reset: AutoReset | None = None,
    record: tuple[str, ...] | None = None,
) -> tuple[Slots, PyTree, Trajectory]:
    """Run all slots for ``num_steps`` steps.

    Args:
      env: the environment.
      policy: batched policy, see ``Policy``.
      carry: the policy's memory.
      slots: from :func:`start` or an earlier rollout.
      key: PRNG key, or typed keys ``[T, B, 4]``: for each step of each slot one for the transition,
        the observation, the reset and the observation after the reset; a single key is split so.
      params: the environment's parameters.
      num_steps: ``T``.
      inputs: what the policy gets at each step, leaves ``[T, ...]`` (keys or noise).
      auto_reset: reset strategy, the one given to :func:`start`.
      record: names of the recorded features, those given to :func:`start`.

    Returns:
      ``(slots, carry, trajectory)``. The trajectory's leaves are ``[T, B, ...]``; it is paid the
      environment's own reward (:func:`rlkit.rewards.relabel` pays it another one).
    """
    num_steps = check_count("num_steps", num_steps)
    key, strategy = typed_key(key, many=True), reset_strategy(env, auto_reset)
    names = recorded_names(env, record)
    layout = slots.packed.layout
    keys = key if key.ndim else jax.random.split(key, (num_steps, slots.first.shape[0], 4))
    begin = _beginning(env, names)
    memory, reset_inputs, rows = _prepare(strategy, keys[..., 2:], params, slots.memory, begin)
    step = jax.vmap(lambda k, s, a: advance_with(env, k, s, a, params))
    features_of = jax.vmap(lambda s: _pick(features(env, s.inner, params), names))

    def body(loop, x):
        packed, carry = loop
        policy_input, step_keys, reset_input = x
        row: Row = packed.tree
        action, carry, extras = policy(carry, row.obs, row.first, policy_input)
        out = step(step_keys, row.state, action)
        after = features_of(out.state)
        new = Row(out.state, out.obs, after, jnp.zeros_like(row.first))
        packed = PackedTree(layout.pack(new), layout)
        done = out.terminated | out.truncated
        fresh = rows(reset_input, done)
        if fresh is not None:
            packed = jax.tree.map(lambda new, old: jnp.where(done[:, None], new, old), fresh, packed)
        flags = (out.terminated, out.truncated, out.success, row.first)
        seen = (row.obs, action, out.obs, row.features, after, flags, extras)
        return (packed, carry), PackedTree.of(seen, lead=1)

    loop = (slots.packed, carry)
    (packed, carry), stacked = jax.lax.scan(body, loop, (inputs, keys[..., :2], reset_inputs))
    obs, action, next_obs, before, after, flags, extras = stacked.tree
    pay = jax.vmap(jax.vmap(lambda before, a, after: task_reward(env, before, a, after, params)))
    reward, terms = pay(before, action, after)
    transition = Transition(obs, action, next_obs, before, after, reward, *flags)
    return Slots(packed, memory), carry, Trajectory(transition, reward, terms, extras)
