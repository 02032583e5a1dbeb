"""The ways from many units to the named quantities of two, each beside what independent units would have.

A route is ``(standardised units, context) -> (series, statistic)``; ``statistic(series, side, known)`` gives
the quantities, and the same of units with the persistence that this series has which obey the baseline of the
hypothesis (:data:`rlkit.analysis.study.nulls.NULLS`). ``known`` is what :func:`related` gives of the series,
computed once for all that ask for it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.gaussian import (
    block_information,
    only_where,
    pair_correlations,
    pair_defined,
    unordered_pairs,
)
from rlkit.analysis.atoms.gaussian import pair_information as correlated_information
from rlkit.analysis.atoms.lattice import Information, Redundancy, decompose, mirrored
from rlkit.analysis.atoms.local import local_information, residuals
from rlkit.analysis.atoms.redundancy import ccs_redundancy, mmi_redundancy, pointwise_redundancy
from rlkit.analysis.macro.continuous import macro_emergence_from_covariance
from rlkit.analysis.moments.blocks import regular
from rlkit.analysis.moments.lagged import (
    Moments,
    combined_moments,
    correlation,
    covariance,
    lagged_moments,
    lagged_rows,
)
from rlkit.analysis.parts.halves import half_means, half_weights
from rlkit.analysis.parts.partitions import fiedler_bipartition, information_graph
from rlkit.analysis.study.nulls import NULLS
from rlkit.products import matmul

SQUARINGS = 12
ENOUGH = 0.5  # least share of pairs that a mean over pairs may be of
MACRO_QUANTITIES = ("psi", "psi_corrected", "delta", "gamma")

Values = dict[str, jax.Array]


def independent_information(information: Information) -> Information:
    """What the informations would be if x and y were independent and each kept what it knows of itself.

    Holds for averages and, under a model without coupling, for local values.
    """
    x, y = information.x_a, information.y_b
    none = jnp.zeros_like(x)
    return Information(x_a=x, x_b=none, y_a=none, y_b=y, xy_a=x, xy_b=y, x_ab=x, y_ab=y, xy_ab=x + y)


def own_past_information(correlations: tuple[jax.Array, ...]) -> Information:
    """What the informations would be if x and y were AR(1) units that share nothing but noise.

    Both keep their persistence and the correlation of their noise, from which those of x and y in one step
    and of each with the other's future follow.

    Args:
      correlations: ``(xy, ab, xa, xb, ya, yb)``, arrays that broadcast to one shape.
    """
    xy, ab, x, xb, ya, y = jnp.broadcast_arrays(*correlations)
    free = jnp.sqrt(jnp.maximum((1 - x**2) * (1 - y**2), 0))
    # Of the noise, not of the levels: those of slow units wander apart and together by chance.
    noise = ab - x * xb - y * ya + x * y * xy
    noise = jnp.clip(noise / jnp.where(free > 0, free, 1), -0.999, 0.999)
    shared = noise * free / jnp.maximum(1 - x * y, jnp.finfo(x.dtype).eps)
    return correlated_information(shared, shared, x, shared * y, shared * x, y)


class Options(NamedTuple):
    """The static side of a measurement, see :func:`rlkit.analysis.study.headline.measure_emergence`."""

    lag: int
    routes: tuple[str, ...]
    null: str
    draws: int
    redundancy: str
    quantities: tuple[str, ...]
    gaussianise: bool


class Context(NamedTuple):
    """What all routes of one recording share."""

    side: jax.Array
    active: jax.Array
    mask: jax.Array | None
    options: Options
    chosen: bool
    """the bipartition was chosen by the recording itself"""
    pairs: jax.Array
    """[n (n - 1) / 2] bool, in the order of ``unordered_pairs``: those that means over pairs are of"""

    @property
    def series(self) -> str:
        """What surrogates are made of: ``"units"``, or what each route reduces them to."""
        return "units" if self.options.null in ("own-past", "projections") else "reduced"


class Related(NamedTuple):
    """How the units of a series go together.

    Attributes:
      moments: of past and future.
      matrix: [2n, 2n] their correlations.
    """

    moments: Moments
    matrix: jax.Array


def _named(atoms, alone, quantities) -> tuple[Values, Values]:
    return {name: atoms[name] for name in quantities}, {name: alone[name] for name in quantities}


def _mmi(information: Information, alone: Information | None = None):
    alone = independent_information(information) if alone is None else alone
    return decompose(mmi_redundancy(information), information), decompose(mmi_redundancy(alone), alone)


def _baseline(context: Context, correlations: tuple[jax.Array, ...]) -> Information | None:
    return own_past_information(correlations) if NULLS[context.options.null].baseline == "own past" else None


def _means(standard, context: Context):
    options, whole = context.options, context.series == "units"

    def statistic(z: jax.Array, side: jax.Array, known: Related):
        moments = known.moments
        if whole:  # of sums over units, so that the units' samples are not gone through again
            moments = combined_moments(moments, half_weights(side, context.active, z.dtype))
        correlations = pair_correlations(correlation(moments), 0, 1)
        information = only_where(pair_defined(*correlations), correlated_information(*correlations))
        if options.redundancy == "mmi":
            return _named(*_mmi(information, _baseline(context, correlations)), options.quantities)
        pair = half_means(z, side, context.active) if whole else z
        atoms = _local(pair, moments, correlations, information, context)
        return _named(*atoms, options.quantities)

    return standard if whole else half_means(standard, context.side, context.active), statistic


def related(z: jax.Array, context: Context) -> Related:
    """What all statistics of a series start from."""
    moments = lagged_moments(z, context.options.lag, context.mask)
    return Related(moments, correlation(moments))


def partition(matrix: jax.Array, context: Context) -> jax.Array:
    """[n] bool, Fiedler's bipartition of the lagged information graph of active units, from correlations."""
    n = matrix.shape[0] // 2
    return fiedler_bipartition(information_graph(matrix[:n, n:]), context.active, squarings=SQUARINGS)


