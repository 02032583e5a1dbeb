"""One answer of many by votes."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import check_count
from rlkit.prefs.checks import in_range, same_shape, whole_numbers


def majority_vote(answers: jax.Array, choices: int, weights: jax.Array | None = None) -> jax.Array:
    """The answer with the most votes, or the largest sum of weights (self-consistency; vote@K of R1-Reward).

    Args:
      answers: integer ``[..., N]`` in ``[0, choices)``.
      choices: number of possible answers.
      weights: ``[..., N]``, e.g. a reward model's scores, not negative; None: a vote each.

    Returns:
      int32 ``[...]``; the smallest among equals.

    Raises:
      UsageError: answers that are no integers of the range, or a weight that is negative or not finite.
    """
    same_shape("majority_vote", answers=answers, weights=weights)
    whole_numbers("majority_vote", "answers", answers)
    in_range("majority_vote", "answers", answers, 0, check_count("choices", choices) - 1)
    votes = jax.nn.one_hot(answers, choices)
    if weights is not None:
        hint = "exp or softmax of scores that may be negative"
        in_range("majority_vote", "weights", weights, 0.0, float(np.finfo(np.float32).max), hint=hint)
        votes = votes * jnp.asarray(weights)[..., None]
    return jnp.argmax(jnp.sum(votes, -2), -1).astype(jnp.int32)
