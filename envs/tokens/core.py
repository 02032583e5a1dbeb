"""Tasks of tokens: a prompt is drawn, a completion is written and verified, all on the device.

A task is a bundle of pure functions for one prompt and one completion; batch them with ``jax.vmap``. A
completion of ``T`` tokens ends with the end-of-text token, and all that follows are end-of-text tokens too.
Prompts are padded at their end. Nothing here knows of policies or learning.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError, check_count
from rlkit.types import Key, PyTree, Terms


class TermSpec(NamedTuple):
    """One number that a task says about a completion."""

    name: str
    meaning: str
    low: float = 0.0
    high: float = 1.0
    weight: float = 0.0
    """its coefficient in the task's own reward"""


class TokenSpec(NamedTuple):
    """What there is to know about a task without running it."""

    id: str
    task: str  # in words: what the prompt asks for and what a completion looks like
    vocabulary: tuple[str, ...]  # how each token is written
    prompt_length: int  # tokens of the longest prompt
    completion_length: int  # T: tokens of the longest completion, its end included
    terms: tuple[TermSpec, ...]
    success: str  # the term that is 1 if the task is solved, 0 if not
    optimum: float  # the task's own reward of its solution, averaged over prompts: no policy has more
    eos: int | None = 0  # the end-of-text token; None: every completion has T tokens and no end
    together: int = 1  # prompts that belong together; batches hold a multiple of that

    def term(self, name: str) -> TermSpec:
        """The specification of one term."""
        from rlkit.errors import unknown_name

        for spec in self.terms:
            if spec.name == name:
                return spec
        raise unknown_name("term", name, [spec.name for spec in self.terms], where=f"of {self.id}")


class Prompt(NamedTuple):
    """What a completion is asked for."""

    tokens: jax.Array  # int32 [L], padded with 0 at the end
    mask: jax.Array  # float32 [L]: 1 on tokens, 0 on padding
    columns: dict[str, jax.Array]  # what the verifier reads, and reward functions may


class Tool(NamedTuple):
    """Something that answers while a completion is written; its tokens are not the policy's."""

    init: Callable[[Prompt], PyTree]
    """``init(prompt) -> state``"""

    apply: Callable[[PyTree, Prompt, jax.Array], tuple[PyTree, jax.Array]]
    """``apply(state, prompt, token) -> (state, reply)``: called with every token of the completion, its own
    replies included. ``reply`` (int32) is the next token, or -1 where the policy goes on."""


class TokenTask(NamedTuple):
    """A task of tokens, as pure functions."""

    spec: TokenSpec

    prompt: Callable[[Key, jax.Array], Prompt]
    """``prompt(key, part) -> prompt``; ``part`` counts those that belong together and share their key."""

    verify: Callable[[Prompt, jax.Array], Terms]
    """``verify(prompt, tokens int32 [T]) -> terms``, float32 each, named as in ``spec.terms``"""

    solve: Callable[[Prompt], jax.Array]
    """``solve(prompt) -> int32 [T]``: a completion that is worth the most, what tools reply included"""

    every: Callable[[], Prompt] | None = None
    """``every() -> prompts [N, ...]``: all prompts, where there are few; what tabular policies need"""

    tool: Tool | None = None

    columns: Callable[[Prompt, jax.Array], dict[str, jax.Array]] | None = None
    """``columns(prompt, tokens) -> arrays by name``: what else methods may read of a completion, such as the
    answer that it gives (``answer``, int32, -1 if none can be read) or which criteria it meets"""

    text: Any = None
    """the tokenizer, of tasks of texts: ``decode(tokens) -> text``"""

    rows: Sequence[Mapping[str, Any]] = ()
    """the data set, of tasks of texts; the prompts' column ``row`` says which one"""


def sample_prompts(task: TokenTask, key: Key, count: int, first: int | jax.Array = 0) -> Prompt:
    """Draw prompts.

    Args:
      task: the task.
      key: typed PRNG key of the batch; prompt i is drawn from ``fold_in(key, i // together)``.
      count: how many.
      first: index of the first one: a batch may be drawn in pieces, on several devices.

    Returns:
      Prompts with a leading axis.

    Raises:
      UsageError: the number is no multiple of those that belong together.
    """
    together = task.spec.together
    if check_count("count", count) % together:
        raise UsageError(f"{count} prompts: {task.spec.id} draws them in groups of {together}")
    index = first + jnp.arange(count)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index // together)
    return jax.vmap(task.prompt)(keys, index % together)


def verify_groups(task: TokenTask, prompts: Prompt, tokens: jax.Array) -> Terms:
    """Terms ``[P, G]`` of groups of completions ``[P, G, T]``."""
    return jax.vmap(jax.vmap(task.verify, (None, 0)))(prompts, tokens)


def read_groups(task: TokenTask, prompts: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
    """Columns ``[P, G, ...]`` of groups of completions ``[P, G, T]``; none if the task has none."""
    if task.columns is None:
        return {}
    return jax.vmap(jax.vmap(task.columns, (None, 0)))(prompts, tokens)


def task_reward(spec: TokenSpec, terms: Terms) -> jax.Array:
    """The task's own reward: the sum of its terms by their weights."""
    return sum((term.weight * terms[term.name] for term in spec.terms if term.weight), jnp.float32(0.0))


def prompt_of(tokens: list[jax.Array | int], **columns: jax.Array) -> Prompt:
    """A prompt of tokens without padding."""
    row = jnp.stack([jnp.asarray(token, jnp.int32) for token in tokens])
    return Prompt(row, jnp.ones(len(tokens), jnp.float32), columns)


def completion_length(tokens: jax.Array, eos: int = 0) -> jax.Array:
    """int32 []: tokens before the first end-of-text token; T if there is none."""
    return jnp.where((tokens == eos).any(), jnp.argmax(tokens == eos), tokens.shape[-1]).astype(jnp.int32)


def ended(tokens: jax.Array, eos: int = 0) -> jax.Array:
    """float32 []: 1 if the completion has an end."""
    return (tokens == eos).any().astype(jnp.float32)


def padded(tokens: list[jax.Array | int] | jax.Array, length: int, fill: int = 0) -> jax.Array:
    """int32 ``[length]``: the tokens and then ``fill``, the end-of-text token."""
    row = tokens if isinstance(tokens, jax.Array) else jnp.stack([jnp.asarray(t, jnp.int32) for t in tokens])
    return jnp.full(length, fill, jnp.int32).at[: row.shape[0]].set(row)


def truth(*conditions: jax.Array) -> jax.Array:
    """float32 []: 1 if all conditions hold."""
    return jnp.stack([jnp.asarray(condition) for condition in conditions]).all().astype(jnp.float32)


def spelt(spec: TokenSpec, tokens: jax.Array, mask: jax.Array | None = None) -> str:
    """Tokens as text, up to the end-of-text token (which is shown) or the padding."""
    words = []
    for i, token in enumerate(tokens.tolist()):
        if mask is not None and not mask[i]:
            break
        words.append(spec.vocabulary[token])
        if mask is None and token == spec.eos:
            break
    return " ".join(words)
