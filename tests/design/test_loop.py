"""The loop of a design: alignment, resuming to the same bytes, honest reports, sealed winners."""

import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from rlkit.agents.ppo import PPOConfig
from rlkit.design import Candidate, Outcome, Verdict
from rlkit.design.config import DesignConfig
from rlkit.design.evolution import Evolution
from rlkit.design.folder import sentence, summarise, winner_data
from rlkit.design.journal import JOURNAL, Journal
from rlkit.design.loop import Loop
from rlkit.design.recorded import CONFIGURED, check_config, decisive
from rlkit.design.results import Fresh, Result
from rlkit.design.types import History, Record
from rlkit.errors import UsageError
from rlkit.rewards import read
from rlkit.rewards.designed import open_sealed, seal
from rlkit.types import Transition

CONFIG = DesignConfig(
    agent=PPOConfig(num_envs=4, num_steps=16, sizes=(8,), minibatches=1, epochs=1),
    total_steps=192, seeds=2, checkpoints=3, eval_episodes=2,  # as the trainer's
    candidates=2, generations=2, restarts=1, checks=False, finalists=2, fresh_seeds=2,
)  # fmt: skip


def loop(trainer, config=CONFIG, journal=None, designer=None, **options):
    designer = Evolution(trainer.schema) if designer is None else designer
    return Loop(trainer.task, config, designer, trainer, journal=journal, **options)


@pytest.fixture(scope="module")
def whole(trainer, tmp_path_factory):
    path = tmp_path_factory.mktemp("design") / JOURNAL
    return loop(trainer, journal=Journal(path)).run(), path.read_bytes()


def test_a_design_ends_with_fresh_scores(whole) -> None:
    result, _ = whole
    assert result.finished
    assert len(result.histories[0].records) == 4
    assert {r.candidate.parents for r in result.histories[0].generation(0)} == {()}
    assert set(result.fresh.outcomes) == {"winner", "sparse", "environment's own"}
    assert result.fresh.values("winner", "fitness").shape == (2,)
    validated = [record.score for record in result.validated]
    assert validated == sorted(validated, reverse=True)


@pytest.mark.parametrize(
    "cut",
    [pytest.param(0.02, marks=pytest.mark.slow), 0.35, pytest.param(0.6, marks=pytest.mark.slow), 0.999],
)
def test_a_killed_design_goes_on_to_the_same_bytes(whole, trainer, tmp_path, cut) -> None:
    """What a kill leaves: the first part of the journal, with a line that is torn."""
    result, data = whole
    path = tmp_path / JOURNAL
    path.write_bytes(data[: int(cut * len(data))])
    again = loop(trainer, journal=Journal(path)).run()
    assert path.read_bytes() == data
    assert again == result


def test_a_stopped_design_says_so_and_goes_on(whole, trainer, tmp_path) -> None:
    result, data = whole
    path, asked = tmp_path / JOURNAL, []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    ended = loop(trainer, journal=Journal(path), stop=stop).run()
    assert not ended.finished
    assert path.read_bytes() != data
    assert loop(trainer, journal=Journal(path)).run() == result
    assert path.read_bytes() == data


def test_a_changed_journal_is_refused(whole, tmp_path) -> None:
    _, data = whole
    path = tmp_path / JOURNAL
    place = data.index(b'"fitness": [[') + 15
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(UsageError, match="has been changed since it was written"):
        Journal(path)


def test_another_configuration_than_the_one_begun_with_is_refused(tmp_path) -> None:
    journal = Journal(tmp_path / JOURNAL)
    journal.note(CONFIGURED, decisive(CONFIG))
    again = Journal(tmp_path / JOURNAL)
    check_config(tmp_path, dataclasses.replace(CONFIG, workers=CONFIG.workers + 1, replay="x"), again)
    with pytest.raises(
        UsageError, match="is not what the design was begun with: total_steps was 192 and is 384"
    ):
        check_config(tmp_path, dataclasses.replace(CONFIG, total_steps=384), again)


@dataclasses.dataclass(frozen=True)
class Answers:
    """Gives the same answers in each generation, some of which are none, and notes what it was shown."""

    texts: tuple[str, ...]
    shown: list
    name: str = "answers"

    def propose(self, task, history: History, key, count: int) -> list[Candidate]:
        best = history.best()
        self.shown.append(None if best is None else best.candidate)
        error = lambda text: "" if text else "no code block"
        return [Candidate(t, answer=f"answer {i}", error=error(t)) for i, t in enumerate(self.texts)]


