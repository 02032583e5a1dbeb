"""One answer from several revisions of it."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.prefs.checks import in_range, same_shape


class Reflection(NamedTuple):
    """What three views make of an answer."""

    answer: jax.Array  # [...]: the fused one, or that of the most confident view
    fused: jax.Array  # bool [...]: whether all views were confident enough


def reflect(
    answers: jax.Array, confidence: jax.Array, thresholds: Sequence[float] = (0.6, 0.7, 0.8)
) -> Reflection:
    """Conservative, neutral and aggressive revisions of an answer (ReAgent-V, arXiv 2506.01300).

    If each is more confident than its threshold, they are fused, here to their mean weighted by confidence
    (ours, for numeric answers); else the most confident one is taken.

    Args:
      answers: ``[V, ...]``.
      confidence: in [0, 1], ``[V, ...]``.
      thresholds: one for each view.
    """
    same_shape("reflect", answers=answers, confidence=confidence)
    in_range("reflect", "confidence", confidence, 0.0, 1.0)
    if len(thresholds) != answers.shape[0]:
        raise UsageError(
            f"reflect: {len(thresholds)} thresholds for {answers.shape[0]} views; expected one each"
        )
    limits = jnp.asarray(thresholds, jnp.float32).reshape(-1, *[1] * (answers.ndim - 1))
    fused = jnp.all(confidence > limits, 0)
    mean = jnp.sum(confidence * answers, 0) / jnp.maximum(jnp.sum(confidence, 0), 1e-9)
    best = jnp.take_along_axis(answers, jnp.argmax(confidence, 0)[None], 0)[0]
    return Reflection(jnp.where(fused, mean, best), fused)
