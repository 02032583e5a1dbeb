"""Packing a pytree into one array per dtype, and back.

The CPU runtime of XLA pays for every array that a loop carries or stacks. A loop that carries
one packed row instead of a dozen small leaves runs, and compiles, faster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.types import PyTree

Packed = dict[str, jax.Array]


@dataclass(frozen=True)
class Packing:
    """How trees of one structure are packed. It is hashable; :func:`packing` makes it.

    Both methods accept trees whose leaves have extra leading axes, the same for all leaves.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]  # of the leaves, without leading axes
    dtypes: tuple[jnp.dtype, ...]

    def pack(self, tree: PyTree) -> Packed:
        """``pack(tree) -> {dtype name: [..., size]}``"""
        rows: dict[str, list[jax.Array]] = {name: [] for name in self._names()}
        leaves = self.treedef.flatten_up_to(tree)
        for leaf, shape, dtype in zip(leaves, self.shapes, self.dtypes, strict=True):
            if math.prod(shape):
                name, lead = _carrier(dtype), leaf.shape[: leaf.ndim - len(shape)]
                rows[name].append(leaf.reshape(*lead, math.prod(shape)).astype(name))
        return {
            name: jnp.concatenate(parts, -1) if len(parts) > 1 else parts[0] for name, parts in rows.items()
        }

    def unpack(self, packed: Packed) -> PyTree:
        """``unpack(packed) -> tree``"""
        begin = dict.fromkeys(packed, 0)
        lead = next(iter(packed.values())).shape[:-1] if packed else ()
        leaves = []
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size, name = math.prod(shape), _carrier(dtype)
            if not size:
                leaves.append(jnp.zeros((*lead, *shape), dtype))
                continue
            piece = packed[name][..., begin[name] : begin[name] + size]
            leaves.append(piece.reshape(*lead, *shape).astype(dtype))
            begin[name] += size
        return self.treedef.unflatten(leaves)

    def _names(self) -> list[str]:
        # XLA's CPU backend cannot concatenate empty pieces: empty leaves are made anew when unpacking.
        pairs = zip(self.shapes, self.dtypes, strict=True)
        return sorted({_carrier(dtype) for shape, dtype in pairs if math.prod(shape)})


def _carrier(dtype: jnp.dtype) -> str:
    """The dtype that stores a leaf: bools travel with the int32, anything else as itself."""
    return "int32" if dtype == jnp.bool_ else jnp.dtype(dtype).name


def packing(example: PyTree, lead: int = 0) -> Packing:
    """The packing for trees like ``example``.

    Args:
      example: a pytree of arrays or ``jax.ShapeDtypeStruct``. PRNG keys are not supported.
      lead: how many leading axes the leaves of ``example`` have that are not part of a row.

    Returns:
      How to concatenate the leaves, flattened in C order, by dtype (bools as int32).

    Raises:
      TypeError: a leaf is a PRNG key array.
    """
    leaves, treedef = jax.tree.flatten(example)
    for leaf in leaves:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise TypeError("a PRNG key cannot be packed; keep keys out of environment states")
    shapes = tuple(tuple(leaf.shape[lead:]) for leaf in leaves)
    return Packing(treedef, shapes, tuple(jnp.dtype(leaf.dtype) for leaf in leaves))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PackedTree:
    """A packed pytree that knows how to unpack itself; its leaves are one array per dtype."""

    rows: Packed
    layout: Packing = field(metadata={"static": True})

    @classmethod
    def of(cls, tree: PyTree, lead: int = 0) -> "PackedTree":
        """Pack a tree whose leaves have ``lead`` leading axes; see :func:`packing`."""
        layout = packing(tree, lead)
        return cls(layout.pack(tree), layout)

    @property
    def tree(self) -> PyTree:
        """The tree, its leaves with the leading axes that ``rows`` have."""
        return self.layout.unpack(self.rows)


def stacked(arrays: Sequence[jax.Array], axis: int = 0) -> jax.Array:
    """``jnp.stack``, for a CPU: selections in one loop.

    A concatenation becomes a loop that branches between its parts, which takes several times as long to
    compile, and of scalars a program for each. Here every part is computed for every place, so use it for few
    and cheap parts.

    Args:
      arrays: at least one, all of one shape; they take their common dtype.
      axis: of the result that counts the arrays, from 0.
    """
    dtype, shape = jnp.result_type(*arrays), jnp.shape(arrays[0])
    # Of NumPy, so that comparisons are constants.
    place = np.arange(len(arrays)).reshape(-1, *[1] * (len(shape) - axis))
    out = jnp.zeros((*shape[:axis], len(arrays), *shape[axis:]), dtype)
    for i, array in enumerate(arrays):
        out = jnp.where(place == i, jnp.expand_dims(array, axis).astype(dtype), out)
    return out
