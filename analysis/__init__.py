"""Integrated information decomposition and causal emergence of any recorded units.

What most users need is here; the rooms hold the rest: ``atoms``, ``moments``, ``parts``, ``macro``,
``study`` and ``loop``.
"""

if __name__ != "rlkit.analysis":
    raise ImportError("this folder is installed as rlkit.analysis: import rlkit.analysis instead of analysis")

from typing import Any

from rlkit.analysis import atoms, loop, macro, moments, parts, study
from rlkit.analysis.atoms import (
    ATOM_NAMES,
    Atoms,
    PhiID,
    all_pairs_atoms,
    local_atoms,
    phi_id,
    phi_id_covariance,
    phi_id_distribution,
    pigozzi_levin_emergence,
)
from rlkit.analysis.loop import emergence_loss, emergence_reward
from rlkit.analysis.macro import causal_path, effective_information, macro_emergence, macro_emergence_discrete
from rlkit.analysis.moments import AnalysisWarning, drift, effective_sample_size, lagged_moments, pair_mask
from rlkit.analysis.parts import fiedler_bipartition, half_means
from rlkit.analysis.study import NULLS, Emergence, measure_emergence, measure_recordings, study_life

__all__ = [
    "ATOM_NAMES",
    "NULLS",
    "AnalysisWarning",
    "Atoms",
    "Emergence",
    "PhiID",
    "all_pairs_atoms",
    "causal_path",
    "drift",
    "effective_information",
    "effective_sample_size",
    "emergence_loss",
    "emergence_reward",
    "fiedler_bipartition",
    "half_means",
    "lagged_moments",
    "local_atoms",
    "macro_emergence",
    "macro_emergence_discrete",
    "measure_emergence",
    "measure_recordings",
    "pair_mask",
    "phi_id",
    "phi_id_covariance",
    "phi_id_distribution",
    "pigozzi_levin_emergence",
    "study_life",
]


def __getattr__(name: str) -> Any:
    for room in (atoms, loop, macro, moments, parts, study):
        if name in room.__all__:
            raise AttributeError(f"rlkit.analysis.{name} is in a room: {room.__name__}.{name}")
    raise AttributeError(f"module 'rlkit.analysis' has no attribute {name!r}")
