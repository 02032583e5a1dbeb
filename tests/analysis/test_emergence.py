import warnings

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.atoms import emergence, gaussian, lattice
from rlkit.analysis.moments import validate
from rlkit.analysis.moments.lagged import lagged_moments


@pytest.fixture(scope="module")
def latents():
    return oracles.var_series(0.5 * np.eye(4) + 0.1, 400, 2).astype(np.float32)


@pytest.mark.parametrize("estimator", ["gaussian", "discrete"])
@pytest.mark.parametrize("redundancy", ["mmi", "ccs", "pointwise"])
def test_one_pair_is_an_entry_of_all_pairs(latents, redundancy, estimator):
    options = {"redundancy": redundancy, "estimator": estimator, "unit": "bits"}
    every = emergence.phi_id(latents, **options)
    one = emergence.phi_id(latents, pairs=(1, 3), **options)
    for name in (*lattice.ATOM_NAMES, *lattice.DERIVED):
        np.testing.assert_allclose(every[name][1, 3], one[name], atol=2e-4)
    assert float(one.count) == 399
    nats = emergence.phi_id(latents, pairs=(1, 3), redundancy=redundancy, estimator=estimator)
    np.testing.assert_allclose(nats["tdmi"] / np.log(2), one["tdmi"], rtol=1e-5)


def test_options_reach_the_estimate(latents):
    base = emergence.phi_id(latents)
    halves = emergence.phi_id(latents, pairs=([0, 1], [2, 3]))
    assert halves["tdmi"].shape == ()
    assert float(halves["tdmi"]) > float(base["tdmi"][0, 1])
    for options in (
        {"lag": 2},
        {"shrinkage": 0.1},
        {"shrinkage": "ledoit-wolf"},
        {"correct": True},
        {"beta": 30.0},
        {"gaussianise": True},
        {"first": np.arange(400) % 50 == 0},
        {"valid": np.arange(400) < 300},
    ):
        result = emergence.phi_id(latents, **options)
        changed = max(float(abs(result[name] - base[name])[0, 1]) for name in ("tdmi", "rtr"))
        assert 0 < changed < 0.5, options
        assert float(result["tdmi"][2, 2]) == pytest.approx(0, abs=1e-6), options


def test_results_compile_and_batch(latents):
    batch = jnp.stack([latents[:200], latents[200:]])
    mapped = jax.jit(jax.vmap(lambda z: emergence.phi_id(z, redundancy="ccs")["phi_r"]))(batch)
    single = emergence.phi_id(batch[1], redundancy="ccs")["phi_r"]
    np.testing.assert_allclose(mapped[1], single, atol=1e-5)


def test_exact_inputs(x64):
    covariance, _ = oracles.var_covariance([[0, 0], [0.8, 0]], np.eye(2))
    assert float(emergence.phi_id_covariance(covariance, unit="bits")["xty"]) == pytest.approx(
        0.356847, abs=1e-5
    )
    p = np.full((2, 2, 2, 2), 1 / 16)
    assert float(emergence.phi_id_distribution(p)["tdmi"]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("estimator", ["gaussian", "discrete"])
def test_constant_and_duplicate_units_give_nan_and_a_warning_that_names_them(latents, estimator):
    z = np.concatenate([latents, np.full((400, 1), 0.3, np.float32), 2 - 3 * latents[:, :1]], axis=1)
    with pytest.warns(validate.AnalysisWarning, match=r"unit 4 is constant; unit 0 and unit 5 are copies"):
        result = emergence.phi_id(z, estimator=estimator)
    undefined = np.isnan(result["phi_r"])
    assert undefined[4, [0, 1, 2, 3, 5]].all()
    assert undefined[0, 5]
    assert undefined[5, 0]
    assert np.isfinite(result["phi_r"][:4, :4]).all()
    with pytest.warns(validate.AnalysisWarning):
        assert np.isnan(emergence.phi_id(z, pairs=(0, 5), estimator=estimator)["sts"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(emergence.phi_id(z, pairs=(0, 1), check="off", estimator=estimator)["sts"])
    with pytest.raises(ValueError, match="unit 4 is constant"):
        emergence.phi_id(z, check="error", estimator=estimator)


def test_input_that_nothing_can_be_estimated_from(latents):
    broken = latents.copy()
    broken[7, 2] = np.nan
    with pytest.raises(ValueError, match="unit 2"):
        emergence.phi_id(broken)
    masked = emergence.phi_id(broken, valid=np.arange(400) != 7)
    assert np.isfinite(masked["phi_r"]).all()
    with pytest.raises(ValueError, match="lag=400"):
        emergence.phi_id(latents, lag=400)
    with pytest.raises(ValueError, match="1 unit;"):
        emergence.phi_id(latents[:, :1])
    with pytest.raises(ValueError, match="too few"):
        emergence.phi_id(latents[:100].T)
    with pytest.raises(ValueError, match="drops every"):
        emergence.phi_id(latents, first=np.ones(400, bool))
    with pytest.raises(ValueError, match="steps, units"):
        emergence.phi_id(latents[None])


def test_bad_options(latents):
    for options, message in (
        ({"redundancy": "mni"}, "mmi"),
        ({"estimator": "gausian"}, "gaussian"),
        ({"unit": "bit"}, "bits"),
        ({"pairs": "al"}, "all"),
        ({"check": "wrn"}, "warn"),
        ({"shrinkage": "ledoit"}, "ledoit-wolf"),
    ):
        with pytest.raises(KeyError, match=message):
            emergence.phi_id(latents, **options)
    for options in (
        {"beta": 1.0, "redundancy": "ccs"},
        {"correct": True, "redundancy": "ccs"},
        {"gaussianise": True, "estimator": "discrete"},
        {"estimator": "discrete", "pairs": ([0, 1], [2, 3])},
        {"pairs": (1, 2, 3)},
    ):
        with pytest.raises(ValueError, match=r"must be|for estimator|no exact form|takes two"):
            emergence.phi_id(latents, **options)


def test_covariances_and_distributions_are_checked():
    impossible = np.eye(4)
    impossible[:3, :3] = [[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]]
    for covariance, message in (
        (impossible, "positive definite"),
        (np.diag([1.0, 1.0, 0.0, 1.0]), "must be positive"),
        (np.eye(4) + np.eye(4, k=1) * 0.1, "not symmetric"),
        (np.eye(3), "past units first"),
        (np.full((4, 4), np.nan), "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            emergence.phi_id_covariance(covariance)
    with pytest.raises(ValueError, match=r"sums to 0\.5"):
        emergence.phi_id_distribution(np.full((2, 2, 2, 2), 1 / 32))
    with pytest.raises(ValueError, match=r"non-negative"):
        emergence.phi_id_distribution(np.full((2, 2, 2, 2), -1 / 16))


def test_checks_are_skipped_under_tracing(latents):
    dead = jnp.asarray(latents).at[:, 0].set(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = jax.jit(lambda z: emergence.phi_id(z)["phi_r"])(dead)
    assert np.isnan(value[0, 1:]).all()
    assert np.isfinite(value[1:, 1:]).all()
    closed = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(latents)))["phi_r"]
    np.testing.assert_allclose(value[2, 3], closed[2, 3], atol=1e-5)
