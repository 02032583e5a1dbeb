"""Causal emergence of many units by the recipe of arXiv 2605.06746 (Pigozzi and Levin 2026), step by step.

Confirmed in the authors' released code and in ports of it, which agree with this function to rounding: units
without variation dropped, the others z-scored (ddof 0); graph of the Gaussian information of the lagged
correlations averaged over both directions; halves by the sign of the Fiedler vector, entries of zero dropped;
mean of each half, *not* standardised again; local Gaussian surprisals with a ridge of 1e-6 of the mean
variance in every joint block; pointwise-minimum redundancy. This is neither of phyid's redundancies, and the
"emergence" leaves out the atom ``str`` (:data:`rlkit.analysis.atoms.DERIVED` has both sums, ``ce3`` and
``ce4``).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.lattice import Atoms
from rlkit.analysis.atoms.local import local_atoms
from rlkit.analysis.moments.lagged import alive, correlation, lagged_moments, used_pairs
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.samples import as_samples
from rlkit.analysis.moments.sides import read_sides
from rlkit.analysis.moments.validate import check_samples
from rlkit.analysis.moments.variation import varies
from rlkit.analysis.parts.halves import even_units, half_means
from rlkit.analysis.parts.partitions import fiedler_halves, information_graph
from rlkit.errors import UsageError

RIDGE = 1e-6


class PublishedEmergence(NamedTuple):
    """The quantities of arXiv 2605.06746, local values [T - lag] in nats, NaN at pairs left out.

    Take a mean over steps (``jnp.nanmean``): the released code of a sibling study sums over them, which
    measures the length of a recording.

    Attributes:
      emergence: stx + sty + sts, the paper's causal emergence (``ce3``).
      causation: stx + sty, downward causation.
      synergy: sts, causal decoupling.
      integrated: Φ_R, nine atoms.
      redundancy: rtr. The released code adds it to itself and reports twice this.
      atoms: all sixteen.
      halves: two masks [n], the units of each half; units in neither were constant or had a zero entry.
    """

    emergence: jax.Array
    causation: jax.Array
    synergy: jax.Array
    integrated: jax.Array
    redundancy: jax.Array
    atoms: Atoms
    halves: tuple[jax.Array, jax.Array]


@known_options
def pigozzi_levin_emergence(
    z: jax.Array,
    *,
    halves: tuple | None = None,
    lag: int = 1,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    check: str = "warn",
) -> PublishedEmergence:
    """Causal emergence of recorded units exactly as arXiv 2605.06746 computes it.

    Compare values with surrogates before reading anything into them: slow independent units have large ones
    (.546 nats for two AR(.9)).

    Args:
      z: [T, n] samples of n units, n >= 2; float64 (with ``jax.enable_x64``) for the digits of the paper.
      halves: two disjoint sets of units instead of the Fiedler bipartition, see
        :func:`rlkit.analysis.moments.sides.read_sides`.
      lag: steps from past to future; the paper has 1.
      first: [T] true at the first step of every episode; the paper does not say how episodes meet, and its
        code
        has none: without this, pairs across episodes are used.
      valid: [T] false at steps to leave out.
      check: ``"warn"``, ``"error"`` or ``"off"``; constant units are dropped with a warning.

    Returns:
      Local values; NaN where a half is empty.

    Raises:
      UsageError: bad samples, or halves that are no two disjoint sets.
    """
    z = as_samples(z)
    if z.ndim != 2:
        raise UsageError(f"z must have shape [steps, units], got {z.shape}; use vmap for more axes")
    mask = used_pairs(z.shape[0], lag, first, valid)
    check_samples(z, lag, mask, policy=check, outcome="constant units are dropped, copies stay")
    given = None if halves is None else tuple(map(jnp.asarray, read_sides(halves, z.shape[1], "halves")))
    standard, active = _standard_scores(z, valid)
    moments = lagged_moments(standard, lag, mask)
    living = alive(moments).reshape(2, -1).all(0) & active
    n = z.shape[1]
    if given is None:
        upper, lower = fiedler_halves(information_graph(correlation(moments)[:n, n:]), living)
    else:
        upper, lower = (half & living for half in given)
    empty = ~(upper.any() & lower.any())
    series = half_means(standard, jnp.where(empty, even_units(n), upper), upper | lower | empty)
    series = jnp.where(empty, 0, series)  # constant, hence undefined
    options = {"redundancy": "pointwise", "standardise": False, "ridge": RIDGE, "lag": lag}
    atoms = local_atoms(series, mask=mask, check="off", **options)
    values = (atoms[name] for name in ("ce3", "stx", "sts", "phi_r", "rtr"))
    emergence, causation, synergy, integrated, redundancy = values
    causation = causation + atoms.sty
    return PublishedEmergence(emergence, causation, synergy, integrated, redundancy, atoms, (upper, lower))


def _standard_scores(z: jax.Array, valid: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """z-scores over the valid steps (ddof 0), 0 for constant units and left-out steps; which units vary."""
    keep = jnp.ones((z.shape[0], 1), bool) if valid is None else jnp.asarray(valid).astype(bool)[:, None]
    count = keep.sum()
    mean = jnp.where(keep, z, 0).sum(0) / count
    centred = jnp.where(keep, z - mean, 0)
    variance = jnp.square(centred).sum(0) / count
    active = varies(variance, mean)
    return jnp.where(active, centred / jnp.sqrt(jnp.where(active, variance, 1)), 0), active
