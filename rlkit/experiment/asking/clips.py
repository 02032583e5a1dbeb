"""Stretches of episodes that can be drawn: the states beside what a reward model sees."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import reset, step
from rlkit.envs.check import check_environment
from rlkit.envs.core import features
from rlkit.errors import UsageError, check_count
from rlkit.experiment.reports.animation import gif
from rlkit.keys import typed_key
from rlkit.parameters import resolve
from rlkit.types import Agent, Environment, Key, PyTree, Transition


class Clips(NamedTuple):
    """Clips of at most ``L`` steps, arrays of NumPy."""

    transition: Transition  # leaves [N, L, ...]
    mask: np.ndarray  # bool [N, L]: which steps there are; the first ones
    states: PyTree  # inner states [N, L + 1, ...]: before each step and after the last


Act = Callable[[PyTree, jax.Array, Key], tuple[jax.Array, PyTree]]
"""``act(carry, obs, key) -> (action, carry)``"""


def acting(agent: Agent, policy: PyTree) -> tuple[Act, PyTree]:
    """How a policy acts, sampling its actions, and its memory at the start of an episode."""
    return lambda carry, obs, key: agent.act(policy, carry, obs, key)[:2], agent.carry()


def exploring(env: Environment) -> tuple[Act, PyTree]:
    """Uniformly random actions."""
    return lambda carry, obs, key: (env.spec.action_space.sample(key), carry), ()


def record_clips(
    env: Environment,
    actors: list[tuple[Act, PyTree]],
    key: Key,
    count: int,
    length: int,
    env_params: Any = None,
) -> Clips:
    """Run fresh episodes and keep a stretch of each.

    Args:
      env: a pure environment.
      actors: who acts, see :func:`acting` and :func:`exploring`; each in an equal share of the episodes.
      key: typed PRNG key.
      count: N, how many clips.
      length: L, steps of a clip; shorter where an episode is.
      env_params: the environment's parameters; None takes its own.

    Returns:
      The clips, in random order of the actors. Where in its episode one begins is uniform.

    Raises:
      UsageError: the environment runs on the host, where states cannot be kept.
    """
    check_environment(env)
    count, length = check_count("count", count), check_count("length", length, 2)
    if not env.spec.pure:
        raise UsageError(f"{env.spec.id} runs on the host and has no states that could be drawn later")
    params = resolve("env_params", env.default_params(), env_params)
    steps, key = int(params.max_steps), typed_key(key)
    each = -(-count // len(actors))
    found = [
        jax.device_get(_episodes(env, actor, jax.random.fold_in(key, i), each, steps, params))
        for i, actor in enumerate(actors)
    ]
    states, transition, alive = jax.tree.map(lambda *parts: np.concatenate(parts), *found)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    order, lengths = rng.permutation(len(alive))[:count], alive.sum(1)
    begins = [int(rng.integers(0, max(int(lengths[i]) - length, 0) + 1)) for i in order]
    length = min(length, steps)
    cut = lambda x, more: np.stack(
        [_stretch(x[i], b, length + more) for i, b in zip(order, begins, strict=True)]
    )
    mask = np.arange(length) < (lengths[order] - np.array(begins))[:, None]
    return Clips(
        jax.tree.map(lambda x: cut(x, 0), transition), mask, jax.tree.map(lambda x: cut(x, 1), states)
    )


def _stretch(x: np.ndarray, begin: int, length: int) -> np.ndarray:
    """``x[begin : begin + length]``, its last entry repeated where there are fewer."""
    return x[np.minimum(np.arange(begin, begin + length), len(x) - 1)]


def _episodes(
    env: Environment, actor: tuple[Act, PyTree], key: Key, count: int, steps: int, params: Any
) -> tuple[PyTree, Transition, jax.Array]:
    """States ``[E, T + 1, ...]``, transitions ``[E, T, ...]``, and whether it was on."""
    act, memory = actor

    def episode(key: Key):
        key_reset, key_steps = jax.random.split(key)
        obs, state = reset(env, key_reset, params)

        def body(loop: Any, t: jax.Array):
            obs, state, carry, alive = loop
            key_act, key_step = jax.random.split(jax.random.fold_in(key_steps, t))
            action, carry = act(carry, obs, key_act)
            out = step(env, key_step, state, action, params)
            seen = Transition(
                obs, action, out.obs, features(env, state.inner, params), out.features, out.reward,
                out.terminated, out.truncated, out.success, t == 0,
            )  # fmt: skip
            loop = (out.obs, out.state, carry, alive & ~seen.done)
            return loop, (out.state.inner, seen, alive)

        start = (obs, state, memory, jnp.ones((), bool))
        _, (later, seen, alive) = jax.lax.scan(body, start, jnp.arange(steps))
        states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), state.inner, later)
        return states, seen, alive

    return jax.jit(jax.vmap(episode))(jax.random.split(key, count))


def take_clips(clips: Clips, index: Any) -> Clips:
    """Some of the clips."""
    return jax.tree.map(lambda x: x[index], clips)


def draw_clip(env: Environment, clips: Clips, i: int, size: int = 192, env_params: Any = None) -> bytes:
    """A clip as an endless GIF, every state drawn by the environment.

    Args:
      env: the environment.
      clips: the clips.
      i: which one.
      size: of a picture, pixels.
      env_params: the environment's parameters; None takes its own.
    """
    params = env.default_params() if env_params is None else env_params
    states = jax.tree.map(operator.itemgetter(i), clips.states)
    count = int(clips.mask[i].sum()) + 1
    pictures = [env.render(jax.tree.map(operator.itemgetter(t), states), params, size) for t in range(count)]
    return gif([*pictures, *[pictures[-1]] * 6], 0.08)  # a pause before it begins again
