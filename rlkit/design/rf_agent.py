"""RF-Agent: a model that expands a tree of rewards (arXiv 2602.23876).

The tree and what is expanded next are those of :mod:`rlkit.design.tree`; the conversation is Eureka's, with
the rewards on the way from the root as its turns. Each question asks for one of five kinds of change, in
turn. The wording is ours; the paper's checks of a model's own thoughts are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rlkit.design import prompts
from rlkit.design.clients import Message
from rlkit.design.eureka import Eureka, turn
from rlkit.design.evolution import chance_of
from rlkit.design.llm import Writer, by_a_person, start
from rlkit.design.tree import ACTIONS, ROOT, Node, Walk, ancestors, elite, tree_of
from rlkit.design.types import Candidate, DesignTask, History, Record
from rlkit.errors import check_count
from rlkit.types import Key

WAYS = {
    "structure": "Change the idea of your last reward: other terms, or terms computed in another way.",
    "numbers": "Keep the terms of your last reward and change its numbers alone: weights, temperatures and "
    "thresholds.",
    "elite": "Combine the good parts of your last reward with those of another one, whose score is among the "
    "best so far:",
    "path": "The rewards of this conversation were made one from the other. Find out which changes raised "
    "the task_score, and go on in that direction.",
    "different": "Write a reward that rests on another idea than all rewards of this conversation.",
}
"""What a question asks for, by the kind of change."""


@dataclass(frozen=True)
class RFAgent:
    """The designer.

    Attributes:
      writer: the model.
      safety: words on what the agent must not do, added to the task.
      warm_start: a person's reward, which takes the place of the first generation's answers.
      turns: most rewards of a way from the root that a conversation holds, the last ones.
      task_score: the curve that is shown as the task's score.
      walk: how nodes are chosen.
    """

    writer: Writer
    safety: str = ""
    warm_start: str = ""
    turns: int = 4
    task_score: str = "fitness"
    walk: Walk = field(default_factory=Walk)
    name: str = "rf-agent"

    def __post_init__(self) -> None:
        check_count("turns", self.turns)
        self._eureka()  # raises for an unknown curve

    def _eureka(self) -> Eureka:
        return Eureka(self.writer, self.safety, task_score=self.task_score)

    def propose(self, task: DesignTask, history: History, key: Key, count: int) -> list[Candidate]:
        if self.warm_start and history.generations == 0:
            return by_a_person(self.warm_start, count)
        chance, tree = chance_of(key), tree_of(history)
        first = int(chance.integers(len(ACTIONS)))
        asked: list[list[Message]] = []
        made: list[tuple[tuple[str, ...], str]] = []
        for i, at in enumerate(self.walk.leaves(tree, history.generations, count)):
            action = "root" if at == ROOT else ACTIONS[(first + i) % len(ACTIONS)]
            others = elite(at, history) if action == "elite" else []
            action = "structure" if action == "elite" and not others else action
            other = others[int(chance.integers(len(others)))] if others else None
            asked.append(self.messages(task, history, tree, at, action, other))
            made.append(((at,) * (at != ROOT) + ((other.candidate.id,) if other else ()), action))
        found = self.writer.write(task, asked, key, origin=self.name)
        return [
            replace(candidate, parents=parents, notes={**candidate.notes, "action": action})
            for candidate, (parents, action) in zip(found, made, strict=True)
        ]

    def messages(
        self,
        task: DesignTask,
        history: History,
        tree: Mapping[str, Node],
        at: str,
        action: str,
        other: Record | None = None,
    ) -> list[Message]:
        """The conversation that asks for a child of a node."""
        out = start(self.writer, task, self.safety)
        if at == ROOT:
            return out
        eureka = self._eureka()
        line = [at, *ancestors(tree, at)][: self.turns][::-1]
        for id in line:
            record = history.find(id)
            said = eureka.feedback(record, history, record.candidate.place[1])
            if id == at:
                said += f"\n\n{WAYS[action]}"
                said += f"\n{prompts.quoted('reward', other.candidate.text)}" if other else ""
            out += turn(record, said)
        return out
