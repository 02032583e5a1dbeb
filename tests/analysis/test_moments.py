import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis.moments import lagged as m
from rlkit.analysis.moments import streaming


def data(steps=300, units=4, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.standard_normal((steps, units)), axis=0) * 0.1 + rng.standard_normal(units) * 10


def direct(z, lag, weight=None):
    rows = np.concatenate([z[:-lag], z[lag:]], axis=1)
    return np.cov(rows.T, ddof=0, aweights=weight)


@pytest.mark.parametrize(("steps", "lag"), [(300, 1), (300, 7), (20, 15), (4097, 1), (4098, 2), (5000, 3000)])
def test_covariance_equals_numpy(x64, steps, lag):
    z = data(steps)
    moments = jax.jit(m.lagged_moments, static_argnums=1)(z, lag)
    np.testing.assert_allclose(m.covariance(moments), direct(z, lag), atol=1e-10)
    np.testing.assert_allclose(m.mean(moments), np.r_[z[:-lag].mean(0), z[lag:].mean(0)], atol=1e-11)
    np.testing.assert_allclose(
        m.covariance(moments, ddof=1), direct(z, lag) * (steps - lag) / (steps - lag - 1)
    )


def test_weights_and_masks(x64):
    z = data(2600)
    rng = np.random.default_rng(1)
    weight, keep = rng.uniform(0, 2, 2599), rng.uniform(size=2599) < 0.7
    moments = m.lagged_moments(z, 1, keep, weight)
    np.testing.assert_allclose(m.covariance(moments), direct(z, 1, weight * keep), atol=1e-10)
    np.testing.assert_allclose(moments.squared_count, np.sum((weight * keep) ** 2))
    full = m.lagged_moments(z, 1, np.ones(2599, bool))
    np.testing.assert_allclose(m.covariance(full), m.covariance(m.lagged_moments(z)), atol=1e-10)


@pytest.mark.parametrize("ends", [0, 3, 60, 2000])
def test_pairs_inside_episodes_few_or_many(x64, ends):
    """Futures are pasts but for the ends of episodes: the same by that way and by the long one."""
    z, lag = data(2600), 2
    rng = np.random.default_rng(2)
    first = np.isin(np.arange(2600), rng.choice(2600, ends, replace=False))
    keep = np.asarray(m.pair_mask(first, lag))
    used = np.zeros(2600, bool)
    used[:-lag] |= keep
    used[lag:] |= keep
    z[~used] = np.nan  # what no pair touches may hold anything
    rows = np.concatenate([z[:-lag], z[lag:]], axis=1)[keep]
    moments = m.lagged_moments(z, lag, keep)
    np.testing.assert_allclose(m.covariance(moments), np.cov(rows.T, ddof=0), atol=1e-10)
    np.testing.assert_allclose(m.mean(moments), rows.mean(0), atol=1e-11)
    slope = lambda z: jax.grad(lambda z: jnp.sum(m.covariance(m.lagged_moments(z, lag, keep)) ** 3))(z)
    weighed = lambda z: jax.grad(
        lambda z: jnp.sum(m.covariance(m.lagged_moments(z, lag, None, keep.astype(float))) ** 3)
    )(z)
    np.testing.assert_allclose(slope(z), weighed(z), rtol=1e-6, atol=1e-8)


