"""Closing brackets, judged by rubrics: facts about the result and about the way to it."""

import jax
import jax.numpy as jnp

from rlkit.envs.tokens.core import Prompt, TermSpec, TokenSpec, TokenTask, completion_length, ended, truth
from rlkit.errors import UsageError, check_count
from rlkit.types import Key, Terms

_KINDS = ("()", "[]", "{}", "<>")
RUBRICS = ("closed", "right_length", "types", "no_reopening", "ends")
FACTS = ("closed", "right_length")


def brackets(kinds: int = 3, length: int = 6) -> TokenTask:
    """A text of brackets that are still open; the completion closes them, the last one first, and ends.

    Args:
      kinds: kinds of brackets, at most 4.
      length: tokens of the longest prompt; at least half of the brackets of a prompt are open.

    Returns:
      The task. Its terms are two facts (``closed``, ``right_length``) and three rubrics of the way
      (``types``, ``no_reopening``, ``ends``); the task's own reward is ``closed``. The column
      ``satisfied`` says which are met wholly; ``criterion_weight`` and ``factual`` belong to the prompt.

    Raises:
      UsageError: a number is out of range.
    """
    if check_count("kinds", kinds) > len(_KINDS):
        raise UsageError(f"kinds={kinds}: expected at most {len(_KINDS)}")
    check_count("length", length)
    opening, closing = [k[0] for k in _KINDS[:kinds]], [k[1] for k in _KINDS[:kinds]]
    steps, facts = length + 2, [float(name in FACTS) for name in RUBRICS]
    spec = TokenSpec(
        id="tokens/brackets",
        task="close all brackets that are open, the last one first, and end",
        vocabulary=("<eos>", *opening, *closing),
        prompt_length=length,
        completion_length=steps,
        terms=(
            TermSpec("closed", "nothing is open at the end and nothing was closed wrongly", weight=1.0),
            TermSpec("right_length", "as many tokens as brackets are open"),
            TermSpec("types", "share of the open brackets whose place has the right token"),
            TermSpec("no_reopening", "no bracket is opened"),
            TermSpec("ends", "the completion has an end"),
        ),
        success="closed",
        optimum=1.0,
    )

    def prompt(key: Key, part: jax.Array) -> Prompt:
        draw = jax.random.split(key, 3)
        count = jax.random.randint(draw[0], (), 1, length + 1)
        kind = jax.random.randint(draw[1], (length,), 0, kinds)
        closes = jax.random.bernoulli(draw[2], 0.25, (length,))

        def step(carry, x):
            stack, depth = carry
            i, kind, closes = x
            # At least one bracket stays open: the last token of a prompt opens one.
            closes = closes & (depth > 0) & (i < count - 1)
            inside = i < count
            token = jnp.where(closes, kinds + 1 + stack[depth - 1], 1 + kind)
            stack = jnp.where(inside & ~closes, stack.at[depth].set(kind), stack)
            depth = depth + jnp.where(inside, jnp.where(closes, -1, 1), 0)
            return (stack, depth), jnp.where(inside, token, 0)

        start = jnp.zeros(length, jnp.int32), jnp.int32(0)
        (stack, depth), tokens = jax.lax.scan(step, start, (jnp.arange(length), kind, closes))
        mask = (jnp.arange(length) < count).astype(jnp.float32)
        place = depth - 1 - jnp.arange(steps)
        wanted = jnp.where(place >= 0, kinds + 1 + stack[jnp.maximum(place, 0)], 0)
        criteria = {"criterion_weight": jnp.ones(len(RUBRICS)), "factual": jnp.array(facts)}
        return Prompt(tokens, mask, {"wanted": wanted, "open": depth} | criteria)

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        wanted, depth = prompt.columns["wanted"], prompt.columns["open"]
        size, inside = completion_length(tokens), jnp.arange(steps) < depth
        opened = (tokens >= 1) & (tokens <= kinds)
        return {
            "closed": truth((tokens == wanted).all()),
            "right_length": truth(size == depth, ended(tokens) > 0),
            "types": jnp.sum(inside & (tokens == wanted)) / jnp.maximum(depth, 1).astype(jnp.float32),
            "no_reopening": truth(~opened.any()),
            "ends": ended(tokens),
        }

    def columns(prompt: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
        terms = verify(prompt, tokens)
        return {"satisfied": jnp.stack([(terms[name] == 1.0).astype(jnp.float32) for name in RUBRICS])}

    return TokenTask(spec, prompt, verify, lambda prompt: prompt.columns["wanted"], columns=columns)
