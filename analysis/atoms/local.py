"""Local (per time step) Gaussian atoms, and their averages for all pairs of many units.

Every local information is half the difference of two squared, standardised residuals plus a constant, so a
pair needs nine residuals per step and no matrix inverse.
"""

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rlkit.analysis.atoms.gaussian import (
    SUBSETS,
    all_pairs_defined,
    atoms_from_covariance,
    block_information,
    information_of,
    living_pair,
    only_where,
    pair_correlations,
    pair_defined,
    pair_information,
    sets_defined,
    subset_blocks,
    subset_members,
    zero_diagonal,
)
from rlkit.analysis.atoms.lattice import Atoms, Information, Redundancy, decompose, unit_scale
from rlkit.analysis.atoms.redundancy import (
    ccs_redundancy,
    check_redundancy,
    local_mmi_redundancy,
    mmi_redundancy,
    pointwise_redundancy,
)
from rlkit.analysis.moments.blocks import correlation_of
from rlkit.analysis.moments.lagged import (
    Moments,
    alive,
    clip_correlation,
    correlation,
    covariance,
    lagged_moments,
    lagged_rows,
    mean,
    used_pairs,
)
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import is_concrete, read_sides, single
from rlkit.analysis.moments.validate import check_samples, check_units, lagged_units
from rlkit.analysis.moments.variation import varies
from rlkit.compiling import compiler_options
from rlkit.errors import UsageError
from rlkit.products import matmul

# Local values at a time: on a CPU, they and what they are made of stay in a core's cache.
_BLOCK, _ACCELERATOR_BLOCK = 2**14, 2**20
# Redundancies that are summed as one complex number. XLA compiles a loop for each result, with all that the
# result is made of; twins share a loop and most of their informations.
_TWINS = (("rtr", "xy_ab"), ("xy_a", "ab_x"), ("xy_b", "ab_y"))
_ALONE = "ab_xy"
_HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


class Residuals(NamedTuple):
    """Scaled regression weights of a Gaussian pair: each residual squared is its surprisal up to a constant.

    ``xa`` predicts a from x, ``x_ab`` predicts x from a and b, ``b_xya`` predicts b from everything. Each is
    ``(weight of the target, weights of the predictors ..., half the log of the residual variance)``.
    """

    xa: tuple
    xb: tuple
    ya: tuple
    yb: tuple
    ab: tuple
    a_xy: tuple
    b_xy: tuple
    x_ab: tuple
    y_ab: tuple
    b_xya: tuple


def _scaled(variance: jax.Array, *weights: jax.Array) -> tuple:
    eps = jnp.finfo(variance.dtype).eps
    variance = jnp.maximum(variance, eps * eps)
    scale = lax.rsqrt(2 * variance)
    return scale, *(weight * scale for weight in weights), 0.5 * jnp.log(variance)


def residuals(xy, ab, xa, xb, ya, yb) -> Residuals:
    """Regression weights of pairs from their six correlations (arrays of one shape)."""
    one = lambda r: (1 - r) * (1 + r)

    def two(first, second, between):
        rest = one(between)
        left, right = (first - between * second) / rest, (second - between * first) / rest
        return left, right, one(first) - (second - between * first) ** 2 / rest

    single = lambda r: _scaled(one(r), r)
    a_x, a_y, var_a = two(xa, ya, xy)
    b_x, b_y, var_b = two(xb, yb, xy)
    x_a, x_b, var_x = two(xa, xb, ab)
    y_a, y_b, var_y = two(ya, yb, ab)
    left = ab - xa * xb - (ya - xy * xa) * (yb - xy * xb) / one(xy)
    a_xy, b_xy = _scaled(var_a, a_x, a_y), _scaled(var_b, b_x, b_y)
    # The last residual is built from two earlier ones, so its weights undo their scales.
    scale, weight, half_log = _scaled(var_b - left**2 / var_a, left / var_a)
    return Residuals(
        xa=single(xa),
        xb=single(xb),
        ya=single(ya),
        yb=single(yb),
        ab=single(ab),
        a_xy=a_xy,
        b_xy=b_xy,
        x_ab=_scaled(var_x, x_a, x_b),
        y_ab=_scaled(var_y, y_a, y_b),
        b_xya=(scale / b_xy[0], weight / a_xy[0], half_log),
    )


