"""Designers that ask a model, by the names and numbers of a configuration."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from rlkit.design.clients import Client
from rlkit.design.genome import Schema
from rlkit.design.llm import Writer
from rlkit.design.transcripts import Budget, Transcript
from rlkit.design.types import Designer
from rlkit.errors import UsageError

TRANSCRIPT = "transcript.jsonl"
LOCAL = "local"


def client_of(model: str) -> Client:
    """The model of a name: ``"local"`` is the packaged one, any other an endpoint's (``OPENAI_BASE_URL``,
    ``OPENAI_API_KEY``).

    Raises:
      UsageError: no name was given.
      MissingExtraError: the packaged model is not installed.
    """
    if not model:
        raise UsageError("model='': expected the model that designs: 'local', or the name at an endpoint")
    if model == LOCAL:
        from rlkit.design.local import Local

        return Local()
    from rlkit.design.endpoint import Endpoint

    return Endpoint(model)


def designer_of(
    name: str, model: str, mode: str, schema: Schema, *, calls: int = 0, tokens: int = 0
) -> Designer:
    """``"eureka"``, ``"auto-mc"`` or ``"llm"`` on a model; ``calls`` and ``tokens`` of 0 are no limit."""
    from rlkit.design.auto_mc import AutoMC
    from rlkit.design.eureka import Eureka
    from rlkit.design.llm import Independent

    budget = Budget(calls or math.inf, tokens or math.inf)
    writer = Writer(Transcript(client_of(model), budget=budget), mode, schema)
    makers: dict[str, Any] = {"eureka": Eureka, "auto-mc": AutoMC, "llm": Independent}
    return makers[name](writer)


def recorded(designer: Designer, folder: Path) -> Designer:
    """The designer with its questions and answers on record in a folder; others as they are."""
    writer = getattr(designer, "writer", None)
    if not isinstance(writer, Writer):
        return designer
    asked = writer.client
    client, budget = (asked.client, asked.budget) if isinstance(asked, Transcript) else (asked, Budget())
    kept = Transcript(client, folder / TRANSCRIPT, budget=budget)
    new: Any = designer
    return dataclasses.replace(new, writer=dataclasses.replace(writer, client=kept))
