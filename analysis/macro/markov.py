"""Causal emergence of Markov chains: effective information, causal primitives, estimation.

A transition matrix (TPM) is ``[N, N]`` with rows summing to one: ``tpm[i, j]`` is the probability of state j
after state i. Interventions are uniform over the states. Paths of scales are in ``scales``;
singular values and linear Gaussian dynamics in ``rlkit.analysis.macro.reversibility``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import entr

from rlkit.analysis.atoms.lattice import unit_scale
from rlkit.analysis.moments.lagged import check_lag
from rlkit.analysis.moments.sides import is_concrete
from rlkit.analysis.moments.validate import check_symbols
from rlkit.errors import UsageError, unknown_name
from rlkit.products import matmul

UNVISITED = ("nan", "uniform", "stay")


class CausalPrimitives(NamedTuple):
    """Primitives of causation of a TPM (scalars), after Hoel 2025 (arXiv 2503.13395).

    Confirmed from summaries and public implementations: sufficiency P(e|c), necessity 1 - P(e|C without c),
    CP = sufficiency + necessity - 1, and for whole TPMs CP = determinism + specificity - 1. That sufficiency
    and necessity of a TPM are their means over causes (uniform) and effects (given the cause) is ours.

    Attributes:
      determinism: 1 - mean entropy of the rows over ln N.
      degeneracy: 1 - entropy of the mean row over ln N.
      specificity: 1 - degeneracy.
      cp: determinism + specificity - 1 = effective information over ln N, in [0, 1].
      sufficiency: mean P(e|c).
      necessity: mean 1 - P(e|C without c).
      cp_probability: sufficiency + necessity - 1.
    """

    determinism: jax.Array
    degeneracy: jax.Array
    specificity: jax.Array
    cp: jax.Array
    sufficiency: jax.Array
    necessity: jax.Array
    cp_probability: jax.Array


def effective_information(
    tpm: jax.Array, intervention: jax.Array | None = None, *, unit: str = "nats"
) -> jax.Array:
    """Information between interventions on the present state and the next state.

    EI = Σ_i p_i KL(P_i || Σ_j p_j P_j); with uniform interventions p it is ln N · (determinism - degeneracy);
    Hoel, Albantakis and Tononi 2013.

    Args:
      tpm: ``[N, N]``.
      intervention: ``[N]``, probability p of setting each state; uniform by default. The stationary
        distribution gives the mutual information of the observed chain.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      Scalar between 0 and ln N.

    Raises:
      UsageError: if the TPM is not square, or rows or the intervention are known and no distributions.
    """
    tpm = check_tpm(tpm)
    if intervention is None:
        return unit_scale(unit) * (_entropy(tpm.mean(axis=0)) - _entropy(tpm).mean())
    weight = _check_intervention(intervention, tpm)
    # A state that is never set may have an unknown row.
    used = jnp.where(weight[:, None] > 0, tpm, 0)
    return unit_scale(unit) * (_entropy(matmul(weight, used)) - jnp.sum(weight * _entropy(used)))


def _check_intervention(intervention: jax.Array, tpm: jax.Array) -> jax.Array:
    weight = jnp.asarray(intervention)
    if weight.shape != tpm.shape[:1]:
        raise UsageError(
            f"intervention has shape {weight.shape}; expected [{tpm.shape[0]}], one probability a state"
        )
    if is_concrete(weight):
        known = np.asarray(weight, np.float64)
        if not (np.isfinite(known).all() and known.min() >= 0 and abs(known.sum() - 1) < 1e-4):
            raise UsageError(
                f"intervention sums to {known.sum():g}, least entry {known.min():g}; expected a distribution"
            )
    return weight.astype(tpm.dtype)


def determinism(tpm: jax.Array) -> jax.Array:
    """1 - ⟨H(P_i)⟩ / ln N in [0, 1]: how surely the present state fixes the next (1 for one state)."""
    tpm = check_tpm(tpm)
    return 1.0 - _entropy(tpm).mean() / _log_size(tpm)


def degeneracy(tpm: jax.Array) -> jax.Array:
    """1 - H(mean P) / ln N in [0, 1]: how far different causes share their effects (1 for one state)."""
    tpm = check_tpm(tpm)
    return 1.0 - _entropy(tpm.mean(axis=0)) / _log_size(tpm)


def causal_primitives(tpm: jax.Array) -> CausalPrimitives:
    """Sufficiency, necessity, determinism, specificity and CP of a TPM (see ``CausalPrimitives``).

    Args:
      tpm: ``[N, N]``, N >= 2 for a necessity that is defined (NaN otherwise).
    """
    tpm = check_tpm(tpm)
    sure, shared = determinism(tpm), degeneracy(tpm)
    others = (tpm.sum(axis=0) - tpm) / (tpm.shape[0] - 1 or jnp.nan)
    sufficiency = jnp.sum(tpm * tpm, axis=1).mean()
    necessity = jnp.sum(tpm * (1.0 - others), axis=1).mean()
    return CausalPrimitives(
        determinism=sure,
        degeneracy=shared,
        specificity=1.0 - shared,
        cp=sure - shared,
        sufficiency=sufficiency,
        necessity=necessity,
        cp_probability=sufficiency + necessity - 1.0,
    )


def coarse_grain(
    tpm: jax.Array, labels: jax.Array, num_macro: int, weights: jax.Array | None = None
) -> jax.Array:
    """TPM between groups of states: P(B|A) = Σ_{i∈A} w_i Σ_{j∈B} P_ij / Σ_{i∈A} w_i.

    Args:
      tpm: ``[N, N]``.
      labels: int ``[N]``, group of every state, in ``0..num_macro-1``.
      num_macro: number of groups M, static; every group needs a state (NaN row otherwise).
      weights: ``[N]`` probability of each micro state within an intervention on its group; uniform by
        default, the stationary distribution for an observational coarse-graining.

    Returns:
      ``[M, M]``.
    """
    tpm, labels = check_tpm(tpm), jnp.asarray(labels)
    if labels.shape != tpm.shape[:1]:
        raise UsageError(f"labels is {labels.shape}; expected one group for each of {tpm.shape[0]} states")
    member = jax.nn.one_hot(labels, num_macro, dtype=tpm.dtype)
    weighted = member if weights is None else member * jnp.asarray(weights, tpm.dtype)[:, None]
    return matmul(matmul(weighted.T, tpm), member) / weighted.sum(axis=0)[:, None]


def causal_emergence(tpm: jax.Array, labels: jax.Array, num_macro: int, *, unit: str = "nats") -> jax.Array:
    """Causal emergence 1.0: effective information of the coarse-grained TPM minus that of the micro TPM."""
    macro = effective_information(coarse_grain(tpm, labels, num_macro), unit=unit)
    return macro - effective_information(tpm, unit=unit)


def transition_counts(
    states: jax.Array, num_states: int, lag: int = 1, mask: jax.Array | None = None
) -> jax.Array:
    """Count transitions of a sequence of states.

    Args:
      states: int ``[T]`` in ``0..num_states-1``.
      num_states: N, static.
      lag: steps from past to future.
      mask: bool ``[T - lag]``, pairs to keep (False where a pair crosses an episode end).

    Returns:
      ``[N, N]`` float counts, row = past.

    Raises:
      ValueError: for the wrong shape or type, a lag out of range, or concrete states out of range.
    """
    states = jnp.asarray(states)
    if states.ndim != 1 or not jnp.issubdtype(states.dtype, jnp.integer):
        raise UsageError(f"states is {states.dtype}{states.shape}; expected integers [T]")
    check_lag(states.shape[0], lag)
    check_symbols(states, num_states, "states")
    weight = jnp.ones(states.shape[0] - lag) if mask is None else jnp.asarray(mask).astype(float)
    counts = jnp.zeros((num_states, num_states), dtype=weight.dtype)
    return counts.at[states[:-lag], states[lag:]].add(weight)


def estimate_tpm(counts: jax.Array, pseudocount: float = 0.0, unvisited: str = "nan") -> jax.Array:
    """Transition matrix from counts.

    Args:
      counts: ``[N, N]`` (``transition_counts``; counts of several runs add).
      pseudocount: added to every count; 0 is the maximum-likelihood estimate.
      unvisited: row of a state that was never left: ``"nan"``, ``"uniform"``, or ``"stay"``.

    Returns:
      ``[N, N]``.
    """
    counts = jnp.asarray(counts) + pseudocount
    if unvisited not in UNVISITED:
        raise unknown_name("value of unvisited", unvisited, UNVISITED)
    size = counts.shape[0]
    fill = {"nan": jnp.nan, "uniform": 1.0 / size, "stay": jnp.eye(size, dtype=counts.dtype)}[unvisited]
    total = counts.sum(axis=1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1.0), fill)


def check_tpm(tpm: jax.Array) -> jax.Array:
    """Return ``tpm`` as an array after checking its shape and, where its values are known, its rows.

    Rows of NaN (states that were never visited) pass and make every summary NaN.

    Raises:
      ValueError: if it is not square, has negative entries, or rows that do not sum to one within 1e-3.
    """
    tpm = jnp.asarray(tpm, dtype=jnp.result_type(tpm, jnp.float32))
    if tpm.ndim != 2 or tpm.shape[0] != tpm.shape[1] or tpm.shape[0] == 0:
        raise UsageError(f"tpm has shape {tpm.shape}; expected a square transition matrix [N, N]")
    if not isinstance(tpm, jax.core.Tracer):
        matrix = np.asarray(tpm)
        wrong = np.flatnonzero((matrix < 0).any(axis=1) | (np.abs(matrix.sum(axis=1) - 1) > 1e-3))
        if wrong.size:
            row = int(wrong[0])
            raise UsageError(
                f"row {row} of tpm sums to {matrix[row].sum():g}, least entry {matrix[row].min():g}; every "
                "row must be a distribution (divide counts by their row sums, or use estimate_tpm)"
            )
    return tpm


def _entropy(rows: jax.Array) -> jax.Array:
    return jnp.sum(entr(rows), axis=-1)


def _log_size(tpm: jax.Array) -> float:
    # One state: entropies are 0, and any positive number gives determinism = degeneracy = 1.
    return float(np.log(max(tpm.shape[0], 2)))
