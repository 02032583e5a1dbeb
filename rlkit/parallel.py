"""One pure function, many seeds or many devices.

Everything here takes a function of one item and returns a function of a stack of items (every leaf
of the first argument and of the result has a leading axis). The item is a seed, which shares
nothing with its neighbours, or a replica, which exchanges means with them over a named axis.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from rlkit.errors import UsageError, unknown_name
from rlkit.types import Key, PyTree

Fn = Callable[..., PyTree]

BATCHINGS = ("map", "vmap")
PLACEMENTS = ("vmap", "shard_map", "pmap")


def seed_keys(key: Key, num_seeds: int) -> Key:
    """Keys ``[S]`` of seeds 0..S-1: ``fold_in(key, k)``, so seed k has the same key in every population."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_seeds))


def replica_keys(keys: Key, axis_name: str | None) -> Key:
    """Keys ``[...]`` that differ along a mapped axis, by its index folded in; as they are without one."""
    if axis_name is None:
        return keys
    index = jax.lax.axis_index(axis_name)
    return jax.vmap(lambda key: jax.random.fold_in(key, index))(keys.reshape(-1)).reshape(keys.shape)


def stack_size(tree: PyTree) -> int:
    """The length of the leading axis that all leaves of ``tree`` share."""
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(tree)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"leading axes {sorted(sizes)}: expected one length for all leaves")
    return sizes.pop()[0]


def over_seeds(fn: Fn, batching: str = "map", *, in_place: bool = False) -> Fn:
    """Apply ``fn(item, *shared)`` to every item of a stack on one device.

    Args:
      fn: a pure function of one item; further arguments are shared by all items.
      batching: ``"map"`` runs one after the other: an item's result has the same bits whatever
        runs beside it, and nothing is lost on a CPU. ``"vmap"`` runs all at once, as accelerators want.
      in_place: ``fn`` returns a tuple whose first part is the item, changed. It takes the item's place, so
        that there is one stack, not two (with ``"map"``; with ``"vmap"`` that is the compiler's affair).

    Returns:
      The function of a stack.

    Raises:
      UnknownNameError: no such batching.
    """
    if batching == "map":
        return _mapped(fn, in_place)
    if batching == "vmap":
        return lambda items, *shared: jax.vmap(lambda item: fn(item, *shared))(items)
    raise unknown_name("batching", batching, BATCHINGS)


def _mapped(fn: Fn, in_place: bool) -> Fn:
    """``lax.map`` whose number of turns is unknown to the compiler.

    A loop of one turn would be inlined and then fused with its surroundings, which changes the last
    bits: seed 3 alone would differ from seed 3 of a population.
    """
    fn = jax.jit(fn)  # traced once for its shapes and once for the loop otherwise

    def mapped(items: PyTree, *shared: Any) -> PyTree:
        turns = jax.lax.optimization_barrier(jnp.int32(stack_size(items)))
        example = jax.eval_shape(lambda items, *shared: fn(_at(items, 0), *shared), items, *shared)
        blank = lambda tree: jax.tree.map(lambda leaf: _blank(stack_size(items), leaf), tree)
        out = (items, *blank(example[1:])) if in_place else blank(example)

        def body(i: jax.Array, out: PyTree) -> PyTree:
            result = fn(_at(out[0] if in_place else items, i), *shared)
            return jax.tree.map(lambda o, r: jax.lax.dynamic_update_index_in_dim(o, r, i, 0), out, result)

        return jax.lax.fori_loop(0, turns, body, out)

    return mapped


def _at(items: PyTree, i: Any) -> PyTree:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=False), items)


