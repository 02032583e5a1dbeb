"""Moments that follow a stream: one pair at a time, forgetting, and sliding windows."""

import jax
import jax.numpy as jnp

from rlkit.analysis.moments.lagged import Moments, check_lag, lagged_moments
from rlkit.analysis.moments.samples import as_samples
from rlkit.products import matmul


def zero_moments(units: int, dtype=jnp.float32) -> Moments:
    """Moments of no pairs at all: the neutral element of :func:`merge_moments`."""
    scalar, vector, matrix = (jnp.zeros((units,) * rank, dtype) for rank in range(3))
    return Moments(scalar, scalar, vector, vector, vector, matrix, matrix, matrix)


def decay_moments(moments: Moments, factor: jax.Array | float) -> Moments:
    """Down-weight everything seen so far by ``factor`` in [0, 1] (1 keeps it)."""
    decayed = jax.tree.map(lambda leaf: leaf * factor, moments)
    return decayed._replace(origin=moments.origin, squared_count=moments.squared_count * factor**2)


def update_moments(
    moments: Moments,
    past: jax.Array,
    future: jax.Array,
    weight: jax.Array | float = 1.0,
    decay: jax.Array | float = 1.0,
) -> Moments:
    """Add one pair: the streaming update, a rank-one change.

    Args:
      moments: what was seen so far (:func:`zero_moments` to begin with).
      past, future: [n] the samples ``z[t]`` and ``z[t + lag]``.
      weight: 0 where the pair crosses an episode start, else 1.
      decay: ``1 - rate`` gives exponentially weighted moments with ``(2 - rate) / rate`` effective pairs.

    Returns:
      The new moments; a pair of weight 0 changes nothing but the decay.
    """
    weight = jnp.asarray(weight, moments.count.dtype)
    moments = decay_moments(moments, decay)
    # The first used sample becomes the origin; the sums are still zero then, so nothing has to move.
    fresh = (moments.count == 0) & (weight != 0)
    moments = moments._replace(origin=jnp.where(fresh, past, moments.origin))
    past, future = (jnp.where(weight != 0, row - moments.origin, 0) for row in (past, future))
    outer = lambda left, right: weight * left[:, None] * right[None, :]
    return Moments(
        moments.count + weight,
        moments.squared_count + weight**2,
        moments.origin,
        moments.past_sum + weight * past,
        moments.future_sum + weight * future,
        moments.past_past + outer(past, past),
        moments.future_future + outer(future, future),
        moments.past_future + outer(past, future),
    )


def pair_moments(
    past: jax.Array, future: jax.Array, mask: jax.Array | None = None, axis_name: str | None = None
) -> Moments:
    """Moments of pairs that are not neighbours in one series, such as the rows of a shuffled minibatch.

    Args:
      past, future: [N, n] samples ``z[t]`` and ``z[t + lag]``, pair by pair.
      mask: [N] bool, pairs to keep; rows of the others may hold anything.
      axis_name: mapped axis whose pairs are pooled.

    Returns:
      The moments; gradients flow through all of them but the origin, which changes rounding only.
    """
    past, future = jnp.asarray(past), jnp.asarray(future)
    keep = jnp.ones(past.shape[0], past.dtype) if mask is None else jnp.asarray(mask).astype(past.dtype)
    clean = lambda rows: jnp.where(keep[:, None] > 0, rows, 0)
    count, total = psum((keep.sum(), clean(past).sum(0)), axis_name)
    origin = jax.lax.stop_gradient(total / jnp.maximum(count, 1))
    past, future = clean(past - origin), clean(future - origin)
    product = lambda left, right: matmul(left.T, right)
    sums = past.sum(0), future.sum(0), product(past, past), product(future, future), product(past, future)
    return Moments(count, count, origin, *psum(sums, axis_name))


def psum(tree, axis_name: str | None):
    """``jax.lax.psum``; no axis name, no sum."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def windowed_moments(
    z: jax.Array, window: int, hop: int, lag: int = 1, mask: jax.Array | None = None
) -> Moments:
    """Moments of sliding windows, at the cost of one pass whatever the overlap.

    Sums are taken once per block of ``hop`` pairs, accumulated over blocks and subtracted. Window ``k``
    holds the pairs ``t = k hop, ..., k hop + window - 1``, i.e. the samples
    ``z[k hop : k hop + window + lag]``, and depends on no later sample.

    Args:
      z: [T, n] samples.
      window: pairs in a window, a multiple of ``hop``.
      hop: pairs between the starts of windows.
      lag: steps from past to future.
      mask: [T - lag] bool, pairs to keep.

    Returns:
      Moments with a leading axis of ``(T - lag - window) // hop + 1`` windows.

    Raises:
      ValueError: if the window is no multiple of the hop or longer than the recording.
    """
    z = as_samples(z)
    check_lag(z.shape[0], lag)
    pairs = z.shape[0] - lag
    if hop < 1 or window < hop or window % hop:
        raise ValueError(f"window={window} must be a positive multiple of hop={hop}")
    if window > pairs:
        raise ValueError(f"window={window} is longer than the {pairs} lagged pairs there are")
    per_window = window // hop
    blocks = pairs // hop
    # The first window's mean as origin: a later one would leak, in the last bit, into earlier windows.
    first = lagged_moments(z[: window + lag], lag, None if mask is None else mask[:window])
    origin = jnp.where(jnp.isfinite(first.origin), first.origin, 0)

    def block(index):
        rows = jax.lax.dynamic_slice_in_dim(z, index * hop, hop + lag)
        keep = None if mask is None else jax.lax.dynamic_slice_in_dim(jnp.asarray(mask), index * hop, hop)
        return lagged_moments(rows, lag, keep, origin=origin)

    sums = jax.lax.map(block, jnp.arange(blocks))

    def difference(leaf):
        total = jnp.cumsum(leaf, axis=0)
        total = jnp.concatenate([jnp.zeros_like(total[:1]), total])
        return total[per_window:] - total[:-per_window]

    windows = jax.tree.map(difference, sums)
    return windows._replace(origin=jnp.broadcast_to(origin, windows.past_sum.shape))
