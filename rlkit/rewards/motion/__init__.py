"""How physically plausible the motion of a MuJoCo body is (PhyMotion, arXiv 2605.14269)."""

from rlkit.rewards.motion.body import BODIES, Body, body
from rlkit.rewards.motion.contact import contact_terms, published_contact
from rlkit.rewards.motion.dynamic import dynamic_terms, published_dynamic, zero_moment_point
from rlkit.rewards.motion.extract import motion_features, published_torque_limits
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.files import Motion, read_motion, write_motion
from rlkit.rewards.motion.kinematic import kinematic_terms, published_kinematic
from rlkit.rewards.motion.paid import motion_reward
from rlkit.rewards.motion.score import (
    MotionScore,
    frame_score,
    frame_terms,
    mean_and_worst,
    motion_score,
    published_motion_score,
)
from rlkit.rewards.motion.support import support_distance

__all__ = [
    "BODIES",
    "Body",
    "Motion",
    "MotionFeatures",
    "MotionScore",
    "body",
    "contact_terms",
    "dynamic_terms",
    "frame_score",
    "frame_terms",
    "kinematic_terms",
    "mean_and_worst",
    "motion_features",
    "motion_reward",
    "motion_score",
    "published_contact",
    "published_dynamic",
    "published_kinematic",
    "published_motion_score",
    "published_torque_limits",
    "read_motion",
    "support_distance",
    "write_motion",
    "zero_moment_point",
]
