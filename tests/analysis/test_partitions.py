"""Bipartitions against planted structure, brute force and networkx."""

import itertools
import time

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from rlkit.analysis.moments.blocks import correlation_of, group_information, masked_logdet
from rlkit.analysis.parts import halves, partitions, queyranne


def same_cut(one, other) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return bool((one == other).all() or (one != other).all())


def random_covariance(rng, d):
    factor = rng.normal(size=(d, d + 3))
    return factor @ factor.T / (d + 3)


def random_graph(rng, n):
    weights = np.triu(rng.uniform(0.0, 1.0, size=(n, n)), 1)
    return weights + weights.T


def planted_graph(rng, n, size):
    """Two communities of unequal sizes under a random relabelling, with noise on every edge."""
    member = np.zeros(n, dtype=bool)
    member[rng.permutation(n)[:size]] = True
    inside = member[:, None] == member[None, :]
    weights = np.where(inside, 0.5, 0.02) + np.triu(rng.uniform(0, 0.02, size=(n, n)), 1)
    weights = np.triu(weights, 1)
    return weights + weights.T, member


def lagged_covariance(transition, noise):
    """Exact [2n, 2n] covariance of (past, future) of a stationary VAR(1)."""
    import scipy.linalg

    now = scipy.linalg.solve_discrete_lyapunov(transition, noise)
    cross = now @ transition.T
    return np.block([[now, cross], [cross.T, now]])


def two_block_process(n, size, coupling=0.02):
    """Two blocks in each of which the units hand their values round: no information is redundant."""
    member = np.arange(n) < size
    transition = np.full((n, n), coupling / n)
    for block in (np.flatnonzero(member), np.flatnonzero(~member)):
        transition[np.roll(block, 1), block] += 0.8
    return lagged_covariance(transition, np.eye(n)), member


# ---- graphs


def test_information_graph_matches_numpy_and_keeps_opposite_directions_only_in_the_sum():
    rng = np.random.default_rng(0)
    corr = rng.uniform(-0.95, 0.95, size=(6, 6))
    with jax.enable_x64(True):
        mean = partitions.information_graph(jnp.asarray(corr))
        both = partitions.information_graph(jnp.asarray(corr), "sum")
    r = (corr + corr.T) / 2
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(mean, np.where(off, -0.5 * np.log(1 - r**2), 0), rtol=1e-12)
    mi = -0.5 * np.log(1 - corr**2)
    np.testing.assert_allclose(both, np.where(off, mi + mi.T, 0), rtol=1e-12)
    opposite = jnp.array([[1.0, 0.7], [-0.7, 1.0]])
    assert partitions.information_graph(opposite)[0, 1] == 0.0
    assert partitions.information_graph(opposite, "sum")[0, 1] > 0.6


def test_information_graph_is_finite_for_perfect_and_undefined_correlations():
    corr = jnp.array([[1.0, 1.0, jnp.nan], [1.0, 1.0, jnp.nan], [jnp.nan, jnp.nan, jnp.nan]])
    weights = partitions.information_graph(corr)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[0, 1], -0.5 * np.log(2e-6), rtol=0.02)
    assert weights[0, 2] == 0.0


# ---- Fiedler


