"""Surrogates that resample: residuals of every unit's own past, and whole episodes.

Pure functions ``(key, z) -> z`` like those of :mod:`rlkit.analysis.study.surrogates`.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.study.surrogates import episode_layout
from rlkit.keys import typed_key
from rlkit.products import FULL, matmul
from rlkit.types import Key


class OwnPast(NamedTuple):
    """Every unit as an autoregression on its own past, see :func:`fit_own_past`.

    Attributes:
      weights: [n, p] of the p steps before, the last one first.
      mean: [n] level.
      residuals: [T, n]; the fitted rows first, ``count`` of them.
      count: [] fitted rows.
      shared: [] share of a surrogate's noise that is drawn for all units at once, in [0, 1].
      fitted: [T] bool, steps with p steps of their own episode before them; the others keep their values.
    """

    weights: jax.Array
    mean: jax.Array
    residuals: jax.Array
    count: jax.Array
    shared: jax.Array
    fitted: jax.Array


def fit_own_past(
    z: jax.Array, first: jax.Array | None = None, valid: jax.Array | None = None, order: int = 2
) -> OwnPast:
    """Fit every unit by least squares to its own past, inside episodes.

    The sum of the weights, which says how slow a unit is, is corrected for its small-sample bias
    ``-(1 + 3 rho) / N`` (Kendall 1954) without ever passing one: surrogates that are less slow than the
    recording would be less like each other by chance. Residuals are scaled by ``sqrt(N / (N - p - 1))``.

    The sums of four units or more are then shrunk towards their mean (James and Stein 1961, as
    :func:`shrunk`): errors of estimation make units differ in how slow they are, and means over pairs grow
    with such differences, so that surrogates of units that are alike would have more Φ_R than the recording.

    A unit that runs away (e.g. a fall at the end of an episode) is fitted by roots outside the unit circle,
    whose surrogates would grow without bound. All roots of such a unit are scaled by the factor that brings
    the largest to ``1 - 1 / 2N``, see :func:`stationary`; the corrected sum of weights never reaches that.

    How much of the noise units share is estimated with error, and Φ_R grows with its square: surrogates that
    repeated the sample's correlations would show them twice. So they are shrunk by the intensity of Ledoit
    and Wolf 2004 for correlations (the target has none): 0 is shared where units have independent noise,
    nearly all where correlations are plain. The combination is ours.

    Args:
      z: [T, n] samples.
      first: [T] true at the first step of every episode.
      valid: [T] false at padding.
      order: p, static, at least 1.

    Returns:
      The fit. With fewer than ``2 p + 2`` fitted rows everything in it is NaN.

    Raises:
      ValueError: ``order`` is below 1 or as long as the recording.
    """
    z = as_samples(z)
    steps = z.shape[0]
    if not 1 <= order < steps // 2:
        raise ValueError(f"order={order}: expected 1 to {steps // 2 - 1} steps of own past in {steps} steps")
    _, _, place = episode_layout(jnp.zeros(steps, bool) if first is None else first)
    good = jnp.ones(steps, bool) if valid is None else jnp.asarray(valid).astype(bool)
    fitted = good & (place >= order)
    for back in range(1, order + 1):
        fitted &= jnp.roll(good, back)
    # Level and differences instead of steps: the first coefficient is then the sum of the weights.
    before = [jnp.roll(z, back, axis=0) for back in range(1, order + 1)]
    columns = jnp.stack([before[0], *(a - b for a, b in itertools.pairwise(before))], -1)
    keep, count = fitted[:, None], fitted.sum()
    level = jnp.where(fitted[:, None, None], columns, 0).sum(0) / count
    aim = jnp.where(keep, z, 0).sum(0) / count
    columns = jnp.where(fitted[:, None, None], columns - level, 0)
    target = jnp.where(keep, z - aim, 0)
    gram = jnp.einsum("tnp,tnq->npq", columns, columns, precision=FULL)
    ridge = 1e-6 * jnp.trace(gram, axis1=1, axis2=2)[:, None, None] / order + jnp.finfo(z.dtype).tiny
    right = jnp.einsum("tnp,tn->np", columns, target, precision=FULL)[..., None]
    found = jnp.linalg.solve(gram + ridge * jnp.eye(order, dtype=z.dtype), right)[..., 0]
    residuals = target - jnp.einsum("tnp,np->tn", columns, found, precision=FULL)

    total = found[:, 0]
    unbiased = (count * total + 1) / jnp.maximum(count - 3, 1)
    error = jnp.linalg.inv(gram + ridge * jnp.eye(order, dtype=z.dtype))[:, 0, 0]
    error *= jnp.square(residuals).sum(0) / jnp.maximum(count - order - 1, 1)
    sums = shrunk(unbiased, error, jnp.trace(gram, axis1=1, axis2=2) > 0)
    found = found.at[:, 0].set(jnp.minimum(sums, jnp.maximum(1 - 1 / count, total)))
    weights = found.at[:, 1:].add(-found[:, 1:])  # differences back to steps
    weights = weights.at[:, 0].set(found[:, 0] + (found[:, 1] if order > 1 else 0))
    for back in range(1, order):
        following = found[:, back + 1] if back + 1 < order else 0
        weights = weights.at[:, back].set(following - found[:, back])
    weights = stationary(weights, 1 - 1 / (2 * jnp.maximum(count, 1)))

    enough = count >= 2 * order + 2
    residuals = residuals * jnp.sqrt(count / jnp.maximum(count - order - 1, 1))
    ordered = residuals[jnp.argsort(~fitted, stable=True)]
    shared = 1 - _intensity(jnp.where(keep, residuals, 0), count)
    return OwnPast(weights, aim, jnp.where(enough, ordered, jnp.nan), count, shared, fitted)


def shrunk(estimates: jax.Array, variance: jax.Array, known: jax.Array) -> jax.Array:
    """Estimates of one number of each unit, shrunk towards their mean by what their errors explain.

    The estimator of James and Stein 1961 as Efron and Morris 1973 centre it, with the mean of the variances
    and no factor below zero: of n units the deviations from the mean are multiplied by
    ``1 - (n - 3) v / sum of their squares``. Where units really differ that is nearly one.

    Args:
      estimates: [n].
      variance: [n] of their errors.
      known: [n] bool, units that have an estimate; the others keep theirs and say nothing, as do those whose
        estimate or variance is not finite.

    Returns:
      [n]; of three units or fewer unchanged.
    """
    known = known & jnp.isfinite(estimates) & jnp.isfinite(variance)
    count = jnp.maximum(known.sum(), 1)
    mean = jnp.where(known, estimates, 0).sum() / count
    apart = jnp.where(known, estimates - mean, 0)
    error = jnp.where(known, variance, 0).sum() / count
    spread = jnp.maximum(jnp.square(apart).sum(), jnp.finfo(estimates.dtype).tiny)
    return estimates - apart * jnp.clip((count - 3) * error / spread, 0, 1)


def stationary(weights: jax.Array, radius: jax.Array | float) -> jax.Array:
    """Autoregressions with their roots inside a circle.

    Weight k is multiplied by the k-th power of the largest factor in [0, 1] that does it, which multiplies
    every root by that factor. It is found by bisection with the test of Schur and Cohn (all reflection
    coefficients below one), so that there is no eigenvalue of a matrix without symmetry.

    Args:
      weights: [n, p] of the p steps before, the last one first.
      radius: of the circle, in (0, 1].

    Returns:
      [n, p]; what is inside already keeps its bits.
    """
    radius = jnp.asarray(radius, weights.dtype)
    powers = jnp.arange(1, weights.shape[1] + 1, dtype=weights.dtype)
    scaled = lambda factor: weights * factor[:, None] ** powers
    inside = lambda factor: _is_stable(scaled(factor / radius))

    def halve(_, bounds: tuple[jax.Array, jax.Array]):
        low, high = bounds
        middle = (low + high) / 2
        good = inside(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    one = jnp.ones_like(weights[:, 0])
    factor, _ = jax.lax.fori_loop(0, 24, halve, (jnp.zeros_like(one), one))
    return jnp.where(inside(one)[:, None], weights, scaled(factor))


def _is_stable(weights: jax.Array) -> jax.Array:
    """[n] bool: all roots inside the unit circle, by Levinson's recursion downwards."""
    rest, stable = list(weights.T), jnp.ones(weights.shape[0], bool)
    while rest:
        last = rest.pop()
        stable &= jnp.abs(last) < 1
        left = jnp.where(stable, 1 - last**2, 1)
        rest = [(a + last * b) / left for a, b in zip(rest, rest[::-1], strict=True)]
    return stable


