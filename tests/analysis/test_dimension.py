import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.moments import dimension
from rlkit.analysis.moments.variation import varies


def ar(a, steps, units=2, seed=0):
    return oracles.var_series(np.diag(np.full(units, a)), steps, seed)


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e6])
def test_constant_is_a_matter_of_rounding_and_not_of_scale(factor):
    z = np.random.default_rng(0).standard_normal((200, 5)) * factor
    z[:, 1] = 0.1 * factor
    z[:, 3] = -2 * z[:, 0] + 3 * factor
    for dtype in (jnp.float32, None):
        active = dimension.active_units(jnp.asarray(z, dtype))
        assert active.tolist() == [True, False, True, False, True]
    assert varies(np.array([1e-31]), 0.0)[0]
    assert not varies(np.array([1e-31]), 1.0)[0]


def test_effective_dimension_is_the_participation_ratio(x64):
    rng = np.random.default_rng(1)
    z = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 8)) * np.logspace(-9, 9, 8)
    spectrum = np.linalg.eigvalsh(np.corrcoef(z.T))
    want = spectrum.sum() ** 2 / (spectrum**2).sum()
    np.testing.assert_allclose(dimension.effective_dimension(z, standardise=True), want, rtol=1e-10)
    spectrum = np.linalg.eigvalsh(np.cov(z.T))
    want = spectrum.sum() ** 2 / (spectrum**2).sum()
    np.testing.assert_allclose(dimension.effective_dimension(z), want, rtol=1e-8)
    assert np.isnan(dimension.effective_dimension(np.ones((20, 3))))


def test_effective_sample_size_follows_bartlett():
    size = lambda z, **o: float(dimension.effective_sample_size(z, **o))
    for a in (0.0, 0.9, 0.95):
        found = np.median([size(ar(a, 4000, seed=s)) for s in range(9)])
        assert 0.8 < found / (4000 * (1 - a * a) / (1 + a * a)) < 1.3, a
    mixed = ar(0.97, 4000) + 4 * np.random.default_rng(3).standard_normal((4000, 2))
    # Lag one is .46 or so and would promise 2500; the memory behind it says otherwise.
    assert size(mixed) < 1800
    z = ar(0.9, 2000)
    first = np.arange(2000) % 10 == 0
    assert size(z, first=first) > 1.5 * size(z)
    pad = np.concatenate([z, np.full((300, 2), np.nan)])
    valid = np.arange(2300) < 2000
    np.testing.assert_allclose(size(pad, valid=valid, max_lag=500), size(z, max_lag=500), rtol=1e-4)
    assert np.isnan(size(np.stack([z[:, 0], np.ones(2000)], 1)))


def test_drift_is_found_and_slowness_is_not_called_drift():
    rng = np.random.default_rng(5)
    z = rng.standard_normal((512, 4))
    z[:, 2] += np.linspace(0, 2, 512)
    found = dimension.drift(z)
    assert found.drifting.tolist() == [False, False, True, False]
    np.testing.assert_allclose(
        found.share, [np.corrcoef(np.arange(512), column)[0, 1] ** 2 for column in z.T], atol=1e-4
    )
    alarms = np.mean([np.asarray(dimension.drift(ar(0.95, 512, 4, seed)).drifting) for seed in range(20)])
    assert alarms < 0.05
    assert not np.asarray(dimension.drift(np.ones((64, 2))).drifting).any()


def test_leading_components_are_uncorrelated_and_span_the_sources(x64):
    rng = np.random.default_rng(2)
    source = rng.standard_normal((300, 2))
    z = source @ rng.standard_normal((2, 6)) * 1e-6 + 5
    parts = np.asarray(dimension.leading_components(z, 3))
    np.testing.assert_allclose(parts[:, :2].T @ parts[:, :2] / 300, np.eye(2), atol=1e-10)
    assert np.abs(parts[:, 2]).max() == 0
    fit = parts[:, :2] @ np.linalg.lstsq(parts[:, :2], z - z.mean(0), rcond=None)[0]
    np.testing.assert_allclose(fit, z - z.mean(0), atol=1e-12)
    with pytest.raises(ValueError, match="count=7: expected 1 to 6"):
        dimension.leading_components(z, 7)
    assert jax.jit(lambda z: dimension.leading_components(z, 2))(z).shape == (300, 2)
