"""Asking a language model: what a question and an answer are, whoever answers.

Any object with :meth:`Client.complete` is a client: :class:`rlkit.design.endpoint.Endpoint` for
OpenAI-compatible endpoints, :class:`rlkit.design.local.Local` for the model that comes with the extra
``local``, :class:`rlkit.design.transcripts.Transcript` for answers on record, or one of the user's.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

from rlkit.errors import RlkitError, UsageError, check_count

MOST_TOKENS = 10**12  # of one answer; what is far above has no price, as it is no float


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ClientError(RlkitError):
    """One question got no answer. The message quotes nothing of what came back and holds no key."""


class EndpointError(UsageError):
    """No question will get an answer: a wrong key, an unknown model, an address where nobody is."""


class BudgetError(ClientError):
    """The question was not asked: the answer might cost more than is left."""


class MissingAnswerError(UsageError):
    """A transcript that is replayed holds no answer to a question."""


@dataclass(frozen=True)
class Usage:
    """What an answer cost, in tokens."""

    prompt: int = 0
    completion: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):  # what is no number defeats every limit
            count = check_count(f"tokens of the {name}", getattr(self, name), 0)
            if count > MOST_TOKENS:
                raise UsageError(f"tokens of the {name}: expected at most {MOST_TOKENS}")

    @property
    def total(self) -> int:
        return self.prompt + self.completion


@dataclass(frozen=True)
class Completion:
    """An answer.

    Attributes:
      text: exactly what the model wrote.
      usage: tokens, as the endpoint counts them; zeros if it does not say.
      model: that answered, as the endpoint calls it.
      finish_reason: ``"stop"``; ``"length"`` if the answer was cut off.
      attempts: how often it was asked for.
      schema: whether the endpoint was held to the schema.
      raw: all that the endpoint sent; not put on record.
    """

    text: str
    usage: Usage = Usage()
    model: str = ""
    finish_reason: str = "stop"
    attempts: int = 1
    schema: bool = False
    raw: Any = field(default=None, compare=False, repr=False)

    def to_data(self) -> dict[str, Any]:
        """As JSON, without ``raw``."""
        whole = asdict(replace(self, raw=None))  # not copied: it may be nested too deeply for that
        return {name: value for name, value in whole.items() if name != "raw"}


@dataclass(frozen=True)
class Request:
    """A question.

    Attributes:
      messages: the conversation so far.
      schema: JSON schema that the answer is to keep to; None: free text.
      temperature: of sampling.
      seed: of sampling; each question of a generation has its own.
      max_tokens: longest answer.
    """

    messages: Sequence[Message]
    schema: dict[str, Any] | None = None
    temperature: float = 1.0
    seed: int = 0
    max_tokens: int = 2048

    def to_data(self) -> dict[str, Any]:
        return {**asdict(self), "messages": [dict(message) for message in self.messages]}

    @property
    def digest(self) -> str:
        """SHA-256 of the whole question."""
        return hashlib.sha256(json.dumps(self.to_data(), sort_keys=True).encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of the messages: a token is at least one of them."""
        return sum(len(message["content"].encode()) + 16 for message in self.messages)

    def ask(self, client: "Client") -> Completion:
        return client.complete(
            self.messages,
            schema=self.schema,
            temperature=self.temperature,
            seed=self.seed,
            max_tokens=self.max_tokens,
        )


@runtime_checkable
class Client(Protocol):
    """Whoever answers."""

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        max_tokens: int = 2048,
    ) -> Completion:
        """One answer.

        Raises:
          ClientError: there is none.
          EndpointError: there will be none.
        """
        ...


@dataclass(frozen=True)
class Answering:
    """A function of the messages as a client, e.g. the user's own, or a test's.

    Attributes:
      answer: ``answer(messages, seed) -> text``.
      model: what it is called on record.
    """

    answer: Callable[[Sequence[Message], int], str]
    model: str = "function"

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        max_tokens: int = 2048,
    ) -> Completion:
        return Completion(self.answer(messages, seed), model=self.model)
