"""Packing a pytree into one array per dtype, and back.

The CPU runtime of XLA pays for every array that a loop carries or stacks. A loop that carries
one packed row instead of a dozen small leaves runs, and compiles, faster.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.types import PyTree

Packed = dict[str, jax.Array]


class Packing(NamedTuple):
    """A pair of inverse functions for trees of one structure.

    Both accept trees whose leaves have extra leading axes, the same for all leaves.
    """

    pack: Callable[[PyTree], Packed]
    """``pack(tree) -> {dtype name: [..., size]}``"""

    unpack: Callable[[Packed], PyTree]
    """``unpack(packed) -> tree``"""


def _carrier(dtype: jnp.dtype) -> str:
    """The dtype that stores a leaf: bools travel with the int32, anything else as itself."""
    return "int32" if dtype == jnp.bool_ else jnp.dtype(dtype).name


def packing(example: PyTree, lead: int = 0) -> Packing:
    """Build the packing for trees like ``example``.

    Args:
      example: a pytree of arrays or ``jax.ShapeDtypeStruct``. PRNG keys are not supported.
      lead: how many leading axes the leaves of ``example`` have that are not part of a row.

    Returns:
      Functions that concatenate the leaves, flattened in C order, by dtype (bools as int32).

    Raises:
      TypeError: a leaf is a PRNG key array.
    """
    leaves, treedef = jax.tree.flatten(example)
    shapes = [tuple(leaf.shape[lead:]) for leaf in leaves]
    dtypes = [leaf.dtype for leaf in leaves]
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise TypeError("a PRNG key cannot be packed; keep keys out of environment states")
    # XLA's CPU backend cannot concatenate empty pieces: empty leaves are made anew when unpacking.
    names = sorted({_carrier(dtype) for shape, dtype in zip(shapes, dtypes, strict=True) if math.prod(shape)})

    def pack(tree: PyTree) -> Packed:
        rows: dict[str, list[jax.Array]] = {name: [] for name in names}
        for leaf, shape, dtype in zip(treedef.flatten_up_to(tree), shapes, dtypes, strict=True):
            if math.prod(shape):
                name, lead = _carrier(dtype), leaf.shape[: leaf.ndim - len(shape)]
                rows[name].append(leaf.reshape(*lead, math.prod(shape)).astype(name))
        return {
            name: jnp.concatenate(parts, -1) if len(parts) > 1 else parts[0] for name, parts in rows.items()
        }

    def unpack(packed: Packed) -> PyTree:
        start = dict.fromkeys(names, 0)
        lead = next(iter(packed.values())).shape[:-1] if packed else ()
        out = []
        for shape, dtype in zip(shapes, dtypes, strict=True):
            size, name = math.prod(shape), _carrier(dtype)
            if not size:
                out.append(jnp.zeros((*lead, *shape), dtype))
                continue
            begin, start[name] = start[name], start[name] + size
            out.append(packed[name][..., begin : begin + size].reshape(*lead, *shape).astype(dtype))
        return treedef.unflatten(out)

    return Packing(pack, unpack)


def stack_scalars(scalars: Sequence[jax.Array]) -> jax.Array:
    """``jnp.stack`` of scalars, as one loop: on a CPU each operand of a stack is a program of its own."""
    dtype = jnp.result_type(*scalars)
    place = np.arange(len(scalars))  # of NumPy: comparisons are then constants
    row = jnp.zeros(len(scalars), dtype)
    for i, scalar in enumerate(scalars):
        row = jnp.where(place == i, scalar.astype(dtype), row)
    return row
