import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.atoms import discrete, gaussian, lattice
from rlkit.analysis.moments.lagged import lagged_moments


def table(rule):
    """p[x, y, a, b] from ``rule(x, y) -> {(a, b): probability}`` under uniform x, y."""
    p = np.zeros((2, 2, 2, 2))
    for x, y in itertools.product((0, 1), repeat=2):
        for (a, b), chance in rule(x, y).items():
            p[x, y, a, b] += chance / 4
    return p


def redundant(rule):
    p = np.zeros((2, 2, 2, 2))
    for x in (0, 1):
        for (a, b), chance in rule(x).items():
            p[x, x, a, b] += chance / 2
    return p


HALF = 0.5
FLIP = 0.1


def parity(x, y, flip=0.0):
    return {(a, b): HALF * (1 - flip if a ^ b == x ^ y else flip) for a in (0, 1) for b in (0, 1)}


SYSTEMS = {
    "transfer": (table(lambda x, y: {(a, x): HALF for a in (0, 1)}), {"xty": 1}),
    "copy": (table(lambda x, y: {(x, x): 1}), {"xtr": 1}),
    "xor to one": (table(lambda x, y: {(x ^ y, b): HALF for b in (0, 1)}), {"stx": 1}),
    "upward": (table(lambda x, y: {(a, x ^ a): HALF for a in (0, 1)}), {"xts": 1}),
    "parity": (table(parity), {"sts": 1}),
    "redundant": (redundant(lambda x: {(x, x): 1}), {"rtr": 1}),
    "xor to both": (table(lambda x, y: {(x ^ y, x ^ y): 1}), {"str": 1}),
    "noisy parity": (table(lambda x, y: parity(x, y, FLIP)), {"sts": 0.531004406}),
}
STORE = table(lambda x, y: {(x, y): 1})


