"""Three definitions of redundancy, as functions of mutual informations.

``mmi`` takes the smaller information (Barrett 2015, arXiv 1411.2832), ``ccs`` the common change in surprisal
(Ince 2017, arXiv 1602.05063, extended to two targets by Mediano et al., arXiv 2109.13186), ``pointwise`` the
least surprisal minus the least conditional surprisal (after Finn and Lizier 2018, arXiv 1801.09010, as used
in arXiv 2605.06746). The last two are local: one value per time step or per state.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from rlkit.analysis.atoms.lattice import Information, Redundancy
from rlkit.errors import unknown_name

REDUNDANCIES = ("mmi", "ccs", "pointwise")

# (redundancy, left, right, joint): `left` and `right` share it, `joint` holds both.
_SHARED = (
    ("xy_a", "x_a", "y_a", "xy_a"),
    ("xy_b", "x_b", "y_b", "xy_b"),
    ("xy_ab", "x_ab", "y_ab", "xy_ab"),
    ("ab_x", "x_a", "x_b", "x_ab"),
    ("ab_y", "y_a", "y_b", "y_ab"),
    ("ab_xy", "xy_a", "xy_b", "xy_ab"),
)
_SINGLES = ("x_a", "x_b", "y_a", "y_b")


def check_redundancy(name: str) -> str:
    """Return ``name`` if it is one of :data:`REDUNDANCIES`, else raise a KeyError with a suggestion."""
    if name not in REDUNDANCIES:
        raise unknown_name("redundancy", name, REDUNDANCIES)
    return name


def soft_minimum(values: Sequence[jax.Array], beta: float | None = None) -> jax.Array:
    """Elementwise minimum; with ``beta`` the smooth ``-log(sum(exp(-beta v))) / beta``, which is below it."""
    values = jnp.broadcast_arrays(*values)
    if beta is None:
        least = values[0]
        for value in values[1:]:
            least = jnp.minimum(least, value)
        return least
    return -jax.nn.logsumexp(-beta * jnp.stack(values), axis=0) / beta


def mmi_redundancy(information: Information, beta: float | None = None) -> Redundancy:
    """Redundancy as the least mutual information of the parts, on averages.

    Args:
      information: averages, any shape.
      beta: inverse temperature of :func:`soft_minimum` for gradients; the exact minimum by default.
    """
    least = lambda *names: soft_minimum([getattr(information, name) for name in names], beta)
    shared = {name: least(left, right) for name, left, right, _ in _SHARED}
    return Redundancy(rtr=least(*_SINGLES), **shared)


def local_mmi_redundancy(information: Information, weight: jax.Array | None = None) -> Redundancy:
    """Local values of the information whose *average* is least.

    Args:
      information: local values, samples or states along the last axis.
      weight: weights of the average along the last axis, up to a factor; equal by default.
    """
    mean = lambda v: v.mean(-1, keepdims=True) if weight is None else jnp.sum(weight * v, -1, keepdims=True)
    return redundancy_of_least(information, jax.tree.map(mean, information))


def redundancy_of_least(information: Information, average: Information) -> Redundancy:
    """Local values of the information whose given ``average`` is least; shapes broadcast."""
    local, mean = information._asdict(), average._asdict()

    def smaller(left: str, right: str) -> jax.Array:
        return jnp.where(mean[left] < mean[right], local[left], local[right])

    shared = {name: smaller(left, right) for name, left, right, _ in _SHARED}
    least, value = mean["x_a"], local["x_a"]
    for name in _SINGLES[1:]:
        below = mean[name] < least
        least = jnp.where(below, mean[name], least)
        value = jnp.where(below, local[name], value)
    return Redundancy(rtr=value, **shared)


def sign_tolerance(dtype) -> float:
    """Local values up to this are rounding and have no sign: 1e-12 in float64, 1e-5 in float32 (nats)."""
    return 1e-12 if dtype == jnp.float64 else 1e-5


def ccs_redundancy(information: Information, tolerance: float | None = None) -> Redundancy:
    """Common change in surprisal, single and double.

    The co-information of two parts and their joint counts where all four local values have one sign. The
    double redundancy is the value the 16 atoms must then leave for ``rtr - sts``, under the same rule with
    the four unit-to-unit informations.

    Args:
      information: local values.
      tolerance: magnitudes up to it count as zero, which has no sign; :func:`sign_tolerance` by default.
        Local values of discrete and of whole-numbered data are often exactly zero, and the sign of their
        rounding would decide (and change under an affine map of a unit).
    """
    tolerance = sign_tolerance(jnp.result_type(information.xy_ab)) if tolerance is None else tolerance
    get = information._asdict()
    signs = {name: _sign_bits(value, tolerance) for name, value in get.items()}
    common, dropped = {}, {}
    for name, left, right, joint in _SHARED:
        change = get[left] + get[right] - get[joint]
        common[name] = _of_one_sign(change, [signs[left], signs[right], signs[joint]])
        dropped[name] = change - common[name]
    double = dropped["xy_ab"] - dropped["xy_a"] - dropped["xy_b"]
    double = double + common["ab_x"] + common["ab_y"] - common["ab_xy"]
    return Redundancy(rtr=_of_one_sign(double, [signs[name] for name in _SINGLES]), **common)


def _bits(value: jax.Array) -> jax.Array:
    # Integers with the sign of the value: comparisons of floats care for NaN, and this is the inner loop.
    kind = jnp.int64 if value.dtype == jnp.float64 else jnp.int32
    return lax.bitcast_convert_type(lax.stop_gradient(value), kind)


def _sign_bits(value: jax.Array, tolerance: float) -> tuple[jax.Array, jax.Array]:
    """Integers: the first is negative unless ``value >= tolerance``, the second if ``value < -tolerance``."""
    return _bits(value - tolerance), _bits(value + tolerance)


def _of_one_sign(value: jax.Array, signs: Sequence[tuple[jax.Array, jax.Array]]) -> jax.Array:
    """``value`` where it has the sign of all others, none of which is within the tolerance of zero; else 0.

    A value that is itself rounding needs no tolerance: it may be kept or dropped.
    """
    above = below = _bits(value)
    for other_above, other_below in signs:
        above, below = above | other_above, below & other_below
    return jnp.where((above & ~below) < 0, 0, value)


def pointwise_redundancy(information: Information, x: jax.Array, y: jax.Array) -> Redundancy:
    """Least surprisal of the sources minus their least surprisal given the targets.

    ``R(A -> B) = min_s h(s) - min_{s, u} [h(s) - i(s; u)]``. It is not symmetric in time, and for continuous
    data it depends on the relative scale of ``x`` and ``y``: standardise them first.

    Args:
      information: local values.
      x, y: local surprisals of the past of ``x`` and of ``y``, same unit and shape.
    """
    i = information
    source = jnp.minimum(x, y)
    to_a = jnp.minimum(x - i.x_a, y - i.y_a)
    to_b = jnp.minimum(x - i.x_b, y - i.y_b)
    return Redundancy(
        rtr=source - jnp.minimum(to_a, to_b),
        xy_a=source - to_a,
        xy_b=source - to_b,
        xy_ab=source - jnp.minimum(x - i.x_ab, y - i.y_ab),
        # A single source: its own surprisal cancels and the larger information is left.
        ab_x=jnp.maximum(i.x_a, i.x_b),
        ab_y=jnp.maximum(i.y_a, i.y_b),
        ab_xy=jnp.maximum(i.xy_a, i.xy_b),
    )
