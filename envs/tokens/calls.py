"""Tool calls: writing one in its grammar, and working with a calculator that answers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.tokens.core import (
    Prompt,
    TermSpec,
    TokenSpec,
    TokenTask,
    Tool,
    ended,
    padded,
    prompt_of,
    truth,
)
from rlkit.errors import UsageError, check_count
from rlkit.types import Key, Terms


def calls(tools: int = 4, arguments: int = 3, values: int = 8) -> TokenTask:
    """A request for a tool and its arguments; the completion is the call: ``<call> tool x y z </call>``.

    Args:
      tools: how many tools there are.
      arguments: of each.
      values: each argument has one of so many.

    Returns:
      The task. Beside the task's own terms, ``fine`` is ToolRL's reward of a call (arXiv 2504.13958) for one
      call whose parameters have known names: in [-3, 3], 3 for the exact call and -3 for what is none.

    Raises:
      UsageError: a number is too small.
    """
    for name, value in (("tools", tools), ("arguments", arguments), ("values", values)):
        check_count(name, value)
    begin, end, first_tool = 1, 2, 3
    first_value, length = first_tool + tools, arguments + 4
    names = (
        "<eos>", "<call>", "</call>",
        *(f"tool{i}" for i in range(tools)),
        *(f"v{i}" for i in range(values)),
    )  # fmt: skip
    spec = TokenSpec(
        id="tokens/calls",
        task="call the tool that the prompt names with the arguments that it names, in the grammar of calls",
        vocabulary=names,
        prompt_length=1 + arguments,
        completion_length=length,
        terms=(
            TermSpec("exact", "the completion is the call", weight=1.0),
            TermSpec("format", "it has the grammar of a call, whichever it is"),
            TermSpec("tool", "a call of the right tool"),
            TermSpec("values", "a call of the right tool: share of its arguments that are right"),
            TermSpec("fine", "ToolRL's reward of the call", -3.0, 3.0),
        ),
        success="exact",
        optimum=1.0,
    )

    def prompt(key: Key, part: jax.Array) -> Prompt:
        one, two = jax.random.split(key)
        tool = first_tool + jax.random.randint(one, (), 0, tools)
        given = first_value + jax.random.randint(two, (arguments,), 0, values)
        gold = {"gold_name": (tool - first_tool)[None], "gold_values": (given - first_value)[None]}
        return prompt_of([tool, *given], **gold)

    def solve(prompt: Prompt) -> jax.Array:
        return padded([jnp.int32(begin), *prompt.tokens, jnp.int32(end)], length)

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        tool, given = tokens[1], tokens[2 : 2 + arguments]
        form = truth(
            tokens[0] == begin,
            (tool >= first_tool) & (tool < first_value),
            (given >= first_value).all(),
            tokens[2 + arguments] == end,
            tokens[3 + arguments] == 0,
        )
        right = form * (tool == prompt.tokens[0])
        equal = jnp.sum(given == prompt.tokens[1:])
        # Names: a Jaccard index of 1 or 0. A call of the right tool has the right parameter names (1) and
        # `equal` equal values, of 1 + 1 + arguments in all.
        score = right * (2.0 + equal)
        fine = jnp.where(form > 0, 6.0 * score / (2.0 + arguments) - 3.0, -3.0)
        return {
            "exact": truth((tokens == solve(prompt)).all()),
            "format": form,
            "tool": right,
            "values": right * equal / arguments,
            "fine": fine.astype(jnp.float32),
        }

    def columns(prompt: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
        parsed = verify(prompt, tokens)["format"]
        read = lambda found: jnp.where(parsed > 0, found, -1)[None]
        name, values = read(tokens[1] - first_tool), read(tokens[2 : 2 + arguments] - first_value)
        return {"parsed": parsed, "call_name": name, "call_values": values}

    return TokenTask(spec, prompt, verify, solve, columns=columns)


class _Tape(NamedTuple):
    """What a calculator remembers: where in a call the text is, and what was solved."""

    place: jax.Array  # int32 []: 0 outside, 1 to 3 after the operator and the operands, 4: about to reply
    operator: jax.Array
    left: jax.Array
    result: jax.Array
    calls: jax.Array
    solved: jax.Array  # bool [2]: the inner result and the outer one were computed by a call
    useful: jax.Array  # calls that solved something that was open
    broken: jax.Array  # bool: a call has not the grammar
    answer: jax.Array  # int32: -1 before the answer
    answering: jax.Array  # bool: the answer comes next
    over: jax.Array  # bool: the answer was given; nothing counts after it


def calculator(base: int = 10, most_calls: int = 3) -> TokenTask:
    """``( a . b ) . c`` modulo ``base`` with a calculator that answers: several turns in one completion.

    A call is an operator and two numbers; the calculator writes the next token, its result, which is not the
    policy's. ``ans`` and a number end the work. The two results are the goals of FTRL's rewards (arXiv
    2508.08791, as published in its code): with ``n`` calls of which ``k`` solved an open goal, ``f1`` is
    ``2k / (n + 1)``, ``precision`` ``k / n``; without calls, -0.5 for an empty completion, -0.3 for broken
    calls, ``1 / (1 + 2)`` for the right answer (both goals are open), else 0.

    Args:
      base: numbers are 0 to ``base - 1``.
      most_calls: calls that a completion has room for.

    Raises:
      UsageError: a number is out of range.
    """
    check_count("base", base, 2)
    if check_count("most_calls", most_calls) < 2:
        raise UsageError(f"most_calls={most_calls}: expected at least 2, which the solution makes")
    plus, times, answer, opening, closing = (base + i for i in range(1, 6))
    length = 4 * most_calls + 3
    names = ("<eos>", *map(str, range(base)), "+", "*", "ans", "(", ")")
    spec = TokenSpec(
        id="tokens/calculator",
        task="compute the expression with calls of a calculator, one operation each, then answer",
        vocabulary=names,
        prompt_length=7,
        completion_length=length,
        terms=(
            TermSpec("correct", "the answer is right and nothing was broken", weight=1.0),
            TermSpec("goals", "share of the two results that calls computed"),
            # One more fits where an answer would stand, without its reply.
            TermSpec("calls", "calls that were made", 0.0, float(most_calls + 1)),
            TermSpec("f1", "FTRL's reward by calls", -0.5, 2.0),
            TermSpec("precision", "share of calls that solved an open goal"),
            TermSpec("conciseness", "2 over the calls, at most 1: the solution makes 2"),
            TermSpec("format", "no broken call, an answer, and an end"),
        ),
        success="correct",
        optimum=1.0,
    )

    def compute(operator: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
        return jnp.where(operator == plus, left + right, left * right) % base

    def prompt(key: Key, part: jax.Array) -> Prompt:
        one, two = jax.random.split(key)
        a, b, c = jax.random.randint(one, (3,), 0, base)
        first, second = jax.random.randint(two, (2,), plus, times + 1)
        inner = compute(first, a, b)
        columns = {"inner": inner, "outer": compute(second, inner, c)}
        return prompt_of([opening, a + 1, first, b + 1, closing, second, c + 1], **columns)

    def init(prompt: Prompt) -> _Tape:
        zero, no = jnp.int32(0), jnp.bool_(False)
        return _Tape(zero, zero, zero, zero, zero, jnp.zeros(2, bool), zero, no, jnp.int32(-1), no, no)

    def apply(state: _Tape, prompt: Prompt, token: jax.Array) -> tuple[_Tape, jax.Array]:
        s, number = state, (token >= 1) & (token <= base)
        value = token - 1
        operates = (token == plus) | (token == times)
        opens = (s.place == 0) & operates & ~s.answering
        left = (s.place == 1) & number
        right = (s.place == 2) & number
        wrong = ((s.place == 1) | (s.place == 2)) & ~number
        stray = (s.place == 0) & ~s.answering & ~operates & (token != answer) & (token != 0)
        place = jnp.where(opens, 1, jnp.where(left, 2, jnp.where(right, 3, 0)))
        result = jnp.where(right, compute(s.operator, s.left, value), s.result)
        now = right & _goals(s, prompt, value)
        new = s._replace(
            place=place,
            operator=jnp.where(opens, token, s.operator),
            left=jnp.where(left, value, s.left),
            result=result,
            calls=s.calls + right,
            solved=s.solved | now,
            useful=s.useful + (now & ~s.solved).any(),
            broken=s.broken | wrong | stray | (s.answering & ~number),
            answer=jnp.where(s.answering & number, value, s.answer),
            answering=(s.place == 0) & ~s.answering & (token == answer),
            over=s.over | s.answering | ((s.place == 0) & (token == 0)),
        )
        reply = jnp.where(right & ~s.over, result + 1, -1)
        new = jax.tree.map(lambda old, fresh: jnp.where(s.over, old, fresh), s, new)
        return new, reply

    def _goals(s: _Tape, prompt: Prompt, right: jax.Array) -> jax.Array:
        """bool [2]: whether this call is the inner operation, or the outer one on the inner result."""
        numbers, first, second = prompt.tokens[jnp.array([1, 3, 6])] - 1, prompt.tokens[2], prompt.tokens[5]
        same = lambda x, y: ((s.left == x) & (right == y)) | ((s.left == y) & (right == x))
        inner = (s.operator == first) & same(numbers[0], numbers[1])
        outer = (s.operator == second) & same(prompt.columns["inner"], numbers[2])
        return jnp.stack([inner, outer])

    def verify(prompt: Prompt, tokens: jax.Array) -> Terms:
        tape, _ = jax.lax.scan(lambda s, token: (apply(s, prompt, token)[0], None), init(prompt), tokens)
        n, k = tape.calls.astype(jnp.float32), tape.useful.astype(jnp.float32)
        open_goals = 2.0 - tape.solved.sum()
        said = tape.answer >= 0
        right = tape.answer == prompt.columns["outer"]
        without = jnp.where(tape.broken, -0.3, jnp.where(said & right, 1.0 / (1.0 + open_goals), 0.0))
        without = jnp.where(tokens[0] == 0, -0.5, without)
        fine = truth(~tape.broken, said, ended(tokens) > 0)
        return {
            "correct": fine * right,
            "goals": tape.solved.mean(dtype=jnp.float32),
            "calls": n,
            "f1": jnp.where(n > 0, 2.0 * k / (n + 1.0), without).astype(jnp.float32),
            "precision": jnp.where(n > 0, k / jnp.maximum(n, 1.0), 0.0),
            "conciseness": 2.0 / jnp.maximum(n, 2.0),
            "format": fine,
        }

    def columns(prompt: Prompt, tokens: jax.Array) -> dict[str, jax.Array]:
        tape, _ = jax.lax.scan(lambda s, token: (apply(s, prompt, token)[0], None), init(prompt), tokens)
        return {
            "solved": tape.useful.astype(jnp.float32),
            "open": 2.0 - tape.solved.sum(),
            "answered": tape.answer >= 0,
            "broken": tape.broken,
            "empty": tokens[0] == 0,
        }

    def solve(prompt: Prompt) -> jax.Array:
        _, a, first, b, _, second, c = prompt.tokens
        inner, outer = prompt.columns["inner"] + 1, prompt.columns["outer"] + 1
        said = [jnp.int32(answer), outer]
        return padded([first, a, b, inner, second, inner, c, outer, *said], length)

    return TokenTask(spec, prompt, verify, solve, tool=Tool(init, apply), columns=columns)
