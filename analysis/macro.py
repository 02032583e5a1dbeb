"""Emergence of a macro variable V over micro units X (Rosas' Ψ, Δ, Γ), and integration of n units.

Rosas et al. 2020 (arXiv 2004.08220). The criteria are sufficient only: Ψ > 0 says that V is causally
emergent, Ψ <= 0 says nothing, and because redundancy between units is subtracted up to n-1 times too often,
Ψ sinks as n grows. V must be a function of X at the same time: a value estimate, policy logits, the mean of
a half. Macro variables of slow latents are slow too: compare with surrogates before claiming anything.
``rlkit.analysis.macro_discrete`` has the same criteria for symbols and exact distributions.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.blocks import correlation_of, group_information
from rlkit.analysis.lattice import unit_scale
from rlkit.analysis.moments import correlation, lagged_moments
from rlkit.analysis.validate import lagged_units


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


@partial(jax.jit, static_argnames=("lag", "unit"))
def macro_emergence(
    x: jax.Array,
    v: jax.Array,
    lag: int = 1,
    mask: jax.Array | None = None,
    *,
    shrinkage: float | None = None,
    unit: str = "nats",
) -> MacroEmergence:
    """Ψ, Δ and Γ of time series under the Gaussian estimator.

    Args:
      x: ``[T, n]`` micro units.
      v: ``[T]`` or ``[T, m]`` macro variable (a vector macro variable counts as one variable).
      lag: steps from past to future.
      mask: bool ``[T - lag]``, pairs to keep (``moments.pair_mask``).
      shrinkage: intensity in [0, 1] towards the identity, for macro variables with dependent components.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      ``MacroEmergence`` in the given unit. Constant units and macro components carry no information.

    Raises:
      ValueError: if x and v differ in length or have the wrong rank.
      KeyError: for an unknown unit.
    """
    x, v = jnp.asarray(x), jnp.asarray(v)
    v = v[:, None] if v.ndim == 1 else v
    if x.ndim != 2 or v.ndim != 2 or x.shape[0] != v.shape[0]:
        raise ValueError(
            f"x is {x.shape} and v is {v.shape}; expected [T, n] and [T] or [T, m] of one length T"
        )
    dtype = jnp.promote_types(jnp.promote_types(x.dtype, v.dtype), jnp.float32)
    series = jnp.concatenate([x.astype(dtype), v.astype(dtype)], axis=1)
    matrix = correlation(lagged_moments(series, lag, mask), shrinkage)
    return macro_emergence_from_covariance(matrix, x.shape[1], unit=unit)


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

    Raises:
      ValueError: if the matrix is not square, or leaves no macro variable.
    """
    covariance = jnp.asarray(covariance)
    size = covariance.shape[-1]
    if covariance.shape != (size, size) or size % 2 or not 1 <= num_micro < size // 2:
        raise ValueError(
            f"covariance is {covariance.shape} with num_micro={num_micro}; expected [2(n+m), 2(n+m)] of "
            "(X, V, X', V') with n = num_micro >= 1 and m >= 1"
        )
    matrix = correlation_of(covariance)
    n, d = num_micro, size // 2
    cross, macro_past, macro_future = matrix[:d, d:], matrix[n:d, n:d], matrix[d + n :, d + n :]
    past = jnp.arange(size) < d
    is_macro = jnp.tile(jnp.arange(d) >= n, 2)
    return criteria(
        macro_to_macro=group_information(matrix, past & is_macro, ~past & is_macro),
        micro_to_macro=_explained(macro_future, cross[:n, n:].T),
        macro_to_micro=_explained(macro_past, cross[n:, :n]),
        micro_to_micro=-0.5 * jnp.log1p(-jnp.square(_clip(cross[:n, :n]))),
        unit=unit,
    )


@partial(jax.jit, static_argnames="unit")
def integrated_information(covariance: jax.Array, *, unit: str = "nats") -> Integration:
    """Φ_WMS and Φ_R of any number of Gaussian units.

    Args:
      covariance: ``[2n, 2n]`` of ``(past, future)``; constant units carry no information.
      unit: ``"nats"`` or ``"bits"``.

    Raises:
      ValueError: if the matrix is not ``[2n, 2n]``.
    """
    covariance = jnp.asarray(covariance)
    n = lagged_units(covariance)
    matrix = correlation_of(covariance)
    past = jnp.arange(2 * n) < n
    pairs = -0.5 * jnp.log1p(-jnp.square(_clip(matrix[:n, n:])))
    tdmi = group_information(matrix, past, ~past)
    phi_wms = tdmi - jnp.trace(pairs)
    scale = unit_scale(unit)
    return Integration(scale * tdmi, scale * phi_wms, scale * (phi_wms + jnp.min(pairs)))


def criteria(
    macro_to_macro: jax.Array,
    micro_to_macro: jax.Array,
    macro_to_micro: jax.Array,
    micro_to_micro: jax.Array,
    unit: str = "nats",
) -> MacroEmergence:
    """Ψ, Δ and Γ from the informations (nats) that they are made of; see MacroEmergence."""
    psi = macro_to_macro - jnp.sum(micro_to_macro)
    spare = (micro_to_macro.shape[0] - 1) * jnp.min(micro_to_macro)
    result = MacroEmergence(
        psi=psi,
        psi_corrected=psi + spare,
        delta=jnp.max(macro_to_micro - jnp.sum(micro_to_micro, axis=0)),
        gamma=jnp.max(macro_to_micro),
        macro_to_macro=macro_to_macro,
        micro_to_macro=micro_to_macro,
        macro_to_micro=macro_to_micro,
        micro_to_micro=micro_to_micro,
    )
    return jax.tree.map(lambda value: unit_scale(unit) * value, result)


def _clip(correlation: jax.Array) -> jax.Array:
    # One rounding step below 1 still has a finite logarithm.
    bound = 1.0 - 4 * jnp.finfo(correlation.dtype).eps
    return jnp.clip(correlation, -bound, bound)


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
    return -0.5 * jnp.log1p(-jnp.clip(fraction, 0.0, 1.0 - 8 * jnp.finfo(cross.dtype).eps))
