"""Running host environments from inside a compiled program.

One call to the host per step, and one at the beginning of a rollout. The calls carry a turn from one to the
next, which orders them by data: unlike ordered effects that works under ``vmap``, ``shard_map`` and in loops
over seeds. What a call takes is one array of words, because every further argument costs as much as the call;
on a CPU it writes its results into the program's own memory.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from rlkit.envs.core import Advance
from rlkit.envs.host_pool import Pool
from rlkit.envs.host_worker import COMMON
from rlkit.envs.rollout import Policy
from rlkit.errors import UsageError
from rlkit.spaces import Discrete, Space
from rlkit.types import EnvState, Features, Key, PyTree, Trajectory, Transition

try:  # experimental: a version of JAX may lack it
    from jax.experimental.buffer_callback import buffer_callback
except ImportError:
    buffer_callback = None

SUCCESS, FITNESS = COMMON.index("success"), COMMON.index("fitness")


class HostSlots(NamedTuple):
    """``B`` environments that run on the host, as a state can hold them, see :mod:`rlkit.envs.host_pool`."""

    stream: jax.Array  # uint32 [2]: names the batch that serves this state
    turn: jax.Array  # int32 []: steps that it has taken
    seeds: jax.Array  # uint32 [B]: of its first episodes, below 2³¹


class Glimpse(NamedTuple):
    """What is known of the state of an environment on the host."""

    obs: jax.Array
    facts: jax.Array  # float32 [F], see :mod:`rlkit.envs.host_worker`


class Layout(NamedTuple):
    """How records, facts and actions of one environment are read."""

    observation_space: Space
    action_space: Space
    num_facts: int
    features: Callable[[jax.Array, jax.Array], Features]
    """``features(obs [..., *shape], facts [..., F]) -> features by name [..., *shape]``"""
    decode: Callable[[np.ndarray], np.ndarray]
    """``decode(actions [B, ...])``: what the vector environment takes"""


def _step_call(function: Callable[[np.ndarray], tuple[Any, ...]], shapes: Any, words: jax.Array) -> Any:
    """``function(words)`` on the host; it gives arrays of these shapes."""
    if buffer_callback is None or jax.default_backend() != "cpu":
        return io_callback(lambda words: function(np.asarray(words)), shapes, words)

    def write(_: Any, results: tuple[Any, ...], words: Any) -> None:
        for memory, values in zip(results, function(np.asarray(words)), strict=True):
            np.asarray(memory)[...] = values

    return buffer_callback(write, shapes, has_side_effect=True, vmap_method="sequential")(words)


def start(
    pool: Pool, key: Key, params: Any, num_envs: int, *, limit: int | None = None, **_: Any
) -> HostSlots:
    """See :func:`rlkit.envs.source.start`; the environments are made when they are first run.

    Another time limit than ``limit``, its maker's, is an error: parameters cannot be varied on the host.
    """
    asked = jnp.asarray(params.max_steps)
    if not isinstance(asked, jax.core.Tracer):
        _check_limit(pool, asked, limit)
    keys = key if key.ndim else jax.random.split(key, (num_envs, 2))
    seeds = jax.vmap(lambda k: jax.random.bits(k, (), jnp.uint32) >> 1)(keys[:, 0])

    # The seeds are an argument so that mapping over keys maps the call: each state gets its own stream.
    def open_stream(seeds: Any, asked: Any) -> np.ndarray:
        _check_limit(pool, asked, limit)
        return pool.open()

    stream = io_callback(open_stream, jax.ShapeDtypeStruct((2,), jnp.uint32), seeds, asked)
    return HostSlots(stream, jnp.zeros((), jnp.int32), seeds)


def _check_limit(pool: Pool, asked: Any, limit: int | None) -> None:
    if limit is not None and np.any(np.asarray(asked) != limit):
        raise UsageError(
            f"{pool.name}: parameters ask for max_steps={np.asarray(asked)}, but it runs on the host, where "
            f"nothing can be varied or mapped over: its limit is {limit} steps; give another one to its "
            "maker, make(id, max_steps=...)"
        )


def resume(pool: Pool, layout: Layout, slots: HostSlots) -> tuple[HostSlots, jax.Array, jax.Array]:
    """The slots where they are: with a stream of this process, records ``[B, R]`` and first ``bool [B]``."""
    width, dtype = record_width(layout)
    size = slots.seeds.shape[0]

    def call(words: Any) -> tuple[np.ndarray, ...]:
        words = np.asarray(words)
        seen = pool.resume(words[:2], int(words[2]), words[3:])
        return seen.stream, seen.records, seen.first

    shapes = (
        jax.ShapeDtypeStruct((2,), jnp.uint32),
        jax.ShapeDtypeStruct((size, width), dtype),
        jax.ShapeDtypeStruct((size,), bool),
    )
    words = jnp.concatenate([slots.stream, slots.turn[None].astype(jnp.uint32), slots.seeds])
    stream, records, first = io_callback(call, shapes, words)
    return slots._replace(stream=stream), records, first


class Moved(NamedTuple):
    """One step of all slots."""

    turn: jax.Array  # int32 []
    records: jax.Array  # [B, R]: to act on next
    next_records: jax.Array  # [B, R]: the true successors
    terminated: jax.Array  # bool [B]
    truncated: jax.Array  # bool [B]


def move(
    pool: Pool, layout: Layout, slots: HostSlots, actions: jax.Array, wanted: jax.Array | bool = True
) -> Moved:
    """Step all slots; where it is not wanted (bool []), time stands still and the result means nothing.

    A loop over episodes has a fixed number of turns, and wants nothing any more when all have ended.
    """
    width, dtype = record_width(layout)
    size = slots.seeds.shape[0]
    kind = jnp.int32 if isinstance(layout.action_space, Discrete) else jnp.float32
    host_kind, shape = np.dtype(kind), (size, *layout.action_space.shape)

    still = np.zeros((size, width), dtype)
    idle = (still, still, np.zeros(size, bool), np.zeros(size, bool))

    def call(words: np.ndarray) -> tuple[Any, ...]:
        turn = int(words[2])
        if not words[3]:
            return np.int32(turn), *idle
        actions = layout.decode(words[4:].view(host_kind).reshape(shape))
        out = pool.step(words[:2], turn, actions)
        return (np.int32(turn + 1), out.records, out.next_records, out.terminated, out.truncated)

    records = jax.ShapeDtypeStruct((size, width), dtype)
    flags = jax.ShapeDtypeStruct((size,), jnp.dtype(bool))
    shapes: Any = (jax.ShapeDtypeStruct((), jnp.int32), records, records, flags, flags)
    chosen = jax.lax.bitcast_convert_type(actions.astype(kind), jnp.uint32).reshape(-1)
    word = lambda x: jnp.asarray(x).astype(jnp.uint32)[None]
    words = jnp.concatenate([slots.stream, word(slots.turn), word(wanted), chosen])
    return Moved(*_step_call(call, shapes, words))


def begin(pool: Pool, layout: Layout, keys: Key, params: Any) -> tuple[jax.Array, EnvState, HostSlots]:
    """See :class:`rlkit.envs.source.Source`."""
    slots, records, _ = resume(pool, layout, start(pool, jax.vmap(jax.random.split)(keys), params, len(keys)))
    glimpse = Glimpse(*read(layout, records))
    return glimpse.obs, EnvState(glimpse, jnp.zeros(len(keys), jnp.int32)), slots


def advance(
    pool: Pool,
    layout: Layout,
    slots: HostSlots,
    keys: Key,
    state: EnvState,
    actions: jax.Array,
    params: Any,
    wanted: jax.Array,
) -> tuple[Advance, HostSlots]:
    """See :class:`rlkit.envs.source.Source`. Slots whose episode has ended go on with others."""
    out = move(pool, layout, slots, actions, wanted)
    glimpse = Glimpse(*read(layout, out.next_records))
    success = glimpse.facts[..., SUCCESS] > 0
    seen = Advance(EnvState(glimpse, state.t + 1), glimpse.obs, out.terminated, out.truncated, success)
    return seen, slots._replace(turn=out.turn)


def end(pool: Pool, slots: HostSlots) -> None:
    """See :class:`rlkit.envs.source.Source`: the environments serve the next state."""
    words = jnp.append(slots.stream, slots.turn.astype(jnp.uint32))  # the turn makes it come last
    io_callback(lambda words: pool.release(np.asarray(words)), None, words)


def rollout(
    pool: Pool,
    layout: Layout,
    task_reward: Callable[..., Any],
    recorded: Callable[[tuple[str, ...] | None], tuple[str, ...]],
    policy: Policy,
    carry: PyTree,
    slots: HostSlots,
    key: Key,
    params: Any,
    num_steps: int,
    *,
    inputs: PyTree = None,
    record: tuple[str, ...] | None = None,
    **_: Any,
) -> tuple[HostSlots, PyTree, Trajectory]:
    """See :func:`rlkit.envs.source.rollout`."""
    slots, records, first = resume(pool, layout, slots)

    def body(loop: tuple[Any, ...], policy_input: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        turn, records, first, carry = loop
        obs, _ = read(layout, records)
        action, carry, extras = policy(carry, obs, first, policy_input)
        out = move(pool, layout, slots._replace(turn=turn), action)
        done = out.terminated | out.truncated
        seen = (records, action, out.next_records, out.terminated, out.truncated, first, extras)
        return (out.turn, out.records, done, carry), seen

    loop = (slots.turn, records, first, carry)
    (turn, _, _, carry), stacked = jax.lax.scan(body, loop, inputs, length=num_steps)
    records, action, next_records, terminated, truncated, first, extras = stacked
    (obs, facts), (next_obs, next_facts) = read(layout, records), read(layout, next_records)
    before, after = layout.features(obs, facts), layout.features(next_obs, next_facts)
    pay = jax.vmap(jax.vmap(functools.partial(task_reward, params=params)))
    reward, terms = pay(before, action, after)
    before, after = ({name: f[name] for name in recorded(record)} for f in (before, after))
    success = next_facts[..., SUCCESS] > 0
    flags = (terminated, truncated, success, first)
    transition = Transition(obs, action, next_obs, before, after, reward, *flags)
    return slots._replace(turn=turn), carry, Trajectory(transition, reward, terms, extras)


def record_width(layout: Layout) -> tuple[int, Any]:
    """Entries and dtype of a record."""
    dtype = jnp.uint8 if jnp.dtype(layout.observation_space.dtype) == jnp.uint8 else jnp.float32
    size = int(np.prod(layout.observation_space.shape, dtype=int))
    return size + layout.num_facts * (4 // jnp.dtype(dtype).itemsize), dtype


def read(layout: Layout, records: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Observations ``[..., *shape]`` of their space's dtype and facts float32 ``[..., F]``."""
    space = layout.observation_space
    size = int(np.prod(space.shape, dtype=int))
    obs = records[..., :size].reshape(*records.shape[:-1], *space.shape).astype(space.dtype)
    facts = records[..., size:]
    if facts.dtype == jnp.uint8:
        facts = facts.reshape(*facts.shape[:-1], layout.num_facts, 4)
        facts = jax.lax.bitcast_convert_type(facts, jnp.float32)
    return obs, facts
