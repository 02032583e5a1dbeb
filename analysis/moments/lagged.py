"""Lagged first and second moments of many units: additive, mergeable, masked, streaming.

Everything Gaussian in this package is a function of these sums, so that all pairs of ``n`` units cost two
``n x n`` matrix products over time and nothing else that grows with time.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rlkit.analysis.moments.blocks import correlation_of, largest_correlation
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.variation import BLOCK, varies
from rlkit.errors import UsageError
from rlkit.products import matmul


class Moments(NamedTuple):
    """Sums over lagged pairs ``(z[t], z[t + lag])``, each taken relative to ``origin``.

    With one origin the fields add up; :func:`merge_moments` and :func:`psum_moments` take care of that.

    Attributes:
      count: [] sum of the weights (the number of pairs if there are none).
      squared_count: [] sum of the squared weights, for the effective number of pairs.
      origin: [n] what was subtracted from every sample; any value near the mean keeps the sums accurate.
      past_sum, future_sum: [n] sums of ``z[t] - origin`` and of ``z[t + lag] - origin``.
      past_past, future_future: [n, n] sums of their outer products.
      past_future: [n, n] sum of ``(z[t] - origin)_i (z[t + lag] - origin)_j``.
    """

    count: jax.Array
    squared_count: jax.Array
    origin: jax.Array
    past_sum: jax.Array
    future_sum: jax.Array
    past_past: jax.Array
    future_future: jax.Array
    past_future: jax.Array


def pair_mask(first: jax.Array, lag: int = 1, valid: jax.Array | None = None) -> jax.Array:
    """Which lagged pairs stay inside one episode.

    Args:
      first: [T] true (non-zero) at the first step of every episode.
      lag: steps from past to future.
      valid: [T] false at steps that must not be used at all (padding); all are valid by default.

    Returns:
      [T - lag] bool: false where ``t -> t + lag`` crosses an episode start or touches an invalid step.
    """
    first = jnp.asarray(first)
    check_lag(first.shape[0], lag)
    episode = jnp.cumsum(first.astype(bool).astype(jnp.int32))
    same = episode[:-lag] == episode[lag:]
    if valid is None:
        return same
    valid = jnp.asarray(valid).astype(bool)
    return same & valid[:-lag] & valid[lag:]


def check_lag(steps: int, lag: int) -> None:
    """Raise a UsageError unless ``lag`` is a whole number that leaves a pair in ``steps`` samples."""
    if isinstance(lag, bool | np.bool_) or not isinstance(lag, int | np.integer):
        raise UsageError(f"lag={lag!r}: expected a whole number of steps from past to future")
    if lag < 1:
        raise UsageError(
            f"lag={lag}: the future must come after the past; expected a lag of 1 or more steps "
            "(reverse the series, z[::-1], for the other direction of time)"
        )
    if lag >= steps:
        raise UsageError(f"lag={lag} leaves no pair in {steps} samples: use a shorter lag or record longer")


def used_pairs(
    steps: int,
    lag: int,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
) -> jax.Array | None:
    """The mask of pairs that the three ways to say it mean together; None if all pairs are used.

    Args:
      steps: number of samples T.
      lag: steps from past to future.
      first: [T] true at the first step of every episode.
      valid: [T] false at steps to leave out.
      mask: [T - lag] pairs to keep.

    Returns:
      [T - lag] bool, or None.

    Raises:
      UsageError: a length that is not the one expected.
    """
    check_lag(steps, lag)
    for name, flag, length, of in (
        ("first", first, steps, "step"),
        ("valid", valid, steps, "step"),
        ("mask", mask, steps - lag, "pair"),
    ):
        if flag is not None and jnp.shape(flag) != (length,):
            raise UsageError(f"{name} must have shape ({length},), one entry a {of}, got {jnp.shape(flag)}")
    mask = None if mask is None else jnp.asarray(mask).astype(bool)
    if first is None and valid is None:
        return mask
    inside = pair_mask(jnp.zeros(steps, bool) if first is None else first, lag, valid)
    return inside if mask is None else inside & mask


def _dot(left: jax.Array, right: jax.Array) -> jax.Array:
    return matmul(left.mT, right)


def _blocked(products, steps: int):
    """Sum ``products(start, size)`` over blocks that cover ``range(steps)``."""
    blocks, rest = divmod(steps, BLOCK)
    if blocks == 0:
        return products(0, rest)
    start = products((blocks - 1) * BLOCK, BLOCK) if rest == 0 else products(blocks * BLOCK, rest)

    def add(total, index):
        return jax.tree.map(jnp.add, total, products(index * BLOCK, BLOCK)), None

    total, _ = lax.scan(add, start, jnp.arange(blocks - (rest == 0)))
    return total


@partial(jax.jit, static_argnums=1)
def _unweighted(z: jax.Array, lag: int, origin: jax.Array) -> Moments:
    pairs = z.shape[0] - lag

    def products(start, size):
        rows = lax.dynamic_slice_in_dim(z, start, size + lag) - origin
        past, future = rows[:size], rows[lag:]
        both = jnp.where((start + jnp.arange(size) >= lag)[:, None], past, 0)
        return both.sum(0), _dot(both, both), _dot(past, future)

    # Past and future share all rows but `lag` at each end, so that the future's Gram matrix needs no third
    # product. Ends are added to what is shared: subtracted, one that is far from the others would leave its
    # rounding.
    total, gram, past_future = _blocked(products, pairs)
    edge = min(lag, pairs)
    head, tail = z[:edge] - origin, z[z.shape[0] - edge :] - origin
    past_sum, future_sum = total + head.sum(0), total + tail.sum(0)
    past_past, future_future = gram + _dot(head, head), gram + _dot(tail, tail)
    count = jnp.asarray(pairs, z.dtype)
    return Moments(count, count, origin, past_sum, future_sum, past_past, future_future, past_future)


@partial(jax.jit, static_argnames=("lag", "binary"))
def _weighted(z: jax.Array, lag: int, origin: jax.Array, weight: jax.Array, binary: bool) -> Moments:
    """``binary``: weights are 0 or 1, so that kept rows are what they are."""
    pairs = z.shape[0] - lag

    def products(start, size, shared=None):
        w = lax.dynamic_slice_in_dim(weight, start, size)[:, None]
        rows = lax.dynamic_slice_in_dim(z, start, size + lag) - origin
        # Dropped rows may hold anything, NaN included: 0 * NaN would leak, a select does not.
        past, future = jnp.where(w != 0, rows[:size], 0), jnp.where(w != 0, rows[lag:], 0)
        heavy_past, heavy_future = (past, future) if binary else (w * past, w * future)
        sums = w.sum(), (w * w).sum(), _dot(heavy_past, future)
        if shared is not None:
            both = jnp.where(lax.dynamic_slice_in_dim(shared, start, size)[:, None], rows[:size], 0)
            return *sums, both.sum(0), _dot(both, both)
        own = lambda heavy, rows: (heavy.sum(0), _dot(heavy, rows))
        return *sums, *own(heavy_past, past), *own(heavy_future, future)

    def whole(_):
        return _blocked(products, pairs)

    def by_edges(edges):
        later = jnp.concatenate([jnp.zeros(lag, weight.dtype), weight])[:pairs]
        shared = (weight != 0) & (later != 0)
        count, squared, pf, total, gram = _blocked(partial(products, shared=shared), pairs)
        at = jnp.nonzero(edges, size=room, fill_value=0)[0]
        sign = jnp.where(jnp.arange(room) < (edges != 0).sum(), edges[at], 0)[:, None]
        # Added, not subtracted, as above.
        alone = lambda which: jnp.where(which, z[at] - origin, 0)
        past, future = alone(sign < 0), alone(sign > 0)
        return (
            *(count, squared, pf, total + past.sum(0), gram + _dot(past, past)),
            *(total + future.sum(0), gram + _dot(future, future)),
        )

    room = pairs // 8
    if binary and room:
        # Past and future are the same rows but for the two ends of every episode, which are few.
        none = jnp.zeros(lag, weight.dtype)
        edges = jnp.concatenate([none, weight]) - jnp.concatenate([weight, none])
        found = lax.cond((edges != 0).sum() <= room, by_edges, whole, edges)
    else:
        found = whole(None)
    count, squared, pf, past_sum, pp, future_sum, ff = found
    return Moments(count, squared, origin, past_sum, future_sum, pp, ff, pf)


def lagged_moments(
    z: jax.Array,
    lag: int = 1,
    mask: jax.Array | None = None,
    weights: jax.Array | None = None,
    origin: jax.Array | None = None,
) -> Moments:
    """Moments of all pairs ``(z[t], z[t + lag])``.

    Args:
      z: [T, n] samples, float. Rows that only masked pairs touch may hold anything.
      lag: steps from past to future, static.
      mask: [T - lag] bool, pairs to keep (see :func:`pair_mask`). Long episodes are quicker than short ones;
        over many masks ``lax.map`` is quicker than ``vmap``, which goes both ways for each.
      weights: [T - lag] non-negative weights of the pairs.
      origin: [n] centre of the sums; by default the mean of the kept samples. It changes rounding only;
        pass one when the sums must not depend on later samples even in the last bit.

    Returns:
      The moments, in the dtype of ``z`` but at least in float32.

    Raises:
      UsageError: if the lag leaves no pair or a mask has the wrong length.
    """
    z = as_samples(z)
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    check_lag(z.shape[0], lag)
    weight = _pair_weights(z, lag, mask, weights)
    if weight is None:
        origin = z.mean(0) if origin is None else jnp.asarray(origin, z.dtype)
        return _unweighted(z, lag, lax.stop_gradient(origin))
    if origin is None:
        column = weight[:, None]
        total = jnp.where(column != 0, column * z[:-lag], 0).sum(0)
        count = weight.sum()
        origin = total / jnp.where(count > 0, count, 1)
    return _weighted(z, lag, lax.stop_gradient(jnp.asarray(origin, z.dtype)), weight, binary=weights is None)


def _pair_weights(z, lag, mask, weights) -> jax.Array | None:
    pairs = z.shape[0] - lag
    for name, value in (("mask", mask), ("weights", weights)):
        if value is not None and jnp.shape(value) != (pairs,):
            raise UsageError(
                f"{name} must have shape ({pairs},), one entry per lagged pair, got {jnp.shape(value)}; "
                "pair_mask builds a mask from episode starts"
            )
    if mask is None and weights is None:
        return None
    weight = jnp.ones(pairs, z.dtype) if weights is None else jnp.asarray(weights, z.dtype)
    return weight if mask is None else jnp.where(jnp.asarray(mask).astype(bool), weight, 0)


def rebase(moments: Moments, origin: jax.Array) -> Moments:
    """The same moments written relative to another ``origin`` [n]."""
    shift = moments.origin - origin

    def matrix(product, left, right):
        cross = left[..., :, None] * shift[..., None, :] + shift[..., :, None] * right[..., None, :]
        square = shift[..., :, None] * shift[..., None, :]
        return product + cross + moments.count[..., None, None] * square

    step = moments.count[..., None] * shift
    past, future = moments.past_sum, moments.future_sum
    return moments._replace(
        origin=jnp.broadcast_to(origin, shift.shape),
        past_sum=past + step,
        future_sum=future + step,
        past_past=matrix(moments.past_past, past, past),
        future_future=matrix(moments.future_future, future, future),
        past_future=matrix(moments.past_future, past, future),
    )


def combined_moments(moments: Moments, weights: jax.Array) -> Moments:
    """Moments of linear combinations of the units, without their samples.

    Args:
      moments: of n units; leading batch axes are fine.
      weights: [k, n], one combination a row.

    Returns:
      Moments of k units: those of ``z @ weights.T`` up to rounding.
    """
    vector = lambda x: matmul(x, weights.T)
    square = lambda x: matmul(weights, matmul(x, weights.T))
    return moments._replace(
        origin=vector(moments.origin),
        past_sum=vector(moments.past_sum),
        future_sum=vector(moments.future_sum),
        past_past=square(moments.past_past),
        future_future=square(moments.future_future),
        past_future=square(moments.past_future),
    )


def _add(left: Moments, right: Moments) -> Moments:
    total = jax.tree.map(jnp.add, left, right)
    return total._replace(origin=left.origin)


def merge_moments(left: Moments, right: Moments) -> Moments:
    """Moments of the pairs of both; the order does not matter beyond rounding."""
    origin = jnp.where(left.count[..., None] > 0, left.origin, right.origin)
    return _add(rebase(left, origin), rebase(right, origin))


def psum_moments(moments: Moments, axis_name: str | None) -> Moments:
    """Sum moments over a mapped axis (devices or a ``vmap`` axis); ``None`` returns them unchanged."""
    if axis_name is None:
        return moments
    origin = lax.pmean(moments.origin, axis_name)
    total = lax.psum(rebase(moments, origin)._replace(origin=jnp.zeros_like(origin)), axis_name)
    return total._replace(origin=origin)


@jax.jit
def covariance(moments: Moments, ddof: float = 0.0) -> jax.Array:
    """Covariance of past and future together.

    Args:
      moments: see :func:`lagged_moments`; leading batch axes are fine.
      ddof: subtracted from the count in the denominator.

    Returns:
      [2n, 2n], past units first: ``[[past, past-future], [future-past, future]]``. NaN if there are no pairs.
    """
    count = moments.count[..., None, None]
    past, future = moments.past_sum, moments.future_sum
    centred = lambda product, left, right: product - left[..., :, None] * (right[..., None, :] / count)
    upper_left = centred(moments.past_past, past, past)
    upper_right = centred(moments.past_future, past, future)
    lower_right = centred(moments.future_future, future, future)
    upper = jnp.concatenate([upper_left, upper_right], axis=-1)
    lower = jnp.concatenate([upper_right.mT, lower_right], axis=-1)
    return jnp.concatenate([upper, lower], axis=-2) / (count - ddof)


def mean(moments: Moments) -> jax.Array:
    """[2n] mean of past and future."""
    sums = jnp.concatenate([moments.past_sum, moments.future_sum], axis=-1)
    origin = jnp.concatenate([moments.origin, moments.origin], axis=-1)
    return origin + sums / moments.count[..., None]


def alive(moments: Moments) -> jax.Array:
    """[2n] bool: false for a past or future that is constant up to rounding."""
    offset = jnp.concatenate([moments.past_sum, moments.future_sum], axis=-1) / moments.count[..., None]
    variance = jnp.diagonal(covariance(moments), axis1=-2, axis2=-1)
    return varies(variance, mean(moments), offset=offset, count=moments.count[..., None])


def correlation(
    moments: Moments, shrinkage: jax.Array | float | None = None, clip: float | None = None
) -> jax.Array:
    """Correlation of past and future together, safe to take logarithms of.

    Args:
      moments: see :func:`lagged_moments`; leading batch axes are fine.
      shrinkage: intensity in [0, 1] passed to :func:`shrink`; none by default.
      clip: bound on ``|r|`` off the diagonal; see :func:`clip_correlation`.

    Returns:
      [2n, 2n], past units first, ones on the diagonal. A constant unit correlates with nothing (0).
    """
    matrix = correlation_of(covariance(moments), alive(moments))
    if shrinkage is not None:
        matrix = shrink(matrix, shrinkage)
    return clip_correlation(matrix, clip)


def clip_correlation(matrix: jax.Array, clip: float | None = None) -> jax.Array:
    """Bound off-diagonal correlations and set the diagonal to one.

    The default bound is ``1 - 1e-6`` in float32 and ``1 - 1e-12`` in float64: below the rounding of an
    estimate, and finite information (6.6 and 13.5 nats) for exact duplicates.
    """
    clip = largest_correlation(matrix.dtype) if clip is None else clip
    eye = jnp.eye(matrix.shape[-1], dtype=bool)
    return jnp.where(eye, 1, jnp.clip(matrix, -clip, clip))


def shrink(matrix: jax.Array, intensity: jax.Array | float) -> jax.Array:
    """Linear shrinkage ``(1 - intensity) C + intensity * mean(diag C) I`` of one full matrix [..., m, m].

    Shrinking the full matrix once, rather than each block by itself, keeps all chain rules exact.
    """
    size = matrix.shape[-1]
    target = jnp.trace(matrix, axis1=-2, axis2=-1)[..., None, None] / size
    eye = jnp.eye(size, dtype=matrix.dtype)
    intensity = jnp.asarray(intensity, matrix.dtype)[..., None, None]
    return (1 - intensity) * matrix + intensity * target * eye


def ledoit_wolf(z: jax.Array, lag: int = 1, mask: jax.Array | None = None) -> jax.Array:
    """Ledoit-Wolf shrinkage intensity for the correlation of past and future together.

    Args:
      z: [T, n] samples, taken as independent pairs.
      lag: steps from past to future.
      mask: [T - lag] bool, pairs to keep.

    Returns:
      [] intensity in [0, 1] for ``correlation(moments, shrinkage=...)``. Source: Ledoit and Wolf 2004,
      "A well-conditioned estimator for large-dimensional covariance matrices", on standardised samples.
    """
    moments = lagged_moments(z, lag, mask)
    rows = lagged_rows(z, lag, moments, mask)
    keep = jnp.ones(rows.shape[0], rows.dtype) if mask is None else jnp.asarray(mask).astype(rows.dtype)
    matrix = correlation(moments, clip=1.0)
    size = matrix.shape[-1]
    norm = jnp.sum(matrix**2)
    fourth = jnp.sum(keep * jnp.sum(rows**2, axis=-1) ** 2) / moments.count
    spread = (fourth - norm) / moments.count
    distance = jnp.sum((matrix - jnp.eye(size)) ** 2)
    return jnp.clip(spread / jnp.maximum(distance, jnp.finfo(matrix.dtype).tiny), 0, 1)


def lagged_rows(
    z: jax.Array, lag: int, moments: Moments, mask: jax.Array | None = None, ddof: float = 0.0
) -> jax.Array:
    """[T - lag, 2n] past and future side by side, each column standardised; 0 where masked or constant."""
    centre, living = mean(moments), alive(moments)
    variance = jnp.diagonal(covariance(moments, ddof), axis1=-2, axis2=-1)
    scale = jnp.where(living, lax.rsqrt(jnp.where(living, variance, 1)), 0)
    rows = (jnp.concatenate([z[:-lag], z[lag:]], axis=-1) - centre) * scale
    return rows if mask is None else jnp.where(jnp.asarray(mask).astype(bool)[:, None], rows, 0)
