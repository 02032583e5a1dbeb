"""What a policy thinks of completions that exist: log-probabilities and entropies of their tokens."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.policies.sampling import scaled
from rlkit.types import PyTree


class Scores(NamedTuple):
    """Of each token of a completion, float32 ``[P, G, T]``; anything where the completion has no token."""

    log_prob: jax.Array
    entropy: jax.Array  # of the distribution that the token came from, nats


def rows_of(prompt: jax.Array, sizes: jax.Array, tokens: jax.Array) -> jax.Array:
    """int32 ``[B, L + T]``: completions ``[B, T]`` that follow prompts ``[B, L]`` of ``sizes [B]`` tokens."""
    longest, length = prompt.shape[1], tokens.shape[1]
    place = jnp.arange(longest + length)
    own = jnp.take_along_axis(tokens, jnp.clip(place - sizes[:, None], 0, length - 1), 1)
    padded = jnp.pad(prompt, ((0, 0), (0, length)))
    return jnp.where(place < sizes[:, None], padded, own)


def score(
    policy: TokenPolicy,
    params: PyTree,
    prompt: jax.Array,
    prompt_mask: jax.Array,
    tokens: jax.Array,
    *,
    temperature: float = 1.0,
    entropy: bool = True,
) -> Scores:
    """Score completions in one pass, in float32 whatever the policy computes in.

    Args:
      policy: whose opinion it is.
      params: its parameters.
      prompt: int32 ``[P, L]``, padded at the end.
      prompt_mask: float32 ``[P, L]``.
      tokens: int32 ``[P, G, T]``.
      temperature: that the completions were drawn at.
      entropy: compute entropies as well; zeros otherwise.
    """
    count, group, length = tokens.shape
    sizes = jnp.repeat(prompt_mask.sum(-1).astype(jnp.int32), group)
    rows = rows_of(jnp.repeat(prompt, group, 0), sizes, tokens.reshape(count * group, length))
    logits, _ = policy.logits(params, rows[:, :-1], None)
    logits = scaled(logits, temperature)
    total = jax.nn.logsumexp(logits, -1)
    chosen = jnp.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0] - total
    place = sizes[:, None] - 1 + jnp.arange(length)
    pick = lambda x: jnp.take_along_axis(x, place, 1).reshape(tokens.shape)
    if not entropy:
        return Scores(pick(chosen), jnp.zeros(tokens.shape))
    spread = total - jnp.sum(jax.nn.softmax(logits, -1) * logits, -1)
    return Scores(pick(chosen), pick(spread))
