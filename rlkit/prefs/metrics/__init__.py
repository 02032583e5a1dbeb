"""What reward models are worth: accuracy by group, calibration, best of n, first errors, spread."""

from rlkit.prefs.metrics.best_of_n import (
    best_of_n,
    best_of_n_curve,
    best_of_n_weights,
    prm_preference,
    select_hard,
)
from rlkit.prefs.metrics.first_error import FirstErrorF1, first_error, first_error_f1
from rlkit.prefs.metrics.pairs import brier, ece, macro_by_group, nll, pair_accuracy, position_consistency
from rlkit.prefs.metrics.spread import advantage_spread, collapse_ratio, rank_correlation

__all__ = [
    "FirstErrorF1",
    "advantage_spread",
    "best_of_n",
    "best_of_n_curve",
    "best_of_n_weights",
    "brier",
    "collapse_ratio",
    "ece",
    "first_error",
    "first_error_f1",
    "macro_by_group",
    "nll",
    "pair_accuracy",
    "position_consistency",
    "prm_preference",
    "rank_correlation",
    "select_hard",
]
