"""A task of texts that is verified on the device: counting, for models that spell digits one by one."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rlkit.envs.tokens import Prompt, TermSpec, TokenTask, texts
from rlkit.errors import UsageError, check_count
from rlkit.types import Terms


def counting(
    shortest: int = 3,
    longest: int = 5,
    completion_length: int = 20,
    *,
    ask: str = "Count from {first} to {last}.",
    chat: bool = True,
    tokenizer: Any = None,
) -> TokenTask:
    """Write the digits from one to another, in order: ``Count from 3 to 6.``

    Terms: ``in_order``, the share of the digits that were written in their order before one was wrong (paid);
    ``exact``, those digits and no others, and an end (the success); ``digits``, the share of tokens that are
    digits.

    Args:
      shortest: digits of the shortest answer.
      longest: digits of the longest one, at most 9.
      completion_length: tokens of a completion at most.
      ask: the question, with ``{first}`` and ``{last}``.
      chat: put the question into the model's template of chats.
      tokenizer: of the policy; None takes that of SmolLM2.

    Raises:
      MissingExtraError: the packaged tokenizer is not installed.
      UsageError: a number is out of range, or a digit is not one token.
    """
    check_count("shortest", shortest)
    if not shortest <= longest <= 9:
        raise UsageError(f"shortest={shortest}, longest={longest}: expected shortest <= longest <= 9")
    if tokenizer is None:
        from rlkit.group.policies.tokenizer import tokenizer_from_gguf

        tokenizer = tokenizer_from_gguf()
    spelt = [tokenizer.encode(str(digit)) for digit in range(10)]
    if any(len(tokens) != 1 for tokens in spelt):
        raise UsageError("the tokenizer writes a digit as several tokens; counting is not verified for it")
    digits = jnp.array([tokens[0] for tokens in spelt])
    rows = [
        {"first": first, "last": first + size - 1}
        for size in range(shortest, longest + 1)
        for first in range(1, 11 - size)
    ]

    def prompt(row: Mapping[str, Any]) -> str:
        text = ask.format(**row)
        return tokenizer.chat(text) if chat else text

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        first, last = prompt.columns["first"].astype(jnp.int32), prompt.columns["last"].astype(jnp.int32)
        is_digit, eos = (tokens[:, None] == digits).any(1), tokenizer.eos
        value = jnp.argmax(tokens[:, None] == digits, 1)

        def step(carry: Any, x: Any) -> Any:
            wanted, wrong = carry
            digit, value = x
            right = digit & (value == wanted) & (wanted <= last) & ~wrong
            return (wanted + right, wrong | (digit & ~right)), None

        (wanted, wrong), _ = jax.lax.scan(step, (first, jnp.bool_(False)), (is_digit, value))
        written = jnp.maximum((tokens != eos).sum(), 1)
        share = (wanted - first) / (last - first + 1)
        return {
            "in_order": share.astype(jnp.float32),
            "exact": ((share == 1.0) & ~wrong & (tokens == eos).any()).astype(jnp.float32),
            "digits": (is_digit.sum() / written).astype(jnp.float32),
        }

    terms = (
        TermSpec("in_order", "share of the digits that come in their order before a wrong one", weight=1.0),
        TermSpec("exact", "the digits and no others, and an end"),
        TermSpec("digits", "share of the tokens that are digits"),
    )
    return texts(
        rows, tokenizer, completion_length, prompt=prompt, terms=terms, verify=verify, success="exact",
        id="tokens/counting",
    )  # fmt: skip
