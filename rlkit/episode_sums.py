"""What episodes achieved, summed up while they go on over the borders of rollouts."""

import jax
import jax.numpy as jnp

from rlkit.packing import stacked
from rlkit.returns import linear_recurrence
from rlkit.types import Metrics, Trajectory

ROWS = 5


def no_sums(num_envs: int) -> jax.Array:
    """The sums of episodes that have not begun, float32 ``[5, num_envs]``."""
    return jnp.zeros((ROWS, num_envs))


def episode_sums(
    running: jax.Array, trajectory: Trajectory, axis_name: str | None = None
) -> tuple[jax.Array, Metrics]:
    """Go on with the sums of running episodes, and report those that ended.

    An episode ends once: steps of an environment that is over and was not reset do not count.

    Args:
      running: float32 ``[5, B]`` before the trajectory: the environment's reward, the reward paid, successes,
        steps and ends since the episode began.
      trajectory: leaves ``[T, B, ...]``.
      axis_name: mapped axis whose members' episodes are counted together.

    Returns:
      ``running`` after the trajectory, and means over the episodes that ended in it: ``episode/return`` (the
      environment's own reward), ``episode/paid``, ``episode/success`` (whether there was one),
      ``episode/length``, NaN if none ended, and ``episode/count``.
    """
    seen = trajectory.transition
    success, done, first = (flag.astype(jnp.float32) for flag in (seen.success, seen.done, seen.first))
    steps = stacked([seen.reward, trajectory.reward, success, jnp.ones_like(done), done], 1)  # [T, 5, B]
    sums = linear_recurrence(steps, (1.0 - first)[:, None], running)
    ended = jnp.where(sums[:, 4] == 1.0, done, 0.0)
    totals = stacked([sums[:, 0], sums[:, 1], jnp.minimum(sums[:, 2], 1.0), sums[:, 3], sums[:, 4]])
    found = jnp.sum(totals * ended, (1, 2))
    if axis_name is not None:
        found = jax.lax.psum(found, axis_name)
    names = ("return", "paid", "success", "length")
    metrics = {f"episode/{name}": found[i] / found[4] for i, name in enumerate(names)}
    return sums[-1], metrics | {"episode/count": found[4]}
