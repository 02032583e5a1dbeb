"""Emergence of macroscopic variables: criteria of samples, effective information, scales, reversibility."""

from rlkit.analysis.macro.continuous import (
    Integration,
    MacroEmergence,
    criteria,
    integrated_information,
    macro_emergence,
    macro_emergence_from_covariance,
)
from rlkit.analysis.macro.discrete import joint_symbols, macro_emergence_discrete, macro_emergence_exact
from rlkit.analysis.macro.markov import (
    CausalPrimitives,
    causal_emergence,
    causal_primitives,
    check_tpm,
    coarse_grain,
    degeneracy,
    determinism,
    effective_information,
    estimate_tpm,
    transition_counts,
)
from rlkit.analysis.macro.reversibility import (
    GaussianEmergence,
    SpectralEmergence,
    gaussian_effective_information,
    gaussian_emergence,
    linear_dynamics,
    spectral_emergence,
)
from rlkit.analysis.macro.scales import (
    CausalPath,
    causal_path,
    dynamical_inconsistency,
    emergent_complexity,
    greedy_causal_path,
)

__all__ = [
    "CausalPath",
    "CausalPrimitives",
    "GaussianEmergence",
    "Integration",
    "MacroEmergence",
    "SpectralEmergence",
    "causal_emergence",
    "causal_path",
    "causal_primitives",
    "check_tpm",
    "coarse_grain",
    "criteria",
    "degeneracy",
    "determinism",
    "dynamical_inconsistency",
    "effective_information",
    "emergent_complexity",
    "estimate_tpm",
    "gaussian_effective_information",
    "gaussian_emergence",
    "greedy_causal_path",
    "integrated_information",
    "joint_symbols",
    "linear_dynamics",
    "macro_emergence",
    "macro_emergence_discrete",
    "macro_emergence_exact",
    "macro_emergence_from_covariance",
    "spectral_emergence",
    "transition_counts",
]
