"""Arguments of the losses."""

from dataclasses import dataclass

import jax

from rlkit.fields import Config, leaf, static

POLICY_OBJECTIVES = (
    "clip", "unclipped", "cispo", "sapo", "vespo", "dppo_tv", "dppo_kl", "dro", "reinforce",
)  # fmt: skip
PREFERENCE_OBJECTIVES = ("dpo", "ipo", "hinge", "kto", "f_sft", "sft", "a2po")
RATIOS = ("token", "sequence")
AGGREGATIONS = ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "constant")
KL_ESTIMATORS = ("k1", "k2", "k3", "abs")
DIVERGENCES = ("linear", "chi2", "hellinger", "exponential")
SHAPES = ("ratio", "probability")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LossConfig(Config):
    """From advantages to a loss, see :mod:`rlkit.group.objective`. Numbers are leaves of a pytree."""

    clip_low: float = leaf(0.2, "ratios below 1 - this are clipped; bound of dppo below", low=0.0, high=1.0)
    clip_high: float = leaf(0.2, "ratios above 1 + this are clipped; bound of dppo above", low=0.0)
    log_ratio_clamp: float = leaf(20.0, "log-ratios are clamped to ± this before exp", above=0.0, high=40.0)
    dual_clip: float = leaf(0.0, "bound -c A on the loss where A < 0, c > 1; 0: none", low=0.0)
    ratio_cap: float = leaf(0.0, "largest ratio that counts (delta); 0: none", low=0.0)
    kl_coef: float = leaf(0.0, "coefficient of the divergence from the reference", low=0.0)
    entropy_coef: float = leaf(0.0, "coefficient of the entropy bonus")
    off_policy_shaping: float = leaf(
        0.0, "gamma of off-policy members, see off_policy_shape; 0: none", low=0.0
    )
    beta: float = leaf(0.1, "of dpo, ipo, kto, f_sft, a2po; of the penalty of dro", above=0.0)
    label_smoothing: float = leaf(0.0, "chance that a preference is the wrong way round", low=0.0, high=0.5)
    temperature_positive: float = leaf(1.0, "of sapo, where the advantage is positive", above=0.0)
    temperature_negative: float = leaf(1.05, "of sapo, where it is not", above=0.0)
    objective: str = static(
        "clip", "the loss of a token, or of a pair", choices=POLICY_OBJECTIVES + PREFERENCE_OBJECTIVES
    )
    ratio: str = static("token", "what importance ratios are of", choices=RATIOS)
    aggregation: str = static("token_mean", "how tokens are averaged", choices=AGGREGATIONS)
    max_length: int = static(0, "divisor of the constant aggregation, in tokens; 0: T", low=0)
    kl_estimator: str = static("k3", "estimator of the divergence", choices=KL_ESTIMATORS)
    kl_straight_through: bool = static(False, "the estimator's value, but the gradient of k2")
    off_policy_shape: str = static("ratio", "pi / (behaviour + gamma), or pi / (pi + gamma)", choices=SHAPES)
    divergence: str = static("linear", "phi of f_sft", choices=DIVERGENCES)
