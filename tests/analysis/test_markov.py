"""Effective information, causal primitives, scales and singular values in closed form."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from rlkit.analysis.macro import markov, reversibility, scales

# Three states that mix uniformly and one that stays: Hoel's example, EI .81 bits, one bit after grouping.
MIXING = np.array([[1 / 3, 1 / 3, 1 / 3, 0]] * 3 + [[0, 0, 0, 1.0]])


def random_tpm(rng, n):
    return rng.dirichlet(np.ones(n), size=n)


def numpy_information(tpm):
    """Mutual information of a uniform present and the next state, from the joint table."""
    joint = tpm / len(tpm)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))


@pytest.mark.parametrize("n", [2, 5])
def test_permutations_have_maximal_and_uniform_chains_no_effective_information(n):
    permutation = np.eye(n)[np.random.default_rng(n).permutation(n)]
    np.testing.assert_allclose(markov.effective_information(permutation), np.log(n), rtol=1e-6)
    np.testing.assert_allclose(markov.effective_information(permutation, unit="bits"), np.log2(n), rtol=1e-6)
    primitives = markov.causal_primitives(permutation)
    np.testing.assert_allclose(primitives, [1, 0, 1, 1, 1, 1, 1], atol=1e-6)
    uniform = np.full((n, n), 1 / n)
    np.testing.assert_allclose(markov.effective_information(uniform), 0.0, atol=1e-6)
    np.testing.assert_allclose(markov.causal_primitives(uniform).cp_probability, 0.0, atol=1e-6)
    np.testing.assert_allclose(markov.causal_primitives(uniform).cp, 0.0, atol=1e-6)


def test_all_states_going_to_one_are_deterministic_and_fully_degenerate():
    funnel = np.zeros((4, 4))
    funnel[:, 2] = 1.0
    np.testing.assert_allclose([markov.determinism(funnel), markov.degeneracy(funnel)], [1, 1], atol=1e-6)
    primitives = markov.causal_primitives(funnel)
    np.testing.assert_allclose(
        [primitives.sufficiency, primitives.necessity, primitives.cp], [1, 0, 0], atol=1e-6
    )


def test_effective_information_equals_mutual_information_and_its_decomposition():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for n in (2, 6):
            tpm = random_tpm(rng, n)
            value = markov.effective_information(tpm)
            np.testing.assert_allclose(value, numpy_information(tpm), rtol=1e-12)
            primitives = markov.causal_primitives(tpm)
            np.testing.assert_allclose(primitives.cp * np.log(n), value, rtol=1e-10)
            mean_others = np.array([[np.delete(tpm[:, e], c).mean() for e in range(n)] for c in range(n)])
            np.testing.assert_allclose(
                primitives.necessity, (tpm * (1 - mean_others)).sum(1).mean(), rtol=1e-12
            )


def test_grouping_the_mixing_states_creates_causal_emergence():
    np.testing.assert_allclose(
        markov.effective_information(MIXING), 0.75 * np.log(4 / 3) + 0.25 * np.log(4), rtol=1e-6
    )
    macro = markov.coarse_grain(MIXING, jnp.array([0, 0, 0, 1]), 2)
    np.testing.assert_allclose(macro, np.eye(2), atol=1e-6)
    gain = markov.causal_emergence(MIXING, jnp.array([0, 0, 0, 1]), 2, unit="bits")
    np.testing.assert_allclose(gain, 1 - 0.8112781, atol=1e-6)


def test_coarse_graining_weighs_states():
    rng = np.random.default_rng(4)
    tpm, labels, weights = random_tpm(rng, 5), np.array([0, 1, 1, 0, 2]), rng.uniform(0.1, 1, 5)
    expected = np.zeros((3, 3))
    for a, b in itertools.product(range(3), range(3)):
        rows, columns = np.flatnonzero(labels == a), np.flatnonzero(labels == b)
        share = weights[rows] / weights[rows].sum()
        expected[a, b] = share @ tpm[np.ix_(rows, columns)].sum(1)
    np.testing.assert_allclose(markov.coarse_grain(tpm, labels, 3, weights), expected, rtol=1e-5)


def test_one_state_has_no_information_and_nan_rows_propagate():
    assert float(markov.effective_information(np.ones((1, 1)))) == 0.0
    assert float(markov.causal_primitives(np.ones((1, 1))).cp) == 0.0
    broken = np.array([[0.5, 0.5], [np.nan, np.nan]])
    assert np.isnan(markov.effective_information(broken))


# ---- estimation


def test_transition_matrix_recovers_a_chain_and_respects_masks():
    rng = np.random.default_rng(1)
    tpm = random_tpm(rng, 3)
    states = [0]
    for _ in range(20_000):
        states.append(rng.choice(3, p=tpm[states[-1]]))
    states = np.array(states)
    counts = markov.transition_counts(states, 3)
    np.testing.assert_array_equal(
        counts, np.histogram2d(states[:-1], states[1:], bins=[np.arange(4) - 0.5] * 2)[0]
    )
    np.testing.assert_allclose(markov.estimate_tpm(counts), tpm, atol=0.02)
    mask = np.arange(len(states) - 1) != 7
    masked = np.array(markov.transition_counts(states, 3, mask=mask))
    masked[states[7], states[8]] += 1
    np.testing.assert_array_equal(masked, counts)
    assert markov.transition_counts(states, 3, lag=5).sum() == len(states) - 5


def test_unvisited_states_are_said_to_be_unknown():
    counts = markov.transition_counts(np.array([0, 1, 0, 1, 1]), 3)
    assert np.isnan(markov.estimate_tpm(counts)[2]).all()
    np.testing.assert_allclose(markov.estimate_tpm(counts, unvisited="uniform")[2], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(markov.estimate_tpm(counts, unvisited="stay")[2], [0, 0, 1])
    np.testing.assert_allclose(
        markov.estimate_tpm(counts, pseudocount=1.0)[0], [1 / 5, 3 / 5, 1 / 5], rtol=1e-6
    )


# ---- scales


def test_a_path_apportions_the_gain_between_its_steps():
    block = np.full((2, 2), 0.5)
    tpm = scipy.linalg.block_diag(block, block, block, block)
    pairs, quads = [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 1]
    path = scales.causal_path(tpm, [pairs, quads])
    np.testing.assert_array_equal(path.sizes, [8, 4, 2])
    np.testing.assert_allclose(path.cp, [2 / 3, 1, 1], atol=1e-6)
    np.testing.assert_allclose(path.gains, [1 / 3, 0], atol=1e-6)
    np.testing.assert_allclose(path.emergence, 1 / 3, atol=1e-6)
    np.testing.assert_allclose(path.complexity, 0.0, atol=1e-5)
    np.testing.assert_allclose(path.inconsistency, 0.0, atol=1e-6)


def test_emergent_complexity_is_the_entropy_of_the_gains():
    np.testing.assert_allclose(scales.emergent_complexity(jnp.array([0.2, 0.2, 0.2, 0.2])), 2.0, rtol=1e-6)
    np.testing.assert_allclose(
        scales.emergent_complexity(jnp.array([0.3, 0.1]), normalize=True), 0.8112781, rtol=1e-5
    )
    assert float(scales.emergent_complexity(jnp.array([-0.1, 0.0]))) == 0.0
    np.testing.assert_allclose(scales.emergent_complexity(jnp.array([0.3, -0.5, 0.3])), 1.0, rtol=1e-6)


def test_greedy_path_finds_the_planted_scale():
    path = scales.greedy_causal_path(MIXING)
    np.testing.assert_array_equal(path.sizes, [4, 3, 2])
    best = path.labels[-1]
    assert len(set(best[:3])) == 1
    assert best[3] != best[0]
    np.testing.assert_allclose(path.cp[-1], 1.0, atol=1e-6)


def test_inconsistency_is_zero_for_lumpable_groupings_only():
    rng = np.random.default_rng(3)
    assert float(scales.dynamical_inconsistency(MIXING, jnp.array([0, 0, 0, 1]), 2)) < 1e-6
    assert float(scales.dynamical_inconsistency(random_tpm(rng, 4), jnp.array([0, 0, 1, 1]), 2)) > 1e-3


# ---- singular values and Gaussian dynamics


def test_spectral_emergence_of_permutations_and_of_duplicated_states():
    permutation = np.eye(5)[[2, 0, 1, 4, 3]]
    result = reversibility.spectral_emergence(permutation)
    np.testing.assert_allclose([result.gamma, result.rank, result.gain], [5, 5, 0], atol=1e-5)
    # The mixing chain is a projection of rank two: σ = (1, 1, 0, 0), gain 2/2 - 2/4.
    result = reversibility.spectral_emergence(MIXING)
    np.testing.assert_allclose([result.gamma, result.rank, result.gain], [2, 2, 0.5], atol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
def test_spectral_emergence_equals_scipy(alpha):
    tpm = random_tpm(np.random.default_rng(9), 6)
    values = scipy.linalg.svdvals(tpm)
    with jax.enable_x64(True):
        result = reversibility.spectral_emergence(tpm, alpha, epsilon=0.2)
    kept = values[values > 0.2]
    np.testing.assert_allclose(result.gamma, (values**alpha).sum(), rtol=1e-10)
    np.testing.assert_allclose(result.gain, (kept**alpha).mean() - (values**alpha).mean(), rtol=1e-10)


def test_gaussian_effective_information_is_a_mutual_information():
    rng = np.random.default_rng(0)
    transition, factor = rng.normal(size=(4, 4)), rng.normal(size=(4, 6))
    noise = factor @ factor.T
    after = 2.0**2 * transition @ transition.T + noise
    expected = 0.5 * (np.linalg.slogdet(after)[1] - np.linalg.slogdet(noise)[1])
    with jax.enable_x64(True):
        value = reversibility.gaussian_effective_information(transition, noise, 2.0)
        fitted = reversibility.linear_dynamics(
            np.block([[4 * np.eye(4), 4 * transition.T], [4 * transition, after]])
        )
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    np.testing.assert_allclose(fitted[0], transition, rtol=1e-10)
    np.testing.assert_allclose(fitted[1], noise, rtol=1e-8, atol=1e-10)


def test_gaussian_emergence_is_positive_for_wasted_directions_and_zero_without():
    even = reversibility.gaussian_emergence(0.5 * jnp.eye(3), jnp.eye(3))
    np.testing.assert_allclose([even.gain, even.information_gain], 0.0, atol=1e-6)
    np.testing.assert_allclose(even.log_gamma, 0.25 * np.log(0.25), rtol=1e-5)
    wasted = reversibility.gaussian_emergence(jnp.diag(jnp.array([0.9, 0.0])), jnp.eye(2))
    np.testing.assert_allclose(wasted.information_gain, 0.25 * np.log(1.81), rtol=1e-5)
    assert np.isposinf(wasted.gain)
    uneven = reversibility.gaussian_emergence(jnp.diag(jnp.array([0.9, 1e-2])), jnp.eye(2))
    np.testing.assert_allclose(uneven.gain, 0.25 * (np.log(0.81) - np.log(0.81e-4) / 2), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: markov.effective_information(np.ones((2, 3))), "square"),
        (lambda: markov.determinism(np.ones((2, 2))), "row 0 of tpm sums to 2"),
        (lambda: markov.determinism(np.array([[1.0, 0.0], [1.5, -0.5]])), "row 1"),
        (lambda: markov.transition_counts(np.array([0, 3]), 3), r"0\.\.3"),
        (lambda: markov.transition_counts(np.array([0.0, 1.0]), 3), "integers"),
        (lambda: markov.estimate_tpm(np.ones((2, 2)), unvisited="nann"), "did you mean 'nan'"),
        (lambda: scales.causal_path(MIXING, [[0, 0, 1, 1], [0, 1, 1, 0]]), "strict coarse-graining"),
        (lambda: scales.causal_path(MIXING, [[0, 1, 2, 3]]), "strict coarse-graining"),
        (lambda: reversibility.gaussian_emergence(np.eye(2), np.eye(3)), "two"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
