"""What a measure would be by chance: surrogates of recorded units, and a statistic against them.

Emergence of slow units is large without any interaction between them, so a value means something only beside
surrogates that are as slow. Every surrogate is a pure function ``(key, z) -> z`` of the shape of ``z``.
Theiler et al. 1992 (Physica D 58, 77) for phase randomisation; Prichard and Theiler 1994
(arXiv comp-gas/9405002) for common phases.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.types import Key, PyTree

Surrogate = Callable[[Key, jax.Array], jax.Array]


class NullTest(NamedTuple):
    """A statistic and its null distribution; every field is structured like the statistic.

    Attributes:
      value: the statistic of the recording.
      mean, sd: mean and standard deviation (ddof 1) over surrogates.
      z: ``(value - mean) / sd``; NaN where the surrogates do not vary.
      p: ``(1 + surrogates at least as large) / (1 + surrogates)``, one-sided.
    """

    value: PyTree
    mean: PyTree
    sd: PyTree
    z: PyTree
    p: PyTree


def against_null(
    statistic: Callable[[jax.Array], PyTree], surrogate: Surrogate, key: Key, z: jax.Array, draws: int = 200
) -> NullTest:
    """Compare a statistic with its values on surrogates, drawn one after the other in constant memory.

    Args:
      statistic: ``z -> pytree of floats``, traceable.
      surrogate: ``(key, z) -> z``; close over options and episodes.
      key: typed PRNG key; draw ``b`` uses ``fold_in(key, b)``.
      z: [T, n] recording.
      draws: number of surrogates, at least 2, static.

    Returns:
      The comparison, entry by entry.

    Raises:
      ValueError: fewer than two draws.
    """
    if draws < 2:
        raise ValueError(f"draws={draws}: a null distribution needs at least 2 surrogates, better 100")
    value = statistic(z)

    def body(state, index):
        mean, square, reached = state
        drawn = statistic(surrogate(jax.random.fold_in(key, index), z))
        count = index + 1
        new = jax.tree.map(lambda m, d: m + (d - m) / count, mean, drawn)  # Welford's update
        square = jax.tree.map(lambda s, d, m, n: s + (d - m) * (d - n), square, drawn, mean, new)
        reached = jax.tree.map(lambda r, d, v: r + (d >= v), reached, drawn, value)
        return (new, square, reached), None

    zeros = jax.tree.map(jnp.zeros_like, value)
    counts = jax.tree.map(lambda v: jnp.zeros(v.shape, jnp.int32), value)
    (mean, square, reached), _ = jax.lax.scan(body, (zeros, zeros, counts), jnp.arange(draws))
    sd = jax.tree.map(lambda s: jnp.sqrt(s / (draws - 1)), square)
    score = jax.tree.map(
        lambda v, m, s: jnp.where(s > 0, (v - m) / jnp.where(s > 0, s, 1), jnp.nan), value, mean, sd
    )
    p = jax.tree.map(lambda r, v: ((1 + r) / (1 + draws)).astype(v.dtype), reached, value)
    return NullTest(value, mean, sd, score, p)


def phase_randomised(
    key: Key, z: jax.Array, first: jax.Array | None = None, *, common: bool = False
) -> jax.Array:
    """Randomise the phases of the Fourier components of every unit.

    The amplitude spectrum of each unit, and so its circular autocorrelation, stays to rounding;
    coupling between units is destroyed, or with ``common`` only what is not linear in it.

    What stays is the circular autocorrelation, whose last sample precedes the first. In a long recording
    that is no difference. In short episodes it is: with ``first``, and with a statistic that leaves out
    pairs across episodes, surrogates are less persistent than the recording, and measures of mere
    persistence (``sts``, ``ce4``) exceed them without any coupling; ``phi_r`` does not. Where
    such measures are wanted, transform and measure the recording as one stream.

    Args:
      key: typed PRNG key.
      z: [T, n] samples, float.
      first: [T] true at the first step of every episode. Each episode is then transformed by itself, and the
        units' episode means are dealt out to the episodes anew: left where they are they would keep
        the coupling between episodes. (The definition is ours; it takes two [T, T] matrix products.)
      common: give all units the same phases, which keeps every cross-spectrum.

    Returns:
      [T, n] surrogate, dtype of ``z``.
    """
    z = _samples(z)
    steps, units = z.shape
    columns = 1 if common else units
    if first is not None:
        return _episodes_randomised(key, z, first, columns)
    spectrum = jnp.fft.rfft(z, axis=0)
    phase = jax.random.uniform(key, (spectrum.shape[0], columns), z.dtype, 0, 2 * jnp.pi)
    # The mean, and the highest frequency of an even length, are real and must stay so.
    real = jnp.zeros(spectrum.shape[0], bool).at[0].set(True)
    real = real.at[-1].set(steps % 2 == 0) if steps > 1 else real
    turn = jnp.where(real[:, None], 1.0, jnp.exp(1j * phase)).astype(spectrum.dtype)
    return jnp.fft.irfft(spectrum * turn, steps, axis=0).astype(z.dtype)


def _episodes_randomised(key: Key, z: jax.Array, first: jax.Array, columns: int) -> jax.Array:
    """Phase randomisation with one orthonormal Fourier basis per episode.

    The basis is block diagonal: column ``start + k`` holds frequency ``k`` of its episode.
    """
    steps = z.shape[0]
    start, length, k = _layout(first)
    size = length.astype(z.dtype)
    angle = (2 * jnp.pi) * ((k[:, None] * k[None, :]) % length[None, :]).astype(z.dtype) / size[None, :]
    scale = jnp.where(start[:, None] == start[None, :], jax.lax.rsqrt(size), 0.0)
    cosine, sine = (scale * f(angle).astype(z.dtype) for f in (jnp.cos, jnp.sin))
    precise = jax.lax.Precision.HIGHEST
    real, imaginary = (jnp.matmul(basis.T, z, precision=precise) for basis in (cosine, -sine))

    key_phase, key_mean = jax.random.split(key)
    phase = jax.random.uniform(key_phase, (steps, columns), z.dtype, 0, 2 * jnp.pi)
    mirror = start + (length - k) % length  # the column of the conjugate frequency
    sign = jnp.sign(mirror - jnp.arange(steps)).astype(z.dtype)[:, None]  # 0 where it is its own
    phase = sign * phase[jnp.minimum(mirror, jnp.arange(steps))]
    turned = jnp.cos(phase) * real - jnp.sin(phase) * imaginary
    turned_imaginary = jnp.sin(phase) * real + jnp.cos(phase) * imaginary

    is_start, root = (k == 0)[:, None], jnp.sqrt(size)[:, None]
    turned = jnp.where(is_start, _dealt(key_mean, real / root, is_start, columns) * root, turned)
    back = jnp.matmul(cosine, turned, precision=precise)
    return back - jnp.matmul(sine, turned_imaginary, precision=precise)


def _dealt(key: Key, values: jax.Array, chosen: jax.Array, columns: int) -> jax.Array:
    """Permute the rows of ``values [T, n]`` that ``chosen [T, 1]`` marks; one column of lots serves all."""
    lots = jax.random.uniform(key, (values.shape[0], columns))
    source = jnp.argsort(
        jnp.where(chosen, lots, 2.0), axis=0
    )  # the chosen rows in random order, then the rest
    target = jnp.argsort(~chosen, axis=0, stable=True)  # the chosen rows in order, then the rest
    source, target = (jnp.broadcast_to(rows, values.shape) for rows in (source, target))
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
    z = jnp.asarray(z)
    steps, units = z.shape
    start, length, k = _layout(_no_episodes(steps) if first is None else first)
    lots = jax.random.uniform(key, (steps, units if side is None else 1))[start]
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
    z = jnp.asarray(z)
    lots = jax.random.uniform(key, (z.shape[0],))
    start = _layout(_no_episodes(z.shape[0]) if first is None else first)[0]
    return z[jnp.lexsort((lots, start))]


def _samples(z: Any) -> jax.Array:
    z = jnp.asarray(z)
    if z.ndim != 2:
        raise ValueError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    return z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(jnp.result_type(float))


def _no_episodes(steps: int) -> jax.Array:
    return jnp.zeros(steps, bool)


def _layout(first: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """For every step the start and the length of its episode and its place in it; int32 [T] each."""
    first = jnp.asarray(first).astype(bool)
    steps = first.shape[0]
    time = jnp.arange(steps, dtype=jnp.int32)
    start = jax.lax.cummax(jnp.where(first, time, 0))
    following = jnp.where(jnp.roll(first, -1).at[-1].set(True), time + 1, steps)
    end = jax.lax.cummin(following, reverse=True)
    return start, end - start, time - start
