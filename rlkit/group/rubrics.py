"""Scores that are made of several small judgements: checklists, rubrics, questions with yes or no."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.combine import geometric


def checklist(satisfied: jax.Array, weights: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """The weighted share of criteria that are met; 0 for a prompt without criteria.

    Args:
      satisfied: ``[P, G, C]`` in [0, 1].
      weights: ``[P, C]`` or broadcastable.
      valid: ``[P, C]``, 1 for criteria that exist; None: all do.
    """
    used = weights * (jnp.ones_like(weights) if valid is None else valid)
    total = jnp.sum(used, -1)[..., None]
    return jnp.sum(used[..., None, :] * satisfied, -1) / jnp.where(total > 0, total, 1.0)


def rubric_reward(
    satisfied: jax.Array, weights: jax.Array, factual: jax.Array, valid: jax.Array | None = None
) -> jax.Array:
    """RGR-GRPO's reward (2511.12344): 1 where all factual criteria are met, else the checklist's share.

    Args:
      satisfied: ``[P, G, C]``, 0 or 1.
      weights: ``[P, C]``.
      factual: ``[P, C]``, 1 for criteria on facts. A prompt without any gets the share.
      valid: ``[P, C]``; None: all criteria exist.

    Returns:
      float32 ``[P, G]``.
    """
    exists = jnp.ones_like(weights) if valid is None else valid
    facts = (factual * exists)[..., None, :] > 0
    right = jnp.all((satisfied > 0) | ~facts, -1) & jnp.any(facts, -1)
    return jnp.where(right, 1.0, checklist(satisfied, weights, valid))


def exploration_assessment(
    satisfied: jax.Array, reward: jax.Array, valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What RGR-GRPO refines (2511.12344): the best completion of each prompt, unless it meets everything.

    Args:
      satisfied: ``[P, G, C]``.
      reward: ``[P, G]``.
      valid: ``[P, C]``; None: all criteria exist.

    Returns:
      The best member int32 ``[P]`` (the first of equal ones), whether to refine it bool ``[P]``, and the
      criteria that it fails bool ``[P, C]``.
    """
    best = jnp.argmax(reward, -1)
    own = jnp.take_along_axis(satisfied, best[:, None, None], 1)[:, 0]
    exists = jnp.ones(own.shape, bool) if valid is None else valid > 0
    failed = (own <= 0) & exists
    return best, jnp.any(failed, -1), failed


def yes_probability(log_prob_yes: jax.Array, log_prob_no: jax.Array) -> jax.Array:
    """``p_yes / (p_yes + p_no)`` of a judge's answer to one question (AlphaGRPO 2605.12495)."""
    return jax.nn.sigmoid(log_prob_yes - log_prob_no)


def decompositional_reward(
    semantic: jax.Array,
    quality: jax.Array,
    semantic_valid: jax.Array | None = None,
    quality_valid: jax.Array | None = None,
) -> jax.Array:
    """DVReward (2605.12495): the geometric mean of the mean answers to two kinds of questions.

    Args:
      semantic: ``[P, G, Q]`` in [0, 1]: is what was asked for there?
      quality: ``[P, G, R]`` in [0, 1]: is it well done?
      semantic_valid: ``[P, Q]``, 1 for questions that exist; None: all do.
      quality_valid: ``[P, R]``, the same.

    Returns:
      float32 ``[P, G]``.

    Raises:
      UsageError: there are no questions of one kind.
    """
    if not semantic.shape[-1] or not quality.shape[-1]:
        raise UsageError(
            f"got {semantic.shape[-1]} semantic and {quality.shape[-1]} quality questions; give at least "
            "one of each kind"
        )
    whole = [
        checklist(answers, jnp.ones((answers.shape[0], answers.shape[-1])), valid)
        for answers, valid in ((semantic, semantic_valid), (quality, quality_valid))
    ]
    return geometric(*whole)


def no_improvement_floor(refined: jax.Array, draft: jax.Array) -> jax.Array:
    """AlphaGRPO's floor: a refinement that is no better than its draft gets the group's least draft reward.

    Args:
      refined: ``[P, G]``.
      draft: ``[P, G]``, the reward of what each was refined from.
    """
    return jnp.where(refined <= draft, jnp.min(draft, -1, keepdims=True), refined)


def reflection_text_reward(reward: jax.Array, tags: jax.Array, reflection: jax.Array) -> jax.Array:
    """AlphaGRPO's reward of the text beside an image (2605.12495): ``reward + (tags + reflection) / 4``.

    Its configuration gives text an advantage of its own, by this, where text and image are told apart.

    Args:
      reward: of the image, ``[P, G]``.
      tags: score of the format of tags, in [-1, 0], ``[P, G]``.
      reflection: score of the form of the reflection, in [-1, 0], ``[P, G]``.

    Returns:
      ``[P, G]``.
    """
    return reward + (tags + reflection) / 4.0


def consistency_reward(
    form: jax.Array, accuracy: jax.Array, consistency: jax.Array, form_weight: float = 0.5, bonus: float = 0.5
) -> jax.Array:
    """R1-Reward (2505.02835): ``form_weight form + accuracy (1 + bonus consistency)``.

    Args:
      form: 0 or 1, the format.
      accuracy: 0 or 1.
      consistency: -1, 0 or 1 as in the code (the reasoning contradicts the answer, the referee failed, the
        reasoning supports it), or 0 or 1 with ``form_weight=1`` as a note of the paper has it.
    """
    return form_weight * form + accuracy * (1.0 + bonus * consistency)


def conciseness_reward(
    outcome: jax.Array,
    conciseness: jax.Array,
    annealing: jax.Array,
    difficulty: jax.Array,
    alpha: float = 0.5,
) -> jax.Array:
    """CRF (2511.09158): ``outcome (1 + alpha c (s + d))``; a short wrong answer earns nothing.

    Args:
      outcome: ``[P, G]``, 0 or 1.
      conciseness: ``c [P, G]`` in [0.1, 1].
      annealing: ``s []``, falls over training.
      difficulty: ``d [P, 1]``; which direction the paper means is not known to us.
      alpha: strength; 0 is the outcome alone.
    """
    return outcome * (1.0 + alpha * conciseness * (annealing + difficulty))


def time_series_reward(
    accuracy: jax.Array, form: jax.Array, extension: jax.Array, weights: tuple[float, float, float]
) -> jax.Array:
    """TimeMaster (2506.13705): ``a accuracy + b form + c extension [accuracy and form]``, 0.9, 0.1, 0.5."""
    both = (accuracy >= 1.0) & (form >= 1.0)
    return weights[0] * accuracy + weights[1] * form + weights[2] * extension * both