def _blank(size: int, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = jax.eval_shape(jax.random.key_data, leaf)
        zeros = jnp.zeros((size, *data.shape), data.dtype)
        return jax.random.wrap_key_data(zeros, impl=jax.random.key_impl(jnp.empty((), leaf.dtype)))
    return jnp.zeros((size, *leaf.shape), leaf.dtype)


def device_mesh(axis_name: str, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over ``devices`` (None: all there are)."""
    return Mesh(np.asarray(jax.devices() if devices is None else list(devices)), (axis_name,))


def shard_seeds(
    fn: Fn,
    devices: Sequence[jax.Device] | None = None,
    batching: str = "map",
    *,
    how: str = "shard_map",
    in_place: bool = False,
) -> Fn:
    """Apply ``fn(item, *shared)`` to every item of a stack that is spread over devices.

    Args:
      fn: a pure function of one item; further arguments are shared by all items.
      devices: where to run; None takes all devices.
      batching: how the items on one device run, see :func:`over_seeds`.
      how: ``"shard_map"``, or ``"pmap"`` for code that still uses it (do not wrap it in ``jit``).
      in_place: see :func:`over_seeds`.

    Returns:
      The function of a stack of any length: the last item fills devices up when the length is no
      multiple of their number, and what it gave there is dropped.

    Raises:
      UnknownNameError: no such ``batching`` or ``how``.
    """
    mesh = device_mesh("seeds", devices)
    local = over_seeds(fn, batching, in_place=in_place)
    if how not in PLACEMENTS[1:]:
        raise unknown_name("placement", how, PLACEMENTS[1:])

    def sharded(items: PyTree, *shared: Any) -> PyTree:
        size = stack_size(items)
        spread = mesh.size if size >= mesh.size else size
        part = mesh if spread == mesh.size else device_mesh("seeds", list(mesh.devices.flat)[:spread])
        extra = -size % spread
        if extra:
            rows = np.minimum(np.arange(size + extra), size - 1)
            items = jax.tree.map(lambda x: x[rows], items)
        out = _place(local, part, how)(items, *shared)
        return jax.tree.map(lambda x: x[:size], out) if extra else out

    return sharded


def _place(local: Fn, mesh: Mesh, how: str) -> Fn:
    """Run ``local`` on the block of the stack that each device of a one-axis mesh holds."""
    (axis,) = mesh.axis_names

    def placed(items: PyTree, *shared: Any) -> PyTree:
        if how == "shard_map":
            split, whole = PartitionSpec(axis), PartitionSpec()
            in_specs = (split, *(whole for _ in shared))
            # Collectives make values equal on all devices in a way that the check cannot follow
            # through loops; everything is sharded here, so there is nothing for it to protect.
            run = jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=split, check_vma=False)
            return run(items, *shared)
        blocks = jax.tree.map(lambda x: x.reshape(mesh.size, x.shape[0] // mesh.size, *x.shape[1:]), items)
        run = jax.pmap(local, axis, in_axes=(0, *(None for _ in shared)), devices=list(mesh.devices.flat))
        return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), run(blocks, *shared))

    return placed


def over_replicas(
    fn: Fn, axis_name: str, how: str = "vmap", devices: Sequence[jax.Device] | None = None
) -> Fn:
    """Apply ``fn(item, *shared)`` to every replica of a stack; replicas talk over ``axis_name``.

    Data parallelism: an agent built with ``axis_name`` averages its gradients over the replicas,
    which hold equal parameters and different environments. Initialise with
    ``over_replicas(lambda _, key: agent.init(key), axis_name)(jnp.arange(R), key)``.

    Args:
      fn: a pure function of one replica that may use collectives over ``axis_name``.
      axis_name: the name that ``fn`` uses.
      how: ``"vmap"`` (one device), ``"shard_map"`` or ``"pmap"`` (one replica a device).
      devices: where to run; None takes all devices. ``"vmap"`` ignores it.

    Returns:
      The function of a stack. All three give the same numbers up to the order of summation.

    Raises:
      UnknownNameError: no such ``how``.
      UsageError: the number of replicas is not the number of devices.
    """
    if how == "vmap":
        return lambda items, *shared: jax.vmap(lambda item: fn(item, *shared), axis_name=axis_name)(items)
    if how not in PLACEMENTS:
        raise unknown_name("placement", how, PLACEMENTS)
    mesh = device_mesh(axis_name, devices)

    def one(items: PyTree, *shared: Any) -> PyTree:
        return jax.tree.map(lambda y: y[None], fn(jax.tree.map(lambda x: x[0], items), *shared))

    def replicated(items: PyTree, *shared: Any) -> PyTree:
        if stack_size(items) != mesh.size:
            raise UsageError(
                f"{stack_size(items)} replicas on {mesh.size} devices: expected one replica per device; "
                "stack as many replicas as there are devices, or use how='vmap'"
            )
        return _place(one, mesh, how)(items, *shared)

    return replicated
