"""Records of a design come back from JSON as they were."""

import json
import math

import pytest

from rlkit.design import Candidate, DesignTask, History, Outcome, Record, Verdict, score
from rlkit.design.data import record_from, to_data
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError

OUTCOME = Outcome([0, 10, 20], [[0.0, 0.0], [1.0, 0.5], [0.25, 0.75]], terms={"near": [[1.0, 2.0]] * 3})


def record(id: str, value: float = -math.inf, **options: object) -> Record:
    return Record(Candidate("success()", id, **options), score=value)  # pyrefly: ignore


def test_a_record_comes_back_equal() -> None:
    verdict = Verdict("probe", False, "constant", numbers={"low": 1.0})
    whole = Record(Candidate("success()", "0.1.2", parents=("0.0.1",)), (verdict,), OUTCOME, 0.5)
    assert record_from(json.loads(json.dumps(to_data(whole), allow_nan=False))) == whole
    refused = Record(Candidate("", "0.0.0", error="no code block"))
    assert record_from(json.loads(json.dumps(to_data(refused), allow_nan=False))) == refused
    assert refused.refused == "no code block"


def test_a_thing_that_is_no_record_is_refused() -> None:
    with pytest.raises(UsageError, match="not a record"):
        record_from({"candidate": {}})


@pytest.mark.parametrize(("over", "value"), [("max", 0.875), ("final", 0.5), ("mean", 0.4167)])
def test_scores(over: str, value: float) -> None:
    assert score(OUTCOME, over) == pytest.approx(value, abs=1e-4)
    assert score(None, over) == score(Outcome(error="diverged"), over) == -math.inf


def test_a_score_that_is_not_known_has_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="final"):
        score(OUTCOME, "finall")


def test_history_keeps_the_order_of_answers() -> None:
    history = History((record("0.0.0", 1.0), record("0.0.1"), record("0.1.0", 3.0), record("0.1.1", 3.0)))
    assert history.generations == 2
    assert [r.candidate.id for r in history.generation(-1)] == ["0.1.0", "0.1.1"]
    assert history.best() is history.find("0.1.0")
    assert [r.candidate.id for r in history.scored()] == ["0.1.0", "0.1.1", "0.0.0"]
    assert History().best() is None


def test_forbidden_features_are_hidden_from_designers() -> None:
    env = make("nav/pointmaze-umaze")
    name = env.spec.features[0].name
    task = DesignTask(env, forbidden=(name,))
    assert name not in [f.name for f in task.spec.features]
    with pytest.raises(UnknownNameError):
        DesignTask(env, forbidden=("nothing",))


@pytest.mark.parametrize("name", ["fitness", "success", "returned", "length"])
def test_a_term_that_is_called_like_a_curve_does_not_pass_for_it(name: str) -> None:
    curves = {curve: [[0.25]] for curve in ("fitness", "success", "returned", "length")}
    outcome = Outcome([10], **curves, terms={name: [[99.0]]})  # pyrefly: ignore
    assert outcome.curve(name) == score(outcome, "final", name) == 0.25
