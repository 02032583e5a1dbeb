"""Curation of judgements: which to keep, turn round, weigh, ask for next, or make of others.

Everything returns masks, weights, labels or indices of a fixed shape, never a filtered array, so that it can
stand in a compiled training step.
"""

from rlkit.prefs.curation.filtering import (
    Agreement,
    agreement_filter,
    curriculum_logits,
    difficulty_filter,
    judge_consensus,
    keep_rate,
    length_filter,
    peer_masks,
    recycle_flips,
    small_loss_mask,
)
from rlkit.prefs.curation.key_steps import calibrated_scores, select_key_steps
from rlkit.prefs.curation.noise_rates import anchor_noise_rates, clean_set_noise_rates
from rlkit.prefs.curation.pairing import CrossPairs, TieSplit, cross_pairs, split_ties
from rlkit.prefs.curation.retrieval import knn_retrieve, retrieval_budget
from rlkit.prefs.curation.step_labels import (
    agreeing_paths,
    discounted_backup,
    fuse_labels,
    rollout_value,
    step_label_fuse,
    trajectory_label_fuse,
    truncate_after_first_error,
    verifier_labels,
)

__all__ = [
    "Agreement",
    "CrossPairs",
    "TieSplit",
    "agreeing_paths",
    "agreement_filter",
    "anchor_noise_rates",
    "calibrated_scores",
    "clean_set_noise_rates",
    "cross_pairs",
    "curriculum_logits",
    "difficulty_filter",
    "discounted_backup",
    "fuse_labels",
    "judge_consensus",
    "keep_rate",
    "knn_retrieve",
    "length_filter",
    "peer_masks",
    "recycle_flips",
    "retrieval_budget",
    "rollout_value",
    "select_key_steps",
    "small_loss_mask",
    "split_ties",
    "step_label_fuse",
    "trajectory_label_fuse",
    "truncate_after_first_error",
    "verifier_labels",
]
