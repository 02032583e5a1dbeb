"""Whole designs from answers on record, good and bad ones; the same bytes each time, without a network."""

import dataclasses
import hashlib
import json
import socket
from pathlib import Path

import jax
import pytest

from rlkit.design.auto_mc import AutoMC
from rlkit.design.clients import Answering
from rlkit.design.data import record_from, to_data
from rlkit.design.eureka import Eureka, chosen
from rlkit.design.llm import Writer
from rlkit.design.scoring import score
from rlkit.design.transcripts import Transcript
from rlkit.design.types import DesignTask, History, Outcome, Record
from rlkit.envs import make
from rlkit.rewards import read

FIXTURES = Path(__file__).parent / "fixtures"


def scripted(name):
    """Whoever is asked gives the committed answers in their order."""
    texts = iter(json.loads((FIXTURES / f"{name}.json").read_text()))
    return Answering(lambda messages, seed: next(texts), model="committed")


def judged(candidate):
    """A record as a training would give, from the text alone: numbers that every machine has."""
    if candidate.error:
        return Record(candidate)
    draw = [byte / 255 for byte in hashlib.sha256(candidate.text.encode()).digest()]
    rows = [[x, y] for x, y in zip(draw[:6], draw[6:12], strict=True)]
    names = [name for name in ("upright", "calm", "sparse", "dense") if f"'{name}'" in candidate.text]
    terms = dict.fromkeys(names, rows) | {"total": rows}
    step = {"lava_adjacent": [False, True, False, False], "action": 2, "paid": {"sparse": -1.0}}
    episode = {"ending": "terminated", "length": 9, "steps": [step]}
    failures = {"endings": {"success": 1, "terminated": 3, "time limit": 4}, "episodes": [episode]}
    steps = [100 * (i + 1) for i in range(6)]
    outcome = Outcome(steps, rows, rows, rows, rows, terms, failures=failures)
    return Record(candidate, (), outcome, score(outcome))


def design(designer, task, generations, count):
    """The records of a design with one restart."""
    history = History()
    for generation in range(generations):
        found = designer.propose(task, history, jax.random.key(generation), count)
        assert len(found) == count
        named = [dataclasses.replace(c, id=f"0.{generation}.{i}") for i, c in enumerate(found)]
        history = History((*history.records, *map(judged, named)))
    return history


def both(name, make_designer, task, generations, count, tmp_path, monkeypatch):
    """The history from the answers, which replays to the byte, from the whole record and from parts of it."""
    path = tmp_path / "transcript.jsonl"
    run = lambda client: design(make_designer(client), task, generations, count)
    first = run(Transcript(scripted(name), path, workers=1))
    data, wanted = path.read_bytes(), [to_data(record) for record in first.records]
    assert [record_from(json.loads(json.dumps(w))) for w in wanted] == list(first.records)
    monkeypatch.setattr(socket, "socket", None)  # any use of it raises
    replayed = Transcript(path=path)
    assert [to_data(record) for record in run(replayed).records] == wanted
    assert (
        replayed.spent.calls == data.count(b"\n") == len(json.loads((FIXTURES / f"{name}.json").read_text()))
    )
    assert path.read_bytes() == data
    half = len(data) // 2
    path.write_bytes(data[:half])  # killed in the middle of a line
    rest = scripted(name)
    for _ in range(data[:half].count(b"\n")):
        rest.answer([], 0)
    assert [to_data(record) for record in run(Transcript(rest, path, workers=1)).records] == wanted
    assert path.read_bytes() == data
    return first


def test_a_whole_eureka_run(tmp_path, monkeypatch):
    task = DesignTask(make("classic/pendulum"))
    history = both("eureka", lambda c: Eureka(Writer(c)), task, 3, 4, tmp_path, monkeypatch)
    answers = json.loads((FIXTURES / "eureka.json").read_text())
    assert [record.candidate.answer for record in history.records] == answers  # failures keep their places
    errors = [record.candidate.error for record in history.records]
    reasons = ["", "exactly one function", "no program", "did you mean 'height'"]
    reasons += ["", "loops are not allowed", "", "no end", "", "", "", "empty"]
    for error, reason in zip(errors, reasons, strict=True):
        assert (reason in error) if reason else not error, (reason, error)
    for record in history.records:
        if record.candidate.text:
            read(record.candidate.text, task.spec)
        if record.candidate.place[1]:
            best = chosen(history, record.candidate.place[1] - 1)
            assert record.candidate.parents == (best.candidate.id,)
    last = json.loads((tmp_path / "transcript.jsonl").read_text().splitlines()[-1])
    parent = chosen(history, 1)
    assert last["request"]["messages"][2]["content"] == parent.candidate.answer
    assert history.best().score == max(record.score for record in history.records)


def test_a_whole_auto_mc_reward_run(tmp_path, monkeypatch):
    task = DesignTask(make("craft/mini"), words="Collect wood from a tree. Lava kills.")
    history = both("auto_mc", lambda c: AutoMC(Writer(c)), task, 2, 2, tmp_path, monkeypatch)
    assert [record.candidate.error for record in history.records] == [""] * 4
    assert [record.candidate.notes["reviews"] for record in history.records] == [2, 2, 1, 3]
    assert "runs into lava" in history.records[2].candidate.notes["analysis"]
    for record in history.records:
        read(record.candidate.text, task.spec)
        assert record.candidate.text.count("jnp.sign") == 2


@pytest.mark.slow
def test_a_whole_eureka_run_that_trains(tmp_path):
    from rlkit.design.training import Trainer, Training

    task = DesignTask(make("classic/pendulum"))
    trainer = Trainer(task, Training(total_steps=4096, seeds=1, checkpoints=2, eval_episodes=2))

    def run(client):
        designer, history = Eureka(Writer(client)), History()
        for generation in range(2):
            found = designer.propose(task, history, jax.random.key(generation), 4)
            named = [dataclasses.replace(c, id=f"0.{generation}.{i}") for i, c in enumerate(found)]
            good = [c for c in named if not c.error]
            outcomes = dict(trainer.train(good, jax.random.key(7)))
            records = [
                Record(c, (), outcomes[good.index(c)], score(outcomes[good.index(c)]))
                if c in good
                else Record(c)
                for c in named
            ]
            history = History((*history.records, *records))
        return [to_data(record) for record in history.records]

    path = tmp_path / "transcript.jsonl"
    first = run(Transcript(scripted("eureka"), path, workers=1))
    assert sum(record["outcome"] is not None for record in first) == 3
    assert run(Transcript(path=path)) == first
