"""A pytest plugin: a CPU that computes as an accelerator might. ``PYTHONPATH=tests pytest -p accelerator``.

Factors of products keep 10 bits where no precision is named (TF32); sums are in another order, and
functions off by one last bit, from program to program; ``jax.default_backend()`` is ``"gpu"``: the code
takes its branches for accelerators. ``ACCELERATOR_SALT`` changes which programs differ. What a card refuses
to compile, and what it adds in no order, is not imitated. This reaches into JAX's rules for lowering, which
may change with any version.
"""

import os
import zlib

import jax
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lax import special
from jax._src.lib.mlir import ir
from jax._src.lib.mlir.dialects import hlo

_SALT = os.environ.get("ACCELERATOR_SALT", "")
_FULL = (jax.lax.Precision.HIGH, jax.lax.Precision.HIGHEST)
_FUNCTIONS = (
    *("exp_p", "log_p", "tanh_p", "logistic_p", "sin_p", "cos_p", "log1p_p", "expm1_p", "rsqrt_p", "pow_p"),
    *("erf_p", "erf_inv_p"),
)


def _chance(context, what):
    """A number that is the same for an operation of a program whenever it is compiled."""
    module = context.module_context
    name = module.module.operation.attributes["sym_name"].value
    place = len(getattr(module, "cached_primitive_lowerings", ()))
    return zlib.crc32(repr((name, context.avals_in, place, what, _SALT)).encode())


def _rounded(factor):
    """A float32 factor with the bits that a tensor core keeps."""
    if not isinstance(ir.RankedTensorType(factor.type).element_type, ir.F32Type):
        return factor
    bits = lambda n: ir.IntegerAttr.get(ir.IntegerType.get_signless(32), n)
    return hlo.reduce_precision(factor, exponent_bits=bits(8), mantissa_bits=bits(10))


def _reversed(x, axes):
    return hlo.reverse(x, mlir.dense_int_array(list(axes))) if axes else x


def _factors(context, left, right, precision):
    named = precision if isinstance(precision, tuple) else (precision,)
    if all(one in _FULL for one in named) or context.module_context.lowering_parameters.for_export:
        return left, right
    return _rounded(left), _rounded(right)


def _product(rule):
    def lower(context, left, right, *, dimension_numbers, precision, **options):
        left, right = _factors(context, left, right, precision)
        if _chance(context, "product") % 2:
            of_left, of_right = dimension_numbers[0]
            left, right = _reversed(left, of_left), _reversed(right, of_right)
        return rule(context, left, right, dimension_numbers=dimension_numbers, precision=precision, **options)

    return lower


def _convolution(rule):
    def lower(context, left, right, *, precision, **options):
        return rule(context, *_factors(context, left, right, precision), precision=precision, **options)

    return lower


def _sum(rule):
    def lower(context, x, *, axes, **options):
        x = _reversed(x, axes) if _chance(context, "sum") % 2 else x
        return rule(context, x, axes=axes, **options)

    return lower


def _function(rule):
    def lower(context, *args, **options):
        found = rule(context, *args, **options)
        (aval,) = context.avals_out
        off = _chance(context, "function") % 3 - 1
        if aval.dtype not in (np.float32, np.float64) or off == 0:
            return found
        (value,) = found if isinstance(found, list | tuple) else (found,)
        moved = hlo.multiply(value, mlir.full_like_aval(context, 1 + off * np.finfo(aval.dtype).eps, aval))
        equal = hlo.ComparisonDirectionAttr.get("EQ")
        whole = hlo.compare(value, hlo.round_nearest_even(value), equal)  # exp(0) is 1 everywhere
        return [hlo.select(whole, value, moved)]

    return lower


def _change(primitive, change):
    found = mlir._platform_specific_lowerings["cpu"].get(primitive) or mlir._lowerings[primitive]
    mlir.register_lowering(primitive, change(found.rule), platform="cpu", inline=found.inline)


_change(jax.lax.dot_general_p, _product)
_change(jax.lax.conv_general_dilated_p, _convolution)
_change(jax.lax.reduce_sum_p, _sum)
for _name in _FUNCTIONS:
    _change(getattr(jax.lax, _name, None) or getattr(special, _name), _function)
jax.default_backend = lambda: "gpu"
