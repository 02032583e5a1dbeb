"""Sums modulo a number: from the tabular bandit to what a small decoder can learn."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, padded, prompt_of, truth
from rlkit.errors import check_count
from rlkit.types import Key, Terms

CORRECT = TermSpec("correct", "the completion is the answer", weight=1.0)


def modular(base: int = 10, operands: int = 2) -> TokenTask:
    """``a + b =`` modulo ``base``; the completion is the answer, one token, and the end.

    Args:
      base: numbers are 0 to ``base - 1``, a token each.
      operands: how many are added.

    Raises:
      UsageError: a number is too small.
    """
    check_count("base", base, 2)
    check_count("operands", operands, 1)
    plus, equals = base + 1, base + 2
    names = ("<eos>", *map(str, range(base)), "+", "=")
    spec = TokenSpec(
        id="tokens/modular",
        task=f"add {operands} numbers modulo {base}; answer with one number and the end",
        vocabulary=names,
        prompt_length=2 * operands,
        completion_length=2,
        terms=(
            CORRECT,
            TermSpec("format", "the completion is one number and the end"),
            TermSpec(
                "closeness", "1 minus twice the distance to the answer around the circle, over the base"
            ),
        ),
        success="correct",
        optimum=1.0,
    )

    def written(numbers: jax.Array) -> Prompt:
        signs = [plus] * (operands - 1) + [equals]
        tokens = [x for pair in zip(numbers + 1, signs, strict=True) for x in pair]
        return prompt_of(tokens, truth=jnp.sum(numbers) % base)

    def prompt(key: Key, part: jax.Array) -> Prompt:
        return written(jax.random.randint(key, (operands,), 0, base))

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        said, ends = tokens[0] - 1, tokens[1] == 0
        number = (said >= 0) & (said < base)
        away = jnp.abs(said - prompt.columns["truth"])
        away = jnp.minimum(away, base - away)
        return {
            "correct": truth(said == prompt.columns["truth"], ends),
            "format": truth(number, ends),
            "closeness": jnp.where(number & ends, (base - 2 * away) / base, 0.0).astype(jnp.float32),
        }

    def every() -> Prompt:
        grid = jnp.stack(jnp.meshgrid(*[jnp.arange(base)] * operands, indexing="ij"), -1)
        return jax.vmap(written)(grid.reshape(-1, operands))

    solve = lambda prompt: padded([prompt.columns["truth"] + 1], 2)
    few = every if base**operands <= 4096 else None
    return TokenTask(spec, prompt, verify, solve, few, columns=_said(base))


def _said(base: int):
    """The answer of a completion, for methods that vote."""

    def columns(prompt: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
        said = tokens[0] - 1
        return {"answer": jnp.where((said >= 0) & (said < base) & (tokens[1] == 0), said, -1)}

    return columns


def views(base: int = 10) -> TokenTask:
    """Two views of a sum: ``a + b =`` in one alphabet, ``b + a =`` in another (Co-Reward, arXiv 2508.00410).

    Prompts come in pairs, one after the other: the column ``view`` (0 or 1) tells them apart. Answers are
    written in the first alphabet in both.

    Args:
      base: numbers are 0 to ``base - 1``.

    Raises:
      UsageError: it is too small.
    """
    check_count("base", base, 2)
    plus, equals, other = base + 1, base + 2, base + 3
    names = ("<eos>", *map(str, range(base)), "+", "=", *(f"n{i}" for i in range(base)))
    spec = TokenSpec(
        id="tokens/views",
        task=f"add two numbers modulo {base}, which are written in one of two alphabets",
        vocabulary=names,
        prompt_length=4,
        completion_length=2,
        terms=(CORRECT, TermSpec("format", "the completion is one number and the end")),
        success="correct",
        optimum=1.0,
        together=2,
    )

    def written(a: jax.Array, b: jax.Array, view: jax.Array) -> Prompt:
        first, second = jnp.where(view == 0, a + 1, other + b), jnp.where(view == 0, b + 1, other + a)
        answer = (a + b) % base
        return prompt_of([first, plus, second, equals], truth=answer, view=view.astype(jnp.int32))

    def prompt(key: Key, part: jax.Array) -> Prompt:
        a, b = jax.random.randint(key, (2,), 0, base)
        return written(a, b, part)

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        said, ends = tokens[0] - 1, tokens[1] == 0
        return {
            "correct": truth(said == prompt.columns["truth"], ends),
            "format": truth(said >= 0, said < base, ends),
        }

    def every() -> Prompt:
        a, b, view = (x.ravel() for x in jnp.meshgrid(*map(jnp.arange, (base, base, 2)), indexing="ij"))
        return jax.vmap(written)(a, b, view)

    solve = lambda prompt: padded([prompt.columns["truth"] + 1], 2)
    return TokenTask(spec, prompt, verify, solve, every, columns=_said(base))
