"""What a design does beside training: it looks at episodes, audits, keeps to budgets and listens."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from hacks import HACKS
from test_loop import CONFIG, Answers, loop
from worlds import Errand

from rlkit.design import Candidate, DesignTask, Verdict
from rlkit.design.config import DesignConfig, WarmStarted
from rlkit.design.data import exploit_from, to_data
from rlkit.design.evolution import RandomSearch
from rlkit.design.incentives import EPISODE
from rlkit.design.journal import JOURNAL, Journal
from rlkit.design.screen import screen
from rlkit.design.types import Exploit, History, Outcome, Record
from rlkit.errors import UsageError

TEXT = "def reward(s, a, ns, done):\n    near = {} * ns.height\n    return near, {{'near': near}}\n"
ONE = dataclasses.replace(CONFIG, candidates=1, generations=1, audit=False)


def test_an_analyst_is_shown_failed_episodes_with_what_they_were_paid(trainer, compilations) -> None:
    texts = [TEXT.format(1.0), TEXT.format(-2.0)]
    run = lambda text: dict(trainer.train([Candidate(text)], jax.random.key(0), watch=True))[0]
    first = run(texts[0])
    before = compilations()
    second = run(texts[1])
    assert compilations() == before  # the probe is compiled once for a structure
    for outcome, weight in ((first, 1.0), (second, -2.0)):
        seen = outcome.failures
        assert sum(seen["endings"].values()) == 8
        assert seen["endings"]["success"] == 0
        assert len(seen["episodes"]) == 8
        steps = seen["episodes"][0]["steps"]
        assert len(steps) == 16
        assert set(steps[0]["paid"]) == {"near", "base", "total"}
        for step in steps:
            assert step["paid"]["near"] == pytest.approx(weight * step["height"], rel=1e-2, abs=1e-3)
    unseen = dict(trainer.train([Candidate(texts[0])], jax.random.key(0)))[0]
    assert unseen == dataclasses.replace(first, failures={})


def test_only_designers_that_watch_are_shown_episodes(trainer) -> None:
    class Watching(Answers):
        watches = True

    for kind, wanted in ((Watching, True), (Answers, False)):
        result = loop(trainer, ONE, designer=kind((TEXT.format(1.0),), [])).run()
        assert bool(result.histories[0].records[0].outcome.failures) is wanted


TASK = DesignTask(Errand())


@pytest.fixture(scope="module")
def screened():
    return screen(TASK, 0, steps=40, starts=1, each=24, generations=12)


def test_an_exploit_of_a_stopped_reward_is_held_against_others(screened) -> None:
    bad, good = (Candidate(text, f"0.0.{i}") for i, text in enumerate(HACKS["farming"][:2]))
    verdicts = screened(bad)
    (stopped,) = (v for v in verdicts if v.stops)
    assert stopped.check == "farming"
    outcome = Outcome([1], [[0.0]], [[0.0]], [[0.0]], [[0.0]])
    history = History((Record(bad, verdicts), Record(good, screened(good), outcome, 0.0)))
    found = screened.exploits(history)
    assert found.start.size == 1
    assert not found.solved.any()
    place = int(stopped.numbers[EPISODE])
    np.testing.assert_array_equal(
        found.trajectory.transition.action[:, 0],
        screened.evidence.episodes.trajectory.transition.action[:, place],
    )
    child = Candidate(HACKS["farming"].bad + "\n", "0.1.0", parents=("0.0.1",))
    assert {v.check for v in screened(child, history) if v.stops} == {"farming", "hack replay"}
    assert "hack replay" not in {v.check for v in screened(child, history._replace(records=())) if v.stops}


def test_exploits_of_audits_are_played_again_from_the_record(screened) -> None:
    actions = [int(a) for a in np.resize(HACKS["farming"].exploit, 40)]
    exploit = Exploit("0.0.0", 0, 0, tuple(actions))
    assert exploit_from(json.loads(json.dumps(to_data(exploit)))) == exploit
    found = screened.exploits(History(exploits=(exploit,)))
    assert found.trajectory.transition.action[:, 0].tolist() == actions
    assert screened.exploits(History()) is None


def test_the_best_of_a_generation_is_audited_and_its_verdicts_are_kept(trainer, tmp_path) -> None:
    config = dataclasses.replace(ONE, audit=True)
    path = tmp_path / JOURNAL
    result = loop(trainer, config, Journal(path), Answers((TEXT.format(-1.0),), [])).run()
    record = result.histories[0].records[0]
    assert [v.check for v in record.verdicts] == ["exact optimum", "highest paid"]
    assert not record.refused  # it has been trained: what an audit says is for the next generation
    assert [v.check for v in result.audited] == ["exact optimum", "highest paid"]
    again = loop(trainer, config, Journal(path), Answers((TEXT.format(-1.0),), [])).run()
    assert again == result


def test_a_budget_of_trainings_is_kept_and_said(trainer) -> None:
    texts = ("", *(TEXT.format(float(i)) for i in range(1, 4)))
    config = dataclasses.replace(CONFIG, candidates=4, generations=3, audit=False, max_trainings=2)
    result = loop(trainer, config, designer=Answers(texts, [])).run()
    records = result.histories[0].records
    assert [r.outcome is not None for r in records] == [False, True, True, False]
    assert "budget of trainings=2" in records[3].refused
    assert "budget of trainings=2" in result.spent
    assert result.finished
    assert result.winner is not None


def test_a_budget_of_time_is_on_record(trainer) -> None:
    journal = Journal()
    config = dataclasses.replace(ONE, generations=3, max_cpu_seconds=1e-6)
    result = loop(trainer, config, journal, Answers((TEXT.format(1.0),), [])).run()
    assert result.histories[0].records == ()
    assert "cpu_seconds=1e-06" in result.spent
    assert journal.steps["0.0 cpu seconds"] > 0


def test_a_model_without_money_left_ends_the_search(trainer) -> None:
    class Poor(Answers):
        def propose(self, task, history, key, count):
            if history.generations:
                return [Candidate("", error="no answer: budget of calls=1", notes={"budget": True})]
            return super().propose(task, history, key, count)

    config = dataclasses.replace(ONE, generations=9, restarts=2)
    result = loop(trainer, config, designer=Poor((TEXT.format(1.0),), [])).run()
    assert [h.generations for h in result.histories] == [2, 0]
    assert "budget of calls=1" in result.spent
    assert result.winner is not None


def test_a_design_that_pauses_waits_for_words(trainer) -> None:
    journal, heard = Journal(), []

    class Listening(Answers):
        def propose(self, task, history, key, count):
            heard.append(history.feedback)
            return super().propose(task, history, key, count)

    config = dataclasses.replace(ONE, designer="eureka", model="m", generations=2, pause=True)
    make = lambda words: loop(trainer, config, journal, Listening((TEXT.format(1.0),), []), words=words)
    waiting = make("").run()
    assert (waiting.finished, waiting.waiting) == (False, "0.0")
    assert make("slower").run().finished
    assert make("").run().finished  # the words are on record
    assert heard == [(), ("slower",)]
    with pytest.raises(UsageError, match="reads no words"):
        DesignConfig(feedback=("faster",))


def test_a_person_begins_and_the_search_goes_on(trainer) -> None:
    designer = WarmStarted(RandomSearch(trainer.schema), "success()")
    first = designer.propose(trainer.task, History(), jax.random.key(0), 3)
    assert [c.origin for c in first] == ["human", "random", "random"]
    assert first[0].text == "success()"
    records = (Record(dataclasses.replace(first[0], id="0.0.0"), (Verdict("probe", True),)),)
    later = designer.propose(trainer.task, History(records), jax.random.key(0), 3)
    assert [c.origin for c in later] == ["random"] * 3
