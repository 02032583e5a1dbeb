"""Matrix products and convolutions in a chosen precision, the same on every device."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of products of float32 arrays. ``float32``: all 24 bits of the factors; ``tf32``: what an accelerator does
fastest with float32 (factors of 10 bits on a GPU, 8 on a TPU; a CPU keeps all); ``bfloat16``: factors and
results of 8 bits on every device. Parameters, activations and statistics stay float32 arrays."""


FULL = jax.lax.Precision.HIGHEST
"""For products that JAX calls by other names than ``matmul``: all bits of the factors on every device."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def full_products(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """``function`` with every product in it ``float32``, unless it names another precision itself.

    For code that is not ours: engines of physics multiply rotations and inertias at JAX's default, which on
    accelerators leaves 8 to 10 bits of the factors.
    """

    @functools.wraps(function)
    def multiplied(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return multiplied


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
      product: ``"dot_general"`` for dense layers, ``"conv_general_dilated"`` for convolutions, which are then
        :func:`convolution`.
    """
    by = convolution if product == "conv_general_dilated" else getattr(jax.lax, product)
    if precision == "bfloat16":
        return {product: functools.partial(_narrow, by)}
    own = {product: by} if by is convolution else {}
    return {"precision": lax_precision(precision)} | own


def convolution(
    images: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> jax.Array:
    """``jax.lax.conv_general_dilated`` for a layer that learns: also quick in loops on a CPU.

    There XLA computes gradients of convolutions inside ``scan`` and ``while_loop``, where all training is, by
    plain loops, 6 to 20 times slower than a product of all patches with the kernel, which this is. Other
    devices, and convolutions that are dilated, grouped or not of pictures, take JAX's own. Which it is is
    decided by the default backend when the function is traced.

    Args:
      images: ``[N, height, width, channels]``.
      kernel: ``[kernel height, kernel width, channels, features]``.
      strides: of the two axes.
      padding: ``"SAME"``, ``"VALID"``, or what to add before and after each axis.
      options: of ``conv_general_dilated``; ``dimension_numbers`` are those of flax unless given.

    Returns:
      ``[N, height', width', features]``.
    """
    plain = images.ndim == 4 and options.get("feature_group_count", 1) == 1
    if plain:
        usual = jax.lax.conv_dimension_numbers(images.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
        options.setdefault("dimension_numbers", usual)
        plain = options["dimension_numbers"] == usual
    dilation = [n for way in ("lhs_dilation", "rhs_dilation") for n in options.get(way) or ()]
    plain = plain and all(n == 1 for n in dilation)
    if jax.default_backend() != "cpu" or not plain:
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, **options)
    size = kernel.shape[:2]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(images.shape[1:3], size, strides, padding)
    padded = jax.lax.pad(
        images,
        jnp.zeros((), images.dtype),
        [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)],
    )
    counts = [(n - k) // s + 1 for n, k, s in zip(padded.shape[1:3], size, strides, strict=True)]

    def shifted(place: tuple[int, ...]) -> jax.Array:
        """What one entry of the kernel meets at all places of the result."""
        rows, columns = (
            slice(i, i + (n - 1) * s + 1, s) for i, n, s in zip(place, counts, strides, strict=True)
        )
        return padded[:, rows, columns]

    patches = jnp.concatenate([shifted(place) for place in itertools.product(*map(range, size))], -1)
    flat = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(patches, flat, precision=options.get("precision"))


def _narrow(product: Any, left: jax.Array, right: jax.Array, *args: Any, **options: Any) -> jax.Array:
    out = product(left.astype(jnp.bfloat16), right.astype(jnp.bfloat16), *args, **options)
    return out.astype(jnp.float32)
