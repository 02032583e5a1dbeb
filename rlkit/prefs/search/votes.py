"""One answer of many by votes."""

import jax
import jax.numpy as jnp

from rlkit.errors import check_count
from rlkit.prefs.checks import in_range, same_shape


def majority_vote(answers: jax.Array, choices: int, weights: jax.Array | None = None) -> jax.Array:
    """The answer with the most votes, or the largest sum of weights (self-consistency; vote@K of R1-Reward).

    Args:
      answers: integer ``[..., N]`` in ``[0, choices)``.
      choices: number of possible answers.
      weights: ``[..., N]``, e.g. a reward model's scores, not negative; None: a vote each.

    Returns:
      int32 ``[...]``; the smallest among equals.
    """
    same_shape("majority_vote", answers=answers, weights=weights)
    in_range("majority_vote", "answers", answers, 0, check_count("choices", choices) - 1)
    votes = jax.nn.one_hot(answers, choices)
    votes = votes if weights is None else votes * weights[..., None]
    return jnp.argmax(jnp.sum(votes, -2), -1).astype(jnp.int32)
