import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.normalize import RunningMoments, normalise, update_moments

DATA = np.random.default_rng(0).normal(3.0, 2.0, (60, 5)).astype(np.float32)


def seen(batches, shape=(5,), dtype=jnp.float32):
    return functools.reduce(
        update_moments, [jnp.asarray(b) for b in batches], RunningMoments.zeros(shape, dtype)
    )


def assert_moments(moments, data, rtol=1e-6):
    data = np.asarray(data, np.float64)
    assert float(moments.count) == len(data)
    np.testing.assert_allclose(np.float64(moments.mean) + moments.residual, data.mean(0), rtol=rtol)
    np.testing.assert_allclose(moments.var, data.var(0), rtol=5 * rtol, atol=1e-12)


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [7, 30], [59]])
def test_batches_of_any_size_give_the_moments_of_all(cuts):
    assert_moments(seen(np.split(DATA, cuts)), DATA)


def test_leading_axes_are_all_batch():
    assert_moments(seen([DATA.reshape(3, 4, 5, 5)]), DATA)
    scalars = seen([DATA[:7], DATA[7:, :2]], ())
    assert_moments(scalars, np.concatenate([DATA[:7].ravel(), DATA[7:, :2].ravel()]))
    assert_moments(seen([DATA[0, 0], DATA[1, 0]], ()), DATA[:2, 0])


def test_integers_and_a_large_mean():
    data = 10_000_000 + np.arange(101) % 2
    assert_moments(seen([data[:50], data[50:]], ()), data)


@pytest.mark.parametrize("members", [2, 4])
def test_members_of_an_axis_count_together(members):
    parts = DATA.reshape(members, -1, 5)
    update = jax.vmap(lambda m, b: update_moments(m, b, "devices"), (None, 0), axis_name="devices")
    together = update(seen([DATA[:9]]), parts)
    expected = np.concatenate([DATA[:9], DATA])
    for i in range(members):
        assert_moments(jax.tree.map(lambda x, i=i: x[i], together), expected)


def test_two_axes():
    inner = jax.vmap(lambda m, b: update_moments(m, b, ("slots", "devices")), (None, 0), axis_name="slots")
    both = jax.vmap(inner, (None, 0), axis_name="devices")
    together = both(RunningMoments.zeros(5), DATA.reshape(3, 20, 5))
    assert_moments(jax.tree.map(lambda x: x[1, 4], together), DATA)


def test_before_any_data_nothing_is_normalised():
    np.testing.assert_allclose(normalise(jnp.asarray(DATA), RunningMoments.zeros(5)), DATA, rtol=1e-6)


def test_normalise():
    moments = seen([DATA])
    expected = (DATA - DATA.mean(0)) / DATA.std(0)
    np.testing.assert_allclose(normalise(jnp.asarray(DATA), moments), expected, rtol=1e-4, atol=1e-5)
    clipped = normalise(jnp.asarray(DATA), moments, clip=0.5)
    np.testing.assert_allclose(clipped, np.clip(expected, -0.5, 0.5), rtol=1e-4, atol=1e-5)


def test_constant_entries_stay_finite():
    moments = seen([jnp.full((10, 5), 2.5)])
    np.testing.assert_array_equal(normalise(jnp.full((5,), 2.5), moments), np.zeros(5))
    assert np.all(normalise(jnp.full((5,), 2.6), moments, clip=10.0) == 10.0)


@pytest.mark.slow
def test_a_hundred_million_rows_with_a_large_mean():
    """2048 rows at a time; each batch has its own mean and scale, so that the truth is known exactly."""
    steps, rows = 50_000, 2048
    base = jax.random.normal(jax.random.key(0), (rows,))
    rng = np.random.default_rng(1)
    centre, scale = (
        rng.normal(1e4, 2.0, steps).astype(np.float32),
        rng.uniform(0.5, 2.0, steps).astype(np.float32),
    )

    @jax.jit
    def run(moments):
        body = lambda m, x: (update_moments(m, x[0] + x[1] * base), None)
        return jax.lax.scan(body, moments, (centre, scale))[0]

    moments = run(RunningMoments.zeros())
    base, centre, scale = (np.asarray(x, np.float64) for x in (base, centre, scale))
    means = centre + scale * base.mean()
    variance = np.mean(scale**2 * base.var() + means**2 - 2 * means.mean() * means + means.mean() ** 2)
    assert float(moments.count) == steps * rows > 1e8
    np.testing.assert_allclose(np.float64(moments.mean) + moments.residual, means.mean(), rtol=1e-7)
    np.testing.assert_allclose(moments.var, variance, rtol=1e-4)


@pytest.mark.parametrize("old_mean", [100.0, 99.0])
def test_old_statistics_of_single_rows_fade(old_mean):
    """Far beyond 2^24 rows, where an increment of 1 is lost in float32, 2^18 rows are remembered."""
    values = jax.random.normal(jax.random.key(2), (400_000,)) + 100.0
    old = RunningMoments(jnp.float32(2.0**27), jnp.float32(old_mean), jnp.float32(0.0), jnp.float32(1.0))
    body = lambda m, x: (update_moments(m, x), None)
    moments = jax.jit(lambda m: jax.lax.scan(body, m, values)[0])(old)
    left = (100.0 - old_mean) * np.exp(-len(values) / 2.0**18)
    assert float(moments.mean) == pytest.approx(100.0 - left, abs=0.01)
    if old_mean == 100.0:
        assert float(moments.var) == pytest.approx(1.0, abs=0.02)


def test_types():
    for x64, dtype in ((False, jnp.float32), (True, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(x64):
            moments = RunningMoments.zeros((5,), dtype)
            after = update_moments(moments, jnp.asarray(DATA))
            for leaf in (*moments, *after):
                assert (leaf.dtype, leaf.weak_type) == (dtype, False)


def test_moments_own_their_buffers():
    buffers = [leaf.unsafe_buffer_pointer() for leaf in RunningMoments.zeros(5)]
    assert len(set(buffers)) == len(buffers)


def test_rows_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \(60, 4\).*\[..., \*\(5,\)\]"):
        update_moments(RunningMoments.zeros(5), jnp.zeros((60, 4)))


def test_other_shapes_and_kinds_are_refused():
    moments = RunningMoments.zeros((3,))
    for x, message in (
        (jnp.zeros(4), r"x has shape \(4,\); expected"),
        (jnp.zeros(()), r"x has shape \(\)"),
        (jnp.zeros((3, 1)), "the shape of the moments"),
        (jax.random.split(jax.random.key(0), 3), "expected real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            normalise(x, moments)
    with pytest.raises(ValueError, match="batch is complex64"):
        update_moments(moments, jnp.zeros((2, 3), complex))
    assert normalise(jnp.zeros((2, 3), "uint8"), moments).dtype == jnp.float32
