"""Questions and answers on record: written before they are used, replayed without a network, and paid for.

A transcript is a file of one JSON object per line: the question, and the answer or why there was none, in the
order of the questions, whoever answered first. It holds no key. Asking the same questions of a transcript
again gives the same answers, so a design that was killed goes on where it was, and costs nothing twice.
"""

import json
import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlkit import outside
from rlkit.design.clients import (
    BudgetError,
    Client,
    ClientError,
    Completion,
    Message,
    MissingAnswerError,
    Request,
    Usage,
)
from rlkit.errors import UsageError, check_count

Answer = Completion | ClientError


@dataclass(frozen=True)
class Budget:
    """The most that asking may cost; a question whose answer could exceed it is not asked.

    Attributes:
      calls: questions.
      tokens: of questions and answers.
      money: in the unit of the prices.
      prompt_price: of a million tokens of questions.
      completion_price: of a million tokens of answers.
    """

    calls: float = math.inf
    tokens: float = math.inf
    money: float = math.inf
    prompt_price: float = 0.0
    completion_price: float = 0.0

    def __post_init__(self) -> None:
        for name in ("calls", "tokens", "money", "prompt_price", "completion_price"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise UsageError(f"{name}={value!r}: expected a number of at least 0")
        if math.isfinite(self.money) and not self.prompt_price + self.completion_price > 0:
            raise UsageError(f"money={self.money!r}: expected prices beside it, else nothing costs money")


@dataclass(frozen=True)
class Spent:
    """What asking has cost."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    errors: int = 0

    def plus(self, usage: Usage, *, error: bool = False) -> "Spent":
        return Spent(
            self.calls + 1,
            self.prompt + usage.prompt,
            self.completion + usage.completion,
            self.errors + error,
        )

    def money(self, budget: Budget) -> float:
        """In the unit of the prices."""
        return (self.prompt * budget.prompt_price + self.completion * budget.completion_price) / 1e6

    def exceeds(self, budget: Budget) -> str:
        """What is over the budget, in words; empty if nothing is."""
        of = {"calls": self.calls, "tokens": self.prompt + self.completion, "money": self.money(budget)}
        over = [f"{name}={getattr(budget, name):g}" for name, n in of.items() if n > getattr(budget, name)]
        return ", ".join(over)


class Transcript:
    """A client that keeps a record, counts, and answers from the record what it has been asked before."""

    def __init__(
        self,
        client: Client | None = None,
        path: str | Path | None = None,
        *,
        budget: Budget = Budget(),
        workers: int | None = None,
    ):
        """
        Args:
          client: who answers what is not on record; None: nobody, which is an error and never a call.
          path: the file; None: the record is kept in memory.
          budget: the most that answers may cost, those from the record included.
          workers: questions that are open at a time; None: as many as the client's ``workers`` says, else 4.

        Raises:
          UsageError: the file cannot be read, or is no transcript.
        """
        if client is None and path is None:
            raise UsageError("a transcript needs a client that answers, a file to replay, or both")
        self.client, self.path, self.budget = client, None if path is None else Path(path), budget
        self.workers = check_count("workers", getattr(client, "workers", 4) if workers is None else workers)
        self._lock = threading.Lock()
        self._spent, self._counted = Spent(), set[str]()
        read = {} if self.path is None else _read(self.path, client is None)
        self._asked = {digest: request for digest, (request, _) in read.items()}
        self._answers: dict[str, Answer] = {digest: answer for digest, (_, answer) in read.items()}

    @property
    def spent(self) -> Spent:
        """What the answers that were used have cost, each once, wherever they came from."""
        return self._spent

    def count_known(self) -> None:
        """Count all answers on record as spent: they belong to one design, which goes on."""
        with self._lock:
            for digest, request in self._asked.items():
                if digest not in self._counted:
                    self._counted.add(digest)
                    self._spent = _pay(self._spent, request, self._answers[digest])

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        max_tokens: int = 2048,
    ) -> Completion:
        """One answer; see :class:`rlkit.design.clients.Client`.

        Raises:
          BudgetError: it could exceed the budget.
          MissingAnswerError: nobody is there to give it.
        """
        (answer,) = self.complete_all([Request(messages, schema, temperature, seed, max_tokens)])
        if isinstance(answer, ClientError):
            raise answer
        return answer

    def complete_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the order of the questions; a question without one has its error instead.

        What is asked does not depend on who answers first: questions that fit into the budget whatever their
        answers cost are asked together, then it is seen what is left.
        """
        out: list[Answer | None] = [None] * len(requests)
        with self._lock:
            waiting = list(range(len(requests)))
            while waiting:
                batch = self._affordable([requests[i] for i in waiting])
                for i, answer in zip(
                    waiting[:batch], self._ask([requests[i] for i in waiting[:batch]]), strict=True
                ):
                    out[i] = answer
                if batch == 0:
                    over = self._worst(self._spent, requests[waiting[0]]).exceeds(self.budget)
                    for i in waiting:
                        out[i] = BudgetError(f"not asked: it could exceed the budget of {over}")
                    break
                waiting = waiting[batch:]
        return [answer for answer in out if answer is not None]

    def _affordable(self, requests: Sequence[Request]) -> int:
        """How many of the first questions fit into what is left, whatever their answers cost."""
        spent, seen = self._spent, set(self._counted)
        for i, request in enumerate(requests):
            if request.digest in seen:
                continue
            known = self._answers.get(request.digest)
            spent = self._worst(spent, request) if known is None else _pay(spent, request, known)
            seen.add(request.digest)
            if spent.exceeds(self.budget):
                return i
        return len(requests)

    @staticmethod
    def _worst(spent: Spent, request: Request) -> Spent:
        return spent.plus(Usage(request.bytes, request.max_tokens))

    def _ask(self, requests: Sequence[Request]) -> list[Answer]:
        new = list({r.digest: r for r in requests if r.digest not in self._answers}.values())
        if new and self.client is None:
            raise MissingAnswerError(
                f"{self.path}: no answer to question {new[0].digest[:12]} (of {len(new)}); the transcript "
                "belongs to other prompts, seeds or settings; give a client to have it asked"
            )
        client = self.client
        assert client is not None or not new
        with ThreadPoolExecutor(self.workers) as pool:
            for request, answer in zip(new, pool.map(lambda r: _attempt(r, client), new), strict=True):
                self._write(request, answer)
                self._answers[request.digest] = answer
        for request in requests:
            if request.digest not in self._counted:
                self._counted.add(request.digest)
                self._spent = _pay(self._spent, request, self._answers[request.digest])
        return [self._answers[request.digest] for request in requests]

    def _write(self, request: Request, answer: Answer) -> None:
        if self.path is None:
            return
        entry: dict[str, Any] = {"digest": request.digest, "request": request.to_data()}
        entry |= {"error": str(answer)} if isinstance(answer, ClientError) else {"answer": answer.to_data()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _attempt(request: Request, client: Client | None) -> Answer:
    assert client is not None
    try:
        return request.ask(client)
    except ClientError as error:
        return error


def _pay(spent: Spent, request: Request, answer: Answer) -> Spent:
    if isinstance(answer, ClientError):
        return spent.plus(Usage(), error=True)
    usage = answer.usage
    if not usage.total:  # an endpoint that does not say: no token is shorter than a byte
        usage = Usage(request.bytes, len(answer.text.encode()))
    return spent.plus(usage)


def _read(path: Path, needed: bool) -> dict[str, tuple[Request, Answer]]:
    """The questions and answers of a file; a last line that was cut off by a kill is removed."""
    if not path.exists() and not needed:
        return {}
    try:
        data = outside.read_bytes(path)
    except OSError as error:
        raise UsageError(f"cannot read the transcript {path}: {error.strerror or error}") from error
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data) and not needed:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    answers: dict[str, tuple[Request, Answer]] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            entry = json.loads(line)
            request = Request(**entry["request"])
            digest = request.digest
            answer = ClientError(entry["error"]) if "error" in entry else _completion(entry["answer"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"{path}:{number}: not a line of a transcript: {type(error).__name__}"
            ) from error
        if digest != entry.get("digest"):
            raise UsageError(f"{path}:{number}: the question is not the one that was asked; it was changed")
        before = answers[digest][1] if digest in answers else None
        if isinstance(before, Completion) and isinstance(answer, Completion) and answer != before:
            raise UsageError(f"{path}:{number}: a question that has another answer in an earlier line")
        answers[digest] = request, answer
    return answers


def _completion(data: dict[str, Any]) -> Completion:
    rest: dict[str, Any] = {**data, "usage": Usage(**data["usage"])}
    completion = Completion(**rest)
    if not isinstance(completion.text, str):
        raise TypeError("text")
    return completion


def complete_all(client: Client, requests: Sequence[Request]) -> list[Answer]:
    """Answers of any client in the order of the questions, errors where there are none."""
    keeper = client if isinstance(client, Transcript) else Transcript(client)
    return keeper.complete_all(requests)
