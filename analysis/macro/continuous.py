"""Emergence of a macro variable V over micro units X (Rosas' Ψ, Δ, Γ), and integration of n units.

Rosas et al. 2020 (arXiv 2004.08220). The criteria are sufficient only: Ψ > 0 says that V is causally
emergent, Ψ <= 0 says nothing, and because redundancy between units is subtracted up to n-1 times too often,
Ψ sinks as n grows. V must be a function of X at the same time: a value estimate, policy logits, the mean of
a half. Macro variables of slow latents are slow too: compare with surrogates before claiming anything.
``rlkit.analysis.macro.discrete`` has the same criteria for symbols and exact distributions.
"""

import warnings
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.analysis.atoms.gaussian import only_where
from rlkit.analysis.atoms.lattice import unit_scale
from rlkit.analysis.moments.blocks import correlation_of, group_information, regular, singular_below
from rlkit.analysis.moments.lagged import alive, correlation, lagged_moments, used_pairs
from rlkit.analysis.moments.options import known_options
from rlkit.analysis.moments.sides import is_concrete
from rlkit.analysis.moments.validate import AnalysisWarning, check_policy, check_samples, lagged_units, report
from rlkit.analysis.moments.variation import varies
from rlkit.errors import UsageError


class MacroEmergence(NamedTuple):
    """Rosas' criteria and the informations they are made of; scalars unless a shape is given.

    Attributes:
      psi: Ψ = I(V;V') - Σ_j I(X_j;V'). Positive: V is causally emergent.
      psi_corrected: Ψ + (n-1)·min_j I(X_j;V'), which gives back the redundancy that was counted n times. The
        correction is ours: a lower bound of the double counting when redundancy is the minimum information.
      delta: Δ = max_j [I(V;X_j') - Σ_i I(X_i;X_j')]. Positive: downward causation.
      gamma: Γ = max_j I(V;X_j'). Zero together with Ψ > 0: causal decoupling.
      macro_to_macro: I(V;V').
      micro_to_macro: ``[n]``, I(X_j;V').
      macro_to_micro: ``[n]``, I(V;X_j').
      micro_to_micro: ``[n, n]``, I(X_i;X_j') at (i, j).
    """

    psi: jax.Array
    psi_corrected: jax.Array
    delta: jax.Array
    gamma: jax.Array
    macro_to_macro: jax.Array
    micro_to_macro: jax.Array
    macro_to_micro: jax.Array
    micro_to_micro: jax.Array


class Integration(NamedTuple):
    """Whole-minus-sum integration of n units (scalars).

    Attributes:
      tdmi: I(X;X').
      phi_wms: tdmi - Σ_j I(X_j;X_j').
      phi_r: phi_wms + min_ij I(X_i;X_j'), equal to the Φ_R of the atoms (MMI) for two units. For more units
        the redundancy is over-subtracted up to n-1 times and given back once only (ours).
    """

    tdmi: jax.Array
    phi_wms: jax.Array
    phi_r: jax.Array


@known_options
def macro_emergence(
    x: jax.Array,
    v: jax.Array,
    lag: int = 1,
    mask: jax.Array | None = None,
    *,
    first: jax.Array | None = None,
    valid: jax.Array | None = None,
    shrinkage: float | None = None,
    unit: str = "nats",
    check: str = "warn",
) -> MacroEmergence:
    """Ψ, Δ and Γ of time series under the Gaussian estimator.

    Args:
      x: ``[T, n]`` micro units.
      v: ``[T]`` or ``[T, m]`` macro variable (a vector macro variable counts as one variable).
      lag: steps from past to future.
      mask: bool ``[T - lag]``, pairs to keep (``moments.pair_mask``).
      first: ``[T]``, true at the first step of every episode; pairs across episodes are left out.
      valid: ``[T]``, false at steps to leave out.
      shrinkage: intensity in [0, 1] towards the identity, for macro variables with dependent components.
      unit: ``"nats"`` or ``"bits"``.
      check: ``"warn"``, ``"error"`` or ``"off"``; traced input is never checked.

    Returns:
      ``MacroEmergence`` in the given unit. NaN where a unit or macro component is constant, where one of past
      and future is a function of the other (information is infinite), or where components of V are functions
      of each other; an information that is undefined makes Ψ, Δ and Γ undefined.

    Raises:
      UsageError: if x and v differ in length or have the wrong rank, or for bad samples or names.
    """
    unit_scale(unit)
    x, v = jnp.asarray(x), jnp.asarray(v)
    v = v[:, None] if v.ndim == 1 else v
    if x.ndim != 2 or v.ndim != 2 or x.shape[0] != v.shape[0]:
        raise UsageError(
            f"x is {x.shape} and v is {v.shape}; expected [T, n] and [T] or [T, m] of one length T"
        )
    mask = used_pairs(x.shape[0], lag, first, valid, mask)
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, v.dtype), jnp.float32)
    series = jnp.concatenate([x.astype(dtype), v.astype(dtype)], axis=1)
    result = _of_series(series, x.shape[1], lag, mask, shrinkage, unit)
    if check != "off":
        _explain(series, x.shape[1], lag, mask, result, check)
    return result


