"""Spaces: bounds, samples and membership."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.spaces import Box, Discrete

KEYS = jax.random.split(jax.random.key(0), 5000)


def test_bounds_are_broadcast_or_given_per_entry():
    low, high = Box((2, 2), (0, 1, 2, 3), 5.0).bounds()
    np.testing.assert_array_equal(low, [[0, 1], [2, 3]])
    np.testing.assert_array_equal(high, np.full((2, 2), 5.0))
    assert low.dtype == np.float32
    assert Box((3,), -1.0, 1.0).bounded
    assert not Box((3,), -1.0).bounded
    assert not Box((2,), (0.0, -math.inf), 1.0).bounded


def test_bounded_boxes_sample_uniformly():
    box = Box((2,), (-1.0, 2.0), (1.0, 6.0))
    samples = np.asarray(jax.jit(jax.vmap(box.sample))(KEYS))
    assert samples.dtype == np.float32
    assert bool(jax.vmap(box.contains)(samples).all())
    np.testing.assert_allclose(samples.mean(0), [0, 4], atol=0.06)
    np.testing.assert_allclose(samples.std(0), np.array([2, 4]) / math.sqrt(12), rtol=0.03)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.05


def test_half_bounded_boxes_sample_within_their_bounds():
    box = Box((3,), (-math.inf, 0.0, -1.0), (math.inf, math.inf, 1.0))
    samples = np.asarray(jax.vmap(box.sample)(KEYS))
    assert bool(jax.vmap(box.contains)(samples).all())
    assert samples[:, 0].std() == pytest.approx(1.0, rel=0.05)
    assert samples[:, 0].min() < 0
    assert samples[:, 1].min() >= 0


def test_boxes_of_integers():
    box = Box((4,), 0.0, 255.0, "uint8")
    assert box.sample(KEYS[0]).dtype == jnp.uint8


def test_discrete_spaces_sample_all_elements_evenly():
    space = Discrete(5)
    samples = np.asarray(jax.vmap(space.sample)(KEYS))
    assert samples.dtype == np.int32
    np.testing.assert_allclose(np.bincount(samples, minlength=5) / len(KEYS), 0.2, atol=0.03)
    assert (space.shape, space.dtype) == ((), "int32")


@pytest.mark.parametrize(
    ("space", "element", "inside"),
    [
        (Box((2,), -1.0, 1.0), np.array([1.0, -1.0]), True),
        (Box((2,), -1.0, 1.0), np.array([1.1, 0.0]), False),
        (Box((2,), -1.0, 1.0), np.array([np.nan, 0.0]), False),
        (Box((2,), -1.0, 1.0), np.zeros(3), False),
        (Discrete(3), np.int32(2), True),
        (Discrete(3), np.int32(3), False),
        (Discrete(3), np.int32(-1), False),
        (Discrete(3), np.zeros(1, np.int32), False),
    ],
)
def test_membership(space, element, inside):
    assert bool(space.contains(jnp.asarray(element))) is inside


def test_spaces_are_values():
    assert Box((2,), -1.0, 1.0) == Box((2,), -1.0, 1.0)
    assert hash(Discrete(2, ("a", "b"))) == hash(Discrete(2, ("a", "b")))
    assert Box((2,), -1.0, 1.0) != Box((2,), -1.0, 2.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Box((2,), (0.0, 0.0, 0.0)), "3 entries"),
        (lambda: Box((2,), 1.0, 0.0), "bounds must be ordered"),
        (lambda: Discrete(0), "n=0 must be at least 1"),
        (lambda: Discrete(2, ("one",)), "expected n=2 or none"),
    ],
)
def test_bad_spaces_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
