"""Rewards that can be read and are still wrong are told so, before they are trained."""

import numpy as np
import pytest
from hacks import SPARSE, program
from worlds import Errand

from rlkit.design import DesignTask, gather
from rlkit.design.checks import abstract, clock, probe
from rlkit.design.invariance import canonical, distance, equivalence, forms, potential_based
from rlkit.design.reading import read_candidate
from rlkit.rewards import from_function, parse

TASK = DesignTask(Errand())
SHAPING = "0.99 * jnp.where(done, 0.0, -ns.goal_distance) + s.goal_distance"


@pytest.fixture(scope="module")
def evidence():
    return gather(TASK, 0, steps=40, starts=1, each=24, generations=12)


def read(total: str):
    return read_candidate(program(total), TASK.spec)


@pytest.mark.parametrize(
    ("total", "reason"),
    [
        ("1.0 / ns.goal_distance", "not finite"),
        ("1.0 + 0.0 * ns.goal_distance", "tells nothing apart"),
        ("1e12 * ns.goal_distance", "at most 1000"),
        ("0.0 * ns.goal_distance", "tells nothing apart"),
    ],
)
def test_probes_name_what_is_wrong(total: str, reason: str, evidence) -> None:
    verdict = probe(read(total), TASK.spec, evidence)
    assert verdict.stops
    assert reason in verdict.reason


def test_terms_that_do_not_add_up_are_refused(evidence) -> None:
    text = "def reward(s, a, ns, done):\n    x = ns.goal_distance\n    return 100.0 * x, {'x': x}\n"
    assert "add up" in probe(read_candidate(text, TASK.spec), TASK.spec, evidence).reason


def test_a_reward_with_callbacks_or_randomness_breaks_the_contract() -> None:
    import jax

    shout = from_function(lambda t: jax.debug.print("x") or t.reward, "shout")
    chance = from_function(lambda t: jax.random.normal(jax.random.key(0)) + t.reward, "chance")
    for reward in (shout, chance):
        assert abstract(reward, TASK.spec).stops
    assert abstract(parse("success()"), TASK.spec).passed


@pytest.mark.parametrize(
    ("total", "passed", "reason"),
    [
        (SHAPING, True, ""),
        (f"{SPARSE} + {SHAPING}", True, ""),
        ("s.goal_distance - jnp.where(done, 0.0, ns.goal_distance)", False, "discount 1"),
        ("s.goal_distance - 0.99 * ns.goal_distance", False, "terminal"),
        ("jnp.exp(-ns.goal_distance)", False, "two ways"),
        ("jnp.abs(s.goal_distance - ns.goal_distance)", False, "two ways"),
    ],
)
def test_potential_differences_are_told_from_others(total, passed, reason, evidence) -> None:
    verdict = potential_based(read(total), evidence)
    assert verdict.passed is passed
    assert reason in verdict.reason


def test_scale_and_shaping_do_not_change_the_canonical_reward(evidence) -> None:
    plain, shaped = "jnp.where(ns.holding, 1.0, 0.0)", "0.99 * -ns.goal_distance + s.goal_distance"
    one, same, other = (
        canonical(read(x), evidence)
        for x in (plain, f"3.0 * {plain} + {shaped}", "ns.lava_distance * s.cup_distance")
    )
    assert distance(one, same) < 1e-3
    assert distance(one, other) > 0.1
    np.testing.assert_allclose(distance(one, -one), 1.0)


def test_only_what_pays_the_same_is_not_trained_again(evidence) -> None:
    """Shaping and scale change how fast a reward is learned: that is what a design is for."""
    plain = f"{SPARSE} + 0.1 * jnp.where(ns.holding, 1.0, 0.0)"
    trained = {"0.0.0": forms(read(plain), evidence)}
    found = [
        equivalence(read(x), evidence, trained) for x in (plain, f"{plain} + {SHAPING}", f"3.0 * ({plain})")
    ]
    assert [v.passed for v in found] == [False] * 3
    assert [v.stops for v in found] == [True, False, False]
    assert equivalence(read("ns.lava_distance * s.cup_distance"), evidence, trained).passed


def test_memory_that_counts_steps_is_a_clock(evidence) -> None:
    text = (
        "memory = {'n': 0.0}\n\ndef reward(s, a, ns, done, m):\n    n = m.n + 1.0\n"
        "    r = 0.01 * n + 0.0 * ns.goal_distance\n    return r, {'r': r}, {'n': n}\n"
    )
    assert clock(read_candidate(text, TASK.spec), TASK.spec, evidence).passed is False
    assert clock(read("ns.goal_distance"), TASK.spec, evidence).passed
