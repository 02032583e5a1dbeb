"""How much memory a program will need, from its trace alone: nothing is compiled and nothing runs.

The estimate follows what XLA does with a program: operations on single elements are computed where they are
read, products and loops need their operands in memory, a buffer is free after its last reader, and a loop
keeps what each of its iterations hands on to the gradient. It is no bound: XLA orders and copies as
it sees fit. On a CPU it is within a tenth of XLA's own plan for updates of small decoders, completions packed
or not (``benchmarks/group.py``).
"""

import math
import operator
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

from rlkit.errors import UsageError
from rlkit.types import PyTree

# Computed where they are read: they only say which element it is.
_VIEWS = frozenset({
    "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "rev", "iota", "pad",
    "convert_element_type", "bitcast_convert_type", "copy", "copy_p", "dynamic_slice", "gather",
    "stop_gradient", "reduce_precision", "random_wrap", "random_unwrap", "optimization_barrier",
})  # fmt: skip
# Of single elements, but dear: with several readers they are kept.
_DEAR = frozenset({
    "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "pow", "rsqrt", "sqrt", "cbrt", "erf", "sin",
    "cos", "tan", "div", "rem", "atan2", "erf_inv", "lgamma", "digamma", "integer_pow",
})  # fmt: skip
# Their results take the place of an operand that nobody reads later.
_IN_PLACE = frozenset({"dynamic_update_slice", "scatter", "scatter-add", "scan", "while"})
_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint",
                    "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})  # fmt: skip


class Memory(NamedTuple):
    """What a program needs, in bytes."""

    arguments: int
    temporaries: int  # at the worst moment, results that are no arguments included

    @property
    def total(self) -> int:
        return self.arguments + self.temporaries


def predict_memory(fn: Callable[..., Any], *args: PyTree) -> Memory:
    """Estimate what a call will need, see the module's description.

    Args:
      fn: a function that can be traced.
      *args: arrays or ``jax.ShapeDtypeStruct``.
    """
    traced = jax.make_jaxpr(fn)(*args)
    return Memory(sum(map(_bytes, traced.jaxpr.invars)), _peak(traced.jaxpr))


