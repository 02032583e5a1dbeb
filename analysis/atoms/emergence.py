"""One call from recorded units to atoms and their named sums."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.atoms import bias, discrete, gaussian, local
from rlkit.analysis.atoms.lattice import ATOM_NAMES, Atoms, derived, unit_scale
from rlkit.analysis.atoms.redundancy import check_redundancy
from rlkit.analysis.moments import copula, validate
from rlkit.analysis.moments.dimension import leading_components
from rlkit.analysis.moments.lagged import alive, correlation, lagged_moments, ledoit_wolf, used_pairs
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import is_concrete, read_sides
from rlkit.errors import UsageError, unknown_name

ESTIMATORS = ("gaussian", "discrete")

Sides = Any
"""Two units or two disjoint sets of units, see :func:`rlkit.analysis.moments.sides.read_sides`."""


class PhiID(NamedTuple):
    """A decomposition: atoms, their named sums and how much data they rest on.

    Attributes:
      atoms: averages, [n, n] for all pairs or scalars for one.
      sums: every sum of ``DERIVED`` by name, same shape and unit.
      count: [] lagged pairs used.
    """

    atoms: Atoms
    sums: dict[str, jax.Array]
    count: jax.Array

    def __getitem__(self, name):  # pyrefly: ignore[bad-override]
        """The atom or sum called ``name``; integers index the fields."""
        if not isinstance(name, str):
            return tuple.__getitem__(self, name)
        if name in self.sums:
            return self.sums[name]
        return self.atoms[name]


@known_options
def phi_id(
    z: jax.Array,
    *,
    pairs: Sides = "all",
    redundancy: str = "mmi",
    estimator: str = "gaussian",
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
    unit: str = "nats",
    gaussianise: bool = False,
    components: int | None = None,
    shrinkage: float | str | None = None,
    correct: bool = False,
    beta: float | None = None,
    bins: int = 2,
    binning: str = "mean",
    chunk: int = 64,
    check: str = "warn",
) -> PhiID:
    """Integrated information decomposition of recorded units (arXiv 2109.13186).

    Slow units have large "emergence" under ``"mmi"`` and ``"pointwise"`` without any interaction: compare
    with surrogates before reading anything into a value, and read ``phi_r`` first.

    Args:
      z: [T, n] samples of n units.
      pairs: ``"all"`` for every pair; ``(i, j)`` for two units; ``(units, units)`` for two disjoint sets of
        units, each a vector (Gaussian only): indices, or masks such as ``(side, ~side)``.
      redundancy: ``"mmi"``, ``"ccs"`` or ``"pointwise"``.
      estimator: ``"gaussian"`` (linear coupling only: it is blind to parity) or ``"discrete"``.
      lag: steps from past to future.
      first: [T] true at the first step of every episode; pairs across episodes are dropped.
      valid: [T] false at steps to leave out.
      mask: [T - lag] false at pairs to leave out, beside what ``first`` and ``valid`` leave out.
      unit: ``"nats"`` or ``"bits"``, for every estimator (phyid gives bits for discrete data).
      gaussianise: rank-normal transform of every unit first (Gaussian). Ties cannot become normal: units of
        which more than 5 % of samples are tied (rectified ones) are named in a warning.
      components: replace the units by so many leading principal components (after ``gaussianise``), see
        :func:`rlkit.analysis.moments.dimension.leading_components`; ``pairs`` then means components.
      shrinkage: intensity in [0, 1], or ``"ledoit-wolf"`` (Gaussian MMI).
      correct: remove the exact bias of Gaussian MMI informations, or Miller-Madow for ``"discrete"``.
      beta: softness of the minimum, for gradients (Gaussian MMI).
      bins, binning: see ``bin_rows`` (discrete).
      chunk: pairs of units worked on at a time, where memory needs a bound.
      check: ``"warn"`` names pairs that are undefined, and why, in a warning, ``"error"`` refuses them,
        ``"off"`` skips all checks. Traced input is never checked.

    Returns:
      The atoms and sums, in the precision of ``z``; everything can be mapped, and compiled with ``z``,
      ``first`` and ``valid`` traced. All atoms and sums of a pair are NaN, also where traced, if one of its
      units is constant, if they are copies of each other, or (Gaussian) if one of past and future of both is
      a linear
      function of the rest, where information is infinite: delayed copies, deterministic dynamics, sets with
      more dimensions than pairs. "Function" means up to rounding: less than 4e-6 of its variance left in
      float32, 4e-12 in float64. Healthy float32 results agree with float64 to about 1e-6 nats, those of
      nearly singular pairs (1 % of variance left) to 5e-3; run with ``jax.enable_x64(True)`` and float64
      samples for more.

    Raises:
      UsageError: units that are no two disjoint sets, unknown names, or input nothing can be estimated from.
    """
    _check_options(redundancy, estimator, pairs, shrinkage, correct, beta, gaussianise)
    scale = unit_scale(unit)
    z = as_samples(z)
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    validate.check_units(z.shape[1])
    mask = used_pairs(z.shape[0], lag, first, valid, mask)
    if gaussianise:
        copula.check_ties(z, valid, policy=check)
        z = copula.rank_normal(z, valid)
    if components is not None:
        z = leading_components(z, components, valid=valid)
        validate.check_units(components)
    sides = None if isinstance(pairs, str) else read_sides(pairs, z.shape[1])
    gaussian_estimate = estimator == "gaussian"
    singular = gaussian_estimate and shrinkage is None
    findings = validate.check_samples(z, lag, mask, policy=check, sides=sides, singular=singular)
    if not gaussian_estimate:
        atoms = _discrete(z, sides, redundancy, lag, mask, bins, binning, correct, chunk)
    elif redundancy == "mmi":
        atoms = _gaussian_mmi(z, sides, lag, mask, shrinkage, correct, beta)
    elif sides is None:
        options = {"redundancy": redundancy, "lag": lag, "mask": mask, "chunk": chunk, "check": "off"}
        atoms = local.all_pairs_local_atoms(z, **options)
    else:
        each = local.local_atoms(z, *sides, redundancy=redundancy, lag=lag, mask=mask, check="off")
        atoms = jax.tree.map(jnp.nanmean, each)
    atoms = jax.tree.map(lambda value: value * scale, _undefined(atoms, findings, sides, z.shape[1]))
    count = jnp.asarray(z.shape[0] - lag if mask is None else mask.sum(), atoms.rtr.dtype)
    return PhiID(atoms, derived(atoms), count)


def _check_options(redundancy, estimator, pairs, shrinkage, correct, beta, gaussianise) -> None:
    check_redundancy(redundancy)
    if estimator not in ESTIMATORS:
        raise unknown_name("estimator", estimator, ESTIMATORS)
    if isinstance(pairs, str) and pairs != "all":
        raise unknown_name("choice of pairs", pairs, ("all",))
    exact = estimator == "gaussian" and redundancy == "mmi"
    if (shrinkage is not None or beta is not None) and not exact:
        raise UsageError("shrinkage and beta are for estimator='gaussian' with redundancy='mmi' only")
    if correct and estimator == "gaussian" and not exact:
        raise UsageError("correct=True has no exact form for local redundancies; use redundancy='mmi'")
    if gaussianise and estimator != "gaussian":
        raise UsageError("gaussianise=True is for estimator='gaussian' only; bins need no transform")


def _gaussian_mmi(z, sides, lag, mask, shrinkage, correct, beta) -> Atoms:
    if shrinkage == "ledoit-wolf":
        shrinkage = ledoit_wolf(z, lag, mask)
    elif isinstance(shrinkage, str):
        raise unknown_name("shrinkage", shrinkage, ("ledoit-wolf",))
    moments = lagged_moments(z, lag, mask)
    sizes = (1, 1)
    if sides is None:
        atoms = gaussian.all_pairs_atoms(moments, shrinkage=shrinkage, beta=beta)
    else:
        x, y = sides
        sizes = _sizes(sides) if correct else sizes
        atoms = gaussian.matrix_atoms(correlation(moments, shrinkage), alive(moments), x, y, beta=beta)
    if not correct:
        return atoms
    atoms = bias.correct_bias(atoms, moments.count, sizes)
    return atoms if sides is not None else jax.tree.map(gaussian.zero_diagonal, atoms)


def _sizes(sides) -> tuple[int, int]:
    if not is_concrete(sides):
        raise UsageError("correct=True needs sets of units that are known when the program is compiled")
    x, y = (int(np.asarray(side).sum()) for side in sides)
    return x, y


def _discrete(z, sides, redundancy, lag, mask, bins, binning, correct, chunk) -> Atoms:
    options = {"redundancy": redundancy, "bins": bins, "method": binning, "correction": correct}
    options["check"] = "off"
    if sides is None:
        return discrete.all_pairs_discrete_atoms(z, lag=lag, mask=mask, chunk=chunk, **options)
    return discrete.discrete_pair_atoms(z, *sides, lag=lag, mask=mask, **options)


def _undefined(atoms: Atoms, findings: validate.Findings, sides, units: int) -> Atoms:
    if findings == validate.Findings():
        return atoms
    if sides is not None:  # only the units of the two sets were looked at
        return jax.tree.map(lambda value: jnp.full_like(value, jnp.nan), atoms)
    undefined = findings.undefined_pairs(units)
    np.fill_diagonal(undefined, False)
    return jax.tree.map(lambda value: jnp.where(undefined, jnp.nan, value), atoms)


@known_options
def phi_id_distribution(p: jax.Array, *, redundancy: str = "mmi", unit: str = "nats") -> PhiID:
    """Decomposition of an exact distribution ``p[x, y, a, b]``, checked to sum to one if it is concrete."""
    validate.check_distribution(p)
    atoms = discrete.atoms_from_distribution(p, redundancy).to(unit)
    return PhiID(atoms, derived(atoms), jnp.asarray(jnp.inf, atoms.rtr.dtype))


@known_options
def phi_id_covariance(
    covariance: jax.Array, pairs: Sides = (0, 1), *, redundancy: str = "mmi", unit: str = "nats"
) -> PhiID:
    """Gaussian decomposition of an exact [2n, 2n] covariance (past units first), checked if concrete.

    ``redundancy`` is ``"mmi"`` (closed form), ``"ccs"`` or ``"pointwise"`` (see :func:`expected_atoms`).
    """
    validate.check_covariance(covariance)
    x, y = read_sides(pairs, validate.lagged_units(covariance))
    atoms = local.expected_atoms(covariance, x, y, redundancy=redundancy).to(unit)
    return PhiID(atoms, derived(atoms), jnp.asarray(jnp.inf, atoms.rtr.dtype))


__all__ = ["ATOM_NAMES", "ESTIMATORS", "PhiID", "phi_id", "phi_id_covariance", "phi_id_distribution"]
