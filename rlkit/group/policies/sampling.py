"""Writing completions: one token after the other, with what tools reply in between."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.tokens import Prompt, Tool
from rlkit.errors import UsageError
from rlkit.fields import check, option
from rlkit.group.policies.protocol import Cache, TokenPolicy
from rlkit.types import Key, PyTree


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Filters work on probabilities at the temperature, in this order."""

    temperature: float = option(1.0, "of the softmax; 0 takes the likeliest token", low=0.0)
    top_k: int = option(0, "draw from the likeliest so many tokens; 0: from all", low=0)
    top_p: float = option(
        1.0, "draw from the likeliest tokens of this probability in all", above=0.0, high=1.0
    )
    min_p: float = option(
        0.0, "draw from tokens of this share of the likeliest one's probability", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        check(self)


class Written(NamedTuple):
    """Groups of completions as they were written."""

    tokens: jax.Array  # int32 [P, G, T]: after its end a completion is end-of-text tokens (0 without one)
    mask: jax.Array  # float32 [P, G, T]: 1 on tokens that the policy wrote, the end included
    log_prob: jax.Array  # float32 [P, G, T], at the temperature and before filters; 0 where the mask is
    truncated: jax.Array  # bool [P, G]: no end within T tokens


def filtered(logits: jax.Array, how: Sampling) -> jax.Array:
    """Logits ``[..., V]`` at the temperature with -inf for tokens that are never drawn."""
    logits = scaled(logits, how.temperature)
    if 0 < how.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, how.top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if how.top_p < 1.0:
        ordered = jnp.sort(logits, -1, descending=True)
        share = jax.nn.softmax(ordered, -1)
        before = jnp.cumsum(share, -1) - share  # probability of what is likelier: the first one always stays
        least = jnp.min(jnp.where(before < how.top_p, ordered, jnp.inf), -1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if how.min_p > 0.0:
        least = jnp.max(logits, -1, keepdims=True) + jnp.log(how.min_p)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def scaled(logits: jax.Array, temperature: float) -> jax.Array:
    """Logits in float32 at a temperature; 0 counts as 1: probabilities are then those of the policy."""
    logits = logits.astype(jnp.float32)
    return logits / temperature if temperature not in (0.0, 1.0) else logits


def draw(key: Key, logits: jax.Array, how: Sampling) -> jax.Array:
    """Draw a token from logits ``[V]``."""
    if how.temperature == 0.0:
        return jnp.argmax(logits, -1).astype(jnp.int32)
    return jax.random.categorical(key, filtered(logits, how)).astype(jnp.int32)


def token_log_prob(logits: jax.Array, tokens: jax.Array, temperature: float = 1.0) -> jax.Array:
    """float32 ``[...]``: log-probability of ``tokens [...]`` under logits ``[..., V]``."""
    logits = scaled(logits, temperature)
    chosen = jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, -1)


def write(
    policy: TokenPolicy,
    params: PyTree,
    prompts: Prompt,
    keys: Key,
    *,
    group: int,
    length: int,
    eos: int | None = 0,
    how: Sampling = Sampling(),
    tool: Tool | None = None,
) -> Written:
    """Let a policy write a group of completions of each prompt.

    The filters of ``how`` decide what is drawn; ``log_prob`` is that of the whole distribution at the
    temperature, which is what learning compares with (as TRL and verl do).

    Args:
      policy: who writes.
      params: its parameters.
      prompts: ``[P, ...]``.
      keys: typed PRNG keys ``[P]``; member g of a group draws from ``fold_in(key, g)``, whatever P is.
      group: ``G``, completions of a prompt.
      length: ``T``, tokens of a completion at most.
      eos: the end-of-text token; None: completions have T tokens.
      how: how tokens are drawn.
      tool: what replies; its tokens have mask 0.

    Returns:
      The groups.

    Raises:
      UsageError: prompt and completion are longer than the policy's context.
    """
    count, longest = prompts.tokens.shape
    check_room(policy, longest, length)
    if policy.merged is not None:
        policy, params = policy.merged(params)
    rows = jax.tree.map(lambda x: jnp.repeat(x, group, 0), prompts)
    members = jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(group)))(keys)
    members, sizes = members.reshape(-1), rows.mask.sum(-1).astype(jnp.int32)
    logits, memory = _read(policy, params, prompts, group, length)
    fill = jnp.int32(0 if eos is None else eos)
    state = jnp.zeros(()) if tool is None else jax.vmap(tool.init)(rows)
    over, reply = jnp.zeros(count * group, bool), jnp.full(count * group, -1, jnp.int32)

    def choose(t: jax.Array, logits: jax.Array, over: jax.Array, reply: jax.Array, state: PyTree):
        drawn = jax.vmap(lambda key, row: draw(jax.random.fold_in(key, t), row, how))(members, logits)
        own = ~over & (reply < 0)
        token = jnp.where(over, fill, jnp.where(reply < 0, drawn, reply))
        log_prob = jnp.where(own, token_log_prob(logits, token, how.temperature), 0.0)
        if tool is not None:
            state, reply = jax.vmap(tool.apply)(state, rows, token)
        if eos is not None:
            over = over | (token == eos)
        return (over, reply, state), (token, own.astype(jnp.float32), log_prob)

    def step(carry, t):
        memory, token, rest = carry
        logits, memory = _next(policy, params, memory, token, sizes + t - 1)
        rest, out = choose(t, logits, *rest)
        return (memory, out[0], rest), out

    rest, first = choose(jnp.int32(0), logits, over, reply, state)
    carry, others = jax.lax.scan(step, (memory, first[0], rest), jnp.arange(1, length))
    tokens, mask, log_prob = (
        jnp.concatenate([a[None], b]).T.reshape(count, group, length)
        for a, b in zip(first, others, strict=True)
    )
    truncated = ~carry[2][0].reshape(count, group) if eos is not None else jnp.zeros((count, group), bool)
    return Written(tokens, mask, log_prob, truncated)