def local_information(weights: Residuals, x, y, a, b) -> Information:
    """Local informations of standardised samples; the weights broadcast against the samples."""
    square = lambda v: v * v
    half_x, half_y, half_a, half_b = (0.5 * square(v) for v in (x, y, a, b))

    def surprisal(regression, target, *predictors):
        scale, *slopes, half_log = regression
        rest = scale * target
        for slope, predictor in zip(slopes, predictors, strict=True):
            rest = rest - slope * predictor
        return rest, square(rest) + half_log

    w = weights
    rest_a, a_given = surprisal(w.a_xy, a, x, y)
    rest_b, b_given = surprisal(w.b_xy, b, x, y)
    xy_a = half_a - a_given
    return Information(
        x_a=half_a - surprisal(w.xa, a, x)[1],
        x_b=half_b - surprisal(w.xb, b, x)[1],
        y_a=half_a - surprisal(w.ya, a, y)[1],
        y_b=half_b - surprisal(w.yb, b, y)[1],
        xy_a=xy_a,
        xy_b=half_b - b_given,
        x_ab=half_x - surprisal(w.x_ab, x, a, b)[1],
        y_ab=half_y - surprisal(w.y_ab, y, a, b)[1],
        xy_ab=xy_a + (surprisal(w.ab, b, a)[1] - surprisal(w.b_xya, rest_b, rest_a)[1]),
    )


def _ddof(redundancy: str, ddof: float | None) -> float:
    if ddof is not None:
        return ddof
    return 0.0 if redundancy == "pointwise" else 1.0


@known_options
def local_atoms(
    z: jax.Array,
    x: int | Sequence[int] | jax.Array = 0,
    y: int | Sequence[int] | jax.Array = 1,
    *,
    redundancy: str = "mmi",
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
    moments: Moments | None = None,
    ddof: float | None = None,
    standardise: bool = True,
    ridge: float = 0.0,
    unit: str = "nats",
    check: str = "warn",
) -> Atoms:
    """The Gaussian atoms of every time step.

    Args:
      z: [T, n] samples.
      x, y: the two units, or two sets of units (see :func:`rlkit.analysis.moments.sides.unit_mask`).
      redundancy: ``"mmi"``, ``"ccs"`` or ``"pointwise"``.
      lag: steps from past to future.
      first: [T] true at the first step of every episode; pairs across episodes are left out.
      valid: [T] false at steps to leave out.
      mask: [T - lag] bool, pairs to use (see ``pair_mask``); the pairs left out get NaN.
      moments: means and covariances to measure surprise against; by default those of the same samples.
      ddof: of the covariances. By default 1, and 0 for ``"pointwise"``; local signs under CCS depend on it.
      standardise: scale every unit to variance one first. Matters for ``"pointwise"`` alone, which compares
        surprisals of x and y; the study of arXiv 2605.06746 standardises units but not the means of halves.
      ridge: adds ``ridge * mean variance`` to the diagonal of every joint block by itself, as the code
        released with arXiv 2605.06746 does (1e-6). It breaks the chain rules by as much; 0 by default.
      unit: ``"nats"`` or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``, see :func:`rlkit.analysis.moments.check_samples`; traced
        input is never checked.

    Returns:
      16 arrays [T - lag]. Their mean is the average atom if the moments are those of the samples. All NaN if
      a unit is constant or, without a ridge, a function of the others (see ``all_pairs_atoms``).

    Raises:
      UsageError: sets of units that :func:`rlkit.analysis.moments.sides.read_sides` refuses, or bad samples.
    """
    check_redundancy(redundancy)
    unit_scale(unit)
    z = as_samples(z)
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    x, y = read_sides((x, y), z.shape[1], "(x, y)")
    mask = used_pairs(z.shape[0], lag, first, valid, mask)
    if moments is None:
        check_samples(z, lag, mask, policy=check, sides=(x, y), singular=not ridge)
    ddof = _ddof(redundancy, ddof)
    one, other = single(x), single(y)
    if not ridge and one is not None and other is not None:
        atoms = _pair_atoms(z, one, other, mask, moments, redundancy, lag, ddof, standardise)
    else:
        sides = jnp.asarray(x), jnp.asarray(y)
        atoms = _set_atoms(z, *sides, mask, moments, redundancy, lag, ddof, standardise, float(ridge))
    return atoms.to(unit)


