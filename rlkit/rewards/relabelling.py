"""Paying for stored experience, without simulation."""

from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.keys import typed_key
from rlkit.parameters import resolve
from rlkit.replay import Replay, replace_steps, stored_steps
from rlkit.types import Key, PyTree, Reward, Terms, Trajectory, Transition


def init_slots(reward: Reward, key: Key, num_envs: int) -> PyTree:
    """Memories of a reward for ``num_envs`` environments side by side.

    Args:
      reward: the reward.
      key: typed PRNG key, split over the environments.
      num_envs: ``B``.

    Returns:
      The reward's memory with leaves ``[B, ...]``; without leaves if the reward has none.
    """
    if num_envs < 1:
        raise UsageError(f"num_envs={num_envs}: expected at least 1")
    return jax.vmap(reward.init, axis_size=num_envs)(jax.random.split(typed_key(key), num_envs))


def relabel(
    reward: Reward,
    memory: PyTree,
    trajectory: Trajectory,
    *,
    params: PyTree = None,
    axis_name: str | None = None,
) -> tuple[PyTree, Trajectory]:
    """Pay a reward for a stored trajectory.

    The reward sees the environment's own as ``transition.reward``, whatever the trajectory was
    paid before. A reward without memory is computed for all steps at once, another one by a scan
    over time.

    Args:
      reward: the reward.
      memory: its memory before the first step: ``reward.init(key)`` for a trajectory ``[T, ...]``,
        ``init_slots(reward, key, B)`` for ``[T, B, ...]``.
      trajectory: experience with leaves ``[T, ...]`` or ``[T, B, ...]`` (told apart by
        ``trajectory.transition.reward``).
      params: its parameters, the same for all slots; None takes ``reward.params``.
      axis_name: name of the axis of slots, for rewards that share statistics over it.

    Returns:
      The memory after the last step, and the trajectory with ``reward`` and ``terms`` replaced.

    Raises:
      UsageError: the trajectory has no time axis, the memory does not fit its slots, or the parameters
        do not fit the reward.
    """
    params = resolve("params", reward.params, params)
    shape = trajectory.transition.reward.shape
    if len(shape) == 1:
        memory = jax.tree.map(lambda x: x[None], memory)
        single = jax.tree.map(lambda x: x[:, None], trajectory.transition)
        memory, paid, terms = _pay(reward, memory, single, params, axis_name)
        memory, paid, terms = (
            jax.tree.map(lambda x: x[0], memory),
            paid[:, 0],
            {k: v[:, 0] for k, v in terms.items()},
        )
    elif len(shape) == 2:
        memory, paid, terms = _pay(reward, memory, trajectory.transition, params, axis_name)
    else:
        raise UsageError(f"transition.reward has shape {shape}; expected [T] or [T, B]: vmap over other axes")
    return memory, trajectory._replace(reward=paid, terms=terms)


def relabel_replay(
    reward: Reward, memory: PyTree, replay: Replay, *, params: PyTree = None, axis_name: str | None = None
) -> Replay:
    """Pay a reward for all that a replay buffer holds, in the order in which it was collected.

    Args:
      reward: the reward; it may read the features that the buffer keeps.
      memory: its memory before the oldest step, ``init_slots(reward, key, replay.num_envs)``.
      replay: a buffer whose rows are trajectories, as agents make them.
      params: parameters of the reward; None takes ``reward.params``.
      axis_name: as in :func:`relabel`.

    Returns:
      The buffer with other rewards; nothing else changes.

    Raises:
      UsageError: as :func:`relabel`.
    """
    stored = stored_steps(replay)
    _, paid = relabel(reward, memory, stored, params=params, axis_name=axis_name)
    return replace_steps(replay, stored._replace(reward=paid.reward))


def _pay(
    reward: Reward, memory: PyTree, transition: Transition, params: PyTree, axis_name: str | None
) -> tuple[PyTree, jax.Array, Terms]:
    """Rewards and terms ``[T, B]``."""
    if not jax.tree.leaves(memory):
        # Mapped over time and slots at once.
        pay = jax.vmap(jax.vmap(lambda t: reward.apply(memory, t, params), axis_name=axis_name))
        _, paid, terms = pay(transition)
        return memory, paid, terms
    slots = transition.reward.shape[1]
    for path, leaf in jax.tree_util.tree_leaves_with_path(memory):
        if jnp.ndim(leaf) == 0 or leaf.shape[0] != slots:
            place = jax.tree_util.keystr(path)
            raise UsageError(
                f"memory{place} of the reward has shape {jnp.shape(leaf)}; expected [{slots}, ...], one row "
                f"per slot: build it with init_slots(reward, key, {slots})"
            )
    pay = jax.vmap(reward.apply, (0, 0, None), axis_name=axis_name)

    def body(memory: PyTree, t: Transition) -> tuple[PyTree, Any]:
        memory, paid, terms = pay(memory, t, params)
        return memory, (paid, terms)

    memory, (paid, terms) = jax.lax.scan(body, memory, transition)
    return memory, paid, terms
