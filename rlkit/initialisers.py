"""Initial parameters of networks: orthogonal kernels from one draw, the rest as its module wants it."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
from jax.interpreters.partial_eval import dce_jaxpr

from rlkit.draws import normal
from rlkit.errors import UsageError
from rlkit.products import matmul
from rlkit.types import PyTree


class Initialiser(NamedTuple):
    """How to fill a module's parameters from random bits."""

    words: int
    """How many random words (uint32) it takes."""

    build: Callable[[jax.Array], PyTree]
    """``build(bits [words]) -> params``, structured as ``module.init(...)["params"]``."""

    shapes: PyTree
    """``jax.ShapeDtypeStruct`` of the parameters."""


def own(module: nn.Module, *example: Any) -> Initialiser:
    """Every parameter as its module initialises it.

    Args:
      module: a flax module whose only variables are parameters.
      *example: arguments of the module's call, arrays or ``jax.ShapeDtypeStruct``.

    Raises:
      UsageError: the module has variables beside its parameters.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    words = jax.eval_shape(jax.random.key_data, key).size
    build = lambda bits: _init(module, example, jax.random.wrap_key_data(bits))
    return Initialiser(words, build, jax.eval_shape(lambda key: _init(module, example, key), key))


def _init(module: nn.Module, example: tuple[Any, ...], key: jax.Array) -> PyTree:
    """The module's own parameters."""
    variables = dict(module.init(key, *jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example)))
    params = variables.pop("params", {})
    if variables:
        raise UsageError(
            f"{type(module).__name__} has variables {sorted(variables)} beside its parameters; "
            "expected none: agents keep parameters only"
        )
    return params


class _Kernel(NamedTuple):
    """A leaf to be filled: a stack of matrices."""

    index: int  # among the leaves
    copies: int  # over the leading axes that `nn.vmap` and `nn.scan` add
    rows: int
    columns: int
    gain: float


def orthogonal(module: nn.Module, *example: Any, gains: dict[str, float] | None = None) -> Initialiser:
    """Orthogonal kernels (Saxe et al. 2014, arXiv 1312.6120); other parameters start as the module says.

    A kernel is a parameter that a module names ``kernel``, or ``recurrent_...``. Dense kernels are matrices;
    those of convolutions, and of dense layers over several axes, count as matrices from all that goes in to
    what comes out; layers that ``nn.vmap`` or ``nn.scan`` stack get a matrix each. The result is that of
    orthogonal initialisers in each layer, but kernels of similar size are made together from one draw:
    initialising layer by layer compiles for longer than the training step.

    Args:
      module: a flax module whose only variables are parameters.
      *example: arguments of the module's call, arrays or ``jax.ShapeDtypeStruct``.
      gains: factor for the kernels whose path contains the given name; others get ``sqrt(2)``.

    Raises:
      UsageError: a kernel of a layer that is none of these, or variables beside the parameters.
    """
    traced, shapes, layers = _trace(module, example)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(shapes)
    groups: dict[int, list[_Kernel]] = defaultdict(list)
    for index, (path, leaf) in enumerate(leaves):
        names = tuple(entry.key for entry in path)
        if names[-1] == "kernel" or names[-1].startswith("recurrent_"):
            copies, rows, columns = _matrices(names, leaf.shape, layers)
            gain = next((g for name, g in (gains or {}).items() if name in names), math.sqrt(2))
            groups[max(rows, columns)].append(_Kernel(index, copies, rows, columns, gain))
    filled = {kernel.index for members in groups.values() for kernel in members}
    others, draws = _others(traced, [i not in filled for i in range(len(leaves))])
    shape = {size: _stack(members) for size, members in groups.items()}
    count = sum(copies * small * size for size, (copies, small) in shape.items())

    def build(bits: jax.Array) -> PyTree:
        normals, out, start = normal(bits[:count]), others(bits[count:]), 0
        for size, members in groups.items():
            copies, small = shape[size]
            stop = start + copies * small * size
            rotations = _orthonormal(normals[start:stop].reshape(copies, small, size))
            start, begin = stop, 0
            for index, copies, rows, columns, gain in members:
                some = rotations[begin : begin + copies, : min(rows, columns)]
                some = some if rows <= columns else some.swapaxes(1, 2)
                leaf = leaves[index][1]
                out[index] = (gain * some).reshape(leaf.shape).astype(leaf.dtype)
                begin += copies
        return jax.tree.unflatten(treedef, [out[i] for i in range(len(leaves))])

    return Initialiser(count + draws, build, shapes)


