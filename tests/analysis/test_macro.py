"""Ψ, Δ, Γ and the integration of n units against closed forms and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from rlkit.analysis.macro import continuous as macro
from rlkit.analysis.macro import discrete as macro_discrete
from rlkit.analysis.moments.validate import AnalysisWarning
from rlkit.errors import UsageError

STATES = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
PARITY = STATES[:, 0] ^ STATES[:, 1]


def binary_entropy(p):
    return -p * np.log2(p) - (1 - p) * np.log2(1 - p)


def downward_tpm():
    """The first unit becomes the parity, the second is a fair coin."""
    return np.array([[0.5 * (after[0] == parity) for after in STATES] for parity in PARITY])


def decoupled_tpm(keep):
    """The parity is kept with probability ``keep``, the units are otherwise random."""
    return np.array(
        [[0.5 * (keep if after == parity else 1 - keep) for after in PARITY] for parity in PARITY]
    )


def test_downward_causation_by_parity_is_one_bit_of_delta_and_no_psi():
    result = macro_discrete.macro_emergence_exact(downward_tpm() / 4, STATES, PARITY, 2, 2, unit="bits")
    np.testing.assert_allclose([result.psi, result.delta, result.gamma], [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(result.macro_to_micro, [1, 0], atol=1e-6)


def test_kept_parity_is_decoupled_emergence():
    result = macro_discrete.macro_emergence_exact(decoupled_tpm(0.99) / 4, STATES, PARITY, 2, 2, unit="bits")
    np.testing.assert_allclose(
        [result.psi, result.delta, result.gamma], [1 - binary_entropy(0.99), 0, 0], atol=1e-6
    )


def test_sampled_sequences_approach_the_exact_values_and_masks_drop_pairs():
    rng = np.random.default_rng(0)
    steps = 4000
    state = np.zeros(steps, dtype=int)
    tpm = downward_tpm()
    for t in range(1, steps):
        state[t] = rng.choice(4, p=tpm[state[t - 1]])
    x, v = STATES[state], PARITY[state]
    result = macro_discrete.macro_emergence_discrete(x, v, 2, 2, unit="bits")
    np.testing.assert_allclose([result.psi, result.delta, result.gamma], [0, 1, 1], atol=0.01)
    assert abs(float(result.psi) - float(result.macro_to_macro - result.micro_to_macro.sum())) < 1e-6
    # Junk in masked pairs changes nothing.
    junk = np.concatenate([x, rng.integers(0, 2, size=(50, 2))])
    mask = np.arange(len(junk) - 1) < steps - 1
    masked = macro_discrete.macro_emergence_discrete(
        junk, junk[:, 0] ^ junk[:, 1], 2, 2, mask=mask, unit="bits"
    )
    np.testing.assert_allclose(masked.delta, result.delta, atol=1e-6)


def lagged_covariance(transition, noise, readout):
    """Exact covariance of (X, V, X', V') of a VAR(1) with V = X @ readout."""
    now = scipy.linalg.solve_discrete_lyapunov(transition, noise)
    both = np.block([[now, now @ transition.T], [transition @ now, now]])
    n, m = readout.shape
    lift = np.zeros((2 * (n + m), 2 * n))
    for half in range(2):
        rows, columns = half * (n + m), half * n
        lift[rows : rows + n, columns : columns + n] = np.eye(n)
        lift[rows + n : rows + n + m, columns : columns + n] = readout.T
    return lift @ both @ lift.T


def information(cov, a, b):
    logdet = lambda index: np.linalg.slogdet(cov[np.ix_(index, index)])[1]
    return 0.5 * (logdet(a) + logdet(b) - logdet(a + b))


@pytest.mark.parametrize("m", [1, 2])
def test_gaussian_criteria_equal_numpy_log_determinants(m):
    rng = np.random.default_rng(m)
    n = 4
    transition = 0.4 * rng.normal(size=(n, n)) / np.sqrt(n) + 0.3 * np.eye(n)
    cov = lagged_covariance(transition, np.eye(n), rng.normal(size=(n, m)))
    with jax.enable_x64(True):
        result = macro.macro_emergence_from_covariance(jnp.asarray(cov), n)
    d = n + m
    v, w = list(range(n, d)), list(range(d + n, 2 * d))
    to_macro = np.array([information(cov, [j], w) for j in range(n)])
    to_micro = np.array([information(cov, v, [d + j]) for j in range(n)])
    between = np.array([[information(cov, [i], [d + j]) for j in range(n)] for i in range(n)])
    whole = information(cov, v, w)
    np.testing.assert_allclose(result.macro_to_macro, whole, rtol=1e-10)
    np.testing.assert_allclose(result.psi, whole - to_macro.sum(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.delta, (to_micro - between.sum(0)).max(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.gamma, to_micro.max(), rtol=1e-10)
    np.testing.assert_allclose(
        result.psi_corrected, whole - to_macro.sum() + (n - 1) * to_macro.min(), rtol=1e-9, atol=1e-12
    )


def test_series_and_covariance_agree_and_independent_noise_shows_nothing():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20_000, 3)).astype(np.float32)
    result = macro.macro_emergence(x, x.mean(axis=1))
    assert all(abs(float(value)) < 0.01 for value in (result.psi, result.delta, result.gamma))
    series = np.concatenate([x, x.mean(1, keepdims=True)], axis=1).astype(np.float64)
    cov = np.cov(np.concatenate([series[:-1], series[1:]], axis=1).T, bias=True)
    again = macro.macro_emergence_from_covariance(cov.astype(np.float32), 3)
    np.testing.assert_allclose(result.psi, again.psi, atol=1e-5)
    bits = macro.macro_emergence(x, x.mean(axis=1), unit="bits")
    np.testing.assert_allclose(bits.gamma, result.gamma / np.log(2), rtol=1e-5)


def test_constant_units_and_constant_macro_components_are_undefined_and_named():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    x[:, 2] = 4.0
    v = np.stack([x[:, 0], np.zeros(500, np.float32)], axis=1)
    with pytest.warns(AnalysisWarning, match="micro unit 2 is constant; macro 1 is constant"):
        result = macro.macro_emergence(x, v)
    assert np.isnan([result.psi, result.psi_corrected, result.delta, result.gamma]).all()
    assert np.isfinite(result.micro_to_micro[:2, :2]).all()
    with pytest.raises(UsageError, match="micro unit 2 is constant"):
        macro.macro_emergence(x, v[:, 0], check="error")
    assert np.isfinite(macro.macro_emergence(x[:, :2], v[:, 0]).macro_to_micro).all()


def test_delayed_copies_are_undefined_and_named():
    x = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    x[1:, 2] = 3 * x[:-1, 0] + 1
    with pytest.warns(AnalysisWarning, match="future of micro unit 2 is a function of the past of"):
        result = macro.macro_emergence(x, x.mean(1))
    assert np.isnan([result.psi, result.delta, result.gamma]).all()
    assert np.isnan(jax.jit(macro.macro_emergence)(x, x.mean(1)).psi)
    with pytest.warns(AnalysisWarning, match="components are functions of each other"):
        assert np.isnan(macro.macro_emergence(x[:, :2], np.stack([x[:, 1], 2 - x[:, 1]], 1)).delta)


def test_batches_of_seeds_vmap():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 50, 3)).astype(np.float32)
    batch = jax.vmap(macro.macro_emergence)(x, x[..., :2])
    single = macro.macro_emergence(x[2], x[2, :, :2])
    np.testing.assert_allclose(batch.psi[2], single.psi, rtol=1e-4, atol=1e-5)


def test_gradient_of_psi_matches_finite_differences():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 3))
    with jax.enable_x64(True):
        x = jnp.asarray(x)
        loss = jax.jit(lambda weights: macro.macro_emergence(x, x @ weights).psi)
        weights = jnp.array([0.3, -1.0, 0.7])
        gradient = jax.grad(loss)(weights)
        step = 1e-5 * np.eye(3)
        numeric = np.array([(loss(weights + e) - loss(weights - e)) / 2e-5 for e in step])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-9)


def test_integration_of_two_units_equals_the_reference_population_values():
    transition, noise = np.array([[0.5, 0.3], [0.1, 0.4]]), np.array([[1, 0.5], [0.5, 1]])
    now = scipy.linalg.solve_discrete_lyapunov(transition, noise)
    cov = np.block([[now, now @ transition.T], [transition @ now, now]])
    with jax.enable_x64(True):
        result = macro.integrated_information(jnp.asarray(cov))
    atoms = {"rts": 0.019116, "xts": -0.016931, "ytx": -0.054506, "str": 0.005727, "stx": 0.029042}
    phi_r = sum(atoms.values()) + 0.030171
    np.testing.assert_allclose(result.tdmi, 0.347988, atol=1e-6)
    np.testing.assert_allclose(result.phi_r, phi_r, atol=3e-6)
    np.testing.assert_allclose(result.phi_wms, phi_r - 0.073139, atol=3e-6)


def test_integration_of_independent_units_is_zero_for_any_n():
    transition = np.diag([0.9, 0.5, 0.2, 0.0, 0.7])
    now = np.diag(1 / (1 - np.diag(transition) ** 2))
    cov = np.block([[now, now @ transition], [transition @ now, now]])
    result = macro.integrated_information(cov.astype(np.float32))
    np.testing.assert_allclose([result.phi_wms, result.phi_r], 0.0, atol=1e-5)
    np.testing.assert_allclose(result.tdmi, -0.5 * np.log(1 - np.diag(transition) ** 2).sum(), rtol=1e-5)


def test_joint_symbols_is_a_mixed_radix_code():
    np.testing.assert_array_equal(macro_discrete.joint_symbols(STATES, 2), [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: macro.macro_emergence(jnp.ones((5, 2)), jnp.ones(4)), "one length"),
        (lambda: macro.macro_emergence_from_covariance(jnp.eye(6), 3), "num_micro=3"),
        (lambda: macro_discrete.macro_emergence_discrete(STATES, PARITY, 1, 2), "expected 0..0"),
        (lambda: macro_discrete.macro_emergence_discrete(STATES * 1.0, PARITY, 2, 2), "integers"),
        (lambda: macro_discrete.macro_emergence_exact(np.eye(4), STATES, PARITY, 2, 2), "sums to 4"),
        (lambda: macro.integrated_information(jnp.eye(3)), "2n, 2n"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
