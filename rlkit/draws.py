"""One draw of random bits for many purposes.

Every call of a ``jax.random`` function compiles its own generator, about a quarter of a second
each on a CPU. A learner that needs noise, shuffles and keys in one update draws the bits for all
of them at once and turns them into what it needs.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.types import Key


def draw_bits(key: Key, *shapes: tuple[int, ...]) -> list[jax.Array]:
    """Independent uint32 random bits in several shapes, from one draw.

    Args:
      key: typed PRNG key.
      *shapes: the shapes.

    Returns:
      One array per shape.
    """
    sizes = [math.prod(shape) for shape in shapes]
    bits = jax.random.bits(key, (sum(sizes),), jnp.uint32)
    out, start = [], 0
    for shape, size in zip(shapes, sizes, strict=True):
        out.append(bits[start : start + size].reshape(shape))
        start += size
    return out


class Draw(NamedTuple):
    """One of the things that :func:`split` makes."""

    shape: tuple[int, ...] = ()
    """Shape of the result, or of the bits that ``make`` takes."""

    make: Callable[[jax.Array], jax.Array] | None = None
    """``make(bits) -> array``, e.g. :func:`normal`; None makes typed keys."""


def raw(bits: jax.Array) -> jax.Array:
    """Random bits as they are, for :class:`Draw`."""
    return bits


def split(key: Key, **wanted: Draw) -> dict[str, jax.Array]:
    """Keys, noise and bits by name, all from one draw.

    ``split(key, noise=Draw((8, 2), normal), order=Draw((4, 64), raw), next=Draw())`` gives normal noise
    ``[8, 2]``, bits ``[4, 64]`` and a key.

    Args:
      key: typed PRNG key.
      **wanted: what to make.
    """
    shapes = [key_shape(key, draw.shape) if draw.make is None else draw.shape for draw in wanted.values()]
    drawn = zip(wanted.items(), draw_bits(key, *shapes), strict=True)
    return {
        name: as_keys(bits, key) if draw.make is None else draw.make(bits) for (name, draw), bits in drawn
    }


def key_shape(key: Key, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the bits that :func:`as_keys` needs for keys of ``shape``."""
    return (*shape, *jax.eval_shape(jax.random.key_data, key).shape[key.ndim :])


def as_keys(bits: jax.Array, key: Key) -> Key:
    """Typed keys of the kind of ``key`` from bits of :func:`key_shape`."""
    return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(key))


def uniform(bits: jax.Array) -> jax.Array:
    """float32 uniform on ``[0, 1)`` with 23 random bits, as :func:`jax.random.uniform`."""
    one_to_two = jax.lax.bitcast_convert_type((bits >> 9) | jnp.uint32(0x3F800000), jnp.float32)
    return one_to_two - 1.0


def gumbel(bits: jax.Array) -> jax.Array:
    """float32 standard Gumbel noise."""
    return -jnp.log(-jnp.log(jnp.maximum(uniform(bits), jnp.finfo(jnp.float32).tiny)))


def normal(bits: jax.Array) -> jax.Array:
    """float32 standard normal noise, by the inverse distribution function, as :func:`jax.random.normal`."""
    below_one = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))
    return math.sqrt(2) * jax.lax.erf_inv(jnp.maximum(2.0 * uniform(bits) - 1.0, below_one))