def test_single_precision_with_a_large_offset():
    z = np.random.default_rng(0).standard_normal((20000, 3)) + 1000
    moments = m.lagged_moments(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(
        m.covariance(moments), direct(z.astype(np.float32).astype(float), 1), atol=1e-4
    )


def test_episode_order_and_padding_do_not_matter(x64):
    episodes = [data(steps, seed=k) for k, steps in enumerate((40, 70, 25))]

    def correlation(order, pad=0):
        z = np.concatenate([episodes[k] for k in order] + [np.full((pad, 4), np.nan)])
        first = np.concatenate([np.arange(len(episodes[k])) == 0 for k in order] + [np.zeros(pad, bool)])
        valid = np.arange(len(z)) < len(z) - pad
        return m.correlation(m.lagged_moments(z, 2, m.pair_mask(first, 2, valid)))

    base = correlation((0, 1, 2))
    np.testing.assert_allclose(correlation((2, 0, 1)), base, atol=1e-12)
    np.testing.assert_allclose(correlation((0, 1, 2), pad=13), base, atol=1e-12)
    rows = np.concatenate([np.concatenate([e[:-2], e[2:]], axis=1) for e in episodes])
    np.testing.assert_allclose(base, np.corrcoef(rows.T), atol=1e-12)
    joined = m.correlation(m.lagged_moments(np.concatenate(episodes), 2))
    assert np.abs(np.asarray(joined - base)).max() > 1e-3


def test_merged_blocks_equal_one_pass(x64):
    z = data()
    whole = m.lagged_moments(z)
    # Blocks share their border sample, so every pair is counted once.
    parts = [m.lagged_moments(z[a : b + 1]) for a, b in ((0, 100), (100, 220), (220, 299))]
    merged = m.merge_moments(m.merge_moments(parts[2], parts[0]), parts[1])
    np.testing.assert_allclose(m.covariance(merged), m.covariance(whole), atol=1e-10)
    neutral = m.merge_moments(streaming.zero_moments(4, jnp.float64), merged)
    np.testing.assert_allclose(m.covariance(neutral), m.covariance(whole), atol=1e-10)


def test_psum_over_a_mapped_axis_equals_one_pass(x64):
    z = data(202)
    parts = jnp.stack([z[:101], z[100:201]])
    keep = np.ones((2, 100), bool)
    keep[0, :30] = False
    total = jax.vmap(lambda p, k: m.psum_moments(m.lagged_moments(p, 1, k), "d"), axis_name="d")(parts, keep)
    one = jax.tree.map(lambda leaf: leaf[1], total)
    whole = m.lagged_moments(z[:201], 1, np.concatenate(keep))
    np.testing.assert_allclose(m.covariance(one), m.covariance(whole), atol=1e-10)
    assert m.psum_moments(whole, None) is whole


def test_streaming_equals_batch(x64):
    z = jnp.asarray(data(120))
    keep = np.arange(119) % 9 != 4
    poisoned = z.at[0].set(np.nan)  # touched by the first pair only, which has weight 0
    weight = jnp.asarray(keep, float).at[0].set(0)

    def step(state, pair):
        return streaming.update_moments(state, *pair), None

    start = streaming.zero_moments(4, jnp.float64)
    state, _ = jax.lax.scan(step, start, (poisoned[:-1], poisoned[1:], weight))
    batch = m.lagged_moments(z, 1, weight > 0)
    np.testing.assert_allclose(m.covariance(state), m.covariance(batch), atol=1e-10)


def test_exponential_weights(x64):
    z, rate = jnp.asarray(data(400)), 0.1

    def step(state, pair):
        return streaming.update_moments(state, *pair, decay=1 - rate), None

    state, _ = jax.lax.scan(step, streaming.zero_moments(4, jnp.float64), (z[:-1], z[1:]))
    weight = (1 - rate) ** np.arange(398, -1, -1)
    np.testing.assert_allclose(m.covariance(state), direct(np.asarray(z), 1, weight), atol=1e-10)
    np.testing.assert_allclose(state.count**2 / state.squared_count, (2 - rate) / rate, rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_windows_by_differences_equal_direct_windows(x64, masked):
    z = data(203)
    mask = np.random.default_rng(0).uniform(size=201) < 0.8 if masked else None
    windows = jax.jit(streaming.windowed_moments, static_argnums=(1, 2, 3))(z, 60, 20, 2, mask)
    assert windows.count.shape == ((201 - 60) // 20 + 1,)
    for k in range(windows.count.shape[0]):
        part = None if mask is None else mask[k * 20 : k * 20 + 60]
        own = m.lagged_moments(z[k * 20 : k * 20 + 62], 2, part)
        window = jax.tree.map(lambda leaf, k=k: leaf[k], windows)
        np.testing.assert_allclose(m.covariance(window), m.covariance(own), atol=1e-10)


def test_windows_do_not_look_ahead():
    z = data(203).astype(np.float32)
    later = z.copy()
    later[110:] = 1e3 * np.random.default_rng(0).standard_normal(later[110:].shape)
    windows = jax.jit(streaming.windowed_moments, static_argnums=(1, 2))
    before, after = windows(z, 40, 10), windows(later, 40, 10)
    seen = (110 - 41) // 10 + 1
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[:seen], b[:seen])
    assert not np.array_equal(before.past_past[seen:], after.past_past[seen:])


def test_ledoit_wolf_equals_the_definition(x64):
    z = data(50, 6)
    rows = np.concatenate([z[:-1], z[1:]], axis=1)
    rows = (rows - rows.mean(0)) / rows.std(0)
    c = rows.T @ rows / len(rows)
    spread = np.mean([np.sum((np.outer(r, r) - c) ** 2) for r in rows]) / len(rows)
    expected = min(1.0, spread / np.sum((c - np.eye(12)) ** 2))
    np.testing.assert_allclose(m.ledoit_wolf(jnp.asarray(z)), expected, rtol=1e-9)


def test_shrinkage_acts_on_the_full_matrix_once(x64):
    c = m.correlation(m.lagged_moments(data()))
    shrunk = m.correlation(m.lagged_moments(data()), shrinkage=0.2)
    np.testing.assert_allclose(shrunk, 0.8 * c + 0.2 * np.eye(8), atol=1e-12)


def test_nothing_has_a_weak_type():
    moments = streaming.zero_moments(3)
    z = jnp.ones((10, 3), jnp.float32)
    for tree in (moments, m.lagged_moments(z), m.lagged_moments(z, 1, jnp.ones(9, bool))):
        assert all(leaf.dtype == jnp.float32 and not leaf.weak_type for leaf in jax.tree.leaves(tree))
    after = streaming.update_moments(moments, z[0], z[1])
    assert jax.tree.map(lambda l: l.dtype, after) == jax.tree.map(lambda l: l.dtype, moments)


def test_bad_arguments():
    z = jnp.ones((10, 3))
    with pytest.raises(ValueError, match="lag=10"):
        m.lagged_moments(z, 10)
    with pytest.raises(ValueError, match=r"\(9,\)"):
        m.lagged_moments(z, 1, jnp.ones(10, bool))
    with pytest.raises(ValueError, match="steps, units"):
        m.lagged_moments(z[0])
    with pytest.raises(ValueError, match="multiple of hop"):
        streaming.windowed_moments(z, 5, 2)
    with pytest.raises(ValueError, match="longer"):
        streaming.windowed_moments(z, 20, 2)


def test_moments_of_combinations_are_those_of_their_samples():
    chance = np.random.default_rng(3)
    z, weights = jnp.asarray(chance.normal(size=(60, 4))), jnp.asarray(chance.normal(size=(2, 4)))
    mask = jnp.asarray(chance.random(58) > 0.2)
    for kept in (None, mask):
        found = m.combined_moments(m.lagged_moments(z, 2, kept), weights)
        samples = m.lagged_moments(np.asarray(z) @ np.asarray(weights).T, 2, kept)
        for of in (m.covariance, m.mean, m.correlation):
            np.testing.assert_allclose(of(found), of(samples), rtol=1e-4, atol=1e-5)
