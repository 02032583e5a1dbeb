"""What successes say about features is what searches begin with."""

import re
from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest
from worlds import Errand

from rlkit.design import Candidate, DesignTask, History, gather
from rlkit.design.config import DesignConfig
from rlkit.design.designing import begun
from rlkit.design.episodes import pay
from rlkit.design.evolution import Evolution, candidate_of
from rlkit.design.genome import encode, from_json, schema_of, to_json
from rlkit.design.guidance import Guided, leads
from rlkit.design.interpreter import genome_reward
from rlkit.design.invariance import potential_based
from rlkit.design.scoring import merit, score
from rlkit.design.screen import Screen
from rlkit.design.types import Outcome, Record

TASK = DesignTask(Errand(), base="success()")


@pytest.fixture(scope="module")
def evidence():
    return gather(TASK, 0, steps=40, starts=2, each=8, generations=12)


@pytest.fixture(scope="module")
def schema():
    return schema_of(TASK)


def test_stages_are_told_apart_and_each_has_its_measure(evidence, schema) -> None:
    """First to the cup, then with it to the goal: nobody said so."""
    assert evidence.episodes.solved.any()
    found = leads(evidence, schema)
    assert len(set(found)) == len(found) >= 4
    assert all(from_json(to_json(genome), schema) == genome for genome in found)
    staged = {(t.field, t.gate.when, t.gate.field) for genome in found for t in genome if t.gate.field}
    assert ("cup_distance", "unless", "holding") in staged
    assert ("goal_distance", "while", "holding") in staged
    # Neither gate stays shut: the cup can be put down, so that no term is paid for going to and fro.
    kinds = {t.kind for genome in found for t in genome if t.gate.field == "holding"}
    assert kinds <= {"best", "share", "climb"}


def test_a_ladder_rises_along_the_way_and_is_one_potential(evidence, schema) -> None:
    """Through both gates: whatever the order of its stages, the optimal policies stay those of the base."""
    ladder = next(g for g in leads(evidence, schema) if {t.kind for t in g} == {"share"})
    assert len({t.gate.when for t in ladder}) == 3
    reward = genome_reward(schema)._replace(params=encode(ladder, schema))
    assert potential_based(reward, evidence).passed
    solved = evidence.episodes.take(evidence.episodes.solved)
    shortest = solved.take(np.array([solved.length.argmin()]))
    paid = pay(reward, shortest).reward[:, 0]
    paid = paid[: shortest.length[0] - 1]  # the end takes the potential back
    assert paid.sum() > 0.05
    assert np.cumsum(paid).max() == pytest.approx(paid.sum(), abs=0.05)


def test_without_success_the_best_attempts_speak_and_without_any_nobody(evidence, schema) -> None:
    attempts = evidence._replace(episodes=evidence.episodes.take(~evidence.episodes.solved))
    assert leads(attempts, schema) == ()  # those that were sought have all succeeded
    sought = evidence.episodes.take(evidence.episodes.kind == "sought")
    t = sought.trajectory.transition
    failed = t._replace(success=np.zeros_like(t.success))
    sought = sought._replace(trajectory=sought.trajectory._replace(transition=failed))
    found = leads(evidence._replace(episodes=sought), schema)
    assert {t.field for genome in found for t in genome} & {"cup_distance", "goal_distance"}
    only = schema_of(TASK, potential_only=True, memory=False)
    assert {t.kind for genome in leads(evidence, only) for t in genome} == {"potential", "share"}


def test_a_search_begins_with_them_and_tries_each_once(evidence, schema) -> None:
    known = leads(evidence, schema)
    designer = Guided(Evolution(schema), schema, lambda: known, share=0.5)
    first = designer.propose(TASK, History(), jax.random.key(0), 6)
    assert [c.origin for c in first] == ["guided"] * 3 + ["evolution"] * 3
    assert [from_json(c.genome, schema) for c in first[:3]] == list(known[:3])
    records = tuple(
        Record(Candidate(c.text, f"0.0.{i}", c.origin, genome=c.genome), score=float(-i))
        for i, c in enumerate(first)
    )
    second = designer.propose(TASK, History(records), jax.random.key(1), 30)
    new = [c for c in second if c.origin == "guided"]
    assert new
    assert not {c.text for c in new} & {c.text for c in first}
    assert all(c.parents for c in second if c.origin != "guided")


def test_the_control_is_not_guided_nor_is_anybody_without_checks(evidence, schema) -> None:
    check = Screen(TASK, evidence)
    assert isinstance(begun(DesignConfig(), schema, TASK, check), Guided)
    assert not isinstance(begun(DesignConfig(designer="random"), schema, TASK, check), Guided)
    assert not isinstance(begun(DesignConfig(), schema, TASK, None), Guided)
    assert not isinstance(begun(DesignConfig(guided=0.0), schema, TASK, check), Guided)


def test_fitness_decides_between_equals_in_success_alone() -> None:
    outcome = lambda fitness, success: Outcome([10], [[fitness]], [[success]], [[0.0]], [[1.0]])
    ranked = [outcome(900.0, 0.0), outcome(-2.0, 0.125), outcome(-1.0, 0.125), outcome(-900.0, 0.1875)]
    merits = [merit(o, "mean", "success") for o in ranked]
    assert merits == sorted(merits)
    assert len(set(merits)) == 4
    assert merit(ranked[0], "mean", "fitness") == score(ranked[0], "mean", "fitness") == 900.0


@pytest.mark.slow
def test_genomes_are_checked_by_programs_that_all_share_as_their_texts_are(evidence, schema) -> None:
    history = History()
    alone, shared = Screen(TASK, evidence), Screen(TASK, evidence, schema)
    chosen = [*leads(evidence, schema)[:2], *Evolution(schema).propose(TASK, history, jax.random.key(3), 2)]
    for i, found in enumerate(chosen):
        made = found if isinstance(found, Candidate) else candidate_of(found, schema, "guided")
        made = replace(made, id=f"0.0.{i}")
        one, other = alone(made, history), shared(made, history)
        assert [(v.check, v.passed, v.blocks) for v in one] == [(v.check, v.passed, v.blocks) for v in other]
        for a, b in zip(one, other, strict=True):
            assert a.numbers.keys() == b.numbers.keys()
            near = [np.allclose(a.numbers[n], b.numbers[n], rtol=1e-3, atol=1e-3) for n in a.numbers]
            assert a.check == "abstract" or all(near), (a, b)
        history = History((*history.records, Record(made, one, Outcome(error="not trained"))))


def test_what_is_kept_is_compiled_once_for_all_genomes(evidence, schema, caplog) -> None:
    check = Screen(TASK, evidence, schema)
    proposed = Evolution(schema).propose(TASK, History(), jax.random.key(5), 5)
    jax.clear_caches()  # so that the count does not depend on what ran before
    with jax.log_compiles():
        for candidate in proposed:
            check(candidate)
    compiled = re.findall(r"Compiling (jit\((\w+)\) with .*)", caplog.text)
    programs = Counter(program for program, name in compiled if not hasattr(jax.lax, name))
    assert len(programs) >= 5
    assert set(programs.values()) == {1}, programs.most_common(3)
