"""Rewards of length."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.prefs.checks import in_range, probabilities, same_shape, same_shape_or_number


def length_penalty(
    length: jax.Array,
    reference: jax.Array | float,
    correct: jax.Array | None = None,
    scale: float = 1.0,
    tolerance: float = 1.0,
    relief: float = 0.5,
    power: float = 1.0,
) -> jax.Array:
    """A penalty of what is longer than a reference, less for right answers.

    ``-λ clip((L - L_ref) / (γ L_ref), 0, 1)^p``, times ``1 - κ`` where correct. HARMO (arXiv 2510.05283) has
    a generalised length penalty whose formula was not found; this one is ours. A penalty alone makes "short
    and wrong" an optimum: gate it on correctness, or let wrong answers earn nothing else.

    Args:
      length: ``[...]``.
      reference: L_ref above 0: a budget, or the median of a group; ``[...]`` or a number.
      correct: ``[...]`` in [0, 1]; None: none counts as right.
      scale: λ.
      tolerance: γ: the full penalty is reached at ``(1 + γ) L_ref``.
      relief: κ in [0, 1].
      power: p above 0.

    Returns:
      ``[...]`` in ``[-λ, 0]``.
    """
    in_range("length_penalty", "reference", reference, 0.0, float("inf"), strict=True)
    in_range("length_penalty", "tolerance", tolerance, 0.0, float("inf"), strict=True)
    in_range("length_penalty", "relief", relief, 0.0, 1.0)
    in_range("length_penalty", "scale", scale, 0.0, float("inf"))
    in_range("length_penalty", "power", power, 0.0, float("inf"), strict=True)
    same_shape("length_penalty", length=length, correct=correct)
    same_shape_or_number("length_penalty", length=length, reference=reference)
    if correct is not None:
        probabilities("length_penalty", "correct", correct)
    excess = jnp.clip((jnp.asarray(length, jnp.float32) - reference) / (tolerance * reference), 0.0, 1.0)
    factor = 1.0 if correct is None else 1.0 - relief * jnp.asarray(correct)
    return -scale * excess**power * factor


def length_bands(
    length: jax.Array,
    edges: Sequence[float] = (100.0, 300.0, 400.0),
    values: Sequence[float] = (0.2, 1.0, 0.5, 0.2),
) -> jax.Array:
    """A reward by bands of length: ``values[i]`` below ``edges[i]``, the last from the last edge on.

    The defaults are OwlCap's, in words (arXiv 2508.18634): 1 from 100 to 300, 0.5 to 400, else 0.2.
    """
    if len(values) != len(edges) + 1:
        raise UsageError(
            f"length_bands: {len(values)} values for {len(edges)} edges; expected {len(edges) + 1}"
        )
    if list(edges) != sorted(edges):
        raise UsageError(f"length_bands: edges={tuple(edges)}: expected them to rise")
    return jnp.asarray(values, jnp.float32)[
        jnp.searchsorted(jnp.asarray(edges), jnp.asarray(length), side="right")
    ]