# Compiled here, because the many small operations would be slow one by one outside a jit.
@partial(jax.jit, static_argnums=(5, 6, 7, 8, 9))
def _set_atoms(z, x, y, mask, moments, redundancy, lag, ddof, standardise, ridge):
    if moments is None:
        moments = lagged_moments(z, lag, mask)
    information, source = _block_local(z, x, y, lag, moments, ddof, standardise, ridge)
    living, matrix = alive(moments), correlation(moments)
    both = jnp.tile(x | y, 2)
    defined = (living | ~both).all() if ridge else sets_defined(matrix, living, x, y)
    return only_where(defined, _finish(redundancy, information, source, mask))


@partial(jax.jit, static_argnums=(5, 6, 7, 8))
def _pair_atoms(z, x, y, mask, moments, redundancy, lag, ddof, standardise):
    if moments is None:
        moments = lagged_moments(z, lag, mask)
    rows = lagged_rows(z, lag, moments, ddof=ddof)
    n = z.shape[-1]
    samples = rows[:, x], rows[:, y], rows[:, n + x], rows[:, n + y]
    correlations = pair_correlations(correlation(moments), x, y)
    defined = pair_defined(*correlations) & living_pair(alive(moments), x, y)
    information = local_information(residuals(*correlations), *samples)
    source = tuple(_HALF_LOG_2PI + 0.5 * v * v for v in samples[:2])
    if not standardise:
        variance = jnp.diagonal(covariance(moments, ddof))
        source = tuple(v + 0.5 * jnp.log(variance[u]) for u, v in zip((x, y), source, strict=True))
    return only_where(defined, _finish(redundancy, information, source, mask))


def _finish(redundancy: str, information: Information, source, mask) -> Atoms:
    weight = None if mask is None else jnp.asarray(mask).astype(bool)
    if weight is not None:
        information, source = jax.tree.map(lambda v: jnp.where(weight, v, 0), (information, source))
    atoms = decompose(_redundancy(redundancy, information, source, weight), information)
    return atoms if weight is None else jax.tree.map(lambda v: jnp.where(weight, v, jnp.nan), atoms)


def _redundancy(kind: str, information: Information, source, weight=None) -> Redundancy:
    if kind == "mmi":
        return local_mmi_redundancy(information, weight)
    if kind == "ccs":
        return ccs_redundancy(information)
    return pointwise_redundancy(information, *source)


def _block_local(z, x, y, lag, moments, ddof, standardise, ridge):
    matrix, centre = covariance(moments, ddof), mean(moments)
    rows = jnp.concatenate([z[:-lag], z[lag:]], axis=-1) - centre
    if standardise:
        living = alive(moments)
        rows = rows * jnp.where(living, lax.rsqrt(jnp.where(living, jnp.diagonal(matrix), 1)), 0)
        matrix = correlation_of(matrix, living)
    return _block_surprisals(matrix, rows, x, y, ridge)


