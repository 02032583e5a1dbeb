"""Rewards that can be hacked are told from repaired ones, and pay their exploit as it is said."""

import jax
import numpy as np
import pytest
from hacks import HACKS, SPARSE, program
from worlds import HONEST, Errand

from rlkit.design import Candidate, DesignTask
from rlkit.design.episodes import discounted, pay, play
from rlkit.design.incentives import SUCCESS_PAYS, hack_replay, order
from rlkit.design.reading import read_candidate
from rlkit.design.screen import screen
from rlkit.rewards import parse

TASK = DesignTask(Errand())


@pytest.fixture(scope="module")
def screened():
    return screen(TASK, 0, steps=40, starts=1, each=24, generations=12)


def episodes(actions):
    """One episode of given actions, repeated up to the time limit."""
    rows = np.resize(np.array(actions, np.int32), 40)[:, None]
    return play(TASK.env, TASK.params, jax.random.key(0), rows, np.zeros(1, int))


@pytest.mark.parametrize("name", list(HACKS))
def test_the_exploit_is_paid_more_than_success_until_the_reward_is_repaired(name: str) -> None:
    hack = HACKS[name]
    honest, exploit = episodes(HONEST), episodes(hack.exploit)
    assert honest.solved.all()
    assert not exploit.solved.any()
    for text, wrong in ((hack.bad, True), (hack.good, False)):
        reward = read_candidate(text, TASK.spec)
        worth = [discounted(pay(reward, e).reward, e, 0.99, goes_on=True)[0] for e in (exploit, honest)]
        assert (worth[0] > worth[1]) == wrong


@pytest.mark.parametrize("name", list(HACKS))
def test_checks_rank_a_hackable_reward_below_the_repaired_one(name: str, screened) -> None:
    failed = {}
    for text in (HACKS[name].bad, HACKS[name].good):
        verdicts = screened(Candidate(text, "0.0.0"))
        failed[text] = {v.check for v in verdicts if v.passed is False} - {"potential-based", "clock"}
    assert failed[HACKS[name].bad] & set(HACKS[name].checks)
    assert not failed[HACKS[name].good]


@pytest.mark.parametrize(
    ("total", "check", "stops"),
    [
        ("jnp.abs(s.goal_distance - ns.goal_distance)", "farming", True),  # pays moving away
        (f"{SPARSE} + jnp.abs(s.goal_distance - ns.goal_distance)", "farming", True),
        ("jnp.exp(-ns.goal_distance / 0.1)", "hovering", False),
    ],
)
def test_what_is_paid_beside_the_goal_is_said_with_numbers(total, check, stops, screened) -> None:
    (verdict,) = (v for v in screened(Candidate(program(total), "0.0.0")) if v.check == check)
    assert verdict.passed is False
    assert verdict.stops is stops
    assert "worth" in verdict.reason
    assert verdict.numbers


def test_a_repaired_reward_can_be_trained(screened) -> None:
    for hack in HACKS.values():
        assert not [v for v in screened(Candidate(hack.good, "0.0.0")) if v.stops]


def test_order_has_three_readings_and_is_undecided_without_one_class(screened) -> None:
    evidence = screened.evidence
    right = order(parse("success()"), evidence, reading="strict")
    assert right.passed
    assert right.numbers == {"pairs": 1.0, "best": 1.0, "strict": 1.0, SUCCESS_PAYS: 1.0}
    assert order(parse("-1.0 * success()"), evidence).stops
    solved = evidence.episodes.solved
    for part in (solved, ~solved):
        one_class = evidence._replace(episodes=evidence.episodes.take(part))
        assert order(parse("success()"), one_class).passed is None


def test_a_known_exploit_may_not_be_paid_more_than_by_the_parent(screened) -> None:
    exploit = episodes(HACKS["farming"].exploit)
    bad, good = (read_candidate(text, TASK.spec) for text in HACKS["farming"][:2])
    assert hack_replay(bad, screened.evidence, [good], exploit).stops
    assert hack_replay(good, screened.evidence, [good], exploit).passed
    assert hack_replay(good, screened.evidence, [bad], exploit).passed
    assert hack_replay(bad, screened.evidence).passed is None
    # A parent that pays next to nothing does not forbid its children to pay for the way.
    sparse = read_candidate(program(SPARSE), TASK.spec)
    near = read_candidate(program(f"{SPARSE} + 0.1 * (s.goal_distance - ns.goal_distance)"), TASK.spec)
    wander = screened.evidence.episodes.take(np.flatnonzero(screened.evidence.episodes.kind == "wander")[:4])
    wander = wander.take(~wander.solved)
    assert hack_replay(near, screened.evidence, [sparse], wander).passed
