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


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "bool"]
)
def test_every_box_contains_what_it_samples(dtype):
    bounds = [(-math.inf, math.inf), (3.0, math.inf), (-math.inf, -2.0), (0.3, 7.0)]
    bounds = [(0.0, 1.0)] if dtype in ("bool", "uint8") else bounds
    boxes = [Box(shape, *pair, dtype) for pair in bounds for shape in ((), (2,), (2, 1, 3))]

    @jax.jit  # of all boxes, because compiling is what takes time
    def run(keys):
        samples = [jax.vmap(box.sample)(keys) for box in boxes]
        return samples, [jax.vmap(box.contains)(x) for box, x in zip(boxes, samples, strict=True)]

    for box, samples, inside in zip(boxes, *run(KEYS[:64]), strict=True):
        assert samples.dtype == jax.dtypes.canonicalize_dtype(dtype), box
        assert samples.shape == (64, *box.shape), box
        assert bool(inside.all()), box
        assert len(np.unique(np.asarray(samples, np.float64))) > 1, box


def test_whole_numbers_are_drawn_evenly_with_both_bounds():
    samples = np.asarray(jax.vmap(Box((), 1, 4, "int32").sample)(KEYS))
    np.testing.assert_allclose(np.bincount(samples, minlength=5) / len(KEYS), [0] + [0.25] * 4, atol=0.03)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int32", "uint32"])
def test_the_largest_number_is_no_bound(dtype):
    limits = jnp.finfo(dtype) if "float" in dtype else jnp.iinfo(dtype)
    low, high = Box((2,), float(limits.min), (float(limits.max), 1.0), dtype).bounds()
    assert high.tolist() == [math.inf, 1.0]
    assert low.tolist() == ([0.0] * 2 if dtype == "uint32" else [-math.inf] * 2)
    assert np.isfinite(
        np.asarray(Box((2,), float(limits.min), float(limits.max), dtype).sample(KEYS[0]), float)
    ).all()


def test_what_gymnasium_users_write_is_understood():
    box = Box([2], np.float32([-1, 0]), np.float64(1), np.float32)
    assert box == Box((2,), (-1.0, 0.0), 1.0)
    assert hash(box) == hash(Box((2,), (-1.0, 0.0), 1.0))
    assert Discrete(np.int64(3), start=np.int32(1)) == Discrete(3, start=1)


@pytest.mark.parametrize("start", [-4, 0, 1, 7])
def test_discrete_spaces_start_where_they_are_told(start):
    space = Discrete(3, start=start)
    samples = np.asarray(jax.vmap(space.sample)(KEYS[:100]))
    assert sorted(set(samples.tolist())) == [start, start + 1, start + 2]
    assert [bool(space.contains(jnp.int32(start + i))) for i in (-1, 0, 2, 3)] == [False, True, True, False]


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
        (lambda: Box((2,), math.nan), "low=nan contains NaN"),
        (lambda: Box((2,), 0.0, (1.0, math.nan)), "contains NaN"),
        (lambda: Box(-1, 1, (2,)), "shape=-1: expected a tuple"),
        (lambda: Box((-1,)), "must not be negative"),
        (lambda: Box((2,), "a"), "low='a': expected a number"),
        (lambda: Box((2,), dtype="float31"), "expected the name of a dtype"),
        (lambda: Box((2,), dtype="complex64"), "floating or integer"),
        (lambda: Discrete(2.5), "n=2.5: expected an integer"),
        (lambda: Discrete(2, start=0.5), "start=0.5: expected an integer"),
        (lambda: Discrete(2, start=2**31 - 1), "do not fit in int32"),
        (lambda: Discrete(0), "n=0 must be at least 1"),
        (lambda: Discrete(2, ("one",)), "expected n=2 or none"),
    ],
)
def test_bad_spaces_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
