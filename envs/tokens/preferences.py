"""Strings with a hidden value, for rewards that are not 0 or 1 and for preferences between completions."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, prompt_of
from rlkit.errors import UsageError, check_count
from rlkit.types import Key, Terms


def preferences(
    contexts: int = 4, length: int = 8, letters: int = 6, decisive: int = 2, seed: int = 0
) -> TokenTask:
    """Write ``length`` letters whose value depends on ``decisive`` of their places, by context.

    The value of a string is the mean over the decisive places of a table in [0, 1] whose rows have a 1 and a
    0. What is preferred is the string of the greater value; noise on top is the user's to add.

    Args:
      contexts: prompts, a token each.
      length: letters of a completion; there is no end.
      letters: of the alphabet.
      decisive: places that matter; they are the same for all contexts.
      seed: of the table and of the places.

    Raises:
      UsageError: a number is out of range.
    """
    for name, value in (("contexts", contexts), ("length", length), ("decisive", decisive)):
        check_count(name, value)
    check_count("letters", letters, 2)
    if decisive > length:
        raise UsageError(f"decisive={decisive}: expected at most length={length}")
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(length, decisive, replace=False))
    table = rng.random((contexts, decisive, letters))
    low, high = table.min(-1, keepdims=True), table.max(-1, keepdims=True)
    worth = jnp.array((table - low) / (high - low), jnp.float32)
    spec = TokenSpec(
        id="tokens/preferences",
        task=f"write {length} letters that please",
        vocabulary=(
            *(chr(ord("a") + i) if i < 26 else f"l{i}" for i in range(letters)),
            *(f"c{i}" for i in range(contexts)),
        ),
        prompt_length=1,
        completion_length=length,
        terms=(
            TermSpec("value", "mean value of the decisive places", weight=1.0),
            TermSpec("best", "no string is worth more"),
            TermSpec("letters", "share of tokens that are letters"),
        ),
        success="best",
        optimum=1.0,
        eos=None,
    )

    def written(context: jax.Array) -> Prompt:
        return prompt_of([letters + context], context=context)

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        said, is_letter = tokens[places], tokens < letters
        rows = worth[prompt.columns["context"]]
        each = rows[jnp.arange(decisive), jnp.minimum(said, letters - 1)] * is_letter[places]
        return {
            "value": jnp.mean(each),
            "best": (each == 1.0).all().astype(jnp.float32),
            "letters": jnp.mean(is_letter, dtype=jnp.float32),
        }

    def solve(prompt: Prompt) -> jax.Array:
        best = jnp.argmax(worth[prompt.columns["context"]], -1).astype(jnp.int32)
        return jnp.zeros(length, jnp.int32).at[places].set(best)

    def prompt(key: Key, part: jax.Array) -> Prompt:
        return written(jax.random.randint(key, (), 0, contexts))

    return TokenTask(spec, prompt, verify, solve, lambda: jax.vmap(written)(jnp.arange(contexts)))