def _stack(members: list[_Kernel]) -> tuple[int, int]:
    """How many matrices a group takes, and how many rows the largest of them has."""
    return sum(k.copies for k in members), max(min(k.rows, k.columns) for k in members)


class _Layer(NamedTuple):
    """What a module says of one of its parameters."""

    module: nn.Module
    shape: tuple[int, ...]  # without the axes that `nn.vmap` and `nn.scan` add


def _trace(module: nn.Module, example: tuple[Any, ...]):
    """The module's own initialisation as a jaxpr, shapes of the parameters, and whose they are by path."""
    layers: dict[tuple[str, ...], _Layer] = {}

    def note(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        out = call(*args, **kwargs)
        owner = context.module
        for name, value in owner.variables.get("params", {}).items() if owner.scope is not None else ():
            place = (*owner.path, name)
            known = layers.get(place)
            if hasattr(value, "shape") and (known is None or value.ndim < len(known.shape)):
                layers[place] = _Layer(owner, value.shape)
        return out

    def init(key: jax.Array) -> PyTree:
        with nn.intercept_methods(note):
            return _init(module, example, key)

    traced, shapes = jax.make_jaxpr(init, return_shape=True)(jax.eval_shape(lambda: jax.random.key(0)))
    return traced, shapes, layers


def _matrices(
    names: tuple[str, ...], shape: tuple[int, ...], layers: dict[tuple[str, ...], _Layer]
) -> tuple[int, int, int]:
    """(copies, rows, columns) of a kernel."""
    layer = layers.get(names)
    one = layer.shape if layer is not None else ()
    columns = 0
    if layer is not None and shape[len(shape) - len(one) :] == one:
        if isinstance(layer.module, nn.DenseGeneral) and not layer.module.batch_dims:
            features = layer.module.features
            columns = math.prod(one[-(len(features) if isinstance(features, tuple | list) else 1) :])
        elif isinstance(layer.module, nn.Conv | nn.ConvTranspose) or len(one) == 2:
            columns = one[-1]
    if not columns:
        kind = type(layer.module).__name__ if layer is not None else "unknown module"
        raise UsageError(
            f"{'.'.join(names)} of shape {shape} is a kernel of a {kind}: expected one of Dense, "
            "DenseGeneral or Conv, or a matrix; give the parameter another name to keep its own initial value"
        )
    rows = math.prod(one) // columns
    return math.prod(shape) // (rows * columns), rows, columns


def _others(traced: Any, wanted: list[bool]) -> tuple[Callable[[jax.Array], dict[int, Any]], int]:
    """A function of bits that gives the wanted outputs by index, and how many bits it takes."""
    if not any(wanted):
        return lambda bits: {}, 0
    jaxpr, used = dce_jaxpr(traced.jaxpr, wanted)
    run = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(jaxpr, traced.consts))
    words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).size if any(used) else 0

    def others(bits: jax.Array) -> dict[int, Any]:
        key = [jax.random.wrap_key_data(bits)] if any(used) else []
        return dict(zip((i for i, w in enumerate(wanted) if w), run(*key), strict=True))

    return others, words


def _orthonormal(matrices: jax.Array) -> jax.Array:
    """Orthonormalise the rows of ``[k, m, n]``, ``m <= n``, by Gram-Schmidt, each row twice.

    Of Gaussian matrices this gives uniformly distributed frames. LAPACK's QR would do the same, but loading
    it (it comes with SciPy) takes longer than this loop compiles and runs.
    """
    m = matrices.shape[1]

    def body(turn: jax.Array, q: jax.Array) -> jax.Array:
        i = turn // 2
        row = q[:, i]
        along = matmul(q, row[..., None])[..., 0] * (jnp.arange(m) < i)
        row = row - matmul(along[:, None], q)[:, 0]
        return q.at[:, i].set(row / jnp.linalg.norm(row, axis=-1, keepdims=True))

    return jax.lax.fori_loop(0, 2 * m, body, matrices)
