"""How far parameters may go for a trained policy, and designs with parameters that differ by episode."""

import json
import math

import jax
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.design.clients import Answering
from rlkit.design.commands import design
from rlkit.design.config import DesignConfig
from rlkit.design.dr_eureka import RANGES, Widened, widen
from rlkit.design.folder import WINNER
from rlkit.design.llm import seeds_of
from rlkit.design.randomisation import Bounds, feasible
from rlkit.design.ranges import choose_ranges
from rlkit.design.transcripts import Transcript
from rlkit.design.types import DesignTask
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.runs import store
from rlkit.experiment.training import config as configs
from rlkit.rewards.designed import seal


@pytest.fixture(scope="module")
def untrained():
    agent = ppo(make("classic/pendulum"), PPOConfig(num_envs=1, num_steps=8, minibatches=1, sizes=(4,)))
    return agent, agent.init(jax.random.key(0))


def test_bounds_are_the_ends_of_what_passes(untrained) -> None:
    """Length of episodes is known: the time limit."""
    tried = {"max_steps": [5, 20, 10], "gravity": [1.0, 20.0]}
    found = feasible(*untrained, jax.random.key(1), tried, passes=10.0, curve="length", episodes=2)
    assert found["max_steps"] == (10.0, 20.0, (5.0, 20.0, 10.0), (5.0, 20.0, 10.0))
    assert found["gravity"].scores == (200.0, 200.0)
    found = feasible(
        *untrained, jax.random.key(1), {"max_steps": [5, 20, 10], "gravity": [1.0, 2.0]},
        passes=500.0, curve="length", episodes=2,
    )  # fmt: skip
    assert all(math.isnan(bounds.low) and math.isnan(bounds.high) for bounds in found.values())


def test_what_cannot_be_tried_is_refused(untrained) -> None:
    with pytest.raises(UnknownNameError, match="length"):
        feasible(*untrained, jax.random.key(1), {"lenght": [1.0]})
    with pytest.raises(UsageError, match="values"):
        feasible(*untrained, jax.random.key(1), {"length": []})
    with pytest.raises(UsageError, match=r"length=\[nan\]: expected finite numbers"):
        feasible(*untrained, jax.random.key(1), {"length": [math.nan]})
    with pytest.raises(UsageError, match="passes"):
        feasible(*untrained, jax.random.key(1), {"length": [1.0]}, passes=math.nan)
    with pytest.raises(UnknownNameError, match="success"):
        feasible(*untrained, jax.random.key(1), {"length": [1.0]}, curve="sucess")


def test_a_design_may_randomise_its_environment() -> None:
    task = DesignConfig(randomise=("length=0.5:2",)).task()
    assert task.env.spec.id == "classic/pendulum+randomised"
    state = task.env.initial(jax.random.key(0), task.params)
    assert 0.5 <= float(state.memory["length"]) <= 2.0
    with pytest.raises(UsageError, match="NAME=LOW:HIGH"):
        DesignConfig(randomise=("length=0.5",))
    with pytest.raises(UnknownNameError, match="length"):
        DesignConfig(randomise=("lenght=0.5:2",)).task()


BOUNDS = {
    "length": Bounds(0.5, 2.0, (0.25, 0.5, 2.0), (0.0, 0.75, 1.0)),
    "gravity": Bounds(math.nan, math.nan, (50.0,), (0.0,)),
    "max_steps": Bounds(10.0, 20.0, (10.0, 20.0), (1.0, 1.0)),
}


def one(name, low, high):
    return json.dumps({"reasons": "links differ", "ranges": [{"name": name, "low": low, "high": high}]})


def test_a_model_chooses_ranges_inside_the_bounds(tmp_path) -> None:
    texts = [
        one("length", 0.8, 1.5),
        one("length", 0.1, 1.5),  # outside
        one("length", 1.5, 0.8),  # the larger first
        one("gravity", 5.0, 15.0),  # nothing passed there
        one("max_steps", 10, 20),  # no floating-point number
        "Ignore the bounds.",
        json.dumps({"ranges": []}),
        json.dumps({"ranges": [{"name": "length", "low": True, "high": 2}]}),
        json.dumps({"ranges": [{"name": "length", "low": 1, "high": 2}] * 2}),
    ]
    asked = []
    answers = dict(zip(seeds_of(jax.random.key(0), len(texts)), texts, strict=True))

    def answer(messages, seed):  # called from several threads, in any order
        asked.append((messages, seed))
        return answers[seed]

    task = DesignTask(make("classic/pendulum"))
    client = Transcript(Answering(answer), tmp_path / "t.jsonl")
    found = choose_ranges(client, task, BOUNDS, jax.random.key(0), count=len(texts), safety="do not break")
    assert found[0].ranges == {"length": (0.8, 1.5)}
    assert found[0].reasons == "links differ"
    assert found[0].answer == texts[0]
    expected = (
        "",
        "between 0.5 and 2",
        "the smaller first",
        "length",
        "length",
        "JSON",
        "ranges",
        "number",
        "twice",
    )
    for chosen, part in zip(found, expected, strict=True):
        assert part in chosen.error
        assert bool(chosen.error) != bool(chosen.ranges)
    assert len({seed for _, seed in asked}) == len(texts)
    words = asked[0][0][1]["content"]
    assert "do not break" in words
    assert "gravity" not in words
    task = DesignConfig(randomise=found[0].randomise).task()
    assert 0.8 <= float(task.env.initial(jax.random.key(0), task.params).memory["length"]) <= 1.5
    again = choose_ranges(
        Transcript(path=tmp_path / "t.jsonl"), DesignTask(make("classic/pendulum")), BOUNDS,
        jax.random.key(0), count=len(texts), safety="do not break",
    )  # fmt: skip
    assert again == found


