"""Tree search: lineages become a tree, upper bounds choose what is expanded, five ways of expanding."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from rlkit.design import DesignTask
from rlkit.design.genome import from_json, schema_of
from rlkit.design.tree import ACTIONS, ROOT, Tree, Walk, bounds, leaf, tree_of
from rlkit.design.types import Candidate, History, Record
from rlkit.envs import make
from rlkit.errors import UsageError

TASK = DesignTask(make("classic/pendulum"))
SCHEMA = schema_of(TASK)


def record(id, parents=(), score=0.0, genome=None):
    return Record(Candidate(f"text {id}", id, parents=tuple(parents), genome=genome), score=score)


HISTORY = History(
    (
        record("0.0.0", score=0.25),
        record("0.0.1", score=0.5),
        record("0.0.2", score=-math.inf),  # it was not trained
        record("0.1.0", ["0.0.0"], 1.0),
        record("0.1.1", ["0.0.2", "0.0.1"], 0.0),  # its first parent is not in the tree
        record("0.1.2", ["0.0.0", "0.0.1"], 0.75),
        record("0.2.0", ["0.1.2"], 0.5),
    )
)


def test_lineages_become_a_tree_with_the_best_below_as_value() -> None:
    tree = tree_of(HISTORY)
    assert tree[ROOT].children == ("0.0.0", "0.0.1")
    assert tree["0.0.0"].children == ("0.1.0", "0.1.2")
    assert {id: node.visits for id, node in tree.items()} == {
        ROOT: 6, "0.0.0": 4, "0.0.1": 2, "0.1.0": 1, "0.1.1": 1, "0.1.2": 2, "0.2.0": 1,
    }  # fmt: skip
    assert {id: node.value for id, node in tree.items()} == {
        ROOT: 1.0, "0.0.0": 1.0, "0.0.1": 0.5, "0.1.0": 1.0, "0.1.1": 0.0, "0.1.2": 0.75, "0.2.0": 0.5,
    }  # fmt: skip
    assert tree_of(History())[ROOT].children == ()


def test_bounds_are_those_of_the_formula_and_choose_what_is_expanded() -> None:
    tree = tree_of(HISTORY)
    found = bounds(tree, ROOT, 0.5, {})
    wanted = {
        "0.0.0": 1.0 + 0.5 * math.sqrt(math.log(7) / 4),
        "0.0.1": 0.5 + 0.5 * math.sqrt(math.log(7) / 2),
    }
    assert found == pytest.approx(wanted)
    # Two children of four visits are as many as the square root allows, so the best of them is gone on with.
    assert leaf(tree, 0.0, 0.5, {}, {}) == "0.1.0"
    assert leaf(tree, 0.0, 1.0, {}, {}) == "0.0.0"
    assert leaf(tree, 100.0, 0.5, {}, {}) == "0.0.1"
    extra: dict[str, int] = {}
    expanded: dict[str, int] = {}
    chosen = [leaf(tree, 0.5, 0.5, extra, expanded) for _ in range(12)]
    assert {"0.1.0", "0.1.2"} <= set(chosen)  # what was chosen in this generation counts as visited
    assert extra[ROOT] == 12


@pytest.fixture(scope="module")
def grown() -> tuple[History, dict[str, Candidate]]:
    designer, history, chance = Tree(SCHEMA, Walk(horizon=12)), History(), np.random.default_rng(0)
    for generation in range(12):
        found = designer.propose(TASK, history, jax.random.key(generation), 6)
        named = [dataclasses.replace(c, id=f"0.{generation}.{i}") for i, c in enumerate(found)]
        new = tuple(Record(c, score=float(chance.random())) for c in named)
        history = History((*history.records, *new))
    return history, {r.candidate.id: r.candidate for r in history.records}


def test_all_five_ways_of_expanding_do_what_they_say(grown) -> None:
    history, known = grown
    tree = tree_of(history)
    seen = dict.fromkeys(ACTIONS, 0)
    for candidate in known.values():
        action = candidate.notes["action"]
        assert (action == "root") == (not candidate.parents)
        if action == "root":
            continue
        seen[action] += 1
        one, *others = candidate.parents
        parent, child = (from_json(c.genome, SCHEMA) for c in (known[one], candidate))
        if action == "numbers":
            assert [(t.kind, t.field, t.target, t.gate) for t in child] == [
                (t.kind, t.field, t.target, t.gate) for t in parent
            ]
        if action in ("elite", "path"):
            both = {*parent, *from_json(known[others[0]].genome, SCHEMA)}
            assert set(child) <= both
        if action == "path":
            up, line = tree[one].parent, []
            while up != ROOT:
                line.append(up)
                up = tree[up].parent
            assert others[0] in line
    assert all(seen.values())


def test_it_is_deterministic_and_tries_nothing_twice(grown) -> None:
    history, known = grown
    again = Tree(SCHEMA, Walk(horizon=12)).propose(TASK, History(history.records[:30]), jax.random.key(5), 6)
    assert [c.text for c in again] == [r.candidate.text for r in history.records[30:36]]
    assert len({c.text for c in known.values()}) == len(known)
    for wrong in ({"explore": -1.0}, {"widening": 0.0}, {"horizon": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Walk(**wrong)
