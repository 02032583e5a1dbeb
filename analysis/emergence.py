"""One call from recorded units to atoms and their named sums."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis import bias, copula, discrete, gaussian, local, validate
from rlkit.analysis.lattice import ATOM_NAMES, Atoms, derived, unit_scale
from rlkit.analysis.moments import correlation, lagged_moments, ledoit_wolf, pair_mask
from rlkit.analysis.redundancy import check_redundancy
from rlkit.errors import unknown_name

ESTIMATORS = ("gaussian", "discrete")

Sides = tuple[int | Sequence[int], int | Sequence[int]]


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


def phi_id(
    z: jax.Array,
    *,
    pairs: str | Sides = "all",
    redundancy: str = "mmi",
    estimator: str = "gaussian",
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    unit: str = "nats",
    gaussianise: bool = False,
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
      pairs: ``"all"`` for every pair; ``(i, j)`` for two units; ``(units, units)`` for two sets of units,
        each a vector (Gaussian only).
      redundancy: ``"mmi"``, ``"ccs"`` or ``"pointwise"``.
      estimator: ``"gaussian"`` (linear coupling only: it is blind to parity) or ``"discrete"``.
      lag: steps from past to future.
      first: [T] true at the first step of every episode; pairs across episodes are dropped.
      valid: [T] false at steps to leave out.
      unit: ``"nats"`` or ``"bits"``.
      gaussianise: rank-normal transform of every unit first (Gaussian).
      shrinkage: intensity in [0, 1], or ``"ledoit-wolf"`` (Gaussian MMI).
      correct: remove the exact bias of Gaussian MMI informations, or Miller-Madow for ``"discrete"``.
      beta: softness of the minimum, for gradients (Gaussian MMI).
      bins, binning: see ``bin_rows`` (discrete).
      chunk: pairs of units worked on at a time, where memory needs a bound.
      check: ``"warn"`` sets pairs with constant or duplicate units to NaN and warns, ``"error"`` refuses
        them, ``"off"`` skips all checks. Traced input is never checked.

    Returns:
      The atoms and sums; everything can be mapped, and compiled with ``z``, ``first`` and ``valid`` traced.

    Raises:
      KeyError: for an unknown name; ValueError: for input nothing can be estimated from.
    """
    _check_options(redundancy, estimator, pairs, shrinkage, correct, beta, gaussianise)
    scale = unit_scale(unit)
    z = jnp.asarray(z)
    mask = None
    if first is not None or valid is not None:
        starts = jnp.zeros(z.shape[0], bool) if first is None else first
        mask = pair_mask(starts, lag, valid)
    findings = validate.check_samples(z, lag, mask, policy=check)
    if gaussianise:
        z = copula.rank_normal(z, valid)
    sides = None if isinstance(pairs, str) else pairs
    if estimator == "discrete":
        atoms = _discrete(z, sides, redundancy, lag, mask, bins, binning, correct, chunk)
    elif redundancy == "mmi":
        atoms = _gaussian_mmi(z, sides, lag, mask, shrinkage, correct, beta)
    elif sides is None:
        atoms = local.all_pairs_local_atoms(z, redundancy=redundancy, lag=lag, mask=mask, chunk=chunk)
    else:
        each = local.local_atoms(z, *sides, redundancy=redundancy, lag=lag, mask=mask)
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
    if not isinstance(pairs, str) and len(pairs) != 2:
        raise ValueError(f"pairs must be 'all' or two units or two sets of units, got {pairs!r}")
    exact = estimator == "gaussian" and redundancy == "mmi"
    if (shrinkage is not None or beta is not None) and not exact:
        raise ValueError("shrinkage and beta are for estimator='gaussian' with redundancy='mmi' only")
    if correct and estimator == "gaussian" and not exact:
        raise ValueError("correct=True has no exact form for local redundancies; use redundancy='mmi'")
    if gaussianise and estimator != "gaussian":
        raise ValueError("gaussianise=True is for estimator='gaussian' only; bins need no transform")


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
        x, y = map(_members, sides)
        sizes = (len(x), len(y))
        atoms = gaussian.atoms_from_covariance(correlation(moments, shrinkage), x, y, beta=beta)
    if not correct:
        return atoms
    atoms = bias.correct_bias(atoms, moments.count, sizes)
    return atoms if sides is not None else jax.tree.map(gaussian.zero_diagonal, atoms)


def _members(side: int | Sequence[int]) -> list[int]:
    return [int(unit) for unit in np.atleast_1d(np.asarray(side))]


def _discrete(z, sides, redundancy, lag, mask, bins, binning, correct, chunk) -> Atoms:
    options = {"redundancy": redundancy, "bins": bins, "method": binning, "correction": correct}
    if sides is None:
        return discrete.all_pairs_discrete_atoms(z, lag=lag, mask=mask, chunk=chunk, **options)
    if not all(isinstance(side, int | np.integer) for side in sides):
        raise ValueError(
            "estimator='discrete' takes two units, not sets of units, whose table would be too large"
        )
    return discrete.discrete_pair_atoms(z, *sides, lag=lag, mask=mask, **options)


def _undefined(atoms: Atoms, findings: validate.Findings, sides, units: int) -> Atoms:
    if not findings.constant and not findings.duplicates:
        return atoms
    undefined = findings.undefined_pairs(units)
    if sides is None:
        np.fill_diagonal(undefined, False)
        return jax.tree.map(lambda value: jnp.where(undefined, jnp.nan, value), atoms)
    members = np.concatenate([np.atleast_1d(np.asarray(side)) for side in sides])
    # A set with a constant unit or two copies has a singular covariance.
    if undefined[np.ix_(members, members)].any():
        return jax.tree.map(lambda value: jnp.full_like(value, jnp.nan), atoms)
    return atoms


def phi_id_distribution(p: jax.Array, *, redundancy: str = "mmi", unit: str = "nats") -> PhiID:
    """Decomposition of an exact distribution ``p[x, y, a, b]``, checked to sum to one if it is concrete."""
    validate.check_distribution(p)
    atoms = discrete.atoms_from_distribution(p, redundancy).to(unit)
    return PhiID(atoms, derived(atoms), jnp.asarray(jnp.inf, atoms.rtr.dtype))


def phi_id_covariance(
    covariance: jax.Array, pairs: Sides = (0, 1), *, redundancy: str = "mmi", unit: str = "nats"
) -> PhiID:
    """Gaussian decomposition of an exact [2n, 2n] covariance (past units first), checked if concrete.

    ``redundancy`` is ``"mmi"`` (closed form), ``"ccs"`` or ``"pointwise"`` (see :func:`expected_atoms`).
    """
    validate.check_covariance(covariance)
    x, y = map(_members, pairs)
    atoms = local.expected_atoms(covariance, x, y, redundancy=redundancy).to(unit)
    return PhiID(atoms, derived(atoms), jnp.asarray(jnp.inf, atoms.rtr.dtype))


__all__ = ["ATOM_NAMES", "ESTIMATORS", "PhiID", "phi_id", "phi_id_covariance", "phi_id_distribution"]
