"""PhyMotion (arXiv 2605.14269): one score of a motion, as published and as simulators want it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.fields import Range, check_value
from rlkit.rewards.motion.contact import contact_terms, published_contact
from rlkit.rewards.motion.dynamic import dynamic_terms, published_dynamic
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.kinematic import Terms, kinematic_terms, mean_of, published_kinematic


class MotionScore(NamedTuple):
    """How plausible a motion is; float scalars in [0, 1], greater is better."""

    score: jax.Array  # mean of the axes
    axes: Terms  # "kinematic", "contact", "dynamic"
    terms: (
        Terms  # what the axes are made of, "contact/slip" ...; violations (greater is worse) where published
    )


def published_motion_score(
    features: MotionFeatures, *, floor: str = "aligned", limbs: str = "limits"
) -> MotionScore:
    """The headline reward of PhyMotion's release: the mean of its kinematic, contact and dynamic scores.

    Args:
      features: of a motion, see :func:`rlkit.rewards.motion.motion_features`.
      floor: ``"aligned"`` as published, or ``"true"``, see :func:`published_contact`.
      limbs: ``"limits"`` or ``"lengths"``, see :func:`published_kinematic`.
    """
    kinematic = published_kinematic(features, limbs=limbs)
    contact = published_contact(features, floor=floor)
    dynamic = published_dynamic(features, floor=floor)
    return _scored({"kinematic": kinematic, "contact": contact, "dynamic": dynamic})


def motion_score(features: MotionFeatures, *, worst: float = 0.1) -> MotionScore:
    """The variant for simulators, whose floor is known; the definition is ours.

    Each term is scored in each frame and counts with half its mean and half the mean of its worst frames, so
    that a fault of one moment is not averaged away; axes are means of their terms.

    Args:
      features: of a motion.
      worst: share of the frames that counts as worst, in (0, 1].

    Raises:
      UsageError: ``worst`` is no such share.
    """
    axes = {}
    for name, terms in frame_terms(features).items():
        parts = {part: mean_and_worst(value, worst) for part, value in terms.items()}
        axes[name] = mean_of(parts.values()), parts
    return _scored(axes)


def frame_terms(features: MotionFeatures) -> dict[str, Terms]:
    """Scores of each frame by axis and term, ``[T]`` each in [0, 1]."""
    return {
        "kinematic": kinematic_terms(features),
        "contact": contact_terms(features),
        "dynamic": dynamic_terms(features),
    }


def frame_score(features: MotionFeatures) -> jax.Array:
    """The score of each frame ``[T]``: the mean over axes of the mean over their terms."""
    return mean_of([mean_of(terms.values()) for terms in frame_terms(features).values()])


def mean_and_worst(values: jax.Array, worst: float = 0.1) -> jax.Array:
    """Half the mean and half the mean of the lowest share ``worst`` (at least one) of ``[T, ...]``.

    The second half is the conditional value at risk.

    Raises:
      UsageError: ``worst`` is not in (0, 1].
    """
    check_value("worst", worst, 0.1, Range(above=0.0, high=1.0))
    count = max(1, round(worst * values.shape[0]))
    return 0.5 * jnp.mean(values, 0) + 0.5 * jnp.mean(jnp.sort(values, axis=0)[:count], 0)


def _scored(axes: dict) -> MotionScore:
    scores = {name: value for name, (value, _) in axes.items()}
    terms = {f"{name}/{part}": value for name, (_, parts) in axes.items() for part, value in parts.items()}
    return MotionScore(mean_of(scores.values()), scores, terms)
