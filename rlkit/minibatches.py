"""Shuffled minibatches: their indices, and a loop over them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.packing import PackedTree
from rlkit.types import PyTree

_RANDOM_BITS = 16  # fewest random bits that a packed sort key may be left with


def check_minibatches(config: Any, sequences: bool) -> None:
    """Check that ``minibatches`` divides the rows of a rollout, see :func:`epochs`.

    Args:
      config: has the fields ``num_envs``, ``num_steps`` and ``minibatches``.
      sequences: minibatches are whole sequences of some environments.

    Raises:
      UsageError: it does not.
    """
    rows = config.num_envs * (1 if sequences else config.num_steps)
    if rows % config.minibatches:
        unit = "num_envs" if sequences else "num_envs * num_steps"
        raise UsageError(
            f"{unit} = {rows} is not a multiple of minibatches={config.minibatches}; choose a divisor"
        )


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


def epochs(
    step: Callable[[PyTree, Any, jax.Array], tuple[PyTree, Any]],
    carry: PyTree,
    rows: Any,
    order: jax.Array,
    *,
    sequences: bool = False,
    large: tuple[str, ...] = (),
    prepare: Callable[[Any], dict[str, PyTree]] = lambda rows: {},
) -> tuple[PyTree, Any]:
    """Scan ``step(carry, minibatch, index) -> (carry, out)`` over minibatches of a rollout.

    Args:
      step: one update; ``index`` are the rows of its minibatch.
      carry: what is updated.
      rows: a named tuple with leaves ``[T, B, ...]``.
      order: from :func:`minibatch_indices`, ``[M, n]``: of the ``T * B`` steps in the order of time, or of
        the ``B`` environments.
      sequences: minibatches are whole sequences, leaves ``[T, n, ...]``, else steps, leaves ``[n, ...]``.
      large: fields to be gathered inside the loop. All others are gathered for all minibatches before it,
        packed into one array per dtype, because on a CPU each gather is a program.
      prepare: from the gathered small fields of all minibatches (leaves ``[M, n, ...]``, or
        ``[M, n, T, ...]`` with sequences) to fields that replace those of ``rows``, e.g. advantages
        normalised by minibatch.

    Returns:
      The carry after all minibatches, and what the steps returned, stacked ``[M, ...]``.
    """
    if sequences:
        rows = jax.tree.map(lambda a: a.swapaxes(0, 1), rows)  # [B, T, ...]
    else:
        rows = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), rows)  # [T B, ...]
    small = PackedTree.of(rows._replace(**dict.fromkeys(large, ())), 2 if sequences else 1)
    taken = jax.tree.map(lambda a: a[order], small)  # [M, n, ..., size]

    def body(carry: PyTree, x: tuple[jax.Array, PackedTree, dict[str, PyTree]]) -> tuple[PyTree, Any]:
        index, packed, prepared = x
        heavy = {name: jax.tree.map(lambda a: a[index], getattr(rows, name)) for name in large}
        some = packed.tree._replace(**heavy, **prepared)
        if sequences:
            some = jax.tree.map(lambda a: a.swapaxes(0, 1), some)  # [T, n, ...]
        return step(carry, some, index)

    return jax.lax.scan(body, carry, (order, taken, prepare(taken.tree)))
