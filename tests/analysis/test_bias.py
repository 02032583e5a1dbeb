import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from scipy.special import digamma

from rlkit.analysis.atoms import bias, gaussian
from rlkit.analysis.atoms.lattice import recompose
from rlkit.analysis.moments.lagged import lagged_moments
from rlkit.analysis.moments.streaming import update_moments, zero_moments


def test_log_det_bias_equals_the_wishart_formula(x64):
    for d, n in ((1, 10), (4, 30), (4, 999)):
        g = sum(digamma((n - 1 - i) / 2) for i in range(d)) - d * np.log((n - 1) / 2)
        np.testing.assert_allclose(bias.log_det_bias(d, n), g, atol=1e-12)
    np.testing.assert_allclose(bias.information_bias(2, 2, 99), 0.020943, atol=3e-4)
    np.testing.assert_allclose(bias.information_bias(2, 3, 1e5), 2 * 3 / 2e5, rtol=1e-3)
    assert np.isnan(bias.information_bias(2, 2, 4))


def noise_atoms(steps, runs, seed, transition=None):
    if transition is None:
        z = jax.random.normal(jax.random.key(seed), (runs, steps + 1, 2))
    else:
        series = [oracles.var_series(transition, steps + 1, seed + run) for run in range(runs)]
        z = jnp.asarray(np.stack(series))
    return jax.jit(jax.vmap(lambda z: gaussian.pair_atoms(lagged_moments(z))))(z)


@pytest.mark.parametrize("steps", [100, 1000])
def test_white_noise_has_the_predicted_bias_and_none_after_correction(x64, steps):
    atoms = noise_atoms(steps, 1500, steps)
    tdmi = np.asarray(atoms["tdmi"])
    error = tdmi.std() / np.sqrt(tdmi.size)
    # Consecutive pairs share samples, which changes the mean by O(1 / N^2) only.
    assert abs(tdmi.mean() - float(bias.information_bias(2, 2, steps))) < 3 * error
    corrected = np.asarray(bias.correct_bias(atoms, steps)["tdmi"])
    assert abs(corrected.mean()) < 2 * error
    if steps == 1000:
        assert abs(steps * np.asarray(atoms["phi_r"]).mean() - 1.05) < 0.15
        assert abs(steps * np.asarray(atoms.sts).mean() - 0.35) < 0.08


def test_correction_of_independent_samples_is_exact_for_coupled_pairs(x64):
    covariance, _ = oracles.var_covariance([[0.5, 0.3], [0.1, 0.4]], [[1, 0.5], [0.5, 1]])
    factor = jnp.asarray(np.linalg.cholesky(covariance))
    samples = jax.random.normal(jax.random.key(0), (4000, 25, 4)) @ factor.T

    def estimate(rows):
        atoms = gaussian.atoms_from_covariance(jnp.cov(rows.T))
        return jnp.stack([atoms["tdmi"], bias.correct_bias(atoms, 25)["tdmi"]])

    plug_in, corrected = np.asarray(jax.jit(jax.vmap(estimate))(samples)).T
    truth, error = 0.347988, corrected.std() / np.sqrt(4000)
    assert abs(corrected.mean() - truth) < 3 * error
    assert plug_in.mean() - truth > 10 * error


def test_slow_units_are_worth_fewer_pairs(x64):
    z = oracles.var_series(np.diag([0.9, 0.9, 0.0]), 3000, 0)
    moments = lagged_moments(jnp.asarray(z))
    counts = bias.effective_counts(moments)
    np.testing.assert_allclose(counts[0, 1], 2999 * (1 - 0.81) / (1 + 0.81), rtol=0.15)
    np.testing.assert_allclose(counts[0, 2], 2999, rtol=0.1)
    # The inflation of cross-information that this count explains (about 9.5 at a = 0.9).
    slow = noise_atoms(500, 300, 1, 0.9 * np.eye(2))
    _, information = recompose(slow)
    inflation = float(np.mean(information.x_b)) * 2 * 500
    assert 6.5 < inflation < 12


def test_forgetting_counts_by_its_weights(x64):
    rate = 0.05
    z = jax.random.normal(jax.random.key(0), (600, 2))
    step = lambda state, pair: (update_moments(state, *pair, decay=1 - rate), None)
    state, _ = jax.lax.scan(step, zero_moments(2, z.dtype), (z[:-1], z[1:]))
    np.testing.assert_allclose(bias.effective_counts(state)[0, 1], (2 - rate) / rate, rtol=0.05)
