"""Modules of StableHLO as JAX operations: each operation is on a list, or the module is refused.

What came from elsewhere is not handed to the compiler: it is read, checked and written again with operations
of :mod:`jax.lax`, so that ``vmap``, ``grad`` and ``scan`` work on it, and so that nothing can be in it that
the list does not have: no loops, callbacks, custom calls, randomness or communication.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rlkit.rewards.language.ir import LIMITS, ProgramError

OPERATIONS = 4 * LIMITS.nodes
"""Most operations of a module: one of the reward language is up to a few of them."""

_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x | y if x.dtype == jnp.bool_ else lax.add(x, y),
    "multiply": lambda x, y: x & y if x.dtype == jnp.bool_ else lax.mul(x, y),
    "subtract": lax.sub, "divide": lax.div, "remainder": lax.rem,
    "maximum": lax.max, "minimum": lax.min, "power": lax.pow, "atan2": lax.atan2, "and": lax.bitwise_and,
    "or": lax.bitwise_or, "xor": lax.bitwise_xor, "not": lax.bitwise_not, "negate": lax.neg, "abs": lax.abs,
    "sign": lax.sign, "exponential": lax.exp, "exponential_minus_one": lax.expm1, "log": lax.log,
    "log_plus_one": lax.log1p, "sqrt": lax.sqrt, "rsqrt": lax.rsqrt, "cbrt": lax.cbrt, "sine": lax.sin,
    "cosine": lax.cos, "tan": lax.tan, "tanh": lax.tanh, "logistic": lax.logistic, "floor": lax.floor,
    "ceil": lax.ceil, "is_finite": lax.is_finite, "select": lax.select, "clamp": lax.clamp,
    "round_nearest_even": lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    "round_nearest_afz": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
}  # fmt: skip
_SHAPED = (
    *(
        "constant",
        "iota",
        "convert",
        "compare",
        "broadcast_in_dim",
        "reshape",
        "transpose",
        "slice",
        "concatenate",
    ),
    *("reverse", "dot_general", "reduce", "dynamic_slice", "gather", "return"),
)
_ALLOWED = {
    *(f"stablehlo.{name}" for name in (*_ELEMENTWISE, *_SHAPED)),
    *("func.func", "func.call", "func.return", "builtin.module"),
}
_KINDS = {"f32": jnp.float32, "i1": jnp.bool_, "i32": jnp.int32, "ui32": jnp.uint32, "i8": jnp.int8}
_REDUCTIONS = ("reduce", "dot_general")


class Module(NamedTuple):
    """A module that has passed the checks."""

    body: Any  # of jaxlib's bindings
    functions: dict[str, Any]
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    used: tuple[bool, ...]  # by input
    outputs: tuple[jax.ShapeDtypeStruct, ...]


def read_module(data: bytes) -> Module:
    """Read a portable artefact of StableHLO and check all of it.

    Raises:
      ProgramError: it is none, or holds what is not allowed; the reason names the operation.
    """
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import chlo, func, stablehlo

    context = ir.Context()
    for dialect in (stablehlo, chlo):
        dialect.register_dialect(context)
    del func  # importing it registers it
    try:
        module = stablehlo.deserialize_portable_artifact(context, data)
    except Exception:
        raise ProgramError("parse", "no portable artefact of StableHLO") from None
    problems: list[str] = []
    count = [0, 0]

    def see(operation: Any) -> Any:
        name = operation.operation.name
        count[0] += 1
        count[1] += name.removeprefix("stablehlo.") in _REDUCTIONS
        if name not in _ALLOWED:
            problems.append(f"the operation {name[:64]} is not allowed")
        for value in (*operation.operation.results, *_arguments(operation.operation)):
            problems.extend(filter(None, [_wrong(value.type)]))
        return ir.WalkResult.ADVANCE if not problems else ir.WalkResult.INTERRUPT

    module.operation.walk(see)
    if problems:
        raise ProgramError("parse", problems[0])
    if count[0] > OPERATIONS:
        raise ProgramError("limits", f"more than {OPERATIONS} operations")
    if count[1] > 2 * LIMITS.reductions:
        raise ProgramError("limits", f"more than {2 * LIMITS.reductions} reductions")
    functions = {_text(op.attributes["sym_name"]): op for op in module.body.operations}
    if "main" not in functions:
        raise ProgramError("parse", "it has no main function")
    _check_calls(functions)
    arguments = list(functions["main"].regions[0].blocks[0].arguments)
    used = tuple(any(True for _ in argument.uses) for argument in arguments)
    results = list(functions["main"].regions[0].blocks[0].operations)[-1].operands
    inputs, outputs = (tuple(_struct(x.type) for x in values) for values in (arguments, results))
    return Module(module, functions, inputs, used, outputs)


def _arguments(operation: Any) -> list[Any]:
    return [x for region in operation.regions for block in region.blocks for x in block.arguments]


def _text(attribute: Any) -> str:
    return str(attribute).strip('@"')


def _wrong(kind: Any) -> str:
    """Why a type is not allowed; empty if it is."""
    from jaxlib.mlir import ir

    if not isinstance(kind, ir.RankedTensorType):
        return f"a value of the type {str(kind)[:64]} is not allowed"
    if str(kind.element_type) not in _KINDS:
        return f"values of {str(kind.element_type)[:16]} are not allowed; expected float32, int32 or bool"
    if not kind.has_static_shape:
        return "a value without a fixed shape is not allowed"
    size = int(np.prod(kind.shape, dtype=np.float64))
    return f"a value of {size} entries, the limit is {LIMITS.elements}" if size > LIMITS.elements else ""


def _struct(kind: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(kind.shape), _KINDS[str(kind.element_type)])


def _check_calls(functions: dict[str, Any]) -> None:
    """Functions must not call themselves, and doubling calls must not blow a module up."""
    known: dict[str, int] = {}

    def size(name: str, above: tuple[str, ...]) -> int:
        if name in above or name not in functions or len(above) > LIMITS.depth:
            raise ProgramError("parse", "functions call each other in a circle, too deeply, or are missing")
        if name not in known:
            (block,) = functions[name].regions[0].blocks
            calls = [op for op in block.operations if op.operation.name == "func.call"]
            inner = sum(size(_text(op.attributes["callee"]), (*above, name)) for op in calls)
            known[name] = inner + len(list(block.operations))
        if known[name] > OPERATIONS:
            raise ProgramError("limits", f"more than {OPERATIONS} operations with all calls")
        return known[name]

    size("main", ())


def run_module(module: Module, arguments: Sequence[Any]) -> list[Any]:
    """The outputs of a module, computed with operations of JAX."""
    return _function(module, "main", arguments)


def _function(module: Module, name: str, arguments: Sequence[Any]) -> list[Any]:
    return _block(module, module.functions[name].regions[0].blocks[0], arguments)


def _block(module: Module, block: Any, arguments: Sequence[Any]) -> list[Any]:
    values = dict(zip(block.arguments, arguments, strict=True))
    for operation in block.operations:
        operation = operation.operation
        given = [values[x] for x in operation.operands]
        if operation.name in ("func.return", "stablehlo.return"):
            return given
        if operation.name == "func.call":
            out = _function(module, _text(operation.attributes["callee"]), given)
        else:
            out = _apply(module, operation, operation.name.removeprefix("stablehlo."), given)
        for result, value in zip(operation.results, out, strict=True):
            wanted = _struct(result.type)
            if (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
                raise ProgramError("shape", f"{operation.name} gives another shape or kind than it says")
            values[result] = value
    raise ProgramError("parse", "a function without an end")


def _apply(module: Module, operation: Any, name: str, given: list[Any]) -> list[Any]:
    if name in _ELEMENTWISE:
        return [_ELEMENTWISE[name](*given)]
    attributes = operation.attributes
    out = _struct(operation.results[0].type)
    numbers = lambda key: tuple(int(x) for x in attributes[key])
    if name == "constant":
        return [_constant(attributes["value"], out)]
    if name == "iota":
        return [lax.broadcasted_iota(out.dtype, out.shape, int(attributes["iota_dimension"].value))]
    if name == "convert":
        return [given[0] != 0 if out.dtype == jnp.bool_ else lax.convert_element_type(given[0], out.dtype)]
    if name == "compare":
        return [_COMPARE[_enum(attributes["comparison_direction"])](*given)]
    if name == "broadcast_in_dim":
        return [lax.broadcast_in_dim(given[0], out.shape, numbers("broadcast_dimensions"))]
    if name == "reshape":
        return [lax.reshape(given[0], out.shape)]
    if name == "transpose":
        return [lax.transpose(given[0], numbers("permutation"))]
    if name == "slice":
        return [lax.slice(given[0], *(numbers(k) for k in ("start_indices", "limit_indices", "strides")))]
    if name == "concatenate":
        return [lax.concatenate(given, int(attributes["dimension"].value))]
    if name == "reverse":
        return [lax.rev(given[0], numbers("dimensions"))]
    if name == "dynamic_slice":
        return [lax.dynamic_slice(given[0], given[1:], numbers("slice_sizes"))]
    return {"dot_general": _dot, "reduce": _reduce, "gather": _gather}[name](module, operation, given)


_COMPARE = {"EQ": lax.eq, "NE": lax.ne, "LT": lax.lt, "LE": lax.le, "GT": lax.gt, "GE": lax.ge}


def _enum(attribute: Any) -> str:
    """``LT`` of ``#stablehlo<comparison_direction LT>``."""
    return str(attribute).rstrip(">").split()[-1]