def _intensity(residuals: jax.Array, count: jax.Array) -> jax.Array:
    """Shrinkage of the correlations of ``residuals`` [T, n] (0 where there are none) towards none."""
    power = jnp.square(residuals).sum(0) / count
    scaled = residuals * jnp.where(power > 0, jax.lax.rsqrt(jnp.where(power > 0, power, 1)), 0)
    matrix = matmul(scaled.T, scaled) / count
    noise = (matmul(jnp.square(scaled).T, jnp.square(scaled)) / count - matrix**2) / count
    off = ~jnp.eye(matrix.shape[0], dtype=bool)
    size = jnp.where(off, matrix**2, 0).sum()
    return jnp.clip(jnp.where(off, noise, 0).sum() / jnp.maximum(size, jnp.finfo(matrix.dtype).tiny), 0, 1)


def own_past(
    key: Key,
    z: jax.Array,
    first: jax.Array | None = None,
    *,
    valid: jax.Array | None = None,
    order: int = 2,
    fit: OwnPast | None = None,
) -> jax.Array:
    """Let every unit go on from its own past alone, with noise that units may share.

    Residual vectors are resampled, so that noise which reaches several units in one step still does; what is
    gone is that the past of one unit says anything about another beyond that. The first ``order`` steps of
    every episode keep their values.

    Args:
      key: typed PRNG key.
      z: [T, n] samples.
      first: [T] true at the first step of every episode.
      valid: [T] false at padding.
      order: steps of own past, static.
      fit: ``fit_own_past(z, first, valid, order)``, so that many surrogates share it.

    Returns:
      [T, n] surrogate.
    """
    z = as_samples(z)
    fit = fit_own_past(z, first, valid, order) if fit is None else fit
    key_joint, key_own = jax.random.split(typed_key(key))
    pick = lambda key, shape: jnp.floor(jax.random.uniform(key, shape) * fit.count).astype(jnp.int32)
    joint = fit.residuals[pick(key_joint, z.shape[:1])]
    own = jnp.take_along_axis(fit.residuals, pick(key_own, z.shape), axis=0)
    noise = jnp.sqrt(fit.shared) * joint + jnp.sqrt(1 - fit.shared) * own

    weights = tuple(fit.weights.T)  # separate arrays: a step then moves nothing

    def step(past: tuple[jax.Array, ...], now: tuple[jax.Array, jax.Array, jax.Array]):
        noise, kept, fitted = now
        known = sum(weight * before for weight, before in zip(weights, past, strict=True))
        new = jnp.where(fitted, known + noise, kept)
        return (new, *past[:-1]), new

    start = tuple(jnp.zeros_like(weight) for weight in weights)
    _, drawn = jax.lax.scan(step, start, (noise, z - fit.mean, fit.fitted))
    return drawn + fit.mean


