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
    packed: int = 1,
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
      packed: completions of a prompt that follow it in one row, so that it is read once for all of them; a
        divisor of G. The numbers do not depend on it, up to rounding.
    """
    if packed > 1:
        logits = scaled(_packed_logits(policy, params, prompt, prompt_mask, tokens, packed), temperature)
        total = jax.nn.logsumexp(logits, -1)
        chosen = jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0] - total
        return Scores(chosen, _entropy(logits, total) if entropy else jnp.zeros(tokens.shape))
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
    return Scores(pick(chosen), pick(_entropy(logits, total)))


def _entropy(logits: jax.Array, total: jax.Array) -> jax.Array:
    """Nats ``[...]``, from logits ``[..., V]`` and their logsumexp."""
    return total - jnp.sum(jax.nn.softmax(logits, -1) * logits, -1)


def _packed_logits(
    policy: TokenPolicy,
    params: PyTree,
    prompt: jax.Array,
    prompt_mask: jax.Array,
    tokens: jax.Array,
    packed: int,
) -> jax.Array:
    """Logits ``[P, G, T, V]`` of each token of completions that share rows."""
    assert policy.packed is not None
    count, group, length = tokens.shape
    longest, rows = prompt.shape[1], count * group // packed
    again = lambda x: jnp.repeat(x, group // packed, 0)
    prompt, sizes = again(prompt), again(prompt_mask.sum(-1).astype(jnp.int32))
    follow = tokens.reshape(rows, packed, length)[..., :-1]  # nothing follows a last token
    flat = lambda x: jnp.broadcast_to(x, follow.shape).reshape(rows, -1)
    own = jnp.arange(longest)
    place = flat(sizes[:, None, None] + jnp.arange(length - 1))
    number = flat(jnp.arange(1, packed + 1)[:, None])
    padding = jnp.where(own < sizes[:, None], 0, -1)  # no segment continues it
    found = policy.packed(
        params,
        jnp.concatenate([prompt, follow.reshape(rows, -1)], 1),
        jnp.concatenate([jnp.broadcast_to(own, prompt.shape), place], 1),
        jnp.concatenate([padding, number], 1),
    )
    first = jnp.take_along_axis(found, (sizes - 1)[:, None, None], 1)[:, None]
    first = jnp.broadcast_to(first, (rows, packed, *first.shape[2:]))
    later = found[:, longest:].reshape(rows, packed, length - 1, found.shape[-1])
    return jnp.concatenate([first, later], 2).reshape(count, group, length, -1)
