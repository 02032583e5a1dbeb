"""Physical plausibility of motion (PhyMotion, arXiv 2605.14269): of a MuJoCo body, by kinematics, contacts, forces."""

from rlkit.rewards.motion.body import BODIES, Body, body
from rlkit.rewards.motion.contact import contact_terms, published_contact
from rlkit.rewards.motion.dynamic import dynamic_terms, published_dynamic, zero_moment_point
from rlkit.rewards.motion.extract import motion_features, published_torque_limits
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.kinematic import kinematic_terms, published_kinematic
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
    "motion_score",
    "published_contact",
    "published_dynamic",
    "published_kinematic",
    "published_motion_score",
    "published_torque_limits",
    "support_distance",
    "zero_moment_point",
]
