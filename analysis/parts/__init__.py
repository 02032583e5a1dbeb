"""Ways to cut a system in two."""

from rlkit.analysis.parts.halves import half_means, vector_halves
from rlkit.analysis.parts.partitions import (
    cut_weight,
    exact_bipartition,
    fiedler_bipartition,
    information_graph,
    normalized_cut,
    normalized_cut_bipartition,
    partition_information,
)
from rlkit.analysis.parts.queyranne import (
    CutFunction,
    minimize_cut,
    minimum_cut_bipartition,
    queyranne_bipartition,
)

__all__ = [
    "CutFunction",
    "cut_weight",
    "exact_bipartition",
    "fiedler_bipartition",
    "half_means",
    "information_graph",
    "minimize_cut",
    "minimum_cut_bipartition",
    "normalized_cut",
    "normalized_cut_bipartition",
    "partition_information",
    "queyranne_bipartition",
    "vector_halves",
]