@pytest.mark.parametrize("n", [8, 33, 64])
def test_fiedler_recovers_a_planted_two_block_graph(n):
    rng = np.random.default_rng(n)
    weights, member = planted_graph(rng, n, n // 2 - 1)
    assert same_cut(partitions.fiedler_bipartition(jnp.asarray(weights, jnp.float32)), member)


@pytest.mark.parametrize("n", [5, 30])
def test_fiedler_equals_networkx(n):
    weights = random_graph(np.random.default_rng(n + 100), n) ** 4
    graph = nx.from_numpy_array(weights + 1e-6 * (1 - np.eye(n)))
    vector = nx.fiedler_vector(graph, weight="weight", normalized=False, method="tracemin_lu", tol=1e-12)
    with jax.enable_x64(True):
        side = partitions.fiedler_bipartition(jnp.asarray(weights))
    expected = vector > 0
    if vector[np.argmax(np.abs(vector))] < 0:
        expected = ~expected
    np.testing.assert_array_equal(side, expected)


def test_fiedler_is_permutation_equivariant_with_its_labels():
    rng = np.random.default_rng(3)
    weights = random_graph(rng, 16) ** 3
    permutation = rng.permutation(16)
    cut = partitions.fiedler_bipartition
    with jax.enable_x64(True):
        side = np.asarray(cut(jnp.asarray(weights)))
        moved = np.asarray(cut(jnp.asarray(weights[np.ix_(permutation, permutation)])))
    np.testing.assert_array_equal(moved, side[permutation])


def test_fiedler_zeros_join_the_smaller_half_and_ties_the_positive_one():
    # Centre 3 with leaves 0, 1, 2, the last two tied together: the second eigenvector is (2, -1, -1, 0).
    star = np.zeros((4, 4))
    for i, j, weight in [(0, 3, 1.0), (1, 3, 1.0), (2, 3, 1.0), (1, 2, 5.0)]:
        star[i, j] = star[j, i] = weight
    side = partitions.fiedler_bipartition(jnp.asarray(star))
    np.testing.assert_array_equal(side, [True, False, False, True])
    # The middle of a path of five is zero between halves of two.
    path = np.diag(np.ones(4), 1)
    side = np.asarray(partitions.fiedler_bipartition(jnp.asarray(path + path.T)))
    assert side[0] != side[4]
    assert side.sum() == 3


def test_fiedler_matches_a_float32_graph_of_two_disconnected_blocks():
    # The floor of 1e-6 is below the rounding of float32 beside weights of 6.9.
    member = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    weights = np.where(member[:, None] == member[None, :], 6.9, 0.0)
    assert same_cut(partitions.fiedler_bipartition(jnp.asarray(weights, jnp.float32)), member)


def test_fiedler_with_constant_units_is_finite_and_ignores_the_inactive():
    rng = np.random.default_rng(5)
    weights, member = planted_graph(rng, 12, 4)
    padded = np.zeros((14, 14))
    padded[:12, :12] = weights
    active = np.arange(14) < 12
    side = np.asarray(partitions.fiedler_bipartition(jnp.asarray(padded), jnp.asarray(active)))
    assert same_cut(side[:12], member)
    minority = side[:12] if side[:12].sum() < 6 else ~side[:12]
    assert (side[12:] == side[:12][minority][0]).all()
    plain = np.asarray(partitions.fiedler_bipartition(jnp.asarray(padded)))
    assert 0 < plain.sum() < 14
    dead = np.asarray(partitions.fiedler_bipartition(jnp.zeros((6, 6))))
    assert 0 < dead.sum() < 6


def test_fiedler_stops_gradients_and_vmaps():
    def loss(weights):
        side = partitions.fiedler_bipartition(weights)
        return jnp.sum(jnp.where(side[:, None] & ~side[None, :], weights, 0.0))

    weights = jnp.asarray(random_graph(np.random.default_rng(1), 6))
    gradient = jax.grad(loss)(weights)
    side = np.asarray(partitions.fiedler_bipartition(weights))
    np.testing.assert_array_equal(gradient, side[:, None] & ~side[None, :])
    batch = jax.vmap(partitions.fiedler_bipartition)(jnp.stack([weights, weights**2]))
    np.testing.assert_array_equal(batch[0], side)


# ---- normalised cut


@pytest.mark.parametrize("n", [6, 9])
def test_normalized_cut_matches_brute_force_on_planted_graphs(n):
    weights, member = planted_graph(np.random.default_rng(n), n, n // 2 - 1)
    side = np.asarray(partitions.normalized_cut_bipartition(jnp.asarray(weights)))
    assert same_cut(side, member)

    def value(mask):
        cut = weights[np.ix_(mask, ~mask)].sum()
        return cut / weights[mask].sum() + cut / weights[~mask].sum()

    splits = [np.array((*bits, True)) for bits in itertools.product([False, True], repeat=n - 1)]
    best = min(value(mask) for mask in splits if not mask.all())
    np.testing.assert_allclose(partitions.normalized_cut(jnp.asarray(weights), side), best, rtol=1e-5)


def test_normalized_cut_is_finite_with_a_constant_unit():
    weights = np.zeros((7, 7))
    weights[:6, :6] = random_graph(np.random.default_rng(0), 6)
    side = np.asarray(partitions.normalized_cut_bipartition(jnp.asarray(weights)))
    assert 0 < side.sum() < 7


# ---- exact minimum-information bipartition


def numpy_phi(cov, side):
    n = len(side)
    side = np.asarray(side)

    def information(a):
        past, future = np.flatnonzero(a), np.flatnonzero(a) + n
        logdet = lambda index: np.linalg.slogdet(cov[np.ix_(index, index)])[1]
        return 0.5 * (logdet(past) + logdet(future) - logdet(np.concatenate([past, future])))

    return information(np.ones(n, bool)) - information(side) - information(~side)


def test_blocks_match_numpy_log_determinants():
    rng = np.random.default_rng(2)
    cov = random_covariance(rng, 6)
    a, b = np.array([1, 0, 0, 1, 0, 0], bool), np.array([0, 1, 0, 0, 0, 1], bool)
    logdet = lambda m: np.linalg.slogdet(cov[np.ix_(m, m)])[1]
    with jax.enable_x64(True):
        np.testing.assert_allclose(masked_logdet(jnp.asarray(cov), a), logdet(a), rtol=1e-12)
        value = group_information(correlation_of(jnp.asarray(cov)), jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(value, 0.5 * (logdet(a) + logdet(b) - logdet(a | b)), rtol=1e-12)


def test_exact_search_equals_brute_force_and_is_never_worse_than_the_other_cuts():
    rng = np.random.default_rng(8)
    search = partitions.exact_bipartition
    with jax.enable_x64(True):
        for _ in range(3):
            cov = random_covariance(rng, 12)
            side = np.asarray(search(jnp.asarray(cov)))
            splits = [np.array((True, *bits)) for bits in itertools.product([False, True], repeat=5)]
            values = {tuple(mask): numpy_phi(cov, mask) for mask in splits if not mask.all()}
            assert tuple(side) == min(values, key=values.__getitem__)
            np.testing.assert_allclose(
                partitions.partition_information(jnp.asarray(cov), jnp.asarray(side)),
                min(values.values()),
                rtol=1e-10,
            )
            scale = np.sqrt(np.diag(cov))
            weights = partitions.information_graph(jnp.asarray((cov / np.outer(scale, scale))[:6, 6:]))
            for other in (
                partitions.fiedler_bipartition(weights),
                partitions.normalized_cut_bipartition(weights),
                queyranne.queyranne_bipartition(cov[:6, :6]),
            ):
                assert min(values.values()) <= numpy_phi(cov, np.asarray(other)) + 1e-10


@pytest.mark.parametrize(("n", "size"), [(6, 2), (10, 4)])
def test_exact_search_and_fiedler_agree_on_planted_processes(n, size):
    cov, member = two_block_process(n, size)
    with jax.enable_x64(True):
        exact = partitions.exact_bipartition(jnp.asarray(cov), "entropy")
        balanced = partitions.exact_bipartition(jnp.asarray(cov), min_size=2)
        scale = np.sqrt(np.diag(cov))
        weights = partitions.information_graph(jnp.asarray((cov / np.outer(scale, scale))[:n, n:]))
        fiedler = partitions.fiedler_bipartition(weights)
    assert same_cut(fiedler, member)
    assert same_cut(exact, member)
    assert same_cut(balanced, member)


def test_exact_search_survives_constant_units_in_float32():
    cov, member = two_block_process(6, 3)
    padded = np.zeros((14, 14))
    index = np.r_[0:6, 7:13]
    padded[np.ix_(index, index)] = cov
    side = np.asarray(partitions.exact_bipartition(jnp.asarray(padded, jnp.float32), min_size=3))
    assert same_cut(side[:6], member)


def test_entropy_normaliser_falls_back_where_no_entropy_is_positive():
    # Strongly dependent units have negative entropy; here every half of two or more units does.
    base = 0.9999 * np.ones((4, 4)) + 0.0001 * np.eye(4)
    cov = np.block([[base, 0.5 * base], [0.5 * base, base]])
    assert np.log(2 * np.pi * np.e) * 2 + np.linalg.slogdet(base[:2, :2])[1] < 0
    with jax.enable_x64(True):
        plain = partitions.exact_bipartition(jnp.asarray(cov), "none", min_size=2)
        normal = partitions.exact_bipartition(jnp.asarray(cov), "entropy", min_size=2)
    np.testing.assert_array_equal(plain, normal)


# ---- Queyranne and the minimum cut


@pytest.mark.parametrize("seed", range(4))
def test_queyranne_equals_brute_force(seed):
    n = 7
    cov = random_covariance(np.random.default_rng(seed), n)

    def information(mask):
        logdet = lambda m: np.linalg.slogdet(cov[np.ix_(m, m)])[1]
        return 0.5 * (logdet(mask) + logdet(~mask) - np.linalg.slogdet(cov)[1])

    splits = [np.array((True, *bits)) for bits in itertools.product([False, True], repeat=n - 1)]
    best = min((mask for mask in splits if not mask.all()), key=information)
    side = queyranne.queyranne_bipartition(cov)
    assert same_cut(side, best)


@pytest.mark.parametrize("n", [5, 14])
def test_minimum_cut_equals_stoer_wagner(n):
    weights = random_graph(np.random.default_rng(n), n) ** 6
    value, _ = nx.stoer_wagner(nx.from_numpy_array(weights))
    side = queyranne.minimum_cut_bipartition(weights)
    np.testing.assert_allclose(partitions.cut_weight(jnp.asarray(weights), side), value, rtol=1e-5)


def test_queyranne_of_64_units_finds_the_planted_independent_block():
    rng = np.random.default_rng(64)
    cov = np.eye(64)
    order = rng.permutation(64)
    small, large = order[:24], order[24:]
    cov[np.ix_(small, small)] = random_covariance(rng, 24) + 0.1 * np.eye(24)
    cov[np.ix_(large, large)] = random_covariance(rng, 40) + 0.1 * np.eye(40)
    member = np.isin(np.arange(64), small)
    start = time.process_time()
    side = queyranne.queyranne_bipartition(cov)
    assert same_cut(side, member)
    assert time.process_time() - start < 30


def test_a_constant_unit_is_a_free_cut_for_queyranne():
    cov = np.zeros((5, 5))
    cov[:4, :4] = random_covariance(np.random.default_rng(0), 4)
    side = queyranne.queyranne_bipartition(cov)
    assert same_cut(side, [False, False, False, False, True])


# ---- halves


def test_halves_as_means_and_vectors():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20, 5)).astype(np.float32)
    side = jnp.array([True, False, True, False, True])
    np.testing.assert_allclose(
        halves.half_means(z, side), np.stack([z[:, ::2].mean(1), z[:, 1::2].mean(1)], 1), rtol=1e-5, atol=1e-6
    )
    broken = z.copy()
    broken[:, 4] = np.nan
    means = halves.half_means(broken, side, jnp.arange(5) < 4)
    np.testing.assert_allclose(means[:, 0], z[:, [0, 2]].mean(1), rtol=1e-5, atol=1e-6)
    one, other = halves.vector_halves(z, side)
    np.testing.assert_array_equal(one, z[:, ::2])
    np.testing.assert_array_equal(other, z[:, 1::2])


# ---- bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: partitions.fiedler_bipartition(jnp.ones((1, 1))), "at least|>= 2"),
        (lambda: partitions.fiedler_bipartition(jnp.ones((2, 3))), "square"),
        (lambda: partitions.information_graph(jnp.eye(3), "men"), "did you mean 'mean'"),
        (lambda: partitions.exact_bipartition(jnp.eye(30)), "2 <= n <= 14"),
        (lambda: partitions.exact_bipartition(jnp.eye(8), min_size=3), "min_size is 3"),
        (lambda: partitions.exact_bipartition(jnp.eye(8), "entropi"), "did you mean 'entropy'"),
        (lambda: queyranne.queyranne_bipartition(jnp.full((3, 3), jnp.nan)), "NaN"),
        (lambda: queyranne.queyranne_bipartition(np.ones((3, 3))), "singular"),
        (lambda: queyranne.minimum_cut_bipartition(-np.ones((3, 3))), "negative"),
        (lambda: queyranne.minimum_cut_bipartition(np.triu(np.ones((3, 3)))), "symmetric"),
        (lambda: jax.jit(queyranne.queyranne_bipartition)(jnp.eye(3)), "traced"),
        (lambda: jax.jit(lambda s: halves.vector_halves(jnp.ones((4, 3)), s))(jnp.ones(3, bool)), "traced"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
