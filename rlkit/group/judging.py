"""Reward functions beside a task's own terms: pure ones, and ones of texts as TRL's users write them."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens import Prompt, TokenSpec, TokenTask, tokenizer_of
from rlkit.errors import RlkitError, UsageError
from rlkit.group.policies.sampling import Written
from rlkit.group.rewards import check_rewards


class RewardError(RlkitError):
    """A reward function of the user failed, or gave what is no reward."""


class RewardFunction(NamedTuple):
    """Something that judges completions."""

    name: str

    apply: Callable[[Prompt, Written], jax.Array]
    """``apply(prompts, written) -> float32 [P, G]``; NaN where it does not apply"""

    failure: Callable[[], RlkitError | None] = lambda: None
    """what went wrong on the host, if something did"""


class Decoder(Protocol):
    """What turns tokens into text."""

    def decode(self, tokens: Sequence[int]) -> str: ...


def on_device(fn: Callable[[Prompt, jax.Array], jax.Array], name: str = "") -> RewardFunction:
    """A reward function as pure JAX code of one completion.

    Args:
      fn: ``fn(prompt, tokens int32 [T]) -> float []``; NaN where it does not apply.
      name: what it is called; empty takes the function's name.
    """

    def apply(prompts: Prompt, written: Written) -> jax.Array:
        each = lambda prompt, tokens: jnp.asarray(fn(prompt, tokens), jnp.float32)
        return jax.vmap(jax.vmap(each, (None, 0)))(prompts, written.tokens)

    return RewardFunction(name or fn.__name__, apply)


def from_text(
    fn: Callable[..., Any],
    task: TokenTask,
    name: str = "",
    text: Decoder | None = None,
) -> RewardFunction:
    """A reward function of texts, on the host: TRL's signature, so that existing ones can be pasted.

    ``fn(prompts, completions, completion_ids, **columns) -> list`` is called once an update with lists of one
    entry per completion; it gets those of its keyword arguments that there are. Columns are those of the data
    set's rows. None or NaN says that it does not apply to a completion. A coroutine function is awaited.

    The compiled program waits for it: a slow function makes a slow training.

    Args:
      fn: the function.
      task: whose completions it judges; the data set is the task's ``rows``.
      name: what it is called; empty takes the function's name.
      text: what turns tokens into text; None takes the task's, or writes the words of its vocabulary.

    Raises:
      UsageError: ``text`` cannot decode.
    """
    name, rows = name or getattr(fn, "__name__", "reward"), task.rows
    decode = decoding(task, text)
    failures: list[RlkitError] = []

    def call(prompt: Any, prompt_mask: Any, row: Any, tokens: Any, mask: Any, truncated: Any) -> np.ndarray:
        prompt, prompt_mask, row, tokens, mask = map(np.asarray, (prompt, prompt_mask, row, tokens, mask))
        count, group, _ = tokens.shape
        asked = [decode([int(t) for t in p[m > 0]]) for p, m in zip(prompt, prompt_mask, strict=True)]
        ids = [_written(tokens[p, g], mask[p, g]) for p in range(count) for g in range(group)]
        columns = {key: [rows[i][key] for i in np.repeat(row, group)] for key in (rows[0] if rows else ())}
        given = columns | {  # a column of one of these names does not hide what was written
            "prompts": [text for text in asked for _ in range(group)],
            "completions": [decode(tokens) for tokens in ids],
            "completion_ids": ids,
        }
        try:
            values = _called(fn, name, given)
            found = np.array(values, np.float32).reshape(count, group)
            check_rewards({name: np.where(np.isnan(found), 0.0, found)})
        except Exception as error:
            what = str(error) if isinstance(error, RlkitError) else f"{type(error).__name__}: {error}"
            failures.append(RewardError(f"the reward function {name!r} failed: {what}"))
            raise
        return found

    def apply(prompts: Prompt, written: Written) -> jax.Array:
        shape = jax.ShapeDtypeStruct(written.tokens.shape[:2], jnp.float32)
        row = prompts.columns.get("row", jnp.arange(prompts.tokens.shape[0]))
        return jax.pure_callback(
            call, shape, prompts.tokens, prompts.mask, row, written.tokens, written.mask, written.truncated,
            vmap_method="sequential",
        )  # fmt: skip

    return RewardFunction(name, apply, lambda: failures[-1] if failures else None)


def decoding(task: TokenTask, text: Decoder | None = None) -> Callable[[Sequence[int]], str]:
    """What writes the tokens of a task as text, without the end-of-text token.

    Raises:
      UsageError: ``text`` cannot decode.
    """
    text = tokenizer_of(task) if text is None else text
    if not callable(getattr(text, "decode", None)):
        raise UsageError(f"text={text!r:.60}: expected a tokenizer with decode(tokens)")
    return text.decode


def _written(tokens: np.ndarray, mask: np.ndarray) -> list[int]:
    """The tokens of a completion, what tools replied included."""
    last = np.flatnonzero(mask > 0)
    return tokens[: last[-1] + 1].tolist() if last.size else []


def _called(fn: Callable[..., Any], name: str, given: dict[str, Any]) -> list[float]:
    """What a function says, with the arguments that it takes; None becomes NaN."""
    parameters = inspect.signature(fn).parameters.values()
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        known = {p.name for p in parameters}
        given = {key: value for key, value in given.items() if key in known}
    found = fn(**given)
    if inspect.isawaitable(found):

        async def wait() -> Any:
            return await found

        found = asyncio.run(wait())
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise UsageError(f"it gave {found!r:.60}; expected a list with a number or None for each completion")
    values = [np.nan if value is None else float(value) for value in found]
    wanted = len(next(iter(given.values()), values))
    if len(values) != wanted:
        raise UsageError(f"it gave {len(values)} rewards for {wanted} completions; expected one for each")
    return values


def check_functions(functions: Sequence[RewardFunction], spec: TokenSpec) -> tuple[RewardFunction, ...]:
    """Check that reward functions have names of their own.

    Raises:
      UsageError: they have not, or one is no reward function.
    """
    names = [term.name for term in spec.terms]
    for function in functions:
        if not isinstance(function, RewardFunction):
            raise UsageError(
                f"rewards has {function!r:.60}: expected a RewardFunction; use from_text or on_device"
            )
        if function.name in names:
            raise UsageError(f"two rewards are called {function.name!r}; give one of them another name")
        names.append(function.name)
    return tuple(functions)
