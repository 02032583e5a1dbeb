"""Candidates side by side: one program, what each gets does not depend on the others, failures stay alone."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from worlds import Errand

from rlkit.design import Candidate, DesignTask, History, Outcome, score, training
from rlkit.design.evolution import RandomSearch
from rlkit.design.grouping import grouped
from rlkit.design.rows import Rows
from rlkit.design.training import Keep, Trainer, Training
from rlkit.errors import UsageError

KEY = jax.random.key(5)


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch):
    """On every device as on a CPU, where a candidate's outcome does not depend on the others' number."""
    monkeypatch.setattr(training, "width_of", lambda total: 1)


def candidates(trainer, count, key=0):
    return RandomSearch(trainer.schema).propose(trainer.task, History(), jax.random.key(key), count)


def trained(trainer, proposed, key=KEY, **options):
    return dict(trainer.train(proposed, key, **options))


def test_generations_share_one_program(trainer, compilations) -> None:
    first = trained(trainer, candidates(trainer, 2))
    programs, before = trainer.compiled, compilations()
    other = trained(trainer, candidates(trainer, 5, key=1), jax.random.key(6))
    assert (trainer.compiled, compilations()) == (programs, before)
    assert len(first) == 2
    assert len(other) == 5


def test_what_a_candidate_gets_does_not_depend_on_the_others(trainer) -> None:
    proposed = candidates(trainer, 3)
    together, alone = trained(trainer, proposed), trained(trainer, proposed[2:])
    assert together[2] == alone[0]
    assert np.asarray(together[0].fitness).shape == (3, 2)
    assert set(together[0].terms) >= {"total", "base"}


def test_more_seeds_go_on_from_the_first_ones(trainer) -> None:
    proposed = candidates(trainer, 1)
    two, three = trained(trainer, proposed)[0], trained(trainer, proposed, seeds=3)[0]
    np.testing.assert_array_equal(np.asarray(three.fitness)[:, :2], np.asarray(two.fitness))


def test_a_genome_and_its_text_train_alike(trainer) -> None:
    (genome,) = candidates(trainer, 1)
    text = dataclasses.replace(genome, genome=None)
    one, other = trained(trainer, [genome])[0], trained(trainer, [text, Candidate("success()")])[0]
    np.testing.assert_allclose(other.curve("total"), one.curve("total"), rtol=1e-4, atol=1e-5)
    assert set(one.terms) == set(other.terms)


def test_texts_of_one_structure_share_a_program(trainer, compilations) -> None:
    text = "def reward(s, a, ns, done):\n    near = {} * ns.height\n    return near, {{'near': near}}"
    trained(trainer, [Candidate(text.format(1.0))])
    before = compilations()
    out = trained(trainer, [Candidate(text.format(2.0)), Candidate(text.format(-3.0))])
    assert compilations() == before
    assert not out[0].error
    assert out[0].terms["near"] != out[1].terms["near"]


def test_a_candidate_that_fails_fails_alone(trainer) -> None:
    huge = (
        "def reward(s, a, ns, done):\n    x = jnp.exp(200.0 * jnp.abs(ns.height))\n    return x * x, {'x': x}"
    )
    out = trained(trainer, [Candidate("success()"), Candidate("nothing()"), Candidate(huge)])
    assert "nothing" in out[1].error
    assert "not a number" in out[2].error
    assert score(out[2]) == -math.inf
    assert math.isfinite(score(out[0]))


def test_dropped_candidates_stop_and_the_others_are_as_without_dropping(trainer) -> None:
    proposed = candidates(trainer, 4)
    whole = trained(trainer, proposed)

    def chosen(outcomes: list[Outcome]) -> list[bool]:
        assert all(len(outcome.steps) == 1 for outcome in outcomes)
        return [False, True, False, True]

    out = trained(trainer, proposed, keep=Keep((0.34,), chosen))
    assert [out[i].stopped for i in range(4)] == [64, 0, 64, 0]
    assert out[1] == whole[1]
    assert out[0].fitness == whole[0].fitness[:1]


def test_rows_of_a_block_are_what_they_are_alone(trainer, monkeypatch) -> None:
    """As on accelerators: blocks of four rows, of which the second is filled up."""
    proposed = candidates(trainer, 3)
    alone = trained(trainer, proposed)
    monkeypatch.setattr(training, "width_of", lambda total: 4)
    together = trained(trainer, proposed)
    assert list(together) == [0, 1, 2]
    for i, outcome in alone.items():
        for name in ("fitness", "returned", "length", "success"):
            np.testing.assert_allclose(
                getattr(together[i], name), getattr(outcome, name), rtol=1e-3, atol=1e-4, err_msg=name
            )
        assert together[i].terms.keys() == outcome.terms.keys()
    out = trained(trainer, proposed, known=frozenset({0}))
    assert out == {i: together[i] for i in (1, 2)}
    dropped = trained(trainer, proposed, keep=Keep((0.34,), lambda outcomes: [False, True, False]))
    assert [dropped[i].stopped for i in range(3)] == [64, 0, 64]
    np.testing.assert_allclose(dropped[1].fitness, together[1].fitness, rtol=1e-3, atol=1e-4)


def test_outcomes_that_are_known_are_not_computed_again(trainer) -> None:
    out = trained(trainer, candidates(trainer, 3), known=frozenset({0, 1}))
    assert list(out) == [2]


def test_an_environment_on_the_host_is_refused(pendulum) -> None:
    class OnHost:
        spec = dataclasses.replace(pendulum.env.spec, pure=False)

    with pytest.raises(ValueError, match="host"):
        Trainer(dataclasses.replace(pendulum, env=OnHost(), base=""), Training(total_steps=64))


def test_a_curriculum_changes_the_environment_until_its_share_is_over(
    trainer, pendulum, compilations
) -> None:
    """Training goes on in the task itself, is judged there throughout, and nothing compiles for it."""
    (candidate,) = candidates(trainer, 1)
    harder = Trainer(
        pendulum,
        dataclasses.replace(trainer.settings, curriculum=("0.5:gravity=1", "0.4:max_steps=9")),
        trainer.schema,
    )
    harder.engines = trainer.engines
    plain = trained(trainer, [candidate])[0]
    before = compilations()
    found = trained(harder, [candidate])[0]
    assert compilations() == before
    assert np.asarray(found.length).min() == 200.0  # of judgements, at every checkpoint
    assert found.fitness[0] != plain.fitness[0]
    same = Trainer(
        pendulum, dataclasses.replace(trainer.settings, curriculum=("0.5:max_steps=200",)), trainer.schema
    )
    same.engines = trainer.engines
    assert trained(same, [candidate])[0] == plain
    with pytest.raises(UsageError, match="gravity"):
        Trainer(
            pendulum, dataclasses.replace(trainer.settings, curriculum=("0.5:gravty=16",)), trainer.schema
        )
    for wrong in ("0.5:gravity", "1.5:gravity=1", "gravity=1", "0.5:gravity=nan", "0.5:max_steps=1.5"):
        with pytest.raises(UsageError, match="expected"):
            Trainer(pendulum, dataclasses.replace(trainer.settings, curriculum=(wrong,)), trainer.schema)


def test_a_candidate_may_have_parameters_of_the_environment_of_its_own(trainer) -> None:
    (one,) = candidates(trainer, 1)
    with_notes = lambda values: dataclasses.replace(one, notes={"env_params": values})
    out = trained(trainer, [with_notes({"gravty": 1.0}), one, with_notes({"gravity": 3.0}), one])
    assert "gravity" in out[0].error
    assert out[1] == out[3] == trained(trainer, [one])[0]
    assert out[2].fitness != out[1].fitness


@pytest.mark.slow
def test_rows_side_by_side_give_what_rows_alone_give(trainer) -> None:
    """As on an accelerator: blocks of several rows, filled up, taken apart where candidates are dropped."""
    proposed = candidates(trainer, 3)
    (group,), _ = grouped(proposed, trainer.task, trainer.schema)
    keep = Keep((0.34,), lambda outcomes: [True, False, True])
    found = []
    for width in (1, 4):
        params = [trainer.task.params] * 3
        rows = Rows(trainer.engine(group, width), group, params, KEY, 2, base=True)
        found.append(dict(rows.train(keep, frozenset())))
    assert [found[0][i].stopped for i in range(3)] == [0, 64, 0]
    for place in range(3):
        for name in ("fitness", "total"):
            one, other = (outcomes[place].curve(name) for outcomes in found)
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_episodes_that_end_while_training_are_counted(trainer) -> None:
    settings = dataclasses.replace(trainer.settings, total_steps=32_768)
    (outcome,) = trained(Trainer(DesignTask(Errand()), settings), [Candidate("success()")]).values()
    successes, ends = np.asarray(outcome.successes), np.asarray(outcome.ends)
    np.testing.assert_allclose(successes, outcome.curve("total"), rtol=1e-5)  # each pays one and ends
    assert (ends > successes).all()  # others ran out of time
    assert successes.any()
