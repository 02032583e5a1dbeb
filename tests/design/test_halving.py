"""Candidates are compared on the way by what one asks for, and the worse ones stop."""

import math

import jax
import numpy as np
import pytest

from rlkit.design import History, Outcome
from rlkit.design.config import DesignConfig
from rlkit.design.data import outcome_from, to_data
from rlkit.design.evolution import RandomSearch
from rlkit.design.halving import PREDICTORS, halving, predicted
from rlkit.errors import UsageError

NAN = math.nan


def outcome(fitness: float, phi_r: float = 0.0, rank: float = 0.0, dead: float = 0.0, error: str = ""):
    rows = [[fitness, fitness]]
    latents = {"phi_r": [phi_r, phi_r], "rank": [rank, rank], "dead": [dead, dead]}
    return Outcome([10], rows, rows, rows, rows, error=error, latents=latents)


FOUR = [
    outcome(0.1, 3.0, 5.0, 0.5),
    outcome(0.4, NAN, 7.0, 0.0),
    outcome(0.2, 1.0, 6.0, 0.1),
    outcome(0.3, 2.0),
]


@pytest.mark.parametrize(
    ("by", "ranks"),
    [
        (("score",), [1, 4, 2, 3]),
        (("phi_r",), [4, 1, 2, 3]),  # what is undefined is the last
        (("rank",), [2, 4, 3, 1]),
        (("dead",), [1, 3.5, 2, 3.5]),  # dead units speak against a candidate; equals share a rank
        (("score", "phi_r"), [2.5, 2.5, 2, 3]),
    ],
)
def test_predictors_rank_candidates(by, ranks) -> None:
    np.testing.assert_allclose(predicted(FOUR, by), ranks)


def test_the_better_share_stays_and_never_none() -> None:
    assert halving(0.5, (0.2,)).chosen(FOUR) == [False, True, False, True]
    assert halving(0.5, (0.2,), ("score", "phi_r")).chosen(FOUR) == [
        True,
        False,
        False,
        True,
    ]  # first of equals
    assert sum(halving(0.99, (0.2,)).chosen(FOUR)) == 1
    assert not halving(0.5, (0.2,)).latents
    assert halving(0.5, (0.2,), ("rank",)).latents
    broken = [outcome(9.0, 9.0, error="not a number"), *FOUR[1:]]
    assert not any(halving(0.5, (0.2,), (name,)).chosen(broken)[0] for name in ("score", "phi_r"))


def test_bad_predictors_are_refused() -> None:
    with pytest.raises(UsageError, match="phi_r"):
        DesignConfig(drop=0.5, drop_by=("phi",))
    with pytest.raises(UsageError, match="each once"):
        DesignConfig(drop=0.5, drop_by=("rank", "rank"))
    with pytest.raises(UsageError, match="drop_at"):
        DesignConfig(drop=0.5, drop_at=())


def test_what_latents_say_travels_as_json() -> None:
    again = outcome_from(to_data(outcome(0.5, NAN, 2.0)))
    assert math.isnan(again.latents["phi_r"][0])
    assert again.latents["rank"] == (2.0, 2.0)
    old = {name: x for name, x in to_data(outcome(0.5)).items() if name != "latents"}
    assert outcome_from(old).latents == {}


@pytest.mark.slow
def test_candidates_are_compared_by_what_their_latents_say(trainer) -> None:
    """Two rungs; latents are read there and nowhere else, and reading them changes nothing."""
    proposed = RandomSearch(trainer.schema).propose(trainer.task, History(), jax.random.key(0), 4)
    key = jax.random.key(5)
    whole = dict(trainer.train(proposed, key))
    assert not whole[0].latents
    found = dict(trainer.train(proposed, key, keep=halving(0.5, (0.34, 0.67), PREDICTORS)))
    assert sorted(o.stopped for o in found.values()) == [0, 64, 64, 128]
    for place, one in found.items():
        assert set(one.latents) == {"phi_r", "rank", "dead"}
        assert all(1 <= x <= 8 for x in one.latents["rank"])  # of eight units
        assert all(0 <= x <= 1 for x in one.latents["dead"])
        assert one.fitness == whole[place].fitness[: len(one.fitness)]
    again = dict(trainer.train(proposed, key, keep=halving(0.5, (0.34, 0.67), PREDICTORS)))
    assert {p: o.latents for p, o in again.items()} == {p: o.latents for p, o in found.items()}