@pytest.mark.parametrize("redundancy", ["mmi", "ccs"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("system", SYSTEMS)
def test_canonical_systems(x64, system, redundancy, dtype):
    p, expected = SYSTEMS[system]
    atoms = discrete.atoms_from_distribution(jnp.asarray(p, dtype), redundancy).to("bits")
    for name in lattice.ATOM_NAMES:
        tolerance = 1e-9 if dtype == jnp.float64 else 1e-5
        np.testing.assert_allclose(atoms[name], expected.get(name, 0), atol=tolerance, err_msg=name)


def test_two_stores(x64):
    ccs = discrete.atoms_from_distribution(STORE, "ccs").to("bits")
    mmi = discrete.atoms_from_distribution(STORE, "mmi").to("bits")
    pattern = {"rts": 1, "str": 1, "xts": -1, "yts": -1, "stx": -1, "sty": -1, "sts": 2, "xtx": 1, "yty": 1}
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(ccs[name], name in ("xtx", "yty"), atol=1e-12)
        np.testing.assert_allclose(mmi[name], pattern.get(name, 0), atol=1e-12)


@pytest.mark.parametrize("redundancy", ["mmi", "ccs", "pointwise"])
def test_random_distributions_equal_the_oracle_and_keep_their_sums(x64, redundancy):
    rng = np.random.default_rng(0)
    for shape in ((2, 2, 2, 2), (3, 2, 4, 2)):
        p = rng.dirichlet(np.ones(np.prod(shape)) * 0.3).reshape(shape)
        p[0, 0] = 0
        p /= p.sum()
        atoms = discrete.atoms_from_distribution(p, redundancy)
        expected = oracles.exact_discrete(p, redundancy)
        for name in lattice.ATOM_NAMES:
            np.testing.assert_allclose(atoms[name], expected[name], atol=1e-12)
        past, future = p.sum((2, 3)), p.sum((0, 1))
        entropy = lambda q: -np.sum(q[q > 0] * np.log(q[q > 0]))
        np.testing.assert_allclose(atoms["tdmi"], entropy(past) + entropy(future) - entropy(p), atol=1e-12)


@pytest.fixture(scope="module")
def latents():
    return oracles.var_series(0.5 * np.eye(4) + 0.1, 700, 9)


@pytest.mark.parametrize("redundancy", ["mmi", "ccs", "pointwise"])
@pytest.mark.parametrize("bins", [2, 3])
def test_binned_series_equal_the_oracle(x64, latents, redundancy, bins):
    options = {"redundancy": redundancy, "bins": bins, "method": "mean" if bins == 2 else "quantile"}
    expected = oracles.phi_id(latents[:, 0], latents[:, 2], 1, redundancy, "discrete", bins)
    each = discrete.discrete_local_atoms(latents, 0, 2, **options)
    whole = discrete.all_pairs_discrete_atoms(latents, chunk=4, **options)
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(each[name], expected[name], atol=1e-11, err_msg=name)
        np.testing.assert_allclose(whole[name][0, 2], expected[name].mean(), atol=1e-12, err_msg=name)
        swap = name.translate(str.maketrans("xy", "yx"))
        np.testing.assert_allclose(whole[name], whole[swap].T, atol=1e-12)


def test_masks_drop_pairs(x64, latents):
    mask = np.arange(699) < 400
    poisoned = latents.copy()
    poisoned[401:] = np.nan
    for method, bins in (("mean", 2), ("quantile", 3)):
        kept = discrete.discrete_pair_atoms(poisoned, mask=mask, method=method, bins=bins)
        alone = discrete.discrete_pair_atoms(latents[:401], method=method, bins=bins)
        np.testing.assert_allclose(kept.stack(), alone.stack(), atol=1e-12)
        pairs = discrete.all_pairs_discrete_atoms(poisoned, mask=mask, method=method, bins=bins)
        np.testing.assert_allclose(pairs.stack()[:, 0, 1], alone.stack(), atol=1e-12)


def test_miller_madow_changes_every_entropy_by_its_occupied_states(x64):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200, 2))
    plain = discrete.discrete_pair_atoms(z, bins=4, method="quantile")
    corrected = discrete.discrete_pair_atoms(z, bins=4, method="quantile", correction=True)
    past = discrete.bin_rows(z[:-1], 4, "quantile")
    future = discrete.bin_rows(z[1:], 4, "quantile")
    states = lambda *columns: len(np.unique(np.stack(columns), axis=1).T)
    x, y, a, b = (*np.asarray(past).T, *np.asarray(future).T)
    change = (states(x, y) + states(a, b) - states(x, y, a, b) - 1) / (2 * 199)
    np.testing.assert_allclose(corrected["tdmi"] - plain["tdmi"], change, atol=1e-12)
    # White noise carries nothing, so what the correction removes is plug-in bias.
    assert 0 < corrected["tdmi"] < 0.6 * plain["tdmi"]


def test_gaussian_estimates_are_blind_to_parity(x64):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (5000, 2))
    for t in range(1, 5000):
        # Parity is handed on with an error of 5 %; without errors it would never change.
        bits[t, 1] = bits[t, 0] ^ bits[t - 1, 0] ^ bits[t - 1, 1] ^ (rng.uniform() < 0.05)
    z = bits + 0.05 * rng.standard_normal(bits.shape)
    linear = gaussian.pair_atoms(lagged_moments(jnp.asarray(z)))
    assert float(linear.to("bits")["tdmi"]) < 0.01
    assert float(discrete.discrete_pair_atoms(z).to("bits").sts) > 0.5


def test_distributions_batch_and_have_gradients(x64):
    p = jnp.stack([SYSTEMS["noisy parity"][0], np.full((2, 2, 2, 2), 1 / 16)])
    atoms = jax.jit(jax.vmap(discrete.atoms_from_distribution))(p)
    np.testing.assert_allclose(atoms.to("bits").sts, [0.531004406, 0], atol=1e-8)
    slope = jax.grad(lambda q: discrete.atoms_from_distribution(q / q.sum())["tdmi"])(p[0])
    assert np.isfinite(slope).all()
    assert np.isfinite(
        jax.grad(lambda q: discrete.atoms_from_distribution(q)["tdmi"])(jnp.asarray(STORE))
    ).all()


def test_bad_arguments(latents):
    with pytest.raises(ValueError, match="bins=3"):
        discrete.discrete_pair_atoms(latents, bins=3)
    with pytest.raises(ValueError, match="four axes"):
        discrete.atoms_from_distribution(jnp.ones((2, 2)))
