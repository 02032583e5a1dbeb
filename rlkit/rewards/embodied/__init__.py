"""Dense rewards for embodied agents, pointers and generators: pure functions, and rewards made of them."""

from rlkit.rewards.embodied.best_so_far import (
    Bins,
    augment_best,
    best_reward,
    expected,
    log_bins,
    max_return,
    max_reward_backup,
    max_reward_to_go,
    naive_max_backup,
    rerank,
    two_hot,
)
from rlkit.rewards.embodied.concepts import (
    MISSING,
    correlation_weighted_advantage,
    correlation_weights,
    standardised_concepts,
)
from rlkit.rewards.embodied.denoising import (
    calibrate_noise,
    sparse_group_advantage,
    stepwise_group_advantage,
    stepwise_reward_gain,
)
from rlkit.rewards.embodied.regions import (
    gaussian_coverage_reward,
    gaussian_point_reward,
    inside,
    pointing,
)
from rlkit.rewards.embodied.saliency import (
    balance_penalty,
    fuse_saliency,
    gradient_saliency,
    published_reliability,
    reliability_weight,
    saliency_weight,
    weighted_distillation_loss,
)

__all__ = [
    "MISSING",
    "Bins",
    "augment_best",
    "balance_penalty",
    "best_reward",
    "calibrate_noise",
    "correlation_weighted_advantage",
    "correlation_weights",
    "expected",
    "fuse_saliency",
    "gaussian_coverage_reward",
    "gaussian_point_reward",
    "gradient_saliency",
    "inside",
    "log_bins",
    "max_return",
    "max_reward_backup",
    "max_reward_to_go",
    "naive_max_backup",
    "pointing",
    "published_reliability",
    "reliability_weight",
    "rerank",
    "saliency_weight",
    "sparse_group_advantage",
    "standardised_concepts",
    "stepwise_group_advantage",
    "stepwise_reward_gain",
    "two_hot",
    "weighted_distillation_loss",
]
