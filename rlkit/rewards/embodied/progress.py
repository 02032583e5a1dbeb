"""Progress from hops (Robo-Dopamine, arXiv 2512.23703): how a task goes on, told from pairs of observations.

A *hop* ``H(p, q)`` in [-1, 1] says how much of what was left (or done) a change from p to q made up:
``(Φ_q - Φ_p) / (1 - Φ_p)`` forwards, ``(Φ_q - Φ_p) / Φ_p`` backwards, with the progress Φ in [0, 1].
"""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError

ALPHA, EPSILON = 5.0, 1e-3
"""Constants of the consistency weight; the paper's were not found, these are ours."""


def hop(before: jax.Array, after: jax.Array) -> jax.Array:
    """The hop from progress ``before`` to ``after``, broadcast; 0 where nothing was left or done."""
    change = after - before
    room = jnp.where(change >= 0, 1.0 - before, before)
    return jnp.clip(jnp.where(room > 0, change / jnp.where(room > 0, room, 1.0), 0.0), -1.0, 1.0)


def hopped(progress: jax.Array, hop: jax.Array) -> jax.Array:
    """Progress after a hop: ``Φ + H (1 - Φ)`` forwards, ``Φ (1 + H)`` backwards; stays in [0, 1]."""
    return progress + hop * jnp.where(hop >= 0, 1.0 - progress, progress)


def progress_from_hops(hops: jax.Array, initial: jax.Array | float = 0.0) -> jax.Array:
    """The incremental perspective: progress ``[T + 1, ...]`` along hops between neighbours ``[T, ...]``."""
    start = jnp.broadcast_to(jnp.asarray(initial, hops.dtype), hops.shape[1:])

    def body(phi: jax.Array, h: jax.Array) -> tuple[jax.Array, jax.Array]:
        phi = hopped(phi, h)
        return phi, phi

    return jnp.concatenate([start[None], jax.lax.scan(body, start, hops)[1]])


def forward_progress(hop_from_start: jax.Array) -> jax.Array:
    """The forward perspective ``Φ_F = H(s_init, s)``, clipped to [0, 1]: a model's errors leave it."""
    return jnp.clip(hop_from_start, 0.0, 1.0)


def backward_progress(hop_from_goal: jax.Array) -> jax.Array:
    """The backward perspective ``Φ_B = 1 + H(s_goal, s)``, clipped to [0, 1]."""
    return jnp.clip(1.0 + hop_from_goal, 0.0, 1.0)


def fuse_progress(incremental: jax.Array, forward: jax.Array, backward: jax.Array) -> jax.Array:
    """The mean of the three perspectives."""
    return (incremental + forward + backward) / 3


def consistency_update(
    progress: jax.Array,
    hop: jax.Array,
    forward: jax.Array,
    backward: jax.Array,
    alpha: float = ALPHA,
    epsilon: float = EPSILON,
) -> jax.Array:
    """Progress after a step, which moves the less the more forward and backward perspectives disagree.

    ``m = (Φ_F + Φ_B) / 2``, ``w = exp(-α (|Φ_B - Φ_F| / (m + ε))²)``,
    ``Φ + w/2 [(m - Φ) + (Φ_I - Φ)]`` with ``Φ_I`` the incremental perspective from Φ.

    Args:
      progress: Φ before the step.
      hop: of the step.
      forward: ``Φ_F`` after it.
      backward: ``Φ_B`` after it.
      alpha: α.
      epsilon: ε.
    """
    middle = (forward + backward) / 2
    weight = jnp.exp(-alpha * (jnp.abs(backward - forward) / (middle + epsilon)) ** 2)
    return progress + weight / 2 * ((middle - progress) + (hopped(progress, hop) - progress))


def value_order_correlation(progress: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """VOC: Spearman's correlation of predicted progress with time, ``[T]`` → scalar in [-1, 1].

    Args:
      progress: ``[T]``; ties have their mean rank.
      valid: which frames there are, bool ``[T]``.

    Returns:
      The correlation; 0 where the progress is constant, or fewer than two frames are valid.
    """
    if jnp.ndim(progress) != 1:
        raise UsageError(f"progress has shape {jnp.shape(progress)}; expected [T]: vmap over others")
    valid = jnp.ones(progress.shape, bool) if valid is None else valid
    pair = valid[:, None] & valid[None, :]
    less = progress[None, :] < progress[:, None]
    same = progress[None, :] == progress[:, None]
    ranks = jnp.sum(jnp.where(pair, less + 0.5 * same, 0.0), 1)
    times = jnp.cumsum(valid).astype(ranks.dtype)
    count = jnp.maximum(jnp.sum(valid), 1)
    off = lambda x: jnp.where(valid, x - jnp.sum(jnp.where(valid, x, 0.0)) / count, 0.0)
    a, b = off(ranks), off(times)
    size = jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))
    return jnp.where(size > 0, jnp.sum(a * b) / jnp.where(size > 0, size, 1.0), 0.0)


def completion(progress: jax.Array) -> jax.Array:
    """What an episode came to by the paper's rule: 2 success, 1 partial, 0 failure; of progress ``[T]``.

    Success: the last is above 0.8, the mean of the last third above 0.6; partial: the mean is at least 0.4.
    """
    third = progress[-max(1, progress.shape[0] // 3) :]
    success = (progress[-1] > 0.8) & (jnp.mean(third) > 0.6)
    return jnp.where(success, 2, jnp.where(jnp.mean(progress) >= 0.4, 1, 0))