def equal_episodes(first: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """Cut episodes to one length: the one that leaves most steps to exchange.

    Args:
      first: [T] true at the first step of every episode.
      valid: [T] false at padding; an episode must not be valid in part.

    Returns:
      [T] bool, the steps of episodes of at least length L up to step L, where L maximises
      ``L * (episodes that long - 1)``. All false with fewer than two episodes.
    """
    _, length, place = episode_layout(first)
    good = jnp.ones(length.shape, bool) if valid is None else jnp.asarray(valid).astype(bool)
    starts = (place == 0) & good
    as_long = jnp.where(starts[None, :], length[None, :] >= length[:, None], False).sum(1)
    gain = jnp.where(starts, length * (as_long - 1), -1)
    best = jnp.argmax(gain)
    return good & (length >= length[best]) & (place < length[best]) & (gain[best] > 0)


def episode_shuffle(key: Key, z: jax.Array, first: jax.Array, *, valid: jax.Array | None = None) -> jax.Array:
    """Deal the episodes of every unit out anew, each unit by itself.

    Keeps whatever depends on the place in an episode, and each unit's course within it; destroys what units
    have in common beyond that. Exact if episodes are exchangeable.

    Args:
      key: typed PRNG key.
      z: [T, n] samples.
      first: [T] true at the first step of every episode.
      valid: [T] ``equal_episodes(first)``, the default: the chosen steps, in episodes of one length. The
        others keep their values.

    Returns:
      [T, n] surrogate, to be compared with the chosen steps of the recording.
    """
    z = as_samples(z)
    chosen = equal_episodes(first) if valid is None else jnp.asarray(valid).astype(bool)
    start, _, place = episode_layout(first)
    begins = (chosen & (place == 0))[:, None]
    lots = jax.random.uniform(typed_key(key), z.shape)
    order = jnp.argsort(jnp.where(begins, lots, 2.0), axis=0)  # the chosen starts in random order
    own = jnp.broadcast_to(jnp.argsort(~begins, axis=0, stable=True), z.shape)
    donor = jnp.put_along_axis(jnp.zeros(z.shape, order.dtype), own, order, axis=0, inplace=False)
    source = jnp.where(chosen[:, None], donor[start] + place[:, None], jnp.arange(z.shape[0])[:, None])
    return jnp.take_along_axis(z, source, axis=0)
