"""Rows of recorded texts: read from files, checked, and turned into tokens.

A row has a prompt and what was said of it, in TRL's columns: ``chosen`` and ``rejected`` (*pairs*),
``completion`` and ``label`` (*labels*: True for good ones), or ``completion`` alone (*demonstrations*).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlkit import outside
from rlkit.envs.tokens.texts import TextTokenizer
from rlkit.errors import UsageError, check_count, unknown_name

LAYOUTS = {
    "pairs": ("prompt", "chosen", "rejected"),
    "labels": ("prompt", "completion", "label"),
    "demonstrations": ("prompt", "completion"),
}
"""Columns by what a row records."""

Rows = Sequence[Mapping[str, Any]]


class Recorded(NamedTuple):
    """Rows as tokens, in NumPy's or JAX's arrays: ``N`` rows of ``G`` completions (2 of pairs, else 1)."""

    prompt: Any  # int32 [N, L], padded with 0 at the end
    prompt_size: Any  # int32 [N]
    tokens: Any  # int32 [N, G, T], padded with the end-of-text token (0 without one)
    size: Any  # int32 [N, G]: tokens of the completions, the end included
    cut: Any  # bool [N, G]: was longer than T
    good: Any  # float32 [N, G]: 1 for what was chosen, labelled good or shown, else 0


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file: a JSON object on each line, or one JSON list of objects.

    Raises:
      UsageError: the file cannot be read, or a row is no JSON object; the message names file and line.
    """
    text = outside.read_text(path)
    if text.lstrip()[:1] == "[":
        rows = [(f"entry {i} of {path}", row) for i, row in enumerate(_json(text, str(path)))]
    else:
        lines = [(f"line {i} of {path}", line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = [(where, _json(line, where)) for where, line in lines]
    for where, row in rows:
        if not isinstance(row, dict):
            raise UsageError(f'{where} is {row!r:.60}; expected a JSON object, e.g. {{"prompt": "..."}}')
    return [row for _, row in rows]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON ({outside.why(error)}); expected one row a line") from None


def rows_digest(rows: Rows) -> str:
    """SHA-256, hexadecimal, of what the rows say, however a file writes it."""
    total = hashlib.sha256()
    for row in rows:
        total.update(json.dumps(row, sort_keys=True, default=repr).encode() + b"\n")
    return total.hexdigest()


def renamed(rows: Rows, columns: Mapping[str, str]) -> Rows:
    """Rows whose columns are called as this module calls them.

    Args:
      rows: the rows.
      columns: names that the rows have, by ours: ``{"prompt": "question"}``.

    Raises:
      UnknownNameError: a key is none of our columns.
    """
    known = list(dict.fromkeys(name for names in LAYOUTS.values() for name in names))
    for name in columns:
        if name not in known:
            raise unknown_name("column", name, known)
    return [dict(row) | {own: row.get(name) for own, name in columns.items()} for row in rows]


def encode_rows(
    rows: Rows,
    layout: str,
    tokenizer: TextTokenizer,
    *,
    length: int = 0,
    chat: bool = False,
    of: str = "",
) -> Recorded:
    """Turn rows into tokens.

    Args:
      rows: the rows.
      layout: see :data:`LAYOUTS`.
      tokenizer: of the policy.
      length: tokens of a completion at most, its end included; longer ones are cut. 0: the longest one.
      chat: put the prompts into the tokenizer's template of chats.
      of: what the rows are, for messages.

    Raises:
      UsageError: there are no rows, a column is missing or of another type, a text is empty or unknown to the
        tokenizer, or both completions of a pair are the same.
    """
    if isinstance(rows, str | Mapping) or not isinstance(rows, Sequence):
        raise UsageError(f"rows={rows!r:.60}{of}: expected a list of rows, e.g. read_rows(path)")
    if not rows:
        raise UsageError(f"there are no rows{of}; expected at least one with {', '.join(LAYOUTS[layout])}")
    if chat and not callable(getattr(tokenizer, "chat", None)):
        raise UsageError(
            "chat=True: the tokenizer has no template of chats; write the turns into the prompts"
        )
    texts = [column for column in LAYOUTS[layout] if column != "label"]
    encoded = [_encoded(row, f"row {i}{of}", layout, texts, tokenizer, chat) for i, row in enumerate(rows)]
    prompts = [tokens[0] for tokens in encoded]
    longest = max(len(said) for tokens in encoded for said in tokens[1:])
    longest = min(longest, check_count("length", length)) if length else longest
    size = np.array([[len(said) for said in tokens[1:]] for tokens in encoded], np.int32)
    kept = [[said[:longest] for said in tokens[1:]] for tokens in encoded]
    if layout == "pairs":
        _differ(rows, kept, of, longest)
    good = [[1.0, 0.0] if layout == "pairs" else [float(row.get("label", True))] for row in rows]
    flat = _padded([said for group in kept for said in group], longest, tokenizer.eos or 0)
    return Recorded(
        prompt=_padded(prompts, max(map(len, prompts)), 0),
        prompt_size=np.array([len(tokens) for tokens in prompts], np.int32),
        tokens=flat.reshape(len(rows), -1, longest),
        size=np.minimum(size, longest),
        cut=size > longest,
        good=np.array(good, np.float32),
    )


def _encoded(
    row: Mapping[str, Any], where: str, layout: str, texts: list[str], tokenizer: TextTokenizer, chat: bool
) -> list[list[int]]:
    """Tokens of the prompt, and of each completion with its end."""
    wanted = ", ".join(LAYOUTS[layout])
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is {row!r:.60}; expected a row with {wanted}")
    for column in LAYOUTS[layout]:
        if row.get(column) is None:
            has = ", ".join(map(str, row)) or "nothing"
            raise UsageError(
                f"{where} has no {column}: it has {has}; expected {wanted}, or columns that say how they are "
                f"called: {{{column!r}: 'its name'}}"
            )
    if layout == "labels" and row["label"] not in (True, False):
        raise UsageError(
            f"{where} has label={row['label']!r:.60}; expected True, the completion is good, or False"
        )
    found = []
    for column in texts:
        text = row[column]
        if not isinstance(text, str):
            raise UsageError(
                f"{where} has {column}={text!r:.60}; expected text: write the turns of a chat out with the "
                "template of the model"
            )
        own = column == "prompt"
        try:
            tokens = list(tokenizer.encode(tokenizer.chat(text) if own and chat else text))  # type: ignore[attr-defined]
        except Exception as error:  # whatever a tokenizer of the user's raises
            raise UsageError(
                f"{where}: the tokenizer cannot read {column}={text!r:.60}: {outside.why(error)}"
            ) from error
        if any(not 0 <= token < tokenizer.size for token in tokens):
            raise UsageError(
                f"{where}: {column}={text!r:.60} becomes the tokens {tokens!r:.60}; expected 0 to "
                f"{tokenizer.size - 1}, of which the tokenizer says it has"
            )
        if not own and tokenizer.eos is not None:
            tokens.append(tokenizer.eos)
        if not tokens:
            raise UsageError(f"{where} has an empty {column}; leave the row out")
        found.append(tokens)
    return found


def _differ(rows: Rows, kept: list[list[list[int]]], of: str, length: int) -> None:
    """Raise if both completions of a pair are the same."""
    same = [i for i, (one, two) in enumerate(kept) if one == two]
    if same:
        i = same[0]
        why = "" if rows[i]["chosen"] == rows[i]["rejected"] else f" when they are cut at {length} tokens"
        raise UsageError(
            f"row {i}{of} has the same chosen and rejected{why}, {rows[i]['chosen']!r:.60}, as have "
            f"{len(same)} rows in all; such pairs say nothing: leave them out"
        )


def _padded(rows: list[list[int]], length: int, fill: int) -> np.ndarray:
    out = np.full((len(rows), length), fill, np.int32)
    for row, tokens in zip(out, rows, strict=True):
        row[: len(tokens)] = tokens
    return out


def split_rows(data: Recorded, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that are learnt from, and of those that are held out.

    Rows that are the same are on the same side: what judges was never seen.

    Args:
      data: the rows.
      share: of the rows that is held out, at most.
      seed: of the draw.
    """
    flat = [np.reshape(x, (len(x), -1)) for x in (data.prompt, data.tokens, data.size, data.good)]
    _, which = np.unique(np.concatenate(flat, 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.random.default_rng(seed).permutation(which.max() + 1)
    total = np.cumsum(np.bincount(which)[order])
    out = np.isin(which, order[total <= share * len(which)])
    return np.flatnonzero(~out), np.flatnonzero(out)


def mismatched(data: Recorded, rows: np.ndarray) -> np.ndarray:
    """For each of some rows, another one of them with another prompt (the next one, if all are the same)."""
    count = len(rows)
    prompts = np.unique(data.prompt[rows], axis=0, return_inverse=True)[1].reshape(-1)
    same = lambda i, j: prompts[i] == prompts[j]
    partner = (np.arange(count) + 1) % count
    for back in range(2 * count - 1, -1, -1):  # twice round, so that the last rows know of the first ones
        i, after = back % count, (back + 1) % count
        if same(i, after):
            partner[i] = after if same(i, partner[after]) else partner[after]
    return rows[partner]
