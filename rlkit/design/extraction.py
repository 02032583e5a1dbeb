"""What is usable of what a model wrote. Nothing of it is executed, and errors quote nothing of it."""

import json
from collections.abc import Sequence
from typing import Any

from rlkit.design.clients import Completion
from rlkit.errors import UsageError
from rlkit.rewards.language import LIMITS

LONGEST = 64_000
"""Characters of an answer that is looked at."""

_FENCE = "```"
_LANGUAGES = ("", "python", "py", "python3", "json")


class ExtractionError(UsageError):
    """An answer without a usable part; the message is safe to show to a model."""


def _text(answer: Completion) -> str:
    if answer.finish_reason == "length":
        raise ExtractionError("the answer was cut off at its longest length; answer more briefly")
    if not answer.text.strip():
        raise ExtractionError("the answer was empty")
    if len(answer.text) > LONGEST:
        raise ExtractionError(f"the answer had more than {LONGEST} characters; answer more briefly")
    return answer.text


def blocks(text: str) -> list[str]:
    """The fenced blocks of a text, without their fences.

    Raises:
      ExtractionError: a fence has no end.
    """
    found: list[str] = []
    inside: list[str] | None = None
    language = ""
    for line in text.splitlines():
        mark = line.strip()
        if inside is None and mark.startswith(_FENCE):
            inside, language = [], mark.strip("`").strip().lower()
        elif inside is not None and mark == _FENCE:
            if language in _LANGUAGES:
                found.append("\n".join(inside) + "\n")
            inside = None
        elif inside is not None:
            inside.append(line)
    if inside is not None:
        raise ExtractionError("a fenced block has no end; close it with three backticks")
    return found


def program_text(answer: Completion) -> str:
    """The one reward program in an answer: in a fenced block, or the whole answer if it has no fence.

    Raises:
      ExtractionError: there is none, or more than one.
    """
    text = _text(answer)
    found = blocks(text)
    if not found and _begins(text):
        found = [text.strip() + "\n"]
    programs = [block for block in found if _defines(block)]
    if not programs:
        raise ExtractionError("no program: expected one fenced python block with def reward(...)")
    if len(programs) > 1:
        raise ExtractionError(f"{len(programs)} blocks define reward; expected one")
    if len(programs[0]) > LIMITS.source:
        raise ExtractionError(f"the program is longer than {LIMITS.source} bytes; write a shorter one")
    return programs[0]


def _begins(text: str) -> bool:
    return text.lstrip().startswith(("def reward", "memory"))


def _defines(block: str) -> bool:
    return any(line.lstrip().startswith("def ") for line in block.splitlines())


def json_value(answer: Completion) -> Any:
    """The JSON value in an answer: all of it, or its only fenced block.

    Raises:
      ExtractionError: there is none.
    """
    text = _text(answer).strip()
    if not text.startswith(("{", "[")):
        found = blocks(text)
        if len(found) != 1:
            raise ExtractionError("no JSON: expected one JSON value and nothing else")
        text = found[0]
    try:
        return json.loads(text, parse_constant=_constant, object_pairs_hook=_object)
    except ExtractionError:
        raise
    except (ValueError, RecursionError):
        raise ExtractionError("not JSON: expected one JSON value and nothing else") from None


def _constant(name: str) -> float:
    raise ExtractionError(f"not JSON: {name} is no number of JSON")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ExtractionError("not JSON: a name comes twice in an object")
    return out
