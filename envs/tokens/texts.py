"""Prompts of a data set of texts, for language models."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask
from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.types import Key, Terms


class TextTokenizer(Protocol):
    """What turns text into tokens and back."""

    @property
    def size(self) -> int: ...

    @property
    def eos(self) -> int | None: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class Words(NamedTuple):
    """The words of a vocabulary with spaces between them: how tasks that are no texts are written."""

    vocabulary: tuple[str, ...]
    eos: int | None  # the end-of-text token, which texts leave out; None: there is none

    @property
    def size(self) -> int:
        """Tokens there are."""
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text.

        Raises:
          UnknownNameError: a word is not in the vocabulary; the message suggests the nearest.
        """
        places = _places(self.vocabulary)
        for word in text.split():
            if word not in places:
                raise unknown_name("word", word, self.vocabulary, where="of the task's vocabulary")
        return [places[word] for word in text.split()]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without the end-of-text token."""
        return " ".join(self.vocabulary[token] for token in tokens if token != self.eos)


@functools.cache
def _places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {word: i for i, word in enumerate(vocabulary)}


def tokenizer_of(task: TokenTask) -> Any:
    """What turns a task's texts into tokens and back: its own tokenizer, or the words of its vocabulary."""
    return Words(task.spec.vocabulary, task.spec.eos) if task.text is None else task.text


def texts(
    rows: Sequence[Mapping[str, Any]],
    tokenizer: TextTokenizer,
    completion_length: int,
    *,
    prompt: Callable[[Mapping[str, Any]], str] = lambda row: row["prompt"],
    longest: int = 0,
    terms: Sequence[TermSpec] = (),
    verify: Callable[[Prompt, jax.Array], Terms] = lambda prompt, tokens: {},
    success: str = "",
    id: str = "tokens/texts",
) -> TokenTask:
    """Prompts from rows, each as likely as the others; what completions are worth say reward functions.

    The column ``row`` (int32) says which row a prompt is; numbers of the rows are columns as well. Reward
    functions of texts get all columns.

    Args:
      rows: the data set.
      tokenizer: of the policy.
      completion_length: tokens of a completion at most.
      prompt: the text of a row; e.g. ``lambda row: tokenizer.chat(row["question"])``.
      longest: tokens that a prompt may have; 0: as many as the longest has.
      terms: what ``verify`` says.
      verify: pure JAX code of one completion, see :class:`rlkit.envs.tokens.TokenTask`.
      success: the term that is 1 if the task is solved; empty: there is none.
      id: what the task is called.

    Raises:
      UsageError: there are no rows, a prompt is empty or too long, or rows have different columns.
    """
    check_count("completion_length", completion_length)
    if not rows:
        raise UsageError("rows is empty; expected at least one")
    encoded = [tokenizer.encode(prompt(row)) for row in rows]
    most = max(map(len, encoded))
    for i, tokens in enumerate(encoded):
        if not tokens:
            raise UsageError(f"row {i} has an empty prompt")
        if longest and len(tokens) > longest:
            raise UsageError(
                f"row {i} has a prompt of {len(tokens)} tokens, longest={longest}; leave it out or shorten it"
            )
        if rows[i].keys() != rows[0].keys():
            raise UsageError(f"row {i} has the columns {sorted(rows[i])}, row 0 has {sorted(rows[0])}")
    size = longest or most
    table = np.zeros((len(rows), size), np.int32)
    for row, tokens in zip(table, encoded, strict=True):
        row[: len(tokens)] = tokens
    lengths = np.array([len(tokens) for tokens in encoded])
    mask = (np.arange(size) < lengths[:, None]).astype(np.float32)
    numbers = {
        name: np.array([row[name] for row in rows], np.float32)
        for name in rows[0]
        if all(isinstance(row[name], int | float) for row in rows)
    }
    spec = TokenSpec(
        id=id,
        task=f"{len(rows)} prompts",
        vocabulary=tuple(tokenizer.decode([i]) for i in range(tokenizer.size)),
        prompt_length=size,
        completion_length=completion_length,
        terms=tuple(terms),
        success=success,
        optimum=sum(term.weight * term.high for term in terms),
        eos=tokenizer.eos,
    )

    def every(i: jax.Array) -> Prompt:
        columns = {name: jnp.asarray(column)[i] for name, column in numbers.items()}
        return Prompt(jnp.asarray(table)[i], jnp.asarray(mask)[i], columns | {"row": i})

    def draw(key: Key, part: jax.Array) -> Prompt:
        return every(jax.random.randint(key, (), 0, len(rows)))

    def solve(prompt: Prompt) -> jax.Array:
        raise UsageError(f"{id} does not know its solutions")

    return TokenTask(spec, draw, verify, solve, text=tokenizer, rows=tuple(rows))
