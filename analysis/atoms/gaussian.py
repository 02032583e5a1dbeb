"""Average Gaussian atoms with minimum-mutual-information (MMI) redundancy, in closed form.

A Gaussian pair is described by six correlations, so the atoms of one pair are a few logarithms and the
atoms of all pairs of ``n`` units are the same few logarithms of ``n x n`` matrices. Mediano et al. 2021
(arXiv 2109.13186); MMI after Barrett 2015 (arXiv 1411.2832).
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.atoms.lattice import Atoms, Information, decompose
from rlkit.analysis.atoms.redundancy import mmi_redundancy
from rlkit.analysis.moments.blocks import correlation_of, masked_logdet, regular, singular_below
from rlkit.analysis.moments.lagged import Moments, alive, clip_correlation, correlation
from rlkit.analysis.moments.sides import (
    Mask,
    check_disjoint,
    is_concrete,
    read_partition,
    read_sides,
    single,
    unit_mask,
)
from rlkit.analysis.moments.validate import check_units, lagged_units
from rlkit.analysis.moments.variation import varies
from rlkit.errors import UsageError
from rlkit.types import PyTree


def _log_floor(value: jax.Array) -> jax.Array:
    # Rounding can push the determinant of a duplicate pair to zero or below.
    eps = jnp.finfo(value.dtype).eps
    return jnp.log(jnp.maximum(value, eps * eps))


@jax.jit
def pair_information(
    xy: jax.Array, ab: jax.Array, xa: jax.Array, xb: jax.Array, ya: jax.Array, yb: jax.Array
) -> Information:
    """The nine mutual informations of Gaussian pairs from their six correlations.

    Args:
      xy, ab, xa, xb, ya, yb: correlations of past ``x, y`` and future ``a, b``; arrays that broadcast.

    Returns:
      Nats, each of its own broadcast shape; all equal ``½ ln(|Σ_A| |Σ_B| / |Σ_AB|)``.
    """
    one = lambda r: (1 - r) * (1 + r)
    past, future = one(xy), one(ab)
    # Residuals after regressing on x (or on a), which keeps every determinant a sum of few squares.
    x_a, x_b, y_a, y_b = one(xa), one(xb), one(ya), one(yb)
    left_a, left_b = ya - xy * xa, yb - xy * xb
    a_given = x_a - left_a**2 / past
    b_given = x_b - left_b**2 / past
    ab_given = ab - xa * xb - left_a * left_b / past
    x_given = x_a - (xb - ab * xa) ** 2 / future
    y_given = y_a - (yb - ab * ya) ** 2 / future
    half = lambda value: -0.5 * _log_floor(value)
    return Information(
        x_a=half(x_a),
        x_b=half(x_b),
        y_a=half(y_a),
        y_b=half(y_b),
        xy_a=half(a_given),
        xy_b=half(b_given),
        x_ab=half(x_given),
        y_ab=half(y_given),
        xy_ab=half(a_given * b_given - ab_given**2) - half(future),
    )


@jax.jit
def _mmi(information: Information, beta: float | None) -> Atoms:
    return decompose(mmi_redundancy(information, beta), information)


def atoms_from_covariance(
    covariance: jax.Array,
    x: Sequence[int] | jax.Array | None = None,
    y: Sequence[int] | jax.Array | None = None,
    *,
    beta: float | None = None,
) -> Atoms:
    """The atoms of an exact lagged covariance, for two units or two sets of units.

    Args:
      covariance: [2n, 2n] covariance (or correlation) of ``(z_t, z_{t+lag})``, past units first.
      x: the first set of units: indices, or a bool mask [n] that may be traced. Default: unit 0 of two.
      y: the second set; by default every unit that is not in ``x``.
      beta: softness of the minimum, see :func:`rlkit.analysis.atoms.redundancy.soft_minimum`.

    Returns:
      16 scalars, nats; NaN if a unit of the sets is constant or a function of the others (see
      :func:`all_pairs_atoms`).

    Raises:
      UsageError: on a shape that is not [2n, 2n], if ``x`` is left out for more than two units, or for sets
        that :func:`rlkit.analysis.moments.sides.read_sides` refuses.
    """
    covariance = jnp.asarray(covariance)
    units = lagged_units(covariance)
    living = varies(jnp.diagonal(covariance))
    matrix = clip_correlation(correlation_of(covariance, living))
    return matrix_atoms(matrix, living, *default_sides(x, y, units), beta=beta)


def default_sides(x, y, units: int) -> tuple[Mask, Mask]:
    """Two disjoint sets: units 0 and 1 of two by default; all that are not in ``x`` for a missing ``y``."""
    if x is None and y is None:
        if units != 2:
            raise UsageError(f"name the sets x (and y) of the {units} units; only two units have a default")
        return unit_mask(0, 2), unit_mask(1, 2)
    if x is None:
        raise UsageError("y was given without x")
    if y is None:
        side = read_partition(x, units, "x")
        return side, ~side
    sides = unit_mask(x, units, "x"), unit_mask(y, units, "y")
    check_disjoint(*sides, "x and y")
    return sides


def matrix_atoms(
    matrix: jax.Array, living: jax.Array, x: Mask, y: Mask, *, beta: float | None = None
) -> Atoms:
    """MMI atoms of two sets (masks) from correlations [2n, 2n]; NaN where they are singular.

    Args:
      matrix: correlations within the bound of ``clip_correlation``.
      living: [2n] bool, false for a past or future that is constant.
      x, y: masks of the sets.
      beta: softness of the minimum.
    """
    i, j = single(x), single(y)
    if i is not None and j is not None:
        correlations = pair_correlations(matrix, i, j)
        defined = pair_defined(*correlations) & living_pair(living, i, j)
        return only_where(defined, _mmi(pair_information(*correlations), beta))
    x, y = jnp.asarray(x), jnp.asarray(y)
    return only_where(sets_defined(matrix, living, x, y), _mmi(block_information(matrix, x, y), beta))


def only_where(defined: jax.Array, values: PyTree) -> PyTree:
    """``values`` where ``defined``, else NaN; no gradient comes from the rest."""
    return jax.tree.map(lambda value: jnp.where(defined, value, jnp.nan), values)


def living_pair(living: jax.Array, i, j) -> jax.Array:
    """Whether past and future of units ``i`` and ``j`` vary, from [2n] of all."""
    n = living.shape[-1] // 2
    both = living[:n] & living[n:]
    return both[i] & both[j]


def sets_defined(matrix: jax.Array, living: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """[] bool: whether past and future of two sets are regular: no constant, no function of others."""
    both = jnp.tile(x | y, 2)
    return regular(matrix, both) & (living | ~both).all()


def pair_defined(
    xy: jax.Array, ab: jax.Array, xa: jax.Array, xb: jax.Array, ya: jax.Array, yb: jax.Array
) -> jax.Array:
    """Whether the four variables of pairs are regular; where not, informations are infinite or undefined.

    Args:
      xy, ab, xa, xb, ya, yb: correlations, arrays that broadcast.

    Returns:
      bool: every variable keeps more than ``singular_below`` of its variance given those before it.
    """
    one = lambda r: (1 - r) * (1 + r)
    bound = singular_below(jnp.result_type(xy))
    past = one(xy)
    safe = jnp.where(past > bound, past, 1)
    a_given = one(xa) - (ya - xy * xa) ** 2 / safe
    b_given = one(xb) - (yb - xy * xb) ** 2 / safe
    joint = ab - xa * xb - (ya - xy * xa) * (yb - xy * xb) / safe
    last = b_given - joint**2 / jnp.where(a_given > bound, a_given, 1)
    return (past > bound) & (a_given > bound) & (b_given > bound) & (last > bound)


# Which of (x, y, a, b) each entropy covers: rows in the order of SUBSETS.
SUBSETS = ("x", "y", "a", "b", "xy", "ab", "xa", "xb", "ya", "yb", "xya", "xyb", "xab", "yab", "xyab")
_MEMBERS = np.array([[part in subset for part in "xyab"] for subset in SUBSETS])


@jax.jit
def block_information(matrix: jax.Array, x: jax.Array, y: jax.Array) -> Information:
    """The nine mutual informations between two sets of units.

    Args:
      matrix: [2n, 2n] correlation or covariance, past units first, positive definite.
      x, y: [n] bool, the two sets; traced is fine, so one program serves every bipartition.

    Returns:
      Nats, scalars.
    """
    log_det = jax.vmap(masked_logdet, (None, 0))(matrix, subset_members(x, y))
    return information_of(dict(zip(SUBSETS, 0.5 * log_det, strict=True)))


def subset_members(x: jax.Array, y: jax.Array) -> jax.Array:
    """[15, 2n] bool: which rows of the full covariance each of :data:`SUBSETS` covers."""
    none = jnp.zeros_like(x)
    parts = jnp.stack([jnp.concatenate(pair) for pair in ((x, none), (y, none), (none, x), (none, y))])
    return (jnp.asarray(_MEMBERS)[:, :, None] & parts[None]).any(axis=1)


def subset_blocks(matrix: jax.Array, member: jax.Array) -> jax.Array:
    """[15, 2n, 2n] covariance of every subset; the rest is independent with variance one."""
    both = member[:, :, None] & member[:, None, :]
    return jnp.where(both, matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype))


def information_of(entropy: Mapping[str, jax.Array]) -> Information:
    """The nine informations ``H(A) + H(B) - H(AB)`` from entropies or surprisals of :data:`SUBSETS`."""
    sides = {name: name.split("_") for name in Information._fields}
    joint = lambda left, right: entropy[left + right]
    return Information(**{k: entropy[a] + entropy[b] - joint(a, b) for k, (a, b) in sides.items()})


def pair_correlations(matrix: jax.Array, i, j) -> tuple[jax.Array, ...]:
    """``(xy, ab, xa, xb, ya, yb)`` of units ``i`` and ``j`` (ints or index arrays) from a [2n, 2n] matrix."""
    c, n = matrix, matrix.shape[-1] // 2
    a, b = n + i, n + j
    return c[i, j], c[a, b], c[i, a], c[i, b], c[j, a], c[j, b]


def pair_atoms(
    moments: Moments, i: int = 0, j: int = 1, *, shrinkage=None, beta: float | None = None
) -> Atoms:
    """The atoms of units ``i`` (x) and ``j`` (y); nats. Indices may be traced arrays.

    NaN where a unit is constant or the pair is singular, see :func:`all_pairs_atoms`.

    Raises:
      UsageError: units out of range, or the same unit twice, where they are known.
    """
    if is_concrete(i, j) and np.ndim(i) == np.ndim(j) == 0:
        x, y = read_sides((i, j), moments.origin.shape[-1], "(i, j)")
        i, j = int(np.flatnonzero(x)[0]), int(np.flatnonzero(y)[0])
    return _pair(correlation(moments, shrinkage), alive(moments), i, j, beta)


@jax.jit
def _pair(matrix: jax.Array, living: jax.Array, i, j, beta: float | None) -> Atoms:
    correlations = pair_correlations(matrix, i, j)
    defined = pair_defined(*correlations) & living_pair(living, i, j)
    return only_where(defined, _mmi(pair_information(*correlations), beta))


def all_pairs_atoms(moments: Moments, *, shrinkage=None, beta: float | None = None) -> Atoms:
    """The atoms of every ordered pair of units at once.

    Args:
      moments: of ``n`` units, from :func:`rlkit.analysis.moments.lagged_moments`.
      shrinkage: intensity for :func:`rlkit.analysis.moments.shrink`, applied once to the full matrix.
      beta: softness of the minimum, see :func:`rlkit.analysis.atoms.redundancy.soft_minimum`.

    Returns:
      16 arrays [n, n], nats: entry (i, j) has unit i as x and unit j as y. The diagonal, which is no pair,
      is 0. NaN for pairs with a constant unit, and for singular pairs, of which one variable is a function of
      the other three (copies, delayed copies, deterministic dynamics: their information is infinite);
      shrinkage makes singular pairs regular. :func:`rlkit.analysis.atoms.phi_id` says which and why.
    """
    check_units(moments.origin.shape[-1])
    return _all_pairs(correlation(moments, shrinkage), alive(moments), beta)


@jax.jit
def _all_pairs(c: jax.Array, living: jax.Array, beta: float | None) -> Atoms:
    atoms = only_where(all_pairs_defined(c, living), _mmi(all_pairs_information(c), beta))
    return jax.tree.map(zero_diagonal, atoms)


def all_pairs_defined(matrix: jax.Array, living: jax.Array) -> jax.Array:
    """[n, n] bool: pairs of living units that are regular (``pair_defined``), from correlations [2n, 2n]."""
    n = living.shape[-1] // 2
    i = jnp.arange(n)
    return pair_defined(*all_pairs_correlations(matrix)) & living_pair(living, i[:, None], i[None, :])


def all_pairs_information(matrix: jax.Array) -> Information:
    """The nine informations of every ordered pair of units, [n, n] each, nats, from correlations [2n, 2n].

    The diagonal is that of a pair of independent units, so that logarithms and gradients there are finite.
    """
    return pair_information(*all_pairs_correlations(matrix))


def all_pairs_correlations(matrix: jax.Array) -> tuple[jax.Array, ...]:
    """``(xy, ab, xa, xb, ya, yb)`` of every ordered pair of units, from correlations [2n, 2n].

    They broadcast to [n, n]; between a unit and itself they are 0, those of independent units.
    """
    c, n = matrix, matrix.shape[-1] // 2
    # The diagonal is replaced before any logarithm, so that gradients there are 0 and not NaN.
    off = zero_diagonal
    past, future, cross = off(c[:n, :n]), off(c[n:, n:]), c[:n, n:]
    own = jnp.diagonal(cross)
    cross = off(cross)
    return past, future, own[:, None], cross, cross.T, own[None, :]


def unordered_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of ``n`` units in one order: indices ``(i, j)``, int32 [n (n - 1) / 2] each, i < j."""
    i, j = np.triu_indices(n, 1)
    return i.astype(np.int32), j.astype(np.int32)


def zero_diagonal(values: jax.Array) -> jax.Array:
    """Set the diagonal of [n, n], which is no pair, to 0."""
    return jnp.where(jnp.eye(values.shape[-1], dtype=bool), 0, values)


def pairs_mean(values: jax.Array) -> jax.Array:
    """Mean over the pairs of an [n, n] array whose diagonal is no pair; [...] for leading axes."""
    n = values.shape[-1]
    return zero_diagonal(values).sum((-2, -1)) / (n * (n - 1))


def own_correlation(moments: Moments) -> jax.Array:
    """[n] correlation of every unit with its own future."""
    matrix = correlation(moments)
    n = matrix.shape[-1] // 2
    return jnp.diagonal(matrix[..., :n, n:], axis1=-2, axis2=-1)