def _local(pair, moments, correlations, information, context: Context):
    """Average atoms of two series under a local redundancy, and those of two independent series."""
    pointwise = context.options.redundancy == "pointwise"
    ddof = 0.0 if pointwise else 1.0
    rows = lagged_rows(pair, context.options.lag, moments, context.mask, ddof)
    x, y = rows[:, 0], rows[:, 1]
    local = local_information(residuals(*correlations), *rows.T)
    # Pointwise redundancy compares surprisals, whose zero depends on the scale of x and of y.
    scale = 0.5 * jnp.log(jnp.diagonal(covariance(moments))[:2])
    source = 0.5 * x * x + scale[0], 0.5 * y * y + scale[1]
    weight = jnp.ones(rows.shape[0]) if context.mask is None else context.mask.astype(rows.dtype)

    def average(values: Information) -> Redundancy:
        redundant = pointwise_redundancy(values, *source) if pointwise else ccs_redundancy(values)
        return jax.tree.map(lambda v: (weight * v).sum() / moments.count, redundant)

    coupled = decompose(average(local), information)
    alone = decompose(average(independent_information(local)), independent_information(information))
    return coupled, alone


def _of_active(matrix: jax.Array, context: Context) -> jax.Array:
    """[2n, 2n] correlations; units that take no part are independent of all."""
    both = jnp.tile(context.active, 2)
    return jnp.where(both[:, None] & both[None, :], matrix, jnp.eye(matrix.shape[0], dtype=matrix.dtype))


def _vectors(standard, context: Context):
    def statistic(z: jax.Array, side: jax.Array, known: Related):
        del side  # surrogates of these keep the groups of the recording
        matrix = _of_active(known.matrix, context)
        enough = known.moments.count > 2 * context.active.sum()
        enough &= regular(matrix, jnp.ones(2 * z.shape[1], bool))
        sides = context.side & context.active, ~context.side & context.active
        information = block_information(matrix, *sides)
        named = _named(*_mmi(information), context.options.quantities)
        return jax.tree.map(lambda v: jnp.where(enough, v, jnp.nan), named)

    return standard, statistic


def pairs_with_numbers(matrix: jax.Array, active: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which pairs means over pairs are of, from correlations [2n, 2n]: of active units, and regular.

    A pair is singular where a variable of past and future is a function of the other three, as in recordings
    of few distinct states. Its information is infinite, so it has no part in a mean, as constant units have
    none; but it is no mean over pairs any more where most of them are left out.

    Returns:
      [n (n - 1) / 2] bool in the order of ``unordered_pairs``, all false if fewer than ``ENOUGH`` of the
      pairs of active units are regular; and int32 [] how many of them are not.
    """
    i, j = unordered_pairs(active.shape[0])
    pairs = active[i] & active[j]
    kept = pairs & pair_defined(*pair_correlations(matrix, i, j))
    return kept & (kept.sum() >= ENOUGH * pairs.sum()), (pairs & ~kept).sum()


def _pairs(standard, context: Context):
    pairs, quantities = context.pairs, context.options.quantities
    # Each pair in one order: a mean over both is that of the atoms and their mirror images.
    i, j = unordered_pairs(context.active.shape[0])

    def statistic(z: jax.Array, side: jax.Array, known: Related):
        del z, side  # surrogates of these keep the groups of the recording
        correlations = pair_correlations(_of_active(known.matrix, context), i, j)
        atoms = _mmi(correlated_information(*correlations), _baseline(context, correlations))
        both = lambda found: {name: (found[name] + mirrored(found)[name]) / 2 for name in quantities}
        # Of the recording's pairs: a surrogate may lack one of them by chance.
        kept = pairs & pair_defined(*correlations)
        count = jnp.where(kept.sum() >= ENOUGH * pairs.sum(), kept.sum(), 0)
        mean = lambda v: jnp.where(kept, v, 0).sum() / count
        enough = lambda v: jnp.where(count > 0, mean(v), jnp.nan)
        return jax.tree.map(enough, tuple(both(found) for found in atoms))

    return standard, statistic


def _macro(standard, context: Context):
    halves = jnp.stack([context.side, ~context.side], 0) & context.active
    weights = halves / halves.sum(1, keepdims=True)
    n = context.active.shape[0]
    up = jnp.concatenate([jnp.eye(n), weights]).astype(standard.dtype)
    own = jnp.tile(jnp.eye(n, dtype=bool), (2, 2))

    def criteria(matrix: jax.Array) -> Values:
        lift = jax.scipy.linalg.block_diag(up, up)
        joint = matmul(matmul(lift, matrix), lift.T)
        found = macro_emergence_from_covariance(joint, n)
        return {name: getattr(found, name) for name in MACRO_QUANTITIES}

    def statistic(z: jax.Array, side: jax.Array, known: Related):
        del z, side  # surrogates of these keep the groups of the recording
        matrix = _of_active(known.matrix, context)
        return criteria(matrix), criteria(jnp.where(own, matrix, 0))

    return standard, statistic


STATISTICS: dict[str, Callable[[jax.Array, Context], tuple[jax.Array, Any]]] = {
    "means": _means,
    "vectors": _vectors,
    "pairs": _pairs,
    "macro": _macro,
}
