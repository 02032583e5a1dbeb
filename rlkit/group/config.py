"""Arguments of the losses."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax

from rlkit.fields import leaf, static

OBJECTIVES = (
    "clip", "cispo", "dppo_tv", "dppo_kl", "dro", "reinforce", "dpo", "ipo", "hinge", "kto", "f_sft",
)  # fmt: skip
RATIOS = ("token", "sequence")
AGGREGATIONS = ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant")
KL_ESTIMATORS = ("k1", "k2", "k3", "abs")
DIVERGENCES = ("linear", "chi2", "hellinger", "exponential")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LossConfig:
    """From advantages to a loss, see :mod:`rlkit.group.losses`. Numbers are leaves: ``vmap`` is a sweep."""

    clip_low: float = leaf(0.2, "ratios below 1 - this are clipped", low=0.0, high=1.0)
    clip_high: float = leaf(0.2, "ratios above 1 + this are clipped", low=0.0)
    log_ratio_clamp: float = leaf(20.0, "log-ratios are clamped to ± this before exp", above=0.0, high=80.0)
    dual_clip: float = leaf(0.0, "bound -c A on the loss where A < 0, c > 1; 0: none", low=0.0)
    ratio_cap: float = leaf(0.0, "largest ratio that counts where A < 0 as well (delta); 0: none", low=0.0)
    kl_coef: float = leaf(0.0, "coefficient of the divergence from the reference", low=0.0)
    entropy_coef: float = leaf(0.0, "coefficient of the entropy bonus")
    off_policy_shaping: float = leaf(0.0, "gamma in x / (x + gamma) of off-policy members; 0: none", low=0.0)
    beta: float = leaf(0.1, "strength of preference losses: beta of DPO, IPO, KTO", above=0.0)
    label_smoothing: float = leaf(
        0.0, "probability that a preference is the wrong way round", low=0.0, high=0.5
    )
    objective: str = static("clip", "the loss of one token, or of one pair", choices=OBJECTIVES)
    ratio: str = static("token", "what importance ratios are of", choices=RATIOS)
    aggregation: str = static("token_mean", "how tokens are averaged", choices=AGGREGATIONS)
    max_length: int = static(0, "divisor of the constant aggregation, in tokens; 0: T", low=0)
    kl_estimator: str = static("k3", "estimator of the divergence", choices=KL_ESTIMATORS)
    kl_straight_through: bool = static(False, "its value, but the gradient of k2")
    divergence: str = static("linear", "phi of the loss f_sft", choices=DIVERGENCES)

    def replace(self, **changes: Any) -> "LossConfig":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)
