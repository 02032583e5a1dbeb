"""Atoms of discrete variables: exact distributions, and series cut into two or more bins.

Information here is that of the table of joint states, so it sees what Gaussian estimates cannot (parity, for
one), at the price of what binning throws away.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.gaussian import SUBSETS, information_of, only_where, zero_diagonal
from rlkit.analysis.atoms.lattice import Atoms, decompose, unit_scale
from rlkit.analysis.atoms.local import over_pairs
from rlkit.analysis.atoms.redundancy import (
    ccs_redundancy,
    check_redundancy,
    local_mmi_redundancy,
    pointwise_redundancy,
)
from rlkit.analysis.moments.lagged import check_lag, used_pairs
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import read_sides, single
from rlkit.analysis.moments.validate import check_samples, check_units
from rlkit.errors import UsageError


def bin_rows(z: jax.Array, bins: int = 2, method: str = "mean", mask: jax.Array | None = None) -> jax.Array:
    """Cut every column into bins of its own.

    Args:
      z: [N, n] samples.
      bins: number of bins.
      method: ``"mean"`` (two bins, strictly above the mean or not) or ``"quantile"`` (bins of about equal
        counts; a value equal to an edge falls below it).
      mask: [N] bool, rows the mean or the quantiles are taken over.

    Returns:
      [N, n] int32 in ``0 .. bins - 1``.

    Raises:
      ValueError: for another method, fewer than two bins, or the mean with more than two.
    """
    if method not in ("mean", "quantile") or bins < 2 or (method == "mean" and bins != 2):
        raise UsageError(
            f"bins={bins} with method={method!r}: use method='mean' with 2 bins "
            "or method='quantile' with 2 or more"
        )
    z = as_samples(z)
    kept = z if mask is None else jnp.where(jnp.asarray(mask).astype(bool)[:, None], z, jnp.nan)
    # A value equal to an edge must not pass it because the edge was rounded, as whole numbers would.
    slack = 16 * jnp.finfo(z.dtype).eps * jnp.nanmax(jnp.abs(kept), axis=0)
    if method == "mean":
        return (z > jnp.nanmean(kept, axis=0) + slack).astype(jnp.int32)
    edges = jnp.nanquantile(kept, jnp.arange(1, bins) / bins, axis=0)
    return (z[None] > edges[:, None] + slack).sum(0).astype(jnp.int32)


def state_atoms(p: jax.Array, redundancy: str = "mmi", count: jax.Array | float | None = None) -> Atoms:
    """Local atoms of every joint state of an exact or estimated distribution.

    Args:
      p: [Kx, Ky, Ka, Kb] probabilities of past ``x, y`` and future ``a, b``.
      redundancy: ``"mmi"``, ``"ccs"`` or ``"pointwise"``.
      count: number of samples ``p`` was estimated from, for the Miller-Madow correction: every entropy grows
        by ``(occupied states - 1) / (2 count)``, spread evenly over its states. None: plug-in.

    Returns:
      16 arrays [Kx * Ky * Ka * Kb], nats; 0 at states of probability 0.
    """
    check_redundancy(redundancy)
    p = jnp.asarray(p)
    occupied = p > 0
    surprisal = {}
    for subset in SUBSETS:
        rest = tuple(axis for axis, name in enumerate("xyab") if name not in subset)
        marginal = p.sum(rest, keepdims=True)
        value = -jnp.log(jnp.where(marginal > 0, marginal, 1))
        if count is not None:
            value = value + ((marginal > 0).sum() - 1) / (2 * count)
        surprisal[subset] = jnp.where(occupied, value, 0).reshape(-1)
    information = information_of(surprisal)
    if redundancy == "mmi":
        shared = local_mmi_redundancy(information, p.reshape(-1))
    elif redundancy == "ccs":
        shared = ccs_redundancy(information)
    else:
        shared = pointwise_redundancy(information, surprisal["x"], surprisal["y"])
    return decompose(shared, information)


@partial(jax.jit, static_argnames="redundancy")
def atoms_from_distribution(
    p: jax.Array, redundancy: str = "mmi", count: jax.Array | float | None = None
) -> Atoms:
    """Average atoms of a distribution ``p[x, y, a, b]`` that sums to one; arguments as :func:`state_atoms`.

    Returns:
      16 scalars, nats.
    """
    p = jnp.asarray(p)
    if p.ndim != 4:
        raise UsageError(f"p must have four axes, x, y, a and b, got shape {p.shape}; use vmap for batches")
    return jax.tree.map(lambda value: jnp.sum(p.reshape(-1) * value), state_atoms(p, redundancy, count))


def contingency(codes: Sequence[jax.Array], bins: int, weight: jax.Array) -> jax.Array:
    """[bins] * 4 sums of ``weight`` [N] over the joint states of four code series [N], by one scatter."""
    x, y, a, b = codes
    state = ((x * bins + y) * bins + a) * bins + b
    return jnp.zeros(bins**4, weight.dtype).at[state].add(weight).reshape((bins,) * 4)


def _codes(z, lag, bins, method, mask):
    z = as_samples(z)
    check_lag(z.shape[0], lag)
    past, future = bin_rows(z[:-lag], bins, method, mask), bin_rows(z[lag:], bins, method, mask)
    dtype = z.dtype if jnp.issubdtype(z.dtype, jnp.floating) else jnp.result_type(float)
    weight = jnp.ones(z.shape[0] - lag, dtype) if mask is None else jnp.asarray(mask).astype(dtype)
    return past.T, future.T, weight


def _seen(past, future, weight) -> jax.Array:
    """[n] bool: units with more than one symbol in the past and in the future; a constant has no atoms."""
    kept = (weight > 0)[None]
    varies = lambda codes: jnp.where(kept, codes, 0).max(1) > jnp.where(kept, codes, 2**30).min(1)
    return varies(past) & varies(future)


def _prepared(z, sides, lag, first, valid, mask, check):
    """Samples, and the mask of pairs, after the checks that all discrete estimators share."""
    z = as_samples(z)
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    mask = used_pairs(z.shape[0], lag, first, valid, mask)
    check_samples(z, lag, mask, policy=check, sides=sides)
    return z, mask


def _two_units(x, y, units: int) -> tuple[int, int, tuple]:
    sides = read_sides((x, y), units, "(x, y)")
    one, other = single(sides[0]), single(sides[1])
    if one is None or other is None:
        raise UsageError(
            "a discrete estimate takes two units, not sets of units, whose table would be too large: "
            "encode each set as one unit (joint_symbols), or use estimator='gaussian'"
        )
    return one, other, sides


@known_options
def discrete_local_atoms(
    z: jax.Array,
    x: int = 0,
    y: int = 1,
    *,
    redundancy: str = "mmi",
    bins: int = 2,
    method: str = "mean",
    correction: bool = False,
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
    unit: str = "nats",
    check: str = "warn",
) -> Atoms:
    """Atoms of every time step of two binned units; each of the four lagged rows has bins of its own.

    Args:
      z: [T, n] samples.
      x, y: the two units.
      redundancy: ``"mmi"``, ``"ccs"`` or ``"pointwise"``.
      bins, method: see :func:`bin_rows`.
      correction: Miller-Madow instead of plug-in entropies.
      lag: steps from past to future.
      first: [T] true at the first step of every episode; pairs across episodes are left out.
      valid: [T] false at steps to leave out.
      mask: [T - lag] bool, pairs to use; the others get NaN.
      unit: ``"nats"`` or ``"bits"``. Results are in nats by default, unlike those of phyid, which are in
        bits.
      check: ``"warn"``, ``"error"`` or ``"off"``; traced input is never checked.

    Returns:
      16 arrays [T - lag]; NaN if a unit has only one symbol. Unlike Gaussian information, that of a delayed
      copy is finite (an entropy).

    Raises:
      UsageError: units that are no two units, or bad samples.
    """
    check_redundancy(redundancy)
    unit_scale(unit)
    x, y, sides = _two_units(x, y, jnp.shape(z)[-1])
    z, mask = _prepared(z, sides, lag, first, valid, mask, check)
    return _local(z, x, y, redundancy, bins, method, correction, lag, mask).to(unit)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5, 6, 7))
def _local(z, x, y, redundancy, bins, method, correction, lag, mask) -> Atoms:
    past, future, weight = _codes(z, lag, bins, method, mask)
    seen = _seen(past, future, weight)
    codes = past[x], past[y], future[x], future[y]
    count = weight.sum()
    table = state_atoms(contingency(codes, bins, weight) / count, redundancy, count if correction else None)
    state = ((codes[0] * bins + codes[1]) * bins + codes[2]) * bins + codes[3]
    defined = (weight > 0) & seen[x] & seen[y]
    return jax.tree.map(lambda value: jnp.where(defined, value[state], jnp.nan), table)


def discrete_pair_atoms(z: jax.Array, x: int = 0, y: int = 1, **options) -> Atoms:
    """Average atoms of two binned units: 16 scalars; options of ``discrete_local_atoms``, nats by default."""
    return jax.tree.map(jnp.nanmean, discrete_local_atoms(z, x, y, **options))


@known_options
def all_pairs_discrete_atoms(
    z: jax.Array,
    *,
    redundancy: str = "mmi",
    bins: int = 2,
    method: str = "mean",
    correction: bool = False,
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    mask: jax.Array | None = None,
    chunk: int = 64,
    unit: str = "nats",
    check: str = "warn",
) -> Atoms:
    """Average atoms of every pair of binned units, ``chunk`` pairs at a time.

    Arguments as :func:`discrete_local_atoms`; working memory grows with ``chunk * (T + 40 bins^4)``.

    Returns:
      16 arrays [n, n] in ``unit``; the diagonal is 0. NaN where a unit has only one symbol.
    """
    check_redundancy(redundancy)
    check_units(jnp.shape(z)[-1])
    z, mask = _prepared(z, None, lag, first, valid, mask, check)
    return _every(z, redundancy, bins, method, correction, lag, mask, chunk).to(unit)


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5, 7))
def _every(z, redundancy, bins, method, correction, lag, mask, chunk) -> Atoms:
    past, future, weight = _codes(z, lag, bins, method, mask)
    seen, count = _seen(past, future, weight), weight.sum()

    def one(i, j):
        p = contingency((past[i], past[j], future[i], future[j]), bins, weight) / count
        return atoms_from_distribution(p, redundancy, count if correction else None)

    atoms = over_pairs(lambda pair: jax.vmap(one)(*pair), past.shape[0], chunk)
    return jax.tree.map(zero_diagonal, only_where(seen[:, None] & seen[None, :], atoms))
