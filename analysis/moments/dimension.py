"""How much a recording can say: active units, effective dimension, effective sample size, drift.

Print these beside every emergence value: a recording of a few slow, mixed or drifting units has large values
and confident surrogates without any interaction. All are pure functions of one series ``[T, n]``: vmap over
seeds.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.variation import varies
from rlkit.products import matmul

MAX_LAGS = 1024
DRIFT_SHARE = 0.05
DRIFT_SCORE = 4.0


class Drift(NamedTuple):
    """A linear trend of the level of every unit over the recording.

    Attributes:
      share: [n] share of the unit's variance that the trend explains, in [0, 1]; 0 for constant units.
      score: [n] the trend in standard errors, for as many independent samples as the residual is worth.
      drifting: [n] bool, a share above ``DRIFT_SHARE`` and a score above ``DRIFT_SCORE``.
    """

    share: jax.Array
    score: jax.Array
    drifting: jax.Array


def _centred(z, first, valid):
    """(centred samples [T, n], 0 where invalid; valid [T]; episode [T]; varying [n]), standardised."""
    z = as_samples(z)
    if z.ndim != 2:
        raise ValueError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    flags = {}
    for name, flag, default in (("first", first, False), ("valid", valid, True)):
        flag = jnp.full(z.shape[0], default) if flag is None else jnp.asarray(flag).astype(bool)
        if flag.shape != z.shape[:1]:
            raise ValueError(f"{name} has shape {flag.shape}; expected [{z.shape[0]}], one entry a step")
        flags[name] = flag
    valid = flags["valid"]
    keep, count = valid[:, None], valid.sum()
    mean = jnp.where(keep, z, 0).sum(0) / count
    rows = jnp.where(keep, z - mean, 0)
    rows = jnp.where(keep, rows - rows.sum(0) / count, 0)
    variance = jnp.square(rows).sum(0) / count
    varying = varies(variance, mean)
    rows = jnp.where(varying, rows * lax.rsqrt(jnp.where(varying, variance, 1)), 0)
    return rows, valid, jnp.cumsum(flags["first"].astype(jnp.int32)), varying


def _autocorrelation(rows, valid, episode, lags: int) -> jax.Array:
    """[lags, n] autocorrelations at 1, 2, ...: products within episodes over all samples (a taper)."""
    steps = rows.shape[0]
    padded = jnp.pad(rows, ((0, lags), (0, 0)))
    kinds = jnp.pad(jnp.where(valid, episode, -1), (0, lags), constant_values=-1)

    def at(lag):
        later = lax.dynamic_slice_in_dim(padded, lag, steps)
        same = valid & (lax.dynamic_slice_in_dim(kinds, lag, steps) == episode)
        return jnp.where(same[:, None], rows * later, 0).sum(0) / valid.sum()

    return lax.map(at, jnp.arange(1, lags + 1))


def active_units(z: jax.Array, *, valid: jax.Array | None = None) -> jax.Array:
    """[n] bool: units that vary (see ``varies``) and are no affine copy of an earlier one.

    Args:
      z: [T, n] samples.
      valid: [T] false at steps to leave out.
    """
    rows, valid, _, varying = _centred(z, None, valid)
    matrix = jnp.abs(matmul(rows.T, rows)) / valid.sum()
    bound = 1 - (1e-12 if rows.dtype == jnp.float64 else 2e-6)
    copies = jnp.tril(matrix >= bound, -1) & varying[None, :]
    return varying & ~jnp.any(copies, axis=1)


def effective_dimension(
    z: jax.Array, valid: jax.Array | None = None, *, standardise: bool = False
) -> jax.Array:
    """Participation ratio of the spectrum of the covariance, (Σλ)² / Σλ².

    Args:
      z: [T, n] samples.
      valid: [T] false at steps to leave out.
      standardise: scale units to variance one first, so that the number of directions that vary counts and
        not their size. By default units are centred but not scaled.

    Returns:
      Scalar in [1, n]; NaN if no unit varies.
    """
    rows, valid, _, varying = _centred(z, None, valid)
    if not standardise:
        raw = as_samples(z)
        keep = valid[:, None]
        mean = jnp.where(keep, raw, 0).sum(0) / valid.sum()
        raw = jnp.where(keep & varying, raw - mean, 0)
        rows = raw / jnp.max(jnp.abs(raw), initial=jnp.finfo(rows.dtype).tiny)  # squares of squares underflow
    gram = matmul(rows.T, rows)
    return jnp.square(jnp.trace(gram)) / jnp.square(gram).sum()


@partial(jax.jit, static_argnames="max_lag")
def effective_sample_size(
    z: jax.Array,
    *,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    max_lag: int | None = None,
) -> jax.Array:
    """Independent samples that the recording is worth for the cross-correlation of its slowest pair of units.

    ``min_ij N / (1 + 2 Σ_k ρ_i(k) ρ_j(k))`` (Bartlett 1946), autocorrelations within episodes up to
    ``max_lag``, each normalised by all samples. For two AR(1) units it is
    :func:`rlkit.analysis.atoms.effective_count` in expectation, and unlike that it knows memory that lag one
    does not show.

    Args:
      z: [T, n] samples, n >= 2.
      first: [T] true at the first step of every episode.
      valid: [T] false at steps to leave out.
      max_lag: longest lag of the sum; a quarter of the recording, at most ``MAX_LAGS``, by default.

    Returns:
      Scalar in [1, N], N the number of valid samples; NaN if fewer than two units vary.
    """
    rows, valid, episode, varying = _centred(z, first, valid)
    steps, units = rows.shape
    lags = max(1, min(steps // 4, MAX_LAGS) if max_lag is None else min(max_lag, steps - 1))
    own = _autocorrelation(rows, valid, episode, lags)
    memory = 1 + 2 * matmul(own.T, own)
    pairs = varying[:, None] & varying[None, :] & ~jnp.eye(units, dtype=bool)
    count = valid.sum().astype(rows.dtype)
    worst = jnp.where(pairs, memory, -jnp.inf).max()
    return jnp.where(pairs.any(), jnp.clip(count / jnp.maximum(worst, 1), 1, count), jnp.nan)


@jax.jit
def drift(z: jax.Array, *, first: jax.Array | None = None, valid: jax.Array | None = None) -> Drift:
    """Look for a linear trend of each unit over the recording, which every stationary null takes for
    coupling.

    The score is the correlation with time over its standard error, for as many independent samples as the
    residual is worth: ``N / (1 + 2 Σ ρ(k))`` up to the first lag with ρ <= 0. A slow stationary unit wanders,
    and scores low. The detector is ours.

    Args:
      z: [T, n] samples.
      first: [T] true at the first step of every episode: autocorrelations stay inside episodes, time does
        not.
      valid: [T] false at steps to leave out.
    """
    rows, valid, episode, varying = _centred(z, first, valid)
    count = valid.sum()
    time = jnp.where(valid, jnp.cumsum(valid), 0).astype(rows.dtype)
    time = jnp.where(valid, time - time.sum() / count, 0)
    time = time / jnp.sqrt(jnp.square(time).sum() / count)
    slope = (time[:, None] * rows).sum(0) / count
    share = jnp.where(varying, jnp.clip(slope**2, 0, 1), 0)
    rest = jnp.where(valid[:, None], rows - time[:, None] * slope, 0)
    rest = rest * lax.rsqrt(jnp.maximum(1 - share, jnp.finfo(rows.dtype).eps))
    own = _autocorrelation(rest, valid, episode, max(1, min(rows.shape[0] // 4, MAX_LAGS)))
    memory = 1 + 2 * jnp.where(jnp.cumprod(own > 0, axis=0), own, 0).sum(0)
    freedom = jnp.maximum(count / memory - 2, 0)
    score = jnp.sign(slope) * jnp.sqrt(share * freedom / jnp.maximum(1 - share, jnp.finfo(rows.dtype).eps))
    return Drift(share, score, varying & (share > DRIFT_SHARE) & (jnp.abs(score) > DRIFT_SCORE))


def leading_components(z: jax.Array, count: int, *, valid: jax.Array | None = None) -> jax.Array:
    """The leading principal components of standardised units, as new units of variance one.

    Units that mix few sources are many views of few: emergence of their components is that of the sources up
    to a rotation.

    Args:
      z: [T, n] samples. Constant units take no part.
      count: components to keep, static, 1 to n.
      valid: [T] false at steps to leave out (they become 0).

    Returns:
      [T, count], in the order of falling variance; a component without variance is constant 0. The loading of
      largest magnitude is positive.

    Raises:
      ValueError: if there are not as many units.
    """
    rows, valid, _, _ = _centred(z, None, valid)
    units = rows.shape[1]
    if not 1 <= count <= units:
        raise ValueError(f"count={count}: expected 1 to {units} components of {units} units")
    values, axes = jnp.linalg.eigh(matmul(rows.T, rows) / valid.sum())
    values, axes = values[::-1][:count], axes[:, ::-1][:, :count]
    largest = jnp.take_along_axis(axes, jnp.abs(axes).argmax(0)[None], 0)
    axes = axes * jnp.where(largest < 0, -1, 1)
    full = values > units * jnp.finfo(rows.dtype).eps * 10
    return matmul(rows, axes) * jnp.where(full, lax.rsqrt(jnp.where(full, values, 1)), 0)
