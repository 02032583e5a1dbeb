"""Elementary operations in forms that a CPU likes: each kernel, and each branch inside one, has a price."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rlkit.packing import stacked


def means(arrays: Sequence[jax.Array]) -> jax.Array:
    """The mean of each of some arrays of one shape, ``[len(arrays)]``: one program instead of one each."""
    return jnp.mean(stacked([x.reshape(-1).astype(jnp.float32) for x in arrays]), 1)


def bounded(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    """``x`` clipped to ``±bound``; its derivative is 0 or 1, where the library's is a half at the bounds."""
    return jnp.where(jnp.abs(x) > bound, jnp.sign(x) * bound, x)
