"""Eureka: a model writes rewards, reads how training with the best of them went, and writes better ones.

Source: arXiv 2310.12931, algorithm 1: K samples an iteration, the best of the *previous* iteration
is the parent of the next, with its reflection; the conversation has the task, that one answer and its
feedback. K is the design's number of candidates, N its generations, its restarts are independent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlkit.design import prompts
from rlkit.design.clients import Message
from rlkit.design.llm import Writer, by_a_person, start
from rlkit.design.reflection import reflection
from rlkit.design.types import CURVES, Candidate, DesignTask, History, Record
from rlkit.errors import check_count, unknown_name
from rlkit.types import Key


@dataclass(frozen=True)
class Eureka:
    """The designer.

    A person's words about a generation (``history.feedback``) take the place of the numbers, on the same way.
    If nothing of a generation could be trained, the model is told why the first answer could not.

    Attributes:
      writer: the model.
      safety: words on what the agent must not do, added to the task (DrEureka, arXiv 2406.01967 §3.1).
      warm_start: a person's reward, which takes the place of the first generation's answers.
      turns: how many generations the conversation holds; 1 is the paper's.
      task_score: the curve that is shown as the task's score.
    """

    writer: Writer
    safety: str = ""
    warm_start: str = ""
    turns: int = 1
    task_score: str = "fitness"
    name: str = "eureka"

    def __post_init__(self) -> None:
        check_count("turns", self.turns)
        if self.task_score not in CURVES:
            raise unknown_name("curve", self.task_score, CURVES)

    def messages(self, task: DesignTask, history: History) -> list[Message]:
        """The conversation that the next generation answers."""
        out = start(self.writer, task, self.safety)
        done = history.generations
        for generation in range(max(0, done - self.turns), done):
            parent = chosen(history, generation)
            if parent is not None:
                out += turn(parent, self.feedback(parent, history, generation))
        return out

    def feedback(self, parent: Record, history: History, generation: int) -> str:
        """What is said about a generation's best."""
        words = history.feedback[generation] if generation < len(history.feedback) else ""
        rules = self.writer.rules
        if words.strip():
            return prompts.told(words, rules)
        if parent.outcome is None or not math.isfinite(parent.score):
            return prompts.failed(parent.refused or "it was not trained", rules)
        numbers = reflection(parent.outcome, task_score=self.task_score)
        warnings = [f"{v.check}: {v.reason}" for v in parent.verdicts if v.passed is False]
        if warnings:
            numbers += f"\n\nChecks warn of this reward:\n{prompts.quoted('warnings', warnings)}"
        return prompts.learned(numbers, rules)

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        if self.warm_start and history.generations == 0:
            return by_a_person(self.warm_start, count)
        messages = self.messages(task, history)
        parent = chosen(history, history.generations - 1) if history.generations else None
        parents = () if parent is None else (parent.candidate.id,)
        return self.writer.write(task, [messages] * count, key, origin=self.name, parents=parents)


def chosen(history: History, generation: int) -> Record | None:
    """The best of a generation; the first that has an answer or a text if none was trained; else None."""
    records = history.generation(generation)
    trained = [record for record in records if math.isfinite(record.score)]
    if trained:
        return max(trained, key=lambda record: record.score)
    return next((r for r in records if r.candidate.answer or r.candidate.text), None)


def turn(record: Record, feedback: str) -> Sequence[Message]:
    """An answer, byte for byte what the model wrote, and what is said about it."""
    said = record.candidate.answer or f"```python\n{record.candidate.text.strip()}\n```"
    return [{"role": "assistant", "content": said}, {"role": "user", "content": feedback}]


class HumanNormalised(NamedTuple):
    """A human-normalised score."""

    score: float  # NaN if it is undefined
    remark: str  # why it is undefined or odd; empty else


def human_normalised(method: float, human: float, sparse: float, *, least: float = 1e-6) -> HumanNormalised:
    """``(method - sparse) / |human - sparse|`` (arXiv 2310.12931 §4.2): 1 is the hand-made reward,
    0 is sparse.

    Args:
      method: score of the designed reward.
      human: of the hand-made reward.
      sparse: of training on the task's own signal.
      least: smallest difference between the two that counts as one.
    """
    scores = (method, human, sparse)
    if not all(map(math.isfinite, scores)):
        return HumanNormalised(math.nan, "a score is not finite")
    gap = abs(human - sparse)
    if gap <= least:
        return HumanNormalised(math.nan, "undefined: hand-made and sparse reward score the same")
    remark = "the hand-made reward scores below the sparse one" if human < sparse else ""
    return HumanNormalised((method - sparse) / gap, remark)
