"""Softmax policies without a network: a table of logits for each prompt."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens import Prompt, TokenTask
from rlkit.errors import UsageError, check_count
from rlkit.group.policies.protocol import Cache, TokenPolicy
from rlkit.types import Key, PyTree


def table(task: TokenTask, *, memory: int = 0) -> TokenPolicy:
    """A softmax for each prompt, place in the completion and the last ``memory`` tokens of it.

    With 0 the places are independent (a factored softmax); with ``completion_length - 1`` or more every
    completion has its own probability (a tabular one). Parameters: float32 ``[N, T, (V + 1) ** memory, V]``,
    zeros at the start, so that the policy begins uniform.

    Args:
      task: with few prompts: ``task.every`` lists them.
      memory: tokens of the completion that the next one depends on.

    Raises:
      UsageError: the task does not list its prompts, or the table is too large.
    """
    if task.every is None:
        raise UsageError(f"{task.spec.id} does not list its prompts, which a table needs; take a decoder")
    check_count("memory", memory, 0)
    spec, prompts = task.spec, task.every()
    count, length, vocabulary = prompts.tokens.shape[0], spec.completion_length, len(spec.vocabulary)
    memory = min(memory, length - 1)
    contexts = (vocabulary + 1) ** memory  # a place before the completion counts as one more token
    size = count * length * contexts * vocabulary
    if size > 50_000_000:
        raise UsageError(f"memory={memory}: a table of {size:,} numbers; expected at most 50 million")

    def init(key: Key) -> PyTree:
        return {"logits": jnp.zeros((count, length, contexts, vocabulary))}

    def logits(params: PyTree, tokens: jax.Array, cache: Cache | None = None):
        start = spec.prompt_length
        seen = (jnp.zeros((tokens.shape[0], start + length), jnp.int32)) if cache is None else cache.memory
        begin = jnp.zeros(tokens.shape[0], jnp.int32) if cache is None else cache.position
        row = jnp.arange(tokens.shape[0])[:, None]
        place = begin[:, None] + jnp.arange(tokens.shape[1])
        seen = seen.at[row, place].set(tokens)
        which, lengths = _find(prompts, seen[:, :start])
        t = place + 1 - lengths[:, None]  # place in the completion of the token that comes next
        context = jnp.zeros_like(t)
        for back in range(1, memory + 1):
            token = jnp.take_along_axis(seen, jnp.maximum(place + 1 - back, 0), 1)
            context = context * (vocabulary + 1) + jnp.where(t - back >= 0, token + 1, 0)
        found = params["logits"][which[:, None], jnp.clip(t, 0, length - 1), context]
        if cache is None:
            return found, None
        return found, Cache(begin + tokens.shape[1], seen)

    def cache(batch: int, size: int) -> Cache:
        return Cache(jnp.zeros(batch, jnp.int32), jnp.zeros((batch, spec.prompt_length + length), jnp.int32))

    title = "factored softmax" if memory == 0 else "tabular softmax"
    return TokenPolicy(init, logits, vocabulary, spec.prompt_length + length, cache, title=title)


def _find(prompts: Prompt, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """int32 [B] each: which prompt a row begins with, and how long that is; a longer one counts first."""
    same = (tokens[:, None] == prompts.tokens) | (prompts.mask == 0)
    length = prompts.mask.sum(-1).astype(jnp.int32)
    which = jnp.argmax(same.all(-1) * length, -1)
    return which, length[which]
