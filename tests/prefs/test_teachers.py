"""Simulated teachers against B-Pref's rules written out with loops, and the questions they are asked."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.prefs.feedback import KINDS, Teacher, choose, informative, segment_return, simulate, teacher

KEY, MANY, STEPS = jax.random.key(3), 4000, 6
RNG = np.random.default_rng(0)
REWARDS = RNG.normal(0.4, 1.0, (2, MANY, STEPS)).astype(np.float32)
MASKS = np.arange(STEPS) < RNG.integers(1, STEPS + 1, (2, MANY, 1))
FIRST, SECOND = ((jnp.asarray(r), jnp.asarray(m)) for r, m in zip(REWARDS, MASKS, strict=True))


def _return(reward, mask, discount):
    """What B-Pref's loop of repeated products gives: the last step counts 1, the one before γ ..."""
    steps = [r for r, there in zip(reward.tolist(), mask, strict=True) if there]
    return sum(discount ** (len(steps) - 1 - i) * r for i, r in enumerate(steps))


def _answer(kind):
    return jax.tree.map(np.asarray, simulate(KEY, FIRST, SECOND, teacher(kind)))


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_returns_end_with_the_last_step_there(discount):
    got = segment_return(*FIRST, discount)
    wanted = [_return(r, m, discount) for r, m in zip(REWARDS[0], MASKS[0], strict=True)]
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_each_teacher_keeps_to_its_fault():
    plain = np.array(
        [
            [_return(r, m, 1.0) for r, m in zip(*side, strict=True)]
            for side in zip(REWARDS, MASKS, strict=True)
        ]
    )
    myopic = np.array(
        [
            [_return(r, m, 0.9) for r, m in zip(*side, strict=True)]
            for side in zip(REWARDS, MASKS, strict=True)
        ]
    )
    right, typical = plain[0] > plain[1], plain.mean()
    assert typical > 0  # where B-Pref's thresholds mean something
    oracle = _answer("oracle")
    np.testing.assert_array_equal(oracle.label, right)
    assert oracle.given.all()
    np.testing.assert_array_equal(_answer("myopic").label, myopic[0] > myopic[1])
    assert (myopic[0] > myopic[1]).tolist() != right.tolist()
    mistaken = (_answer("mistake").label != right).mean()
    assert abs(mistaken - 0.1) < 4 * math.sqrt(0.09 / MANY)
    equal = _answer("equal")
    close = np.abs(plain[0] - plain[1]) < 0.1 * typical
    np.testing.assert_array_equal(equal.label, np.where(close, 0.5, right))
    skip = _answer("skip")
    low = plain.max(0) < 0.1 * typical
    assert 0 < low.mean() < 1
    np.testing.assert_array_equal(skip.given, ~low)
    np.testing.assert_array_equal(skip.label, np.where(low, 0.5, right))
    gap = plain[0] - plain[1]
    chosen = _answer("stochastic").label
    for low, high in ((-1.0, -0.5), (0.2, 0.7), (1.0, 2.0)):
        inside = (gap > low) & (gap < high)
        expected = 1 / (1 + np.exp(-gap[inside]))
        assert abs(chosen[inside].mean() - expected.mean()) < 4 * math.sqrt(0.25 / inside.sum())


def test_thresholds_mean_something_where_returns_are_negative():
    ones = jnp.ones((3, 1), bool)
    first, second = (
        (jnp.array([[-10.0], [-18.0], [-30.0]]), ones),
        (jnp.array([[-10.5], [-12.0], [-25.0]]), ones),
    )
    answers = simulate(KEY, first, second, Teacher(equal=0.1, skip=0.1), typical=-10.0)
    assert answers.label.tolist() == [0.5, 0.0, 0.5]
    assert answers.given.tolist() == [True, True, False]  # both below -10 - 0.9 * 10


def test_a_teacher_without_preference_tosses_a_coin():
    same = (jnp.zeros((MANY, 1)), jnp.ones((MANY, 1), bool))
    label = simulate(KEY, same, same, teacher("oracle")).label
    assert abs(float(label.mean()) - 0.5) < 4 * math.sqrt(0.25 / MANY)


def test_teachers_can_be_mapped_over():
    rates = jnp.array([0.0, 0.5])
    labels = jax.vmap(lambda e: simulate(KEY, FIRST, SECOND, KINDS["oracle"]._replace(mistake=e)).label)(
        rates
    )
    np.testing.assert_array_equal(labels[0], simulate(KEY, FIRST, SECOND, KINDS["oracle"]).label)
    assert abs(float((labels[0] != labels[1]).mean()) - 0.5) < 0.05


def test_what_is_informative():
    margins = RNG.normal(0, 2, (5, 40)).astype(np.float32)
    p = 1 / (1 + np.exp(-margins.astype(np.float64)))
    mean = p.mean(0)
    np.testing.assert_allclose(informative(jnp.asarray(margins), "disagreement"), p.std(0), atol=1e-5)
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean))
    np.testing.assert_allclose(informative(jnp.asarray(margins), "entropy"), entropy, atol=1e-5)
    for how, score in (("disagreement", p.std(0)), ("entropy", entropy)):
        chosen = np.asarray(choose(jnp.asarray(margins), how, 7))
        assert set(chosen.tolist()) == set(np.argsort(-score)[:7].tolist())
        assert choose(jnp.asarray(margins), how, 7, ready=jnp.array(False)).tolist() == [*range(7)]
    assert choose(jnp.asarray(margins), "uniform", 3).tolist() == [0, 1, 2]
    sure = informative(jnp.full((2, 1), 1e4), "entropy")
    assert np.isfinite(sure).all()


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(UnknownNameError, match="unknown teacher 'oracel'; did you mean 'oracle'"):
        teacher("oracel")
    with pytest.raises(UsageError, match=r"mistake=1\.5"):
        teacher("mistake", 1.5)
    with pytest.raises(UsageError, match=r"discount=2\.0"):
        teacher("myopic", 2.0)
    with pytest.raises(UnknownNameError, match="did you mean 'entropy'"):
        informative(jnp.zeros((2, 3)), "entrpy")
    with pytest.raises(UsageError, match="3 candidates for 4 questions"):
        choose(jnp.zeros((2, 3)), "uniform", 4)
    with pytest.raises(UsageError, match="one member cannot disagree"):
        choose(jnp.zeros((1, 3)), "disagreement", 2)
    with pytest.raises(UsageError, match="mask has shape"):
        segment_return(jnp.zeros((2, 3)), jnp.ones((2, 4), bool))
