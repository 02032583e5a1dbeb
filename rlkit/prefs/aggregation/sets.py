"""Rewards of sets of statements."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import axes, flags, same_shape


class SetEquivalence(NamedTuple):
    """How far two sets of units say the same."""

    reward: jax.Array  # float32 [...] in [0, 2]: the sum of the two
    correctness: jax.Array  # float32 [...]: share of what is said that is in the reference
    completeness: jax.Array  # float32 [...]: share of the reference that is said


def set_equivalence(
    similarity: jax.Array, said: jax.Array, reference: jax.Array, threshold: float = 0.5
) -> SetEquivalence:
    """Correctness plus completeness of a caption's units (OwlCap, arXiv 2508.18634).

    A unit is entailed by a set if its best similarity to the set exceeds the threshold; in the paper a judge
    says yes or no. Nothing is matched one to one: units said twice inflate correctness, so remove duplicates
    before. Correctness alone makes "say little" an optimum, completeness alone "say everything".

    Args:
      similarity: of each unit that is said to each of the reference, ``[..., P, Q]``.
      said: bool ``[..., P]``: which units there are.
      reference: bool ``[..., Q]``.
      threshold: of entailment.

    Returns:
      A :class:`SetEquivalence`; shares of empty sets are 0.
    """
    same_shape("set_equivalence", similarity=similarity[..., 0], said=said)
    same_shape("set_equivalence", similarity=similarity[..., 0, :], reference=reference)
    axes("set_equivalence", "threshold", threshold, 0, "a number")
    said, reference = flags("set_equivalence", "said", said), flags("set_equivalence", "reference", reference)
    held = (similarity > threshold) & said[..., :, None] & reference[..., None, :]
    share = lambda hits, there: jnp.sum(hits & there, -1) / jnp.maximum(jnp.sum(there, -1), 1)
    correctness = share(jnp.any(held, -1), said).astype(jnp.float32)
    completeness = share(jnp.any(held, -2), reference).astype(jnp.float32)
    return SetEquivalence(correctness + completeness, correctness, completeness)
