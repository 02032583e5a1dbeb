"""What samples are computed in: real numbers of single precision or more."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.fields import shown


def as_samples(z: Any, name: str = "z") -> jax.Array:
    """Samples as a floating array of at least float32.

    Sums over time in float16 or bfloat16, as networks of mixed precision record their latents, are off by
    more than what they measure; integers and truth values are numbers here.

    Args:
      z: an array or nested lists of real numbers, of any shape.
      name: of it, for messages.

    Raises:
      UsageError: it holds something else than real numbers, or is a masked array.
    """
    if isinstance(z, np.ma.MaskedArray):
        raise UsageError(f"{name} is a masked array: fill it, and leave steps out with valid=")
    if not hasattr(z, "dtype"):
        try:
            z = np.asarray(z)
        except ValueError:
            raise UsageError(f"{name}={shown(z, 40)}: expected an array; its rows differ in length") from None
    real = any(jnp.issubdtype(z.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))
    if not real:
        raise UsageError(f"{name} holds values of {z.dtype}; expected real numbers")
    z = jnp.asarray(z)
    if not jnp.issubdtype(z.dtype, jnp.floating):
        return z.astype(jnp.result_type(float))
    return z.astype(jnp.promote_types(z.dtype, jnp.float32))
