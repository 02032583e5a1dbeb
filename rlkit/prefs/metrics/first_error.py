"""Finding the first wrong step of a chain."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import axes, flags, in_range, known, same_shape


def first_error(probability: jax.Array, mask: jax.Array, threshold: float | jax.Array = 0.5) -> jax.Array:
    """Index of the first step whose probability to be right is below the threshold; -1 if there is none.

    Args:
      probability: ``[B, T]``.
      mask: bool ``[B, T]``.
      threshold: in [0, 1]; choose it on other data than it is judged on.

    Returns:
      int32 ``[B]``: a place in the padded sequence.
    """
    axes("first_error", "probability", probability, 2, "[B, T]")
    same_shape("first_error", probability=probability, mask=mask)
    in_range("first_error", "threshold", threshold, 0.0, 1.0)
    mask = flags("first_error", "mask", mask)
    if known(probability) is not None and known(mask) is not None:  # NaN is below no threshold
        used = jnp.where(mask, probability, 0.0)
        in_range("first_error", "probability", used, 0.0, 1.0, hint="sigmoid of the logits?")
    wrong = mask & (probability < threshold)
    return jnp.where(jnp.any(wrong, 1), jnp.argmax(wrong, 1), -1).astype(jnp.int32)


class FirstErrorF1(NamedTuple):
    """The ProcessBench protocol (Zheng et al. 2024, arXiv 2412.06559)."""

    f1: jax.Array  # 2 e c / (e + c), 0 if both are
    error: jax.Array  # e: share of the chains with an error whose first one is found exactly
    correct: jax.Array  # c: share of the chains without an error that are called so


def first_error_f1(predicted: jax.Array, label: jax.Array) -> FirstErrorF1:
    """F1 of finding first errors.

    Args:
      predicted: int ``[..., B]``: index of the first wrong step, -1 for none.
      label: the same of the truth.

    Returns:
      A :class:`FirstErrorF1` of ``[...]``. Report all three: the threshold trades ``error`` for ``correct``.
      A share of no chains is NaN.
    """
    same_shape("first_error_f1", predicted=predicted, label=label)
    hit, good = predicted == label, label < 0
    e = jnp.sum(hit & ~good, -1) / jnp.sum(~good, -1)
    c = jnp.sum(hit & good, -1) / jnp.sum(good, -1)
    return FirstErrorF1(2.0 * e * c / jnp.where(e + c > 0, e + c, 1.0), e, c)
