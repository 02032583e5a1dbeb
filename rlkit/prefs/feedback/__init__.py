"""Closing the loop: teachers, questions, fitting, learnt rewards, and agents that are paid by them."""

from rlkit.prefs.feedback.fitting import LOSSES, Fit, FitConfig, fit, fit_steps, margins
from rlkit.prefs.feedback.inputs import Inputs, inputs, segments
from rlkit.prefs.feedback.queries import choose, informative
from rlkit.prefs.feedback.scoring import bounded, scorer, step_rewards
from rlkit.prefs.feedback.teachers import KINDS, Answers, Teacher, segment_return, simulate, teacher

__all__ = [
    "KINDS",
    "LOSSES",
    "Answers",
    "Fit",
    "FitConfig",
    "Inputs",
    "Teacher",
    "bounded",
    "choose",
    "fit",
    "fit_steps",
    "informative",
    "inputs",
    "margins",
    "scorer",
    "segment_return",
    "segments",
    "simulate",
    "step_rewards",
    "teacher",
]