@pytest.mark.parametrize(
    "bad", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_the_parent_is_the_best_candidate_whatever_failed_before_it(trainer, bad) -> None:
    text = "def reward(s, a, ns, done):\n    near = {} * ns.height\n    return near, {{'near': near}}\n"
    texts = [text.format(float(i + 1)) for i in range(2)]
    texts.insert(bad, "")
    designer = Answers(tuple(texts), [])
    config = dataclasses.replace(CONFIG, candidates=3, generations=2)
    result = loop(trainer, config, designer=designer).run()
    first = result.histories[0].generation(0)
    assert [r.candidate.answer for r in first] == ["answer 0", "answer 1", "answer 2"]
    assert first[bad].refused == "no code block"
    assert first[bad].outcome is None
    best = max((r for r in first if r.outcome), key=lambda r: r.score)
    assert designer.shown == [None, best.candidate]
    assert best.candidate.text == texts[int(best.candidate.answer[-1])]


def test_candidates_that_a_check_stops_are_not_trained(trainer) -> None:
    def screen(candidate: Candidate, history: History) -> tuple[Verdict, ...]:
        return (Verdict("probe", candidate.id.endswith("0"), "constant"),)

    config = dataclasses.replace(CONFIG, generations=1)
    history = loop(trainer, config, screen=screen).generation(History(), 0, 0)
    assert [r.outcome is None for r in history.records] == [False, True]
    assert history.records[1].refused == "probe: constant"


def test_a_design_of_which_nothing_can_be_trained_says_so(trainer) -> None:
    designer = Answers(("", ""), [])
    result = loop(trainer, dataclasses.replace(CONFIG, generations=1), designer=designer).run()
    assert result.finished
    assert result.winner is None
    assert summarise(CONFIG, result)["sentence"] == "No candidate could be trained."


def test_a_designer_that_miscounts_is_refused(trainer) -> None:
    with pytest.raises(UsageError, match="gave 1 candidates; expected exactly 2"):
        loop(trainer, designer=Answers(("success()",), [])).run()


def fresh(winner, sparse):
    of = lambda values: Outcome([10], [values], [values], [values], [values])
    return Fresh({"winner": of(winner), "sparse": of(sparse), "environment's own": of(sparse)})


@pytest.mark.parametrize(
    ("winner", "words"), [(1.0, "is better than"), (-1.0, "is worse than"), (0.0, "cannot be told from")]
)
def test_the_report_says_when_nothing_was_gained(winner, words) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, (2, 12))
    found = fresh((winner + noise[0]).tolist(), noise[1].tolist())
    record = Record(Candidate("success()", "0.0.0"))
    result = Result(True, (History((record,)),), (record,), found)
    assert words in sentence(CONFIG, result)
    assert summarise(CONFIG, result)["human_normalised"]["score"] is None  # own and sparse score the same
    own = Fresh({**found.outcomes, "environment's own": Outcome([10], *[[[2.0 + x for x in noise[1]]]] * 4)})
    score = summarise(CONFIG, result._replace(fresh=own))["human_normalised"]["score"]
    np.testing.assert_allclose(score, (winner + noise[0].mean() - noise[1].mean()) / 2.0, rtol=1e-6)


def test_the_winner_is_rebuilt_from_its_file_and_a_changed_byte_is_refused(whole, trainer, tmp_path) -> None:
    result, _ = whole
    data = winner_data(CONFIG, loop(trainer), result)
    path = tmp_path / "winner.reward.json"
    path.write_text(json.dumps(seal(data)))
    task = trainer.task
    rebuilt, own = read(path, task.spec), task.reward(result.winner.candidate.text)
    names = ("angle", "velocity", "height", "sideways", "upright_steps")
    steps = [{n: np.float32(x) for n in names} for x in (0.3, 0.8)]
    flag = np.array(False)
    obs, zero = np.zeros(3, np.float32), np.float32(0)
    t = Transition(obs, np.ones(1, np.float32), obs, *steps, zero, flag, flag, np.array(True), flag)
    pay = lambda reward: reward.apply(reward.init(jax.random.key(0)), t, reward.params)[1]
    assert pay(rebuilt) == pay(own)
    assert open_sealed(path)["lineage"][0]["candidate"]["id"] == result.winner.candidate.id
    content, refused = path.read_bytes(), 0
    for place in range(3, len(content), len(content) // 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :])
        with contextlib.suppress(ValueError):
            if json.loads(path.read_bytes()) == json.loads(content):  # the 17th digit of a number
                assert open_sealed(path) == json.loads(content)
                continue
        with pytest.raises(UsageError):
            read(path, task.spec)
        refused += 1
    assert refused > 50
