"""Surrogates of recorded units that keep something and destroy the rest; pure functions ``(key, z) -> z``.

Theiler et al. 1992 (Physica D 58, 77) for phase randomisation; Prichard and Theiler 1994
(arXiv comp-gas/9405002) for common phases. What each one keeps is the hypothesis that it stands for, see
:data:`rlkit.analysis.study.nulls.NULLS`; those that resample a fitted model or whole episodes are in
:mod:`rlkit.analysis.study.resampling`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.moments.samples import as_samples
from rlkit.keys import typed_key
from rlkit.products import matmul
from rlkit.types import Key


def phase_randomised(
    key: Key,
    z: jax.Array,
    first: jax.Array | None = None,
    *,
    common: bool = False,
    side: jax.Array | None = None,
    basis: "EpisodeBasis | None" = None,
) -> jax.Array:
    """Randomise the phases of the Fourier components of every unit.

    The amplitude spectrum of each unit, and so its circular autocorrelation, stays to rounding;
    coupling between units is destroyed, or with ``side`` only that between two groups of units, or with
    ``common`` only what is not linear in it.

    What stays is the circular autocorrelation, whose last sample precedes the first. In a long recording
    that is no difference. In short episodes it is: with ``first``, and with a statistic that leaves out
    pairs across episodes, surrogates are less persistent than the recording, and measures of mere
    persistence (``sts``, ``ce4``) exceed them without any coupling; ``phi_r`` does not. A long recording
    has the same defect to a smaller degree, because its two ends do not meet. ``measure_emergence``
    therefore compares what measures have beyond independent units of the same persistence.

    Args:
      key: typed PRNG key.
      z: [T, n] samples, float.
      first: [T] true at the first step of every episode. Each episode is then transformed by itself, and the
        units' episode means are dealt out to the episodes anew: left where they are they would keep
        the coupling between episodes. (The definition is ours; it takes a [T, T] matrix.)
      common: give all units the same phases, which keeps every cross-spectrum.
      side: [n] bool, two groups of units; the units of a group get the same phases, which keeps the
        cross-spectra within it. A mean over a group is then the surrogate of that mean.
      basis: ``episode_basis(first)``, so that many surrogates share its computation.

    Returns:
      [T, n] surrogate, dtype of ``z``.
    """
    z = _samples(z)
    steps, units = z.shape
    column, columns = _columns(units, common, side)
    if basis is None and first is not None:
        basis = episode_basis(first, z.dtype)
    if basis is not None:
        return _episodes_randomised(typed_key(key), z, basis, column, columns)
    spectrum = jnp.fft.rfft(z, axis=0)
    key = typed_key(key)
    phase = jax.random.uniform(key, (spectrum.shape[0], columns), z.dtype, 0, 2 * jnp.pi)[:, column]
    # The mean, and the highest frequency of an even length, are real and must stay so.
    real = jnp.zeros(spectrum.shape[0], bool).at[0].set(True)
    real = real.at[-1].set(steps % 2 == 0) if steps > 1 else real
    turn = jnp.where(real[:, None], 1.0, jnp.exp(1j * phase)).astype(spectrum.dtype)
    return jnp.fft.irfft(spectrum * turn, steps, axis=0).astype(z.dtype)


def _columns(units: int, common: bool, side: jax.Array | None) -> tuple[jax.Array, int]:
    """Which column of random numbers each unit takes, and how many there are."""
    if common:
        return jnp.zeros(units, jnp.int32), 1
    if side is None:
        return jnp.arange(units), units
    if jnp.shape(side) != (units,):
        raise ValueError(f"side has shape {jnp.shape(side)}; expected [{units}], one entry a unit")
    return jnp.asarray(side).astype(jnp.int32), 2


class EpisodeBasis(NamedTuple):
    """Orthonormal real Fourier basis of each episode: column ``start + k`` holds the cosine of frequency
    ``k`` in the lower half of the episode's columns and the sine of frequency ``length - k`` in the upper.

    Attributes:
      waves: [T, T], block diagonal, orthogonal.
      length: [T] steps of the episode, by step.
      dealt: [T, 1] bool, the first steps of the episodes whose means are dealt out anew.
      mirror: [T] the column of the other wave of the same frequency.
    """

    waves: jax.Array
    length: jax.Array
    dealt: jax.Array
    mirror: jax.Array


def episode_basis(first: jax.Array, dtype: Any = jnp.float32, valid: jax.Array | None = None) -> EpisodeBasis:
    """What :func:`phase_randomised` needs to know about episodes; one [T, T] matrix.

    Args:
      first: [T] true at the first step of every episode.
      dtype: of the matrix.
      valid: [T] false at padding, which keeps its own mean; an episode must not be valid in part.
    """
    start, length, k = episode_layout(first)
    size = length.astype(dtype)
    angle = (2 * jnp.pi) * ((k[:, None] * k[None, :]) % length[None, :]).astype(dtype) / size[None, :]
    wave = jnp.where(2 * k[None, :] <= length[None, :], jnp.cos(angle), -jnp.sin(angle))
    alone = (k == 0) | (2 * k == length)  # waves without a partner
    scale = jnp.where(alone, 1.0, jnp.sqrt(2.0).astype(dtype)) * jax.lax.rsqrt(size)
    waves = jnp.where(start[:, None] == start[None, :], scale * wave, 0.0).astype(dtype)
    dealt = k == 0 if valid is None else (k == 0) & jnp.asarray(valid).astype(bool)
    return EpisodeBasis(waves, length, dealt[:, None], start + (length - k) % length)


def _episodes_randomised(
    key: Key, z: jax.Array, basis: EpisodeBasis, column: jax.Array, columns: int
) -> jax.Array:
    """Phase randomisation of each episode by itself."""
    steps = z.shape[0]
    waves, length, dealt, mirror = basis
    parts = matmul(waves.T, z)

    key_phase, key_mean = jax.random.split(key)
    phase = jax.random.uniform(key_phase, (steps, columns), z.dtype, 0, 2 * jnp.pi)[:, column]
    phase = phase[jnp.minimum(mirror, jnp.arange(steps))]
    sign = jnp.sign(mirror - jnp.arange(steps)).astype(z.dtype)[:, None]  # 0 where it is its own
    turned = jnp.where(sign == 0, parts, jnp.cos(phase) * parts - sign * jnp.sin(phase) * parts[mirror])

    root = jnp.sqrt(length.astype(z.dtype))[:, None]
    lots = jax.random.uniform(key_mean, (steps, columns))[:, column]
    return matmul(waves, jnp.where(dealt, _dealt(lots, parts / root, dealt) * root, turned))


def _dealt(lots: jax.Array, values: jax.Array, chosen: jax.Array) -> jax.Array:
    """Permute the rows of ``values [T, n]`` that ``chosen [T, 1]`` marks, in the order of ``lots [T, n]``."""
    # The chosen rows in random order, and in their own; then the rest.
    source = jnp.argsort(jnp.where(chosen, lots, 2.0), axis=0)
    target = jnp.broadcast_to(jnp.argsort(~chosen, axis=0, stable=True), values.shape)
    moved = jnp.take_along_axis(values, source, axis=0)
    return jnp.put_along_axis(values, target, moved, axis=0, inplace=False)


def circular_shift(
    key: Key, z: jax.Array, first: jax.Array | None = None, *, side: jax.Array | None = None, least: int = 20
) -> jax.Array:
    """Shift units against each other in time, wrapping round at the ends of each episode.

    Keeps everything about each shifted unit (or group) but its timing relative to the others.

    Args:
      key: typed PRNG key.
      z: [T, n] samples.
      first: [T] true at the first step of every episode; None takes the recording as one.
      side: [n] bool, units that are shifted together while the others stay; None shifts every unit by itself.
      least: smallest shift in either direction, steps; episodes shorter than twice that take any shift.

    Returns:
      [T, n] surrogate.
    """
    z = as_samples(z)
    steps, units = z.shape
    start, length, k = episode_layout(_no_episodes(steps) if first is None else first)
    lots = jax.random.uniform(typed_key(key), (steps, units if side is None else 1))[start]
    margin = jnp.where(length >= 2 * least, least, 0)[:, None]
    shift = margin + jnp.floor(lots * (length[:, None] - 2 * margin + (margin > 0))).astype(start.dtype)
    if side is not None:
        shift = shift * jnp.asarray(side, bool)[None, :]
    return jnp.take_along_axis(z, start[:, None] + (k[:, None] + shift) % length[:, None], axis=0)


def joint_shuffle(key: Key, z: jax.Array, first: jax.Array | None = None) -> jax.Array:
    """Permute time steps, the same way for all units: keeps what is simultaneous and kills memory.

    A weak null: slow units that do not interact exceed it.

    Args:
      key: typed PRNG key.
      z: [T, n] samples.
      first: [T] true at the first step of every episode: steps then stay in their episode.
    """
    z = as_samples(z)
    lots = jax.random.uniform(typed_key(key), (z.shape[0],))
    start = episode_layout(_no_episodes(z.shape[0]) if first is None else first)[0]
    return z[jnp.lexsort((lots, start))]


def random_projection(key: Key, z: jax.Array, first: jax.Array | None = None) -> jax.Array:
    """As many read-outs of the latents along random unit directions as there are units.

    Keeps the dynamics of the whole and asks whether these units, of all directions, are special. Units are
    standardised first, so that no loud one dominates. ``first`` is not needed and not used.

    Args:
      key: typed PRNG key.
      z: [T, n] samples.
      first: accepted so that all surrogates are called alike.
    """
    z = _samples(z)
    deviation = z.std(0)
    standard = (z - z.mean(0)) / jnp.where(deviation > 0, deviation, 1)
    directions = jax.random.normal(typed_key(key), (z.shape[1], z.shape[1]), z.dtype)
    directions = directions / jnp.linalg.norm(directions, axis=0)
    return matmul(standard, directions)


def _samples(z: Any) -> jax.Array:
    z = as_samples(z)
    if z.ndim != 2:
        raise ValueError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    return z


def _no_episodes(steps: int) -> jax.Array:
    return jnp.zeros(steps, bool)


def episode_layout(first: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For every step the start and the length of its episode and its place in it; int32 [T] each."""
    first = jnp.asarray(first).astype(bool)
    steps = first.shape[0]
    time = jnp.arange(steps, dtype=jnp.int32)
    start = jax.lax.cummax(jnp.where(first, time, 0))
    following = jnp.where(jnp.roll(first, -1).at[-1].set(True), time + 1, steps)
    end = jax.lax.cummin(following, reverse=True)
    return start, end - start, time - start
