import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit import analysis
from rlkit.analysis import atoms, moments
from rlkit.errors import UsageError

BAD = {
    "out of range": ((0, 7), "no unit 7"),
    "below range": ((0, -7), "no unit -7"),
    "equal": ((1, 1), "both sides"),
    "negative equal": ((5, -1), "both sides"),
    "overlap": (([0, 1], [1, 2]), "unit 1 is on both sides"),
    "empty": (([], [1]), "is empty"),
    "empty mask": ((np.zeros(6, bool), [1]), "is empty"),
    "float": ((0.0, 1.0), "whole numbers"),
    "float array": ((jnp.ones(6), 1), "whole numbers"),
    "a bool": ((True, False), "expected a unit"),
    "short mask": (([True, False], [2]), "6 units"),
    "twice": (([0, 0], [1]), "names unit 0 twice"),
    "equal masks": ((np.arange(6) < 3, np.arange(6) < 3), "equal"),
    "text": (("a", "b"), "expected a unit"),
}


@pytest.fixture(scope="module")
def z6():
    return oracles.var_series(0.4 * np.eye(6) + 0.07, 300, 3)


@pytest.fixture(scope="module")
def covariance(z6):
    return np.cov(np.concatenate([z6[:-1], z6[1:]], axis=1).T)


@pytest.mark.parametrize("kind", BAD)
def test_every_path_refuses_bad_sides(z6, covariance, kind):
    (x, y), message = BAD[kind]
    lagged = analysis.lagged_moments(z6)
    for call in (
        lambda: analysis.phi_id(z6, pairs=(x, y)),
        lambda: analysis.phi_id(z6, pairs=(x, y), redundancy="ccs", check="off"),
        lambda: analysis.phi_id(z6, pairs=(x, y), estimator="discrete"),
        lambda: analysis.phi_id_covariance(covariance, (x, y)),
        lambda: analysis.local_atoms(z6, x, y),
        lambda: atoms.expected_atoms(covariance, x, y),
        lambda: atoms.atoms_from_covariance(covariance, x, y) if x is not None else moments.unit_mask(x, 6),
        lambda: atoms.discrete_local_atoms(z6, x, y),
        lambda: atoms.discrete_pair_atoms(z6, x, y),
        lambda: atoms.pair_atoms(lagged, x, y) if np.ndim(x) == 0 else analysis.phi_id(z6, pairs=(x, y)),
        lambda: analysis.pigozzi_levin_emergence(z6, halves=(x, y)),
    ):
        with pytest.raises(UsageError, match=message):
            call()


def test_all_spellings_mean_the_same(x64, z6, covariance):
    side = np.array([True, True, False, True, False, False])
    wanted = analysis.phi_id(z6, pairs=([0, 1, 3], [2, 4, 5]))["phi_r"]
    exact = analysis.phi_id_covariance(covariance, ([0, 1, 3], [2, 4, 5]))["phi_r"]
    assert float(wanted) > 0.001
    spellings = [
        (side, ~side),
        (jnp.asarray(side), ~jnp.asarray(side)),
        (list(side), list(~side)),
        np.stack([side, ~side]),
        (np.array([3, 1, 0]), (5, 2, -2)),
        (jnp.array([0, 1, 3]), [2, 5, 4]),
    ]
    for pairs in spellings:
        np.testing.assert_allclose(analysis.phi_id(z6, pairs=pairs)["phi_r"], wanted, atol=1e-12)
        np.testing.assert_allclose(analysis.phi_id_covariance(covariance, pairs)["phi_r"], exact, atol=1e-12)
    traced = jax.jit(lambda side: analysis.phi_id(z6, pairs=(side, ~side))["phi_r"])(jnp.asarray(side))
    np.testing.assert_allclose(traced, wanted, atol=1e-12)
    np.testing.assert_allclose(
        analysis.phi_id(z6, pairs=np.array([1, 4]))["sts"], analysis.phi_id(z6)["sts"][1, 4], atol=1e-12
    )


def test_partitions_are_read_the_same_way(z6, covariance):
    side = np.arange(6) < 2
    np.testing.assert_allclose(analysis.half_means(z6, [0, 1]), analysis.half_means(z6, side))
    value = analysis.parts.partition_information(covariance, side)
    np.testing.assert_allclose(analysis.parts.partition_information(covariance, [1, 0]), value)
    for call in (
        lambda side: analysis.half_means(z6, side),
        lambda side: analysis.parts.vector_halves(z6, side),
        lambda side: analysis.parts.partition_information(covariance, side),
        lambda side: analysis.parts.cut_weight(np.ones((6, 6)), side),
        lambda side: analysis.parts.normalized_cut(np.ones((6, 6)), side),
    ):
        for bad, message in (([0, 9], "no unit 9"), (np.ones(6, bool), "other side"), (side[:4], "6 units")):
            with pytest.raises(UsageError, match=message):
                call(bad)
    with pytest.raises(UsageError, match=r"3 entries.*two sets of units"):
        analysis.phi_id(z6, pairs=(1, 2, 3))
    with pytest.raises(UsageError, match=r"\(side, ~side\)"):
        analysis.phi_id(z6, pairs=side)
