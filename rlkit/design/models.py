"""Designers that ask a model, by the names and numbers of a configuration."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from rlkit.design.clients import Client
from rlkit.design.config import DesignConfig
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


def designer_of(config: DesignConfig, schema: Schema) -> Designer:
    """One of :data:`rlkit.design.config.MODELS` on the model of a configuration."""
    from rlkit.design.auto_mc import AutoMC
    from rlkit.design.eureka import Eureka
    from rlkit.design.llm import Independent
    from rlkit.design.rf_agent import RFAgent
    from rlkit.design.tree import Walk

    budget = Budget(
        config.max_calls or math.inf,
        config.max_tokens or math.inf,
        config.max_money or math.inf,
        config.prompt_price,
        config.completion_price,
    )
    answers = Transcript(path=config.replay) if config.replay else client_of(config.model)
    client = Transcript(answers, budget=budget)
    writer = Writer(client, config.mode, schema, config.temperature, config.answer_tokens)
    begin = {"safety": config.safety, "warm_start": config.warm_start}
    if config.designer == "eureka":
        return Eureka(writer, **begin, turns=config.turns, task_score=config.curve)
    if config.designer == "rf-agent":
        return RFAgent(writer, **begin, task_score=config.curve, walk=Walk(horizon=config.generations))
    if config.designer == "auto-mc":
        return AutoMC(writer, **begin)
    return Independent(writer, **begin)


def recorded(designer: Designer, folder: Path) -> Designer:
    """The designer with its questions and answers on record in a folder; others as they are."""
    new: Any = designer
    if isinstance(inner := getattr(designer, "designer", None), Designer):
        return dataclasses.replace(new, designer=recorded(inner, folder))
    writer = getattr(designer, "writer", None)
    if not isinstance(writer, Writer):
        return designer
    asked = writer.client
    client, budget = (asked.client, asked.budget) if isinstance(asked, Transcript) else (asked, Budget())
    kept = Transcript(client, folder / TRANSCRIPT, budget=budget)
    kept.count_known()
    return dataclasses.replace(new, writer=dataclasses.replace(writer, client=kept))
