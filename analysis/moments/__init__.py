"""What a decomposition is computed from: lagged moments, masks, ranks, dimension, checks of samples."""

from rlkit.analysis.moments.blocks import correlation_of, group_information, masked_logdet
from rlkit.analysis.moments.copula import average_ranks, rank_normal, tie_fraction
from rlkit.analysis.moments.dimension import (
    Drift,
    active_units,
    drift,
    effective_dimension,
    effective_sample_size,
    leading_components,
)
from rlkit.analysis.moments.lagged import (
    Moments,
    clip_correlation,
    correlation,
    covariance,
    lagged_moments,
    lagged_rows,
    ledoit_wolf,
    merge_moments,
    pair_mask,
    psum_moments,
    shrink,
)
from rlkit.analysis.moments.sides import unit_mask
from rlkit.analysis.moments.streaming import (
    decay_moments,
    pair_moments,
    update_moments,
    windowed_moments,
    zero_moments,
)
from rlkit.analysis.moments.validate import (
    AnalysisWarning,
    check_covariance,
    check_distribution,
    check_samples,
)

__all__ = [
    "AnalysisWarning",
    "Drift",
    "Moments",
    "active_units",
    "average_ranks",
    "check_covariance",
    "check_distribution",
    "check_samples",
    "clip_correlation",
    "correlation",
    "correlation_of",
    "covariance",
    "decay_moments",
    "drift",
    "effective_dimension",
    "effective_sample_size",
    "group_information",
    "lagged_moments",
    "lagged_rows",
    "leading_components",
    "ledoit_wolf",
    "masked_logdet",
    "merge_moments",
    "pair_mask",
    "pair_moments",
    "psum_moments",
    "rank_normal",
    "shrink",
    "tie_fraction",
    "unit_mask",
    "update_moments",
    "windowed_moments",
    "zero_moments",
]
