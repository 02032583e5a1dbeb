"""Matrix products and convolutions in a chosen precision, the same on every device."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of products of float32 arrays. ``float32``: all 24 bits of the factors; ``tf32``: what an accelerator does
fastest with float32 (factors of 10 bits on a GPU, 8 on a TPU; a CPU keeps all); ``bfloat16``: factors and
results of 8 bits on every device. Parameters, activations and statistics stay float32 arrays."""


FULL = jax.lax.Precision.HIGHEST
"""For products that JAX calls by other names than ``matmul``: all bits of the factors on every device."""


def matmul(left: jax.Array, right: jax.Array, precision: str = "float32") -> jax.Array:
    """``left @ right`` (``[..., m, k]`` and ``[..., k, n]``, or vectors).

    The default of JAX on accelerators is ``tf32``: too few bits for moments and probabilities, and for
    anything that should be the same on every device.

    Args:
      left: float array.
      right: float array.
      precision: one of ``PRECISIONS``.
    """
    if precision == "bfloat16":
        return _narrow(jnp.matmul, left, right)
    return jnp.matmul(left, right, precision=lax_precision(precision))


def lax_precision(precision: str) -> jax.lax.Precision:
    """What JAX calls a precision."""
    return jax.lax.Precision.HIGHEST if precision == "float32" else jax.lax.Precision.DEFAULT


def layer_options(precision: str, product: str = "dot_general") -> dict[str, Any]:
    """Arguments of a flax layer that give its product a precision.

    Args:
      precision: one of ``PRECISIONS``.
      product: ``"dot_general"`` for dense layers, ``"conv_general_dilated"`` for convolutions.
    """
    if precision == "bfloat16":
        return {product: functools.partial(_narrow, getattr(jax.lax, product))}
    return {"precision": lax_precision(precision)}


def _narrow(product: Any, left: jax.Array, right: jax.Array, *args: Any, **options: Any) -> jax.Array:
    out = product(left.astype(jnp.bfloat16), right.astype(jnp.bfloat16), *args, **options)
    return out.astype(jnp.float32)
