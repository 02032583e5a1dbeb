"""Sorting: a permutation of the prompt."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, padded, truth
from rlkit.errors import check_count
from rlkit.types import Key, Terms


def sorting(count: int = 4, values: int = 6) -> TokenTask:
    """Numbers in any order; the completion has them in ascending order, and ends.

    Args:
      count: how many.
      values: they are 0 to ``values - 1``, a token each.

    Raises:
      UsageError: a number is too small.
    """
    check_count("count", count, 2)
    check_count("values", values, 2)
    arrow, length = values + 1, count + 1
    spec = TokenSpec(
        id="tokens/sorting",
        task=f"write the {count} numbers in ascending order and end",
        vocabulary=("<eos>", *map(str, range(values)), ">"),
        prompt_length=count + 1,
        completion_length=length,
        terms=(
            TermSpec("sorted", "the completion is the sorted prompt", weight=1.0),
            TermSpec("placed", "share of tokens, the end included, that are right", weight=0.0),
            TermSpec("kept", "the completion has the numbers of the prompt, in any order"),
            TermSpec("ascending", "its numbers ascend"),
        ),
        success="sorted",
        optimum=1.0,
    )

    def prompt(key: Key, part: jax.Array) -> Prompt:
        numbers = jax.random.randint(key, (count,), 0, values)
        tokens = jnp.append(numbers + 1, arrow).astype(jnp.int32)
        return Prompt(tokens, jnp.ones(length, jnp.float32), {"answer": padded(_sorted(numbers) + 1, length)})

    def _sorted(numbers: jax.Array) -> jax.Array:
        """By counting, which compiles faster than a sort inside loops."""
        smaller = (numbers[None] < numbers[:, None]).sum(1)
        equal_before = jnp.tril(numbers[None] == numbers[:, None], -1).sum(1)
        return jnp.zeros_like(numbers).at[smaller + equal_before].set(numbers)

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        answer, said = prompt.columns["answer"], tokens[:count]
        histogram = lambda row: (row[:, None] == jnp.arange(1, values + 1)).sum(0)
        numbers = (said >= 1) & (said <= values)
        return {
            "sorted": truth((tokens == answer).all()),
            "placed": jnp.mean(tokens == answer, dtype=jnp.float32),
            "kept": truth((histogram(said) == histogram(answer[:count])).all(), tokens[count] == 0),
            "ascending": truth(numbers.all(), (said[1:] >= said[:-1]).all()),
        }

    return TokenTask(spec, prompt, verify, lambda prompt: prompt.columns["answer"])