def _block_surprisals(matrix, rows, x, y, ridge=0.0):
    """Local informations, and surprisals of the two pasts, of rows [T, 2n] under a covariance [2n, 2n]."""
    n = matrix.shape[-1] // 2
    member = subset_members(x, y)
    blocks = subset_blocks(matrix, member)
    if ridge:
        size = member.sum(-1)
        trace = jnp.where(member, jnp.diagonal(matrix), 0).sum(-1)
        extra = jnp.where(size > 1, ridge * trace / size, 0)
        blocks = blocks + jnp.where(member, extra[:, None], 0)[:, :, None] * jnp.eye(
            2 * n, dtype=matrix.dtype
        )

    def surprisal(block, inside):
        factor = jnp.linalg.cholesky(block)
        inner = jax.scipy.linalg.solve_triangular(factor, jnp.where(inside, rows, 0).T, lower=True)
        log_det = jnp.log(jnp.diagonal(factor)).sum()
        return inside.sum() * _HALF_LOG_2PI + log_det + 0.5 * jnp.sum(inner**2, axis=0)

    entropy = dict(zip(SUBSETS, jax.vmap(surprisal)(blocks, member), strict=True))
    return information_of(entropy), (entropy["x"], entropy["y"])


def expected_atoms(
    covariance: jax.Array,
    x: Sequence[int] | jax.Array = (0,),
    y: Sequence[int] | jax.Array = (1,),
    *,
    redundancy: str = "ccs",
    points: int = 2**15,
) -> Atoms:
    """Expected local atoms of a Gaussian process with an exact lagged covariance (the estimator is ours).

    The redundancies, which have no closed form, are means over ``points`` quasi-random draws of the
    process, the same at every call: the error does not depend on a recording, and the result is
    differentiable almost everywhere. The informations are exact, and so is the sum of the atoms.

    Args:
      covariance: [2n, 2n] covariance (or correlation) of ``(z_t, z_{t+lag})``, past units first. Units are
        standardised.
      x, y: two sets of units, as in :func:`rlkit.analysis.atoms.gaussian.atoms_from_covariance`.
      redundancy: ``"ccs"`` or ``"pointwise"`` (``"mmi"`` has a closed form and draws nothing).
      points: draws, a power of two. At 2^15 atoms are within about 2e-3 nats.

    Returns:
      16 scalars, nats.

    Raises:
      ValueError: ``points`` is not a power of two, or the covariance has no even size.
    """
    check_redundancy(redundancy)
    if points < 1 or points & (points - 1):
        raise UsageError(f"points={points}: expected a power of two, e.g. {1 << max(points, 1).bit_length()}")
    covariance = jnp.asarray(covariance)
    if redundancy == "mmi":
        return atoms_from_covariance(covariance, x, y)
    units = lagged_units(covariance)
    x, y = read_sides((x, y), units, "(x, y)")
    draws = jnp.asarray(_normal_points(points, 2 * units), covariance.dtype)
    return _expected(covariance, jnp.asarray(x), jnp.asarray(y), draws, redundancy)


