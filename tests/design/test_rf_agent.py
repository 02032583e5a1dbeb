"""A model expands a tree: it reads the way from the root and is asked for five kinds of change."""

import dataclasses

import jax

from rlkit.design.clients import Answering
from rlkit.design.config import DesignConfig
from rlkit.design.genome import schema_of
from rlkit.design.llm import Writer
from rlkit.design.models import designer_of
from rlkit.design.rf_agent import WAYS, RFAgent
from rlkit.design.transcripts import Transcript
from rlkit.design.tree import ACTIONS, Walk, tree_of
from rlkit.design.types import Designer, DesignTask, History, Outcome, Record
from rlkit.envs import make

TASK = DesignTask(make("classic/pendulum"))


def grow(generations: int, count: int, fails: int = -1):
    """A tree from numbered answers, the later the better, and what was asked; answer ``fails`` is none."""
    asked: list = []

    def answer(messages, seed):
        asked.append(messages)
        n = len(asked)
        if n - 1 == fails:
            return "I cannot."
        return (
            f"Answer {n}.\n```python\ndef reward(s, a, ns, done):\n    up = {n}.0 * ns.height\n"
            "    return up, {'up': up}\n```"
        )

    designer = RFAgent(Writer(Transcript(Answering(answer), workers=1)), turns=2, walk=Walk(explore=0.0))
    assert isinstance(designer, Designer)
    history = History()
    for generation in range(generations):
        found = designer.propose(TASK, history, jax.random.key(generation), count)
        for i, candidate in enumerate(found):
            named = dataclasses.replace(candidate, id=f"0.{generation}.{i}")
            value = float(generation * count + i)
            rows = [[value]] * 2
            outcome = None if named.error else Outcome([10, 20], rows, rows, rows, rows, {"up": rows})
            record = Record(named, (), outcome) if outcome is None else Record(named, (), outcome, value)
            history = history._replace(records=(*history.records, record))
    return history, asked


def test_each_question_holds_the_way_from_the_root_and_one_kind_of_change() -> None:
    history, asked = grow(4, 5)
    tree, texts = tree_of(history), set(WAYS.values())
    for record, messages in zip(history.records, asked, strict=True):
        candidate = record.candidate
        said = [m["content"] for m in messages]
        if not candidate.parents:
            assert len(messages) == 2
            assert candidate.notes["action"] == "root"
            continue
        at = candidate.parents[0]
        line = [at] if tree[at].parent == "" else [tree[at].parent, at]  # two turns at most
        answers = [m["content"] for m in messages if m["role"] == "assistant"]
        assert answers == [history.find(id).candidate.answer for id in line]
        assert [text for text in texts if text in said[-1]] == [WAYS[candidate.notes["action"]]]
        assert not any(text in part for part in said[:-1] for text in texts)
        assert "task_score" in said[-1]
        if candidate.notes["action"] == "elite":
            other = history.find(candidate.parents[1]).candidate
            assert other.text.split("\n")[1].split("=")[1].strip() in said[-1]
    assert {r.candidate.notes["action"] for r in history.generation(3)} == set(ACTIONS)


def test_an_answer_that_fails_keeps_its_place_and_is_never_expanded() -> None:
    history, _ = grow(3, 3, fails=1)
    assert [bool(r.candidate.error) for r in history.records[:3]] == [False, True, False]
    assert [r.candidate.answer[:8] for r in history.records] == [
        "Answer 1", "I cannot", *(f"Answer {i}" for i in range(3, 10)),
    ]  # fmt: skip
    assert all("0.0.1" not in r.candidate.parents for r in history.records)


def test_a_configuration_names_it(monkeypatch) -> None:
    monkeypatch.setattr("rlkit.design.models.client_of", lambda model: Answering(lambda m, seed: ""))
    made = designer_of(DesignConfig(designer="rf-agent", model="any", generations=7), schema_of(TASK))
    assert isinstance(made, RFAgent)
    assert made.walk.horizon == 7
    assert DesignConfig(designer="tree", generations=7).make_designer(schema_of(TASK)).walk.horizon == 7