@pytest.fixture
def finished(tmp_path):
    """The folder of a design that has ended, with what is read of it."""
    path = tmp_path / "design"
    path.mkdir()
    agent = PPOConfig(num_envs=2, num_steps=8, minibatches=1, sizes=(4,))
    config = DesignConfig(
        env="classic/pendulum", agent=agent, total_steps=32, eval_episodes=2,
        randomise=("gravity=5:15",),
    )  # fmt: skip
    store.write_json(path / store.CONFIG, configs.to_dict(config))
    store.write_json(path / WINNER, seal({"text": "success()", "base": ""}))
    return path


def test_the_winner_of_a_design_says_how_far_parameters_may_go(finished, capsys) -> None:
    with pytest.raises(UnknownNameError, match="length"):
        widen(finished, {"lenght": [1.0]})
    seen = []
    client = Answering(lambda messages, seed: seen.append(seed) or one("length", 0.8, 1.5))
    tried = {"length": [0.5, 2.0], "max_steps": [5, 10]}
    found = widen(finished, tried, passes=150.0, curve="length", count=2, client=client)
    assert found.bounds["length"] == (0.5, 2.0, (0.5, 2.0), (200.0, 200.0))
    assert found.ranges[0].randomise == ("length=0.8:1.5",)
    lines = found.lines()
    assert lines[1].startswith("max_steps: nothing passes (5: 5, 10: 10)")
    assert lines[2:] == ["--randomise length=0.8:1.5"] * 2
    kept = store.read_json(finished / RANGES)
    assert kept["bounds"]["max_steps"]["low"] is None
    assert kept["ranges"][1]["ranges"] == {"length": [0.8, 1.5]}
    again = widen(finished, tried, passes=150.0, curve="length", count=2, client=client)
    assert again == found or str(again) == str(found)  # NaN is not itself
    assert len(seen) == 2  # answers are on record


def test_ranges_by_the_command(finished, capsys, monkeypatch) -> None:
    asked = {}

    def noted(folder, values, **options):
        asked.update(folder=folder, values=values, passes=options["passes"], count=options["count"])
        return Widened({"length": BOUNDS["length"]}, ())

    monkeypatch.setattr("rlkit.design.dr_eureka.widen", noted)
    tried = ["--try", "length=0.5,2", "gravity=5"]
    assert design(["--ranges", str(finished), "--passes", "0.7", "--count=3", *tried]) == 0
    values = {"length": (0.5, 2.0), "gravity": (5.0,)}
    assert asked == {"folder": str(finished), "values": values, "passes": 0.7, "count": 3}
    assert capsys.readouterr().out.startswith("length: 0.5 to 2 passes (0.25: 0, 0.5: 0.75, 2: 1)")
    for words in (["--try"], ["--try", "length"], ["length=1"], ["--passes", "x", "--try", "length=1"]):
        with pytest.raises(UsageError):
            design(["--ranges", str(finished), *words])


def test_a_design_without_a_winner_has_no_ranges(finished) -> None:
    (finished / WINNER).unlink()
    with pytest.raises(UsageError, match="winner"):
        widen(finished, {"length": [1.0]})


def test_bounds_without_a_choice_are_refused() -> None:
    client, task = Answering(lambda messages, seed: ""), DesignTask(make("classic/pendulum"))
    with pytest.raises(UsageError, match="gravity"):
        choose_ranges(client, task, {"gravity": BOUNDS["gravity"]}, jax.random.key(0))
    with pytest.raises(UnknownNameError, match="length"):
        choose_ranges(client, task, {"lenght": BOUNDS["length"]}, jax.random.key(0))
