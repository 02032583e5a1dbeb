"""Rewards written by a language model: as programs (``mode="code"``) or as typed terms (``mode="spec"``)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax

from rlkit.design import prompts
from rlkit.design.clients import BudgetError, Client, ClientError, Completion, Message, Request
from rlkit.design.evolution import candidate_of
from rlkit.design.extraction import json_value, program_text
from rlkit.design.genome import Schema, from_json, json_schema
from rlkit.design.terms import KINDS
from rlkit.design.transcripts import complete_all
from rlkit.design.types import Candidate, DesignTask, History
from rlkit.errors import UsageError, check_count, unknown_name
from rlkit.rewards.free import trace
from rlkit.rewards.language import Program, check_program, fields_of, parse_program, print_program
from rlkit.types import Key

MODES = ("code", "spec", "free")


def seeds_of(key: Key, count: int) -> list[int]:
    """Seeds of ``count`` questions, different from each other."""
    first = int(jax.random.bits(key, (), "uint32")) % 2**30
    return [first + i for i in range(count)]


@dataclass(frozen=True)
class Writer:
    """A model that writes rewards.

    Attributes:
      client: the model.
      mode: ``"code"``: programs of the reward language; ``"spec"``: terms of a schema, for any model;
        ``"free"``: any JAX code, traced in a jailed process (:mod:`rlkit.rewards.free`).
      schema: of the task; needed for ``"spec"``.
      temperature: of sampling.
      max_tokens: longest answer.
      finish: what is made of a program that was read; None: it is taken as it is written.
      advice: rules beside those of the language.
    """

    client: Client = field(repr=False)
    mode: str = "code"
    schema: Schema | None = None
    temperature: float = 1.0
    max_tokens: int = 2048
    finish: Callable[[Program], Program] | None = None
    advice: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown_name("mode", self.mode, MODES)
        if self.mode == "spec" and self.schema is None:
            raise UsageError("mode='spec' needs schema: see rlkit.design.genome.schema_of")
        if not self.temperature >= 0:
            raise UsageError(f"temperature={self.temperature!r}: expected a number of at least 0")
        check_count("max_tokens", self.max_tokens)

    @property
    def rules(self) -> str:
        """What answers are to look like."""
        rules = prompts.FREE_RULES if self.mode == "free" else prompts.CODE_RULES
        if self.schema is not None and self.mode == "spec":
            rules = f"{prompts.SPEC_RULES}\n{prompts.quoted('fields', _fields(self.schema))}"
        return f"{rules}\n{self.advice}" if self.advice else rules

    def ask(
        self, conversations: Sequence[Sequence[Message]], key: Key, schema: dict[str, Any] | None = None
    ) -> list[Completion | ClientError]:
        """One answer to each conversation, each with its own seed."""
        return complete_all(self.client, self.questions(conversations, key, schema))

    def questions(
        self, conversations: Sequence[Sequence[Message]], key: Key, schema: dict[str, Any] | None = None
    ) -> list[Request]:
        """What :meth:`ask` asks."""
        seeds = seeds_of(key, len(conversations))
        return [
            Request(messages, schema, self.temperature, seed, self.max_tokens)
            for messages, seed in zip(conversations, seeds, strict=True)
        ]

    def write(
        self,
        task: DesignTask,
        conversations: Sequence[Sequence[Message]],
        key: Key,
        *,
        origin: str,
        parents: Sequence[str] = (),
    ) -> list[Candidate]:
        """One candidate for each conversation, in order; attempts that failed with their errors.

        Their notes name the question by its digest, which is that of the transcript's line.
        """
        constrain = json_schema(self.schema) if self.mode == "spec" and self.schema is not None else None
        questions = self.questions(conversations, key, constrain)
        found = [self.read(task, answer) for answer in complete_all(self.client, questions)]
        same = {"origin": origin, "parents": tuple(parents)}
        return [
            replace(candidate, notes={**candidate.notes, "question": question.digest}, **same)
            for candidate, question in zip(found, questions, strict=True)
        ]

    def read(self, task: DesignTask, answer: Completion | ClientError) -> Candidate:
        """The candidate in an answer, or why there is none."""
        if isinstance(answer, ClientError):
            notes = {"budget": True} if isinstance(answer, BudgetError) else {}
            return Candidate("", error=f"no answer: {answer}", notes=notes)
        tokens = {"prompt": answer.usage.prompt, "completion": answer.usage.completion}
        notes = {"model": answer.model, "tokens": tokens, "attempts": answer.attempts}
        try:
            if self.mode == "spec" and self.schema is not None:
                made = candidate_of(from_json(json_value(answer), self.schema), self.schema, "llm")
                return replace(made, answer=answer.text, notes=notes)
            text = program_text(answer)
            if self.mode == "free":
                return Candidate(trace(text, task.spec), answer=answer.text, notes=notes)
            program = parse_program(text)
            if self.finish is not None:
                program = self.finish(program)
                text = print_program(program)
            check_program(program, fields_of(task.spec), task.spec.action_space.shape)
        except UsageError as error:
            return Candidate("", answer=answer.text, error=str(error), notes=notes)
        return Candidate(text, answer=answer.text, notes=notes)


def _fields(schema: Schema) -> Mapping[str, Any]:
    """What terms may say, with the ranges of fields."""
    kinds = {kind: KINDS[kind].words for kind in schema.kinds if kind != "none"}
    ranges = {m.name: [m.low, m.high] for m in schema.measures}
    return {"kinds": kinds, "fields": ranges, "most_terms": schema.slots}


@dataclass(frozen=True)
class Independent:
    """A model that is asked the same thing every time: the control without reflection.

    Attributes:
      writer: the model.
      safety: words on what the agent must not do, added to the task (DrEureka, arXiv 2406.01967 §3.1).
      warm_start: a person's reward, which takes the place of the first generation's answers.
    """

    writer: Writer
    safety: str = ""
    warm_start: str = ""
    name: str = "llm"

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        if self.warm_start and history.generations == 0:
            return by_a_person(self.warm_start, count)
        messages = start(self.writer, task, self.safety)
        return self.writer.write(task, [messages] * count, key, origin=self.name)


def start(writer: Writer, task: DesignTask, safety: str = "", extra: Sequence[str] = ()) -> list[Message]:
    """The conversation before any answer."""
    also = [f"The agent must stay safe:\n{prompts.quoted('safety', safety)}"] if safety else []
    return prompts.opening(task, writer.rules, extra=[*also, *extra])


def by_a_person(text: str, count: int) -> list[Candidate]:
    """The first generation of a design that begins with a person's reward: no model is asked."""
    error = "not asked: the first generation is a person's reward"
    return [Candidate(text, origin="human"), *[Candidate("", origin="human", error=error)] * (count - 1)]