def _constant(attribute: Any, out: jax.ShapeDtypeStruct) -> jax.Array:
    values = attribute.get_splat_value().value if attribute.is_splat else list(attribute)
    flat = np.asarray(values, out.dtype)
    return jnp.asarray(np.broadcast_to(flat, out.shape) if flat.ndim == 0 else flat.reshape(out.shape))


def _dot(module: Module, operation: Any, given: list[Any]) -> list[Any]:
    from jaxlib.mlir.dialects import stablehlo

    d = stablehlo.DotDimensionNumbers(operation.attributes["dot_dimension_numbers"])
    contract = (d.lhs_contracting_dimensions, d.rhs_contracting_dimensions)
    batch = (d.lhs_batching_dimensions, d.rhs_batching_dimensions)
    numbers: Any = tuple(tuple(tuple(x) for x in pair) for pair in (contract, batch))
    return [lax.dot_general(*given, dimension_numbers=numbers, precision=lax.Precision.HIGHEST)]


def _reduce(module: Module, operation: Any, given: list[Any]) -> list[Any]:
    half, block = len(given) // 2, operation.regions[0].blocks[0]
    axes = tuple(int(x) for x in operation.attributes["dimensions"])
    names = [op.operation.name.removeprefix("stablehlo.") for op in block.operations]
    if half == 1 and len(names) == 2 and (plain := _plain(names[0], given[0], axes)) is not None:
        return [_ELEMENTWISE[names[0]](plain, given[1])]
    body = lambda x, y: tuple(_block(module, block, (*x, *y)))
    given = [lax.stop_gradient(x) for x in given]  # such are argmax and its like
    out: Any = lax.reduce(tuple(given[:half]), tuple(given[half:]), body, axes)
    return list(out)


