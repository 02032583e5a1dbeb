"""Matrix products at full precision on every device."""

import jax
import jax.numpy as jnp


def matmul(left: jax.Array, right: jax.Array) -> jax.Array:
    """``left @ right`` (``[..., m, k]`` and ``[..., k, n]``, or vectors) in the precision of its arguments.

    The default on accelerators rounds float32 factors to 10 bits (GPU) or 8 bits (TPU): too few for
    moments and probabilities, and for anything that should be the same on every device.
    """
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