@partial(jax.jit, static_argnums=(1, 2, 5))
def _of_series(series, num_micro, lag, mask, shrinkage, unit) -> MacroEmergence:
    moments = lagged_moments(series, lag, mask)
    return _of_correlation(correlation(moments, shrinkage), alive(moments), num_micro, unit)


def _explain(series, num_micro: int, lag: int, mask, result: MacroEmergence, policy: str) -> None:
    """Say which units make the result undefined, where it is."""
    check_policy(policy)
    if not is_concrete(series, mask):
        return
    units = series.shape[1]
    names = [f"micro unit {i}" for i in range(num_micro)] + [f"macro {i}" for i in range(units - num_micro)]
    quiet = {"policy": "off" if units < 2 else "warn"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnalysisWarning)
        found = check_samples(series, lag, mask, **quiet)
    lines = [f"{names[unit]} is constant" for unit in found.constant]
    if not lines and not np.isfinite(result.psi + result.delta + result.gamma):
        macro = np.isnan(result.macro_to_macro)
        pairs = np.argwhere(np.isnan(result.micro_to_micro))
        lines = ["V is a function of its own past, or its components are functions of each other"] * bool(
            macro
        )
        lines += [f"the future of {names[j]} is a function of the past of {names[i]}" for i, j in pairs[:3]]
        to_macro = np.flatnonzero(np.isnan(result.micro_to_macro) | np.isnan(result.macro_to_micro))
        lines += [f"{names[i]} and V are functions of each other" for i in to_macro[:3] if not macro]
    if lines:
        text = "; ".join(lines)
        outcome = "" if policy == "error" else ": what depends on it is undefined and set to NaN"
        report(text + outcome, policy, "drop them, shrink, or pass check='warn' to get NaN")


@partial(jax.jit, static_argnames=("num_micro", "unit"))
def macro_emergence_from_covariance(
    covariance: jax.Array, num_micro: int, *, unit: str = "nats"
) -> MacroEmergence:
    """Ψ, Δ and Γ of a Gaussian from one exact or estimated covariance.

    Only blocks of one unit or of the macro variable are inverted, so V may be an exact linear function of X.

    Args:
      covariance: ``[2(n+m), 2(n+m)]`` of ``(X, V, X', V')``.
      num_micro: n, static.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      ``MacroEmergence``, NaN where :func:`macro_emergence` has it.

    Raises:
      UsageError: if the matrix is not square, or leaves no macro variable.
    """
    covariance = jnp.asarray(covariance)
    size = covariance.shape[-1]
    if covariance.shape != (size, size) or size % 2 or not 1 <= num_micro < size // 2:
        raise UsageError(
            f"covariance is {covariance.shape} with num_micro={num_micro}; expected [2(n+m), 2(n+m)] of "
            "(X, V, X', V') with n = num_micro >= 1 and m >= 1"
        )
    living = varies(jnp.diagonal(covariance))
    return _of_correlation(correlation_of(covariance, living), living, num_micro, unit)


def _of_correlation(matrix: jax.Array, living: jax.Array, n: int, unit: str) -> MacroEmergence:
    size = matrix.shape[-1]
    d = size // 2
    cross, macro_past, macro_future = matrix[:d, d:], matrix[n:d, n:d], matrix[d + n :, d + n :]
    past = jnp.arange(size) < d
    is_macro = jnp.tile(jnp.arange(d) >= n, 2)
    both = living[:d] & living[d:]
    micro, macro = both[:n], both[n:].all() & regular(matrix, is_macro)
    either = lambda information: only_where(macro & micro, information)
    return criteria(
        macro_to_macro=only_where(macro, group_information(matrix, past & is_macro, ~past & is_macro)),
        micro_to_macro=either(_explained(macro_future, cross[:n, n:].T)),
        macro_to_micro=either(_explained(macro_past, cross[n:, :n])),
        micro_to_micro=only_where(micro[:, None] & micro[None, :], _of_pairs(cross[:n, :n])),
        unit=unit,
    )