def check_room(policy: TokenPolicy, prompt: int, completion: int) -> None:
    """Check that rows fit into a policy's context.

    Raises:
      UsageError: they do not.
    """
    if prompt + completion > policy.context:
        raise UsageError(
            f"prompts of {prompt} tokens and completions of {completion}: {policy.title} reads at most "
            f"{policy.context} in all; shorten the completions or the prompts"
        )


def _read(policy: TokenPolicy, params: PyTree, prompts: Prompt, group: int, length: int):
    """Logits ``[P * G, V]`` after the prompts, and the memory of rows that have read them."""
    count, longest = prompts.tokens.shape
    sizes = prompts.mask.sum(-1).astype(jnp.int32)
    repeat = lambda x, axis=0: jnp.repeat(x, group, axis)
    cache = None if policy.cache is None else policy.cache(count, longest + length)
    logits, cache = policy.logits(params, prompts.tokens, cache)
    last = jnp.take_along_axis(logits, (sizes - 1)[:, None, None], 1)[:, 0]
    if cache is None:
        return repeat(last), jnp.pad(repeat(prompts.tokens), ((0, 0), (0, length)))
    # Padding was read after the prompt; what follows takes its places.
    memory = jax.tree.map(lambda x: repeat(x, policy.cache_axis), cache.memory)
    return repeat(last), Cache(repeat(sizes), memory)


def _next(policy: TokenPolicy, params: PyTree, memory: PyTree, token: jax.Array, place: jax.Array):
    """Logits ``[B, V]`` after one more token of each row, which takes ``place [B]``."""
    if policy.cache is not None:
        logits, memory = policy.logits(params, token[:, None], memory)
        return logits[:, 0], memory
    memory = memory.at[jnp.arange(token.shape[0]), place].set(token)
    logits, _ = policy.logits(params, memory, None)
    return jnp.take_along_axis(logits, place[:, None, None], 1)[:, 0], memory
