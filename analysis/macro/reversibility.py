"""Emergence from singular values, and effective information of linear Gaussian dynamics.

Neither needs a coarse-graining: a chain whose transition matrix has many negligible singular values wastes
states, and the average over the directions that matter exceeds the average over all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.lattice import unit_scale
from rlkit.analysis.macro.markov import check_tpm
from rlkit.analysis.moments.validate import lagged_units
from rlkit.products import matmul


class SpectralEmergence(NamedTuple):
    """Singular-value emergence of a TPM, Zhang et al. 2024 (arXiv 2402.15054).

    Attributes:
      singular_values: ``[N]``, descending.
      gamma: approximate dynamical reversibility Γ_α = Σ σ_i^α (confirmed).
      rank: number of singular values above epsilon.
      gain: Σ_{i<=rank} σ_i^α / rank - Γ_α / N, the degree of emergence (from memory of the paper, where it is
        "clear" emergence if epsilon only removes zeros and "vague" otherwise; not confirmed).
    """

    singular_values: jax.Array
    gamma: jax.Array
    rank: jax.Array
    gain: jax.Array


class GaussianEmergence(NamedTuple):
    """Emergence of z' = A z + noise (scalars unless a shape is given).

    Attributes:
      signal: ``[n]``, eigenvalues s_i of Aᵀ Σ⁻¹ A, descending.
      precision: ``[n]``, eigenvalues κ_i of Σ⁻¹, descending.
      log_gamma: (1/n) Σ [(½ - α/4) ln s_i + (α/4) ln κ_i], the log-reversibility per dimension.
      gain: the same mean over the s_i and κ_i above epsilon, minus ``log_gamma`` (infinite for a singular A).
      information_gain: mean of ½ ln(1 + ω² s_i) over the s_i above epsilon minus the mean over all; finite
        for every A (ours).
    """

    signal: jax.Array
    precision: jax.Array
    log_gamma: jax.Array
    gain: jax.Array
    information_gain: jax.Array


def spectral_emergence(tpm: jax.Array, alpha: float = 1.0, epsilon: float = 1e-5) -> SpectralEmergence:
    """Approximate reversibility of a TPM and the gain from dropping its negligible singular directions.

    Args:
      tpm: ``[N, N]``, rows summing to one.
      alpha: exponent in (0, 2); small values weigh determinism, large ones (non-)degeneracy.
      epsilon: singular values up to this count as zero.

    Returns:
      ``SpectralEmergence``; a permutation has gamma N, rank N and gain 0.
    """
    values = jnp.linalg.svd(check_tpm(tpm), compute_uv=False)
    powers = jnp.power(jnp.maximum(values, jnp.finfo(values.dtype).tiny), alpha)
    kept = values > epsilon
    rank = jnp.sum(kept)
    mean_kept = jnp.sum(jnp.where(kept, powers, 0.0)) / jnp.maximum(rank, 1)
    return SpectralEmergence(values, powers.sum(), rank, mean_kept - powers.mean())


def linear_dynamics(covariance: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Best linear prediction of the future from the past: z' = A z + noise.

    Args:
      covariance: ``[2n, 2n]`` of ``(past, future)``, positive definite past.

    Returns:
      ``(A, Σ)``: transition ``[n, n]`` (rows = future units) and noise covariance ``[n, n]``.

    Raises:
      ValueError: if the matrix is not ``[2n, 2n]``.
    """
    covariance = jnp.asarray(covariance)
    n = lagged_units(covariance)
    past, cross, future = covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]
    transition = jnp.linalg.solve(past, cross).T
    noise = future - matmul(transition, cross)
    return transition, 0.5 * (noise + noise.T)


def gaussian_effective_information(
    transition: jax.Array, noise: jax.Array, scale: float = 1.0, *, unit: str = "nats"
) -> jax.Array:
    """Information between interventions z ~ N(0, ω² I) and the next state of z' = A z + noise.

    EI = ½ ln |I + ω² Aᵀ Σ⁻¹ A|. A uniform intervention on a continuous space has no finite extent of its own;
    a normal one of a stated scale, which this uses, is ours. It is finite for every A and comparable between
    scales when divided by the number of units.

    Args:
      transition: A, ``[n, n]``.
      noise: Σ, ``[n, n]``, positive definite.
      scale: ω, standard deviation of the intervention, in the unit of z.
      unit: ``"nats"`` or ``"bits"``.
    """
    signal = _signal(transition, noise)
    return unit_scale(unit) * 0.5 * jnp.sum(jnp.log1p(jnp.square(scale) * signal))


def gaussian_emergence(
    transition: jax.Array, noise: jax.Array, alpha: float = 1.0, epsilon: float = 1e-3, scale: float = 1.0
) -> GaussianEmergence:
    """Singular-value emergence of linear Gaussian dynamics, after Liu et al. 2025 (arXiv 2502.08261).

    That the paper works with the spectra of Aᵀ Σ⁻¹ A and Σ⁻¹ is confirmed from its summary; the formula of
    ``log_gamma`` is reported from a public implementation; how epsilon acts on the two spectra is ours.

    Args:
      transition: A, ``[n, n]``.
      noise: Σ, ``[n, n]``, positive definite.
      alpha: weight in (0, 2) of the noise spectrum.
      epsilon: eigenvalues up to this are dropped (they depend on the unit of z: z-score first).
      scale: ω of ``information_gain``.

    Returns:
      ``GaussianEmergence``, nats.
    """
    signal = _signal(transition, noise)
    precision = 1.0 / jnp.linalg.eigvalsh(jnp.asarray(noise))
    mean = lambda values, kept: jnp.sum(jnp.where(kept, values, 0.0)) / jnp.maximum(kept.sum(), 1)
    weight = 0.25 * alpha
    logs = (0.5 - weight) * jnp.log(signal), weight * jnp.log(precision)
    log_gamma = logs[0].mean() + logs[1].mean()
    kept = mean(logs[0], signal > epsilon) + mean(logs[1], precision > epsilon)
    information = 0.5 * jnp.log1p(jnp.square(scale) * signal)
    information_gain = mean(information, signal > epsilon) - information.mean()
    return GaussianEmergence(signal, precision, log_gamma, kept - log_gamma, information_gain)


def _signal(transition: jax.Array, noise: jax.Array) -> jax.Array:
    transition, noise = jnp.asarray(transition), jnp.asarray(noise)
    if transition.ndim != 2 or transition.shape[0] != transition.shape[1] or noise.shape != transition.shape:
        raise ValueError(f"transition is {transition.shape}, noise is {noise.shape}; expected two [n, n]")
    matrix = matmul(transition.T, jnp.linalg.solve(noise, transition))
    return jnp.maximum(jnp.linalg.eigvalsh(0.5 * (matrix + matrix.T))[::-1], 0.0)
