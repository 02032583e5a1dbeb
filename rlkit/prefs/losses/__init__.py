"""Losses of reward models: pure functions of scores and labels; one number per example or step."""

from rlkit.prefs.losses.noise import (
    contaminated_logistic,
    noise_backward,
    noise_backward_logistic,
    noise_forward_logistic,
)
from rlkit.prefs.losses.pairwise import (
    gaussian_pairwise,
    gaussian_pairwise_released,
    pairwise_logistic,
    plackett_luce,
    rao_kupper,
    reward_centering,
    symmetrised_logistic,
    win_tie,
)
from rlkit.prefs.losses.selection import doubly_robust, ips, weighted_mean
from rlkit.prefs.losses.steps import (
    masked_mean,
    step_logistic,
    step_mse,
    step_q_ranking,
    trace_and_comparison,
    trace_loss,
)

__all__ = [
    "contaminated_logistic",
    "doubly_robust",
    "gaussian_pairwise",
    "gaussian_pairwise_released",
    "ips",
    "masked_mean",
    "noise_backward",
    "noise_backward_logistic",
    "noise_forward_logistic",
    "pairwise_logistic",
    "plackett_luce",
    "rao_kupper",
    "reward_centering",
    "step_logistic",
    "step_mse",
    "step_q_ranking",
    "symmetrised_logistic",
    "trace_and_comparison",
    "trace_loss",
    "weighted_mean",
    "win_tie",
]