def _plain(name: str, x: jax.Array, axes: tuple[int, ...]) -> jax.Array | None:
    """Reductions with rules for ``grad`` and ``vmap``; None for others."""
    if x.dtype == jnp.bool_:
        kinds: dict[str, Any] = {"and": jnp.all, "or": jnp.any, "multiply": jnp.all, "add": jnp.any}
    else:
        kinds = {"add": jnp.sum, "maximum": jnp.max, "minimum": jnp.min, "multiply": jnp.prod}
    empty = not all(x.shape[axis] for axis in axes)
    return None if name not in kinds or empty else kinds[name](x, axis=axes).astype(x.dtype)


def _gather(module: Module, operation: Any, given: list[Any]) -> list[Any]:
    from jaxlib.mlir.dialects import stablehlo

    d = stablehlo.GatherDimensionNumbers(operation.attributes["dimension_numbers"])
    if d.index_vector_dim != given[1].ndim - 1:
        raise ProgramError("shape", "a gather whose indices are not in the last dimension is not allowed")
    numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(d.offset_dims),
        collapsed_slice_dims=tuple(d.collapsed_slice_dims),
        start_index_map=tuple(d.start_index_map),
        operand_batching_dims=tuple(d.operand_batching_dims),
        start_indices_batching_dims=tuple(d.start_indices_batching_dims),
    )
    sizes = tuple(int(x) for x in operation.attributes["slice_sizes"])
    return [lax.gather(given[0], given[1], numbers, sizes, mode=lax.GatherScatterMode.CLIP)]
