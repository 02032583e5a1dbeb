import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit.analysis.atoms import gaussian, lattice
from rlkit.analysis.moments import copula
from rlkit.analysis.moments.lagged import lagged_moments


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 3))
    z[:, 1] = np.maximum(z[:, 1], 0)  # a rectified unit: half of it is tied at zero
    z[:, 2] = np.round(z[:, 2], 1)
    return z


def test_ranks_and_normal_scores_equal_scipy(x64, mixed):
    expected = np.stack([stats.norm.ppf((stats.rankdata(c) - 0.5) / 300) for c in mixed.T], axis=1)
    np.testing.assert_allclose(jax.jit(copula.rank_normal)(mixed), expected, atol=1e-9)
    plain = np.stack([stats.norm.ppf(stats.rankdata(c) / 301) for c in mixed.T], axis=1)
    np.testing.assert_allclose(copula.rank_normal(mixed, plotting_position="plain"), plain, atol=1e-9)


def test_ties_are_reported(mixed):
    expected = [np.mean(stats.rankdata(c, "max") != stats.rankdata(c, "min")) for c in mixed.T]
    np.testing.assert_allclose(copula.tie_fraction(jnp.asarray(mixed, jnp.float32)), expected, atol=1e-6)
    keep = mixed[:, 1] > 0
    assert float(copula.tie_fraction(mixed, keep)[1]) == 0


def test_invalid_steps_are_left_out(x64, mixed):
    valid = np.arange(300) < 200
    poisoned = mixed.copy()
    poisoned[200:] = np.nan
    ranked = copula.rank_normal(poisoned, valid)
    np.testing.assert_allclose(ranked[:200], copula.rank_normal(mixed[:200]), atol=1e-12)
    assert np.isnan(ranked[200:]).all()


def test_seeded_jitter_breaks_ties_and_keeps_the_order(x64, mixed):
    ranked = copula.rank_normal(mixed, key=jax.random.key(0))
    again = copula.rank_normal(mixed, key=jax.random.key(0))
    other = copula.rank_normal(mixed, key=jax.random.key(1))
    np.testing.assert_array_equal(ranked, again)
    assert not np.array_equal(ranked[:, 1], other[:, 1])
    np.testing.assert_allclose(ranked[:, 0], copula.rank_normal(mixed)[:, 0], atol=1e-12)
    assert float(copula.tie_fraction(ranked).max()) == 0
    order = np.argsort(mixed[:, 2], kind="stable")
    steps = np.diff(mixed[order, 2])
    assert (np.diff(np.asarray(ranked)[order, 2])[steps > 0] > 0).all()


def test_monotone_maps_change_nothing(x64):
    z = np.random.default_rng(1).standard_normal((400, 2)).cumsum(0)
    bent = np.stack([np.exp(z[:, 0] / 5), z[:, 1] ** 3], axis=1)
    atoms = [gaussian.pair_atoms(lagged_moments(copula.rank_normal(s))) for s in (z, bent)]
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[0][name], atoms[1][name], atol=1e-12)


def test_unknown_plotting_position():
    with pytest.raises(KeyError, match="half"):
        copula.rank_normal(jnp.ones((4, 2)), plotting_position="halff")
