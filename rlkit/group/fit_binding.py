"""What a fitter is given, checked against each other: the method, the rows, numbers, the policy."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.tokens import TokenTask, texts
from rlkit.errors import UsageError
from rlkit.group.binding import method_named, with_loss_fields
from rlkit.group.filters import mask_truncated
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.group.presets import PRESETS
from rlkit.group.recorded import check_lengths, recorded_log_prob
from rlkit.group.recorded_batches import GOOD
from rlkit.group.rows import Recorded, Rows, encode_rows, renamed, split_rows
from rlkit.group.stages import chain
from rlkit.group.trainer_config import RecordedConfig
from rlkit.group.types import Method
from rlkit.types import PyTree

LAYOUT = {
    "dpo": "pairs", "ipo": "pairs", "hinge": "pairs", "kto": "labels", "f_sft": "demonstrations",
    "sft": "demonstrations",
}  # fmt: skip
"""What rows record, by the objective that learns from them."""

OFFLINE = ("dpo", "ipo", "slic", "kto", "tgdpo", "tgdpo_bounded", "sft", "implicit_bridge")
"""Presets that learn from recorded rows."""


def recorded_method(
    method: str | Method,
    config: RecordedConfig,
    options: dict[str, Any],
    loss: dict[str, Any],
    axis_name: str | None,
) -> Method:
    """The method, checked to be one that learns from what is recorded.

    Raises:
      UsageError: it learns from completions that the policy writes.
      UnknownNameError: there is no such preset, option or argument of the loss.
    """
    if isinstance(method, str):
        name, entry = method, PRESETS[method]
        if entry.target.endswith(":kto"):
            options = {"threshold": 0.5} | options  # labels are 1 and 0
        method = method_named(method, {GOOD: 1.0}, False, options, axis_name)
    elif options:
        raise UsageError("options are arguments of a preset, which is to be given by name")
    else:
        name = f"objective={method.loss.objective!r}"
    if loss:
        method = with_loss_fields(method, loss, config)
    if method.loss.objective not in LAYOUT:
        raise UsageError(
            f"{name} learns from completions that the policy writes meanwhile, and from what they earn: "
            f"train it on a task (group.train); recorded rows go with {', '.join(OFFLINE)}"
        )
    if config.mask_truncated:
        method = method._replace(pipeline=chain(method.pipeline, mask_truncated()))
    return method


def recorded_data(
    rows: Rows,
    layout: str,
    tokenizer: Any,
    held_out: float | Rows,
    columns: Mapping[str, str],
    chat: bool,
    config: RecordedConfig,
    of: str = "",
) -> tuple[Recorded, np.ndarray, np.ndarray]:
    """All rows as tokens, and which are learnt from and which held out.

    Raises:
      UsageError: a row does not have what the method needs, or one side is left without rows.
    """
    encode = functools.partial(encode_rows, tokenizer=tokenizer, length=config.completion_length, chat=chat)
    rows = renamed(rows, columns) if columns else rows
    if layout == "labels" and any(isinstance(row, Mapping) and "chosen" in row for row in rows):
        layout = "pairs"
    if isinstance(held_out, bool) or (isinstance(held_out, int | float) and not 0.0 <= held_out < 1.0):
        raise UsageError(f"held_out={held_out!r}: expected a share of the rows from 0 to below 1, or rows")
    if not isinstance(held_out, int | float):
        more = renamed(held_out, columns) if columns else held_out
        encode(more, layout, of=" of held_out")  # complains of these by their own numbers
        both = encode([*rows, *more], layout, of=of)
        return both, np.arange(len(rows)), np.arange(len(rows), len(rows) + len(more))
    data = encode(rows, layout, of=of)
    train, kept = split_rows(data, held_out)
    if held_out and not len(kept):
        raise UsageError(
            f"held_out={held_out} of {len(rows)} rows keeps none (rows that are the same stay together): "
            "give more rows, a larger share, rows of their own, or held_out=0"
        )
    return data, train, kept


def check_numbers(config: RecordedConfig, policy: TokenPolicy, data: Recorded, train: np.ndarray) -> None:
    """Check that the numbers fit the rows and the policy.

    Raises:
      UsageError: they do not; the message says what to change.
    """
    if len(train) < config.batch:
        raise UsageError(
            f"batch={config.batch}: {len(train)} rows are left to learn from; expected at most as many, or "
            "give more rows"
        )
    if config.batch % config.micro_batches:
        raise UsageError(
            f"batch={config.batch}: expected a multiple of the {config.micro_batches} pieces of micro_batches"
        )
    group = data.tokens.shape[1]
    if group % config.packed:
        raise UsageError(f"packed={config.packed}: a row has {group} completions; expected a divisor of that")
    if config.packed > 1 and policy.packed is None:
        raise UsageError(
            f"packed={config.packed}: {policy.title} reads one completion per row; expected packed=1, or a "
            "policy with `packed`"
        )


def written_task(data: Recorded, tokenizer: Any) -> TokenTask:
    """The recorded prompts as a task that verifies nothing: for what the policy writes."""
    first = np.unique(data.prompt, axis=0, return_index=True)[1]
    prompts = [{"prompt": data.prompt[i, : data.prompt_size[i]].tolist()} for i in np.sort(first)]

    class Encoded:
        """The tokenizer, of prompts that are tokens already."""

        size, eos = tokenizer.size, tokenizer.eos
        encode = staticmethod(lambda tokens: tokens)
        decode = staticmethod(tokenizer.decode)

    reader: Any = Encoded
    return texts(prompts, reader, data.tokens.shape[2], id="tokens/recorded")._replace(text=tokenizer)


def guided(guide: tuple[TokenPolicy, PyTree] | None, data: Recorded, config: RecordedConfig) -> jax.Array:
    """What a guide thinks of all rows, float32 ``[N, G, T]``.

    Raises:
      UsageError: there is none, or the rows are longer than its context.
    """
    if guide is None:
        raise UsageError(
            "this method weighs tokens by a guide: guide=(policy, params) of a training on such preferences, "
            "e.g. by dpo"
        )
    policy, params = guide
    check_lengths(policy, data)
    every = np.arange(len(data.prompt))

    @jax.jit
    def seen(params: PyTree) -> jax.Array:
        return recorded_log_prob(policy, params, data, every, every, config.batch, config.temperature)

    return jnp.asarray(np.asarray(seen(params)))  # free of the devices that the guide's parameters are on