@lru_cache(maxsize=4)
def _normal_points(points: int, dimensions: int) -> np.ndarray:
    """[points, dimensions] quasi-random standard normal numbers: scrambled Sobol points (Owen 1998)."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    return ndtri(qmc.Sobol(dimensions, rng=np.random.default_rng(0)).random(points))


@partial(jax.jit, static_argnums=4)
def _expected(covariance, x, y, draws, redundancy):
    living = varies(jnp.diagonal(covariance))
    matrix = clip_correlation(correlation_of(covariance, living))
    rows = matmul(draws, jnp.linalg.cholesky(matrix).T)
    redundant = _redundancy(redundancy, *_block_surprisals(matrix, rows, x, y))
    atoms = decompose(jax.tree.map(jnp.mean, redundant), block_information(matrix, x, y))
    return only_where(sets_defined(matrix, living, x, y), atoms)


@known_options
def all_pairs_local_atoms(
    z: jax.Array,
    *,
    redundancy: str = "ccs",
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
    ddof: float | None = None,
    chunk: int = 64,
    unit: str = "nats",
    check: str = "warn",
) -> Atoms:
    """Averages of local atoms for every pair of units, in one call of bounded memory.

    Args:
      z: [T, n] samples.
      redundancy: ``"ccs"`` or ``"pointwise"`` (averages of ``"mmi"`` have the closed form
        ``all_pairs_atoms``).
      lag: steps from past to future.
      first, valid, mask: the pairs of samples to use, see :func:`local_atoms`.
      ddof: of the covariances, see :func:`local_atoms`.
      chunk: pairs of units worked on at a time, at most n. Samples are worked on in blocks of
        ``2**14 / chunk`` (``2**20 / chunk`` on accelerators); working memory is some thirty times as many
        numbers as a block has pairs of samples, beside six copies of the samples.
      unit: ``"nats"`` or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``; traced input is never checked.

    Returns:
      16 arrays [n, n]; the diagonal is 0. NaN where :func:`rlkit.analysis.atoms.all_pairs_atoms` has it.
    """
    check_redundancy(redundancy)
    if chunk < 1:
        raise UsageError(f"chunk={chunk} must be at least 1 pair")
    z = as_samples(z)
    check_units(jnp.shape(z)[-1])
    mask = used_pairs(jnp.shape(z)[0], lag, first, valid, mask)
    check_samples(z, lag, mask, policy=check, singular=True)
    run = _compiled() if is_concrete(z, mask) else _all_pairs
    return run(z, mask, redundancy, lag, _ddof(redundancy, ddof), chunk).to(unit)


@cache
def _compiled():
    """The program as it is best compiled, which JAX allows outside of other programs only."""
    return jax.jit(_all_pairs, static_argnums=(2, 3, 4, 5), compiler_options=compiler_options())


def _all_pairs(z, mask, redundancy, lag, ddof, chunk):
    n = z.shape[-1]
    chunk = min(chunk, n)
    moments = lagged_moments(z, lag, mask)
    matrix = correlation(moments)
    past, future, weight = _time_blocks(z, lag, moments, mask, ddof, chunk)

    def average(place):
        distance, start = place
        i = start + jnp.arange(chunk)
        correlations = pair_correlations(matrix, i % n, (i + distance) % n)
        information = pair_information(*correlations)
        if redundancy == "mmi":
            return decompose(mmi_redundancy(information), information)
        weights = jax.tree.map(lambda leaf: leaf[:, None], residuals(*correlations))

        def add(total, block):
            *rows, keep = block
            x, a = (lax.dynamic_slice_in_dim(row, start, chunk) for row in rows)
            y, b = (lax.dynamic_slice_in_dim(row, start + distance, chunk) for row in rows)
            # The surprisals' common constant cancels between the two minima.
            source = (0.5 * x * x, 0.5 * y * y)
            redundant = _redundancy(redundancy, local_information(weights, x, y, a, b), source)
            twins = _as_twins(jax.tree.map(lambda value: value * keep, redundant))
            # Step by step, because a sum over steps would not be vectorised.
            return jax.tree.map(jnp.add, total, twins), None

        zero = jnp.zeros((chunk, weight.shape[1]), z.dtype)
        zeros = _as_twins(Redundancy(*[zero] * len(Redundancy._fields)))
        total, _ = lax.scan(add, zeros, (past, future, weight))
        mean_redundancy = _of_twins([value.sum(1) / moments.count for value in total])
        # Quadratic terms average out, so the local informations' mean is the closed form.
        return decompose(mean_redundancy, information)

    defined = all_pairs_defined(matrix, alive(moments))
    return jax.tree.map(zero_diagonal, only_where(defined, _round_the_circle(average, n, chunk)))


def _as_twins(redundancy: Redundancy) -> list[jax.Array]:
    values = redundancy._asdict()
    return [*(lax.complex(values[real], values[imaginary]) for real, imaginary in _TWINS), values[_ALONE]]


def _of_twins(twins: list[jax.Array]) -> Redundancy:
    values = {_ALONE: twins[-1]}
    for (real, imaginary), twin in zip(_TWINS, twins[:-1], strict=True):
        values |= {real: twin.real, imaginary: twin.imag}
    return Redundancy(**values)


def _time_blocks(z, lag, moments, mask, ddof, chunk):
    """Standardised past and future rows [blocks, 3n, steps], padded to whole blocks; weights [blocks, steps].

    The units are repeated, so that units i, i + 1, ... and their partners i + d, i + 1 + d, ... (modulo n)
    are slices, which are read in order; gathered rows would keep the loop from being vectorised.
    """
    rows = lagged_rows(z, lag, moments, mask, ddof)
    pairs, n = rows.shape[0], rows.shape[1] // 2
    keep = jnp.ones(pairs, z.dtype) if mask is None else jnp.asarray(mask).astype(z.dtype)
    block = _BLOCK if jax.default_backend() == "cpu" else _ACCELERATOR_BLOCK
    steps = min(max(block // chunk, 1), pairs)
    count = -(-pairs // steps)
    pad = count * steps - pairs
    rows = jnp.pad(rows, ((0, pad), (0, 0))).reshape(count, steps, -1).mT
    past, future = (jnp.concatenate([part] * 3, 1) for part in (rows[:, :n], rows[:, n:]))
    return past, future, jnp.pad(keep, (0, pad)).reshape(count, steps)


def _round_the_circle(function, units: int, chunk: int) -> Atoms:
    """Apply ``function((d, i)) -> Atoms [chunk]``, of pairs (i, i + d), (i + 1, i + 1 + d) ..., to all pairs.

    Units stand on a circle: every pair lies at a distance d of at most half the circle.
    """
    distance, start = np.meshgrid(np.arange(1, units // 2 + 1), np.arange(0, units, chunk), indexing="ij")
    flat = lax.map(function, (jnp.asarray(distance.ravel()), jnp.asarray(start.ravel())))
    first = (start.ravel()[:, None] + np.arange(chunk)).ravel() % units
    second = (first + np.repeat(distance.ravel(), chunk)) % units
    code = np.minimum(first, second) * units + np.maximum(first, second)
    _, once = np.unique(code, return_index=True)  # half a circle away, and past its end, pairs come again
    return _filled(flat, once, first[once], second[once], units)


_SWAP = {name: name.translate(str.maketrans("xy", "yx")) for name in Atoms._fields}


def over_pairs(function, units: int, chunk: int) -> Atoms:
    """Apply ``function((i, j)) -> Atoms`` to all pairs ``i < j`` in chunks and fill [n, n] by symmetry."""
    first, second = np.triu_indices(units, 1)
    chunk = min(chunk, len(first))
    pad = -len(first) % chunk
    index = np.stack([np.pad(first, (0, pad), mode="edge"), np.pad(second, (0, pad), mode="edge")])
    index = jnp.asarray(index.reshape(2, -1, chunk))
    flat = lax.map(function, (index[0], index[1]))
    return _filled(flat, np.arange(len(first)), first, second, units)


def _filled(flat: Atoms, where: np.ndarray, first: np.ndarray, second: np.ndarray, units: int) -> Atoms:
    """Matrices [n, n] from the values ``where`` of pairs (first, second), which tell (second, first) too."""
    values = {name: value.reshape(-1)[where] for name, value in flat._asdict().items()}
    full = lambda up, low: (
        jnp.zeros((units, units), up.dtype).at[first, second].set(up).at[second, first].set(low)
    )
    return Atoms(**{name: full(values[name], values[_SWAP[name]]) for name in values})
