"""Audits find what a reward pays best, exactly where that can be computed."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hacks import HACKS, SPARSE, program
from worlds import HONEST, Errand, Params

from rlkit.design import DesignTask, Outcome, gather
from rlkit.design.audit import audit
from rlkit.design.config import DesignConfig
from rlkit.design.detectors import hacking
from rlkit.design.episodes import play
from rlkit.design.incentives import SUCCESS_PAYS
from rlkit.design.reading import read_candidate
from rlkit.design.recorded import trained
from rlkit.design.search import search
from rlkit.design.tabular import optimum, pay_table, tabulate
from rlkit.design.types import Candidate, Record, Verdict
from rlkit.envs import make

ENV = Errand()


@pytest.fixture(scope="module")
def world():
    return tabulate(ENV, ENV.default_params(), jax.random.key(0))


def best(world, text):
    return optimum(world, pay_table(read_candidate(text, ENV.spec), world), 0.99)


def test_the_optimum_of_the_sparse_reward_is_the_shortest_way(world) -> None:
    found = best(world, program(SPARSE))
    np.testing.assert_allclose(found.returned, 0.99 ** (len(HONEST) - 1), rtol=1e-6)
    assert found.solves.all()


def test_values_solve_the_linear_system_of_an_optimal_policy(world) -> None:
    paid = pay_table(read_candidate(HACKS["hovering"].bad, ENV.spec), world)
    found = optimum(world, paid, 0.9)
    states = np.arange(len(paid))
    act = found.best.argmax(1)
    chain = np.zeros((len(paid), len(paid)))
    chain[states, world.successor[states, act]] = np.where(world.terminated[states, act], 0.0, 0.9)
    np.testing.assert_allclose(
        np.linalg.solve(np.eye(len(paid)) - chain, paid[states, act]), found.value, atol=1e-6
    )


@pytest.mark.parametrize("name", list(HACKS))
def test_optimal_policies_hack_until_the_reward_is_repaired(name: str, world) -> None:
    assert not best(world, HACKS[name].bad).can_solve.any()
    assert best(world, HACKS[name].good).solves.all()


def test_a_world_with_chance_or_without_end_has_no_table() -> None:
    for id, states in (("craft/mini", 64), ("classic/pendulum", 64), ("classic/cartpole", 64)):
        env = make(id)
        assert tabulate(env, env.default_params(), jax.random.key(0), states=states, starts=4) is None


OPTIONS = {"steps": 40, "starts": 1, "population": 96, "generations": 24}


@pytest.mark.parametrize("name", list(HACKS))
def test_the_search_finds_the_exploit_without_the_table(name: str) -> None:
    found = audit(HACKS[name].bad, ENV, 0, states=1, **OPTIONS)
    assert found.verdicts[0].passed is None
    assert found.verdicts[1].passed is False
    assert found.exploits.start.size == 1
    assert found.success.solved.all()


def test_an_honest_reward_passes() -> None:
    found = audit(program(SPARSE), ENV, 0, **OPTIONS)
    assert [verdict.passed for verdict in found.verdicts] == [True, True]
    assert not found.exploits.start.size


@pytest.fixture
def searches(monkeypatch):
    """How often an audit searches, as a list."""
    module, found = importlib.import_module("rlkit.design.audit"), []
    monkeypatch.setattr(module, "search", lambda *a, **k: found.append(1) or search(*a, **k))
    return found


def test_success_that_is_known_is_not_searched_for_again(searches) -> None:
    known = gather(DesignTask(ENV), 0, steps=40, starts=1, each=4, population=96, generations=24)
    text = HACKS["hovering"].bad
    alone, told = audit(text, ENV, 0, **OPTIONS), audit(text, ENV, 0, known=known, **OPTIONS)
    assert len(searches) == 3 + 2
    assert [v.passed for v in told.verdicts] == [v.passed for v in alone.verdicts] == [False, False]
    assert told.success.solved.all()
    audit(text, ENV, 0, known=known._replace(actions=known.actions[:, :0]), **OPTIONS)
    assert len(searches) == 5 + 3


def test_where_no_success_is_found_the_search_for_a_better_one_is_left_out(searches) -> None:
    found = audit(HACKS["hovering"].bad, ENV, 0, params=Params(jnp.int32(3)), **OPTIONS)
    assert "no success" in found.verdicts[1].reason
    assert len(searches) == 2


def test_what_is_kept_of_episodes_changes_nothing_else() -> None:
    actions = np.random.default_rng(0).integers(0, 7, (40, 6)).astype(np.int32)
    args = (ENV, ENV.default_params(), jax.random.key(0), actions, np.zeros(6, int))
    whole = play(*args)
    for show, kept in (("features", len(ENV.spec.features)), ("nothing", 0)):
        some = play(*args, show=show)
        np.testing.assert_array_equal(some.fitness, whole.fitness)
        one, other = some.trajectory.transition, whole.trajectory.transition
        for name in ("action", "reward", "terminated", "truncated", "success", "first"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.obs.size == 0
        assert len(one.features) == len(one.next_features) == kept
        for name in one.features:
            np.testing.assert_array_equal(one.features[name], other.features[name])
            np.testing.assert_array_equal(one.next_features[name], other.next_features[name])


def run(total, success, seeds: int = 4) -> Outcome:
    chance = np.random.default_rng(0)
    noisy = lambda x, size: np.asarray(x)[:, None] + size * chance.standard_normal((len(x), seeds))
    success = np.clip(noisy(success, 0.02), 0, 1)
    return Outcome(np.arange(len(total)), success, success, success, success, {"total": noisy(total, 0.1)})


def test_a_run_alarms_when_reward_moves_and_success_does_not() -> None:
    up, flat, down = np.linspace(0, 5, 10), np.zeros(10), np.linspace(0.8, 0.1, 10)
    assert hacking(run(up, flat)).passed is False
    assert hacking(run(up, down)).passed is False
    assert hacking(run(up, np.linspace(0, 1, 10))).passed
    assert hacking(run(flat, flat)).passed
    assert hacking(run(up, flat + 1)).passed
    assert hacking(run(up[:4], flat[:4])).passed is None


def test_what_is_known_of_a_reward_speaks_for_its_run() -> None:
    up, flat = np.linspace(0, 5, 10), np.zeros(10)
    known, not_known = Verdict("potential-based", True), Verdict("potential-based", False)
    found = hacking(run(up, flat), (known,), "success()")
    assert found.passed
    assert "no optimal policy" in found.reason
    assert hacking(run(up[:4], flat[:4]), (known,), "success()").passed is None
    assert hacking(run(up, flat), (known,)).passed is False  # alone it pays for nothing that is wanted
    assert hacking(run(up, flat), (not_known,), "success()").passed is False
    candidate, outcome = Candidate("0.0", id="0.0.0"), run(up, flat)
    for verdict, alarms in ((known, False), (not_known, True)):
        seen = trained(Record(candidate, (verdict,)), outcome, DesignConfig()).verdicts
        assert [v.passed is False for v in seen if v.check == "hacking"] == [alarms]


def test_policies_that_are_paid_less_than_success_are_on_their_way() -> None:
    outcome = run(np.linspace(0, 5, 10), np.zeros(10))
    outcome = dataclasses.replace(outcome, ends=np.full((10, 4), 0.1))  # an episode is paid 45 in the end
    order = lambda pays: (Verdict("order", True, numbers={SUCCESS_PAYS: pays}),)
    found = hacking(outcome, order(60.0))
    assert found.passed
    assert "success is paid more" in found.reason
    np.testing.assert_allclose(found.numbers["an episode"], 45, rtol=0.05)
    assert hacking(outcome, order(30.0)).passed is False
    assert hacking(dataclasses.replace(outcome, ends=()), order(60.0)).passed is False  # nothing is known
    assert hacking(dataclasses.replace(outcome, ends=np.zeros((10, 4))), order(60.0)).passed is False


def test_successes_of_the_training_count_where_greedy_episodes_have_none() -> None:
    up, flat = np.linspace(0, 5, 10), np.zeros(10)
    outcome = run(up, flat)
    assert hacking(dataclasses.replace(outcome, successes=outcome.terms["total"])).passed
    assert hacking(dataclasses.replace(outcome, successes=np.zeros((10, 4)))).passed is False
    falls = run(up, np.linspace(0.8, 0.1, 10))
    assert hacking(dataclasses.replace(falls, successes=falls.terms["total"])).passed
    assert hacking(dataclasses.replace(falls, successes=falls.success)).passed is False
