"""Islands admit, breed apart and start again; tuning changes numbers alone."""

import dataclasses
import math

import jax
import pytest

from rlkit.design import DesignTask
from rlkit.design.evolution import RandomSearch
from rlkit.design.genome import from_json, schema_of
from rlkit.design.islands import Islands, Tuned
from rlkit.design.types import Candidate, History, Record
from rlkit.envs import make
from rlkit.errors import UsageError
from rlkit.rewards.language import parse_program

TASK = DesignTask(make("classic/pendulum"))
SCHEMA = schema_of(TASK)
SCORES = [0.5, 0.125, 1.0, 0.25, 0.25, 0.75]


def numbered(found, generation, scores):
    named = [dataclasses.replace(c, id=f"0.{generation}.{i}") for i, c in enumerate(found)]
    return tuple(Record(c, (), None, score) for c, score in zip(named, scores, strict=True))


def ids(records):
    return [r.candidate.id for r in records]


def test_islands_admit_what_reaches_their_mean() -> None:
    designer = Islands(SCHEMA, islands=3, reset=0.0)
    first = numbered(designer.propose(TASK, History(), jax.random.key(0), 6), 0, SCORES)
    history = History(first)
    assert [ids(designer.population(history, i)) for i in range(3)] == [
        ["0.0.0", "0.0.3"], ["0.0.1", "0.0.4"], ["0.0.2", "0.0.5"],
    ]  # fmt: skip
    found = designer.propose(TASK, history, jax.random.key(1), 6)
    for i, candidate in enumerate(found):
        assert set(candidate.parents) <= set(ids(designer.population(history, i % 3)))
    scores = [0.375, 0.125, -math.inf, 0.25, 0.1875, 0.875]  # the means: 0.375, 0.1875 and 0.875
    history = History((*first, *numbered(found, 1, scores)))
    assert [ids(designer.population(history, i))[2:] for i in range(3)] == [["0.1.0"], ["0.1.4"], ["0.1.5"]]


def test_the_weaker_half_starts_again_from_a_fitter_island() -> None:
    designer = Islands(SCHEMA, islands=3, reset=1.0, fresh=0.0)
    history = History(numbered(designer.propose(TASK, History(), jax.random.key(0), 6), 0, SCORES))
    found = designer.propose(TASK, history, jax.random.key(2), 3)
    weak = found[1].notes["population"]
    assert weak in (["0.0.0", "0.0.3"], ["0.0.2", "0.0.5"])
    assert [found[i].notes["population"] for i in (0, 2)] == [["0.0.0", "0.0.3"], ["0.0.2", "0.0.5"]]
    assert designer.propose(TASK, history, jax.random.key(2), 3) == found
    with pytest.raises(UsageError, match="reset"):
        Islands(SCHEMA, reset=2.0)


def test_tuning_changes_the_numbers_of_the_best_and_nothing_else() -> None:
    designer = Tuned(RandomSearch(SCHEMA), SCHEMA, share=0.5)
    first = designer.propose(TASK, History(), jax.random.key(0), 4)
    assert [c.origin for c in first] == ["random"] * 4
    history = History(numbered(first, 0, SCORES[:4]))
    found = designer.propose(TASK, history, jax.random.key(1), 4)
    assert [c.origin for c in found] == ["random", "random", "tuned", "tuned"]
    before = from_json(first[2].genome, SCHEMA)
    for candidate in found[2:]:
        assert candidate.parents == ("0.0.2",)
        after = from_json(candidate.genome, SCHEMA)
        assert [(t.kind, t.field, t.target, t.gate) for t in after] == [
            (t.kind, t.field, t.target, t.gate) for t in before
        ]
        assert [t.weight for t in after] != [t.weight for t in before]
    text = "def reward(s, a, ns, done):\n    r = 0.5 * ns.height + 2.0\n    return r, {'r': r}\n"
    program = History(numbered([Candidate(text)], 0, [1.0]))
    one, other = designer.propose(TASK, program, jax.random.key(1), 4)[2:]
    structures = {parse_program(c.text).structure for c in (one, other, Candidate(text))}
    assert len(structures) == 1
    assert one.text != other.text