@partial(jax.jit, static_argnames="unit")
def integrated_information(covariance: jax.Array, *, unit: str = "nats") -> Integration:
    """Φ_WMS and Φ_R of any number of Gaussian units.

    Args:
      covariance: ``[2n, 2n]`` of ``(past, future)``.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      ``Integration``; NaN if a unit is constant or a function of the others.

    Raises:
      UsageError: if the matrix is not ``[2n, 2n]``.
    """
    covariance = jnp.asarray(covariance)
    n = lagged_units(covariance)
    living = varies(jnp.diagonal(covariance))
    matrix = correlation_of(covariance, living)
    past = jnp.arange(2 * n) < n
    pairs = _of_pairs(matrix[:n, n:])
    tdmi = group_information(matrix, past, ~past)
    phi_wms = tdmi - jnp.trace(pairs)
    scale = unit_scale(unit)
    result = Integration(scale * tdmi, scale * phi_wms, scale * (phi_wms + jnp.min(pairs)))
    return only_where(living.all() & regular(matrix, jnp.ones(2 * n, bool)), result)


def criteria(
    macro_to_macro: jax.Array,
    micro_to_macro: jax.Array,
    macro_to_micro: jax.Array,
    micro_to_micro: jax.Array,
    unit: str = "nats",
) -> MacroEmergence:
    """Ψ, Δ and Γ from the informations (nats) that they are made of; see MacroEmergence."""
    # One answer: where one information is undefined, all three criteria are.
    parts = macro_to_macro, micro_to_macro, macro_to_micro, micro_to_micro
    known = jnp.stack([jnp.isfinite(part).all() for part in parts]).all()
    psi = jnp.where(known, macro_to_macro - jnp.sum(micro_to_macro), jnp.nan)
    spare = (micro_to_macro.shape[0] - 1) * jnp.min(micro_to_macro)
    result = MacroEmergence(
        psi=psi,
        psi_corrected=psi + spare,
        delta=jnp.where(known, jnp.max(macro_to_micro - jnp.sum(micro_to_micro, axis=0)), jnp.nan),
        gamma=jnp.where(known, jnp.max(macro_to_micro), jnp.nan),
        macro_to_macro=macro_to_macro,
        micro_to_macro=micro_to_macro,
        macro_to_micro=macro_to_micro,
        micro_to_micro=micro_to_micro,
    )
    return jax.tree.map(lambda value: unit_scale(unit) * value, result)


def _from_left(left: jax.Array) -> jax.Array:
    """-½ ln of the share of variance that is left; NaN where that is rounding, and no gradient from there."""
    defined = left > singular_below(left.dtype)
    return only_where(defined, -0.5 * jnp.log(jnp.where(defined, left, 1)))


def _of_pairs(correlation: jax.Array) -> jax.Array:
    return _from_left((1 - correlation) * (1 + correlation))


def _explained(block: jax.Array, cross: jax.Array) -> jax.Array:
    """I(V;U_j) = -½ ln(1 - R²_j) from the block of V ``[m, m]`` and its correlations with U ``[m, n]``."""

    # R² is the sum over pivots of an elimination: no LAPACK call, for the reason given in masked_logdet.
    def eliminate(k, state):
        rest, open_cross, fraction = state
        row = jax.lax.dynamic_index_in_dim(rest, k, keepdims=False)
        pivot = jax.lax.dynamic_index_in_dim(row, k, keepdims=False)
        hit = jax.lax.dynamic_index_in_dim(open_cross, k, keepdims=False)
        step = row[:, None] / pivot
        return rest - step * row[None, :], open_cross - step * hit[None, :], fraction + hit * hit / pivot

    start = block, cross, jnp.zeros(cross.shape[1], cross.dtype)
    _, _, fraction = jax.lax.fori_loop(0, block.shape[0], eliminate, start)
    return _from_left(1 - jnp.clip(fraction, 0.0))
