"""Learning from stored experience: what agents with a replay buffer have in common."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.policies import Network
from rlkit.replay import Replay, add_steps, draw_windows, empty_replay
from rlkit.types import Metrics, PyTree, Trajectory


def gradient_steps(config: Any) -> int:
    """Gradient steps that follow each rollout, from ``updates_to_data``, ``num_envs`` and ``num_steps``.

    Raises:
      UsageError: that is no whole number of at least 1.
    """
    collected = config.num_envs * config.num_steps
    count = config.updates_to_data * collected
    if count < 0.5 or abs(count - round(count)) > 1e-6 * count:
        raise UsageError(
            f"updates_to_data={config.updates_to_data} makes {count:.10g} gradient steps after each "
            f"{collected} environment steps (num_envs * num_steps): expected a whole number, e.g. "
            f"updates_to_data={max(1, round(count)) / collected:.10g}"
        )
    return round(count)


def buffer_for(row: Trajectory, config: Any, *, length: int = 1) -> Replay:
    """An empty buffer of ``buffer_size`` rows.

    Args:
      row: one step, as a :class:`rlkit.agents.collecting.Collector` says.
      config: has the fields ``buffer_size``, ``learning_starts``, ``num_envs`` and ``num_steps``.
      length: steps in the stretches that will be drawn.

    Raises:
      UsageError: it does not fit into memory, or is too small to begin to learn.
    """
    least = max(config.learning_starts, config.num_envs * length)
    if config.buffer_size < least:
        raise UsageError(
            f"buffer_size={config.buffer_size}: expected at least {least}, so that learning starts"
        )
    return empty_replay(row, config.buffer_size, config.num_envs, config.num_steps)


def check_memoryless(network: Network) -> None:
    """Check that a network can learn from steps without those before them.

    Raises:
      UsageError: it has memory.
    """
    if jax.tree.leaves(jax.eval_shape(network.memory)):
        raise UsageError("the network has memory; steps drawn from a buffer cannot train it: take PQN or PPO")


def store(buffer: Replay, trajectory: Trajectory) -> Replay:
    """Add a trajectory ``[T, B, ...]``, without terms and what the policy reported.

    What was paid is stored, and what it was paid for: transitions with the recorded features.

    Raises:
      UsageError: the trajectory has other features than the buffer keeps.
    """
    kept = jax.eval_shape(lambda: buffer.stored.tree).transition
    seen = trajectory.transition
    for name in ("features", "next_features"):
        found, wanted = sorted(getattr(seen, name)), sorted(getattr(kept, name))
        if found != wanted:
            raise UsageError(
                f"the trajectory has the {name} {found}; the buffer keeps {wanted}: "
                "rlkit.agents.trajectory_from makes trajectories of plain arrays that fit"
            )
    return add_steps(buffer, trajectory._replace(terms={}, extras={}))


def learn_from(
    buffer: Replay,
    bits: jax.Array,
    update: Callable[[PyTree, Trajectory, Any], tuple[PyTree, Metrics]],
    learner: PyTree,
    inputs: PyTree = None,
    *,
    ready: jax.Array | bool,
    length: int = 1,
) -> tuple[PyTree, Metrics]:
    """Make some gradient steps, each on a batch of its own; none while there is not enough experience.

    Args:
      buffer: where batches are drawn from.
      bits: random uint32 ``[U, N]``: for ``U`` steps on ``N`` stretches each.
      update: ``update(learner, batch, input) -> (learner, metrics)``; the batch has leaves
        ``[length, N, ...]``.
      learner: what learns.
      inputs: leaves ``[U, ...]``, noise for example.
      ready: bool []: whether to learn at all.
      length: steps in a stretch.

    Returns:
      The learner, and the mean of each metric over the steps: NaN if there were none.
    """
    count = bits.shape[0]
    drawn = draw_windows(buffer, bits.reshape(-1), length)
    batches = jax.tree.map(
        lambda x: x.reshape(length, count, -1, *x.shape[2:]).swapaxes(0, 1), drawn
    )  # drawn before the loop, so that it does not carry the buffer

    def learn(learner: PyTree) -> tuple[PyTree, Metrics]:
        learner, metrics = jax.lax.scan(lambda learner, x: update(learner, *x), learner, (batches, inputs))
        return learner, jax.tree.map(lambda x: jnp.mean(x, 0), metrics)

    def wait(learner: PyTree) -> tuple[PyTree, Metrics]:
        metrics = jax.eval_shape(learn, learner)[1]
        return learner, jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), metrics)

    return jax.lax.cond(ready, learn, wait, learner)
