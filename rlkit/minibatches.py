"""Shuffled minibatch indices."""

import jax
import jax.numpy as jnp

_RANDOM_BITS = 16  # fewest random bits that a packed sort key may be left with


def minibatch_indices(bits: jax.Array, minibatches: int) -> jax.Array:
    """Indices of the minibatches of several passes over some rows, each pass in a new order.

    Args:
      bits: random uint32 ``[epochs, count]``: a row of them for each pass.
      minibatches: minibatches per pass, a divisor of ``count``.

    Returns:
      int32 ``[epochs * minibatches, count // minibatches]``; every row occurs once in each pass.
    """
    epochs, count = bits.shape
    width = max(count - 1, 1).bit_length()
    if 31 - width >= _RANDOM_BITS:
        # The index rides in the low bits of the sort key: sorting one int32 array is many times
        # faster on the CPU than sorting pairs. Equal random parts keep the order of the indices.
        high = (bits >> (width + 1)).astype(jnp.int32) << width
        order = jnp.sort(high | jnp.arange(count, dtype=jnp.int32), -1) & ((1 << width) - 1)
    else:
        order = jnp.argsort(bits, -1).astype(jnp.int32)
    return order.reshape(epochs * minibatches, count // minibatches)