def human_bytes(count: float) -> str:
    """``1.5 GiB``, ``37 MiB``."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MiB"


def available_bytes(device: jax.Device | None = None) -> int | None:
    """Memory of a device, or of this machine where the device is its processor; None if nobody says."""
    device = device or jax.local_devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_room(need: Memory, copies: int = 1, remedy: str = "", available: int | None = None) -> str:
    """Check that a program fits into memory.

    Args:
      need: of one copy, see :func:`predict_memory`.
      copies: of the arguments, which wait for their turn beside each other.
      remedy: what to do if it does not.
      available: bytes there are; None asks the device, and nothing is refused if it does not know.

    Returns:
      A sentence that says what is needed.

    Raises:
      UsageError: it does not fit; the message says what is needed and what there is.
    """
    available = available_bytes() if available is None else available
    whole = copies * need.arguments + need.temporaries
    said = (
        f"about {human_bytes(whole)} of memory: {human_bytes(copies * need.arguments)} of state, "
        f"{human_bytes(need.temporaries)} during an update"
    )
    if available is not None and whole > available:
        raise UsageError(f"this needs {said}; there are {human_bytes(available)}. {remedy}".rstrip())
    return said


class _Step(NamedTuple):
    """An operation whose operands are variables of the whole program."""

    name: str
    shapes: list[tuple[int, ...]]  # of all operands
    reads: list[Var]
    writes: list[Var]
    params: dict[str, Any]


def _shape(var: Any) -> tuple[int, ...]:
    return getattr(var.aval, "shape", ())


def _bytes(var: Any) -> int:
    dtype = getattr(var.aval, "dtype", None)
    return 0 if dtype is None else math.prod(_shape(var)) * getattr(dtype, "itemsize", 4)


def _flat(jaxpr: Jaxpr, names: dict[Any, Any]) -> Iterator[_Step]:
    """The operations of a program, those of the functions that it calls in their places."""
    resolve = lambda v: v if isinstance(v, Literal) else names.get(v, v)
    for eqn in jaxpr.eqns:
        reads = [resolve(v) for v in eqn.invars]
        inner = _called(eqn) if eqn.primitive.name in _CALLS else None
        if inner is None:
            fresh = [type(v)(v.aval) for v in eqn.outvars]  # a function may be called twice
            names.update(zip(eqn.outvars, fresh, strict=True))
            variables = [v for v in reads if isinstance(v, Var)]
            yield _Step(eqn.primitive.name, list(map(_shape, eqn.invars)), variables, fresh, eqn.params)
            continue
        names.update(zip(inner.invars, reads, strict=True))
        yield from _flat(inner, names)
        names.update(zip(eqn.outvars, [resolve(v) for v in inner.outvars], strict=True))


def _called(eqn: Any) -> Jaxpr | None:
    found = next(_inner(eqn.params), None)
    return found if found is not None and len(found.invars) == len(eqn.invars) else None


def _inner(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """Programs among the parameters of an operation."""
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _peak(jaxpr: Jaxpr, owned: int = 0, carried: int | None = None) -> int:
    """Bytes at the worst moment beside the operands, of which the last ``owned`` are slices to be made.

    Results beyond the first ``carried`` are stacked by the loop that this is the body of.
    """
    names: dict[Any, Any] = {}
    steps = list(_flat(jaxpr, names))
    found = [names.get(v, v) for v in jaxpr.outvars if not isinstance(v, Literal)]
    carried = len(jaxpr.outvars) if carried is None else carried
    own = {names.get(v, v) for v in jaxpr.outvars[:carried] if not isinstance(v, Literal)}
    kept, last = _kept(steps, own, set(found) - own)
    size = lambda v: _bytes(v) if v in kept else 0
    mine = set(jaxpr.invars[len(jaxpr.invars) - owned :]) & kept
    live = peak = sum(map(_bytes, mine))
    given = {*jaxpr.invars, *jaxpr.constvars} - mine
    for i, step in enumerate(steps):
        ends = [v for v in dict.fromkeys(step.reads) if last.get(v) == i and v not in given and v in kept]
        own = sum(map(size, step.writes))
        if step.name in _IN_PLACE or _elementwise(step):
            spare = [_bytes(v) for v in ends]
            for need in map(size, step.writes):
                if need and need in spare:
                    spare.remove(need)
                    own -= need
        peak = max(peak, live + own + _within(step))
        live += sum(map(size, step.writes)) - sum(map(_bytes, ends))
        live -= sum(size(v) for v in step.writes if v not in last)
        peak = max(peak, live)
    return peak


def _within(step: _Step) -> int:
    """Bytes that an operation needs while it runs, beside operands and results."""
    if step.name == "scan":
        # JAX 0.10 and 0.12 say in different words what is carried: it has the same shape inside and outside.
        (body,) = _inner(step.params)
        slices = sum(s != _shape(v) for s, v in zip(step.shapes, body.invars, strict=True))
        carried = sum(map(operator.eq, map(_shape, step.writes), map(_shape, body.outvars)))
        return _peak(body, slices, carried)
    return max((_peak(inner) for inner in _inner(step.params)), default=0)


def _kept(
    steps: list[_Step], results: set[Any], stacked: Iterable[Any] = ()
) -> tuple[set[Any], dict[Any, int]]:
    """The variables that are in memory, and for each variable the number of the step that reads it last.

    ``stacked`` results are written into their places of a larger array where they are computed.
    """
    readers: dict[Any, int] = dict.fromkeys(stacked, 1)
    needed = set(results)  # by somebody who wants it in memory
    kept: set[Any] = set()
    last: dict[Any, int] = dict.fromkeys(results, len(steps))
    flat = {v for step in steps if _repeats(step) for v in step.writes}
    for i in reversed(range(len(steps))):
        step = steps[i]
        light = _elementwise(step) or step.name in _VIEWS
        dear = step.name in _DEAR and any(readers.get(v, 0) > 1 for v in step.writes)
        stays = not light or dear or any(v in needed for v in step.writes)
        if stays:
            kept.update(step.writes)
        # What is computed where it is read needs its operands as long as it is read itself.
        until = i if stays else max([last.get(v, i) for v in step.writes], default=i)
        for v in step.reads:
            last[v] = max(last.get(v, 0), until)
            readers[v] = readers.get(v, 0) + 1
            if not light and not step.name.startswith("reduce") and not (v in flat and step.name == "scan"):
                needed.add(v)
    return kept | needed, last


def _repeats(step: _Step) -> bool:
    """Whether the result is one number everywhere: loops make it anew where they read it."""
    return step.name == "broadcast_in_dim" and not any(map(_shape, step.reads))


def _elementwise(step: _Step) -> bool:
    """Whether each element of the result depends on the same element of the operands alone."""
    if step.name in _VIEWS or len(step.writes) != 1 or any(True for _ in _inner(step.params)):
        return False
    shape = _shape(step.writes[0])
    plain = not step.name.startswith(("reduce", "cum", "arg", "random", "dot", "conv_", "sort", "scatter"))
    return plain and all(_shape(v) in (shape, ()) for v in step.reads) and step.name != "concatenate"
