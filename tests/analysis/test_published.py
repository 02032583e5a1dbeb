import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.atoms.published import pigozzi_levin_emergence
from rlkit.analysis.moments import validate
from rlkit.errors import UsageError

TRANSITION = 0.5 * np.eye(6) + np.kron(np.eye(2), 0.12 * np.ones((3, 3))) + 0.01


@pytest.fixture(scope="module")
def recording():
    return oracles.var_series(TRANSITION, 700, 11) * np.array([1, 3, 0.2, 1, 5, 1]) + 2


def test_equals_an_independent_implementation(x64, recording):
    z = np.concatenate([recording, np.full((700, 1), 0.1)], axis=1)
    expected, halves = oracles.pigozzi_levin(z)
    with pytest.warns(validate.AnalysisWarning, match="unit 6 is constant: constant units are dropped"):
        found = pigozzi_levin_emergence(z)
    assert {tuple(np.flatnonzero(half)) for half in found.halves} == set(map(tuple, halves))
    # The signs of eigenvectors are free, and with them which half is x; the sums do not tell.
    for name in ("emergence", "synergy", "integrated", "redundancy", "causation"):
        np.testing.assert_allclose(getattr(found, name), expected[name], atol=1e-10)
    given = pigozzi_levin_emergence(z, halves=halves, check="off")
    np.testing.assert_allclose(given.emergence, expected["emergence"], atol=1e-10)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scale_and_doubling_change_nothing(x64, recording, factor):
    once = pigozzi_levin_emergence(recording)
    scaled = pigozzi_levin_emergence(recording * factor)
    np.testing.assert_allclose(scaled.emergence, once.emergence, atol=1e-8)
    first = np.arange(1400) % 700 == 0
    twice = pigozzi_levin_emergence(np.tile(recording, (2, 1)), first=first)
    for one, two in zip(once[:5], twice[:5], strict=True):
        np.testing.assert_allclose(np.nanmean(two), np.mean(one), atol=1e-10)


def test_bad_halves_and_nothing_to_measure(recording):
    with pytest.raises(UsageError, match=r"halves: unit 1 is on both sides"):
        pigozzi_levin_emergence(recording, halves=([0, 1], [1, 2]))
    with pytest.raises(UsageError, match="no option 'tau'; did you mean 'lag'"):
        pigozzi_levin_emergence(recording, tau=2)
    with pytest.warns(validate.AnalysisWarning, match="unit 0 is constant"):
        assert np.isnan(pigozzi_levin_emergence(np.ones((50, 3))).emergence).all()
    traced = jax.jit(pigozzi_levin_emergence)(jnp.asarray(recording, jnp.float32))
    assert np.isfinite(traced.emergence).all()
