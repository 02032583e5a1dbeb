import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis import all_pairs_atoms
from rlkit.analysis.atoms import all_pairs_discrete_atoms, gaussian, lattice, local
from rlkit.analysis.moments.lagged import covariance, lagged_moments, pair_mask

REDUNDANCIES = ("mmi", "ccs", "pointwise")


@pytest.fixture(scope="module")
def latents():
    transition = 0.5 * np.eye(5) + 0.1 * np.random.default_rng(3).standard_normal((5, 5))
    return oracles.var_series(transition, 512, 4)


def gaussian_pairs(z):
    return all_pairs_atoms(lagged_moments(z))


def spread(atoms, expected):
    return max(np.abs(np.asarray(atoms[name]) - expected[name]).max() for name in lattice.ATOM_NAMES)


def oracle(z, i, j, redundancy, **options):
    ddof = 0 if redundancy == "pointwise" else 1
    return oracles.phi_id(z[:, i], z[:, j], redundancy=redundancy, ddof=ddof, **options)


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
def test_local_atoms_equal_the_oracle(x64, latents, redundancy):
    expected = oracle(latents, 1, 3, redundancy)
    pair = local.local_atoms(latents, 1, 3, redundancy=redundancy, standardise=False)
    assert spread(pair, expected) < 1e-10
    sets = local.local_atoms(latents, [1], [3], redundancy=redundancy, standardise=False)
    assert spread(sets, expected) < 1e-10


def test_single_precision_is_close(latents):
    single = local.local_atoms(jnp.asarray(latents, jnp.float32), 1, 3, redundancy="ccs")
    average = {name: value.mean() for name, value in oracle(latents, 1, 3, "ccs").items()}
    assert spread(jax.tree.map(jnp.mean, single), average) < 1e-4


def test_pointwise_standardises_units_or_not_and_takes_the_released_ridge(x64, latents):
    scaled = latents * np.array([1, 3, 1, 0.2, 1])
    plain = oracle(scaled, 1, 3, "pointwise")
    ridge = oracle(scaled, 1, 3, "pointwise", ridge=1e-6)
    rows = oracles.lagged(scaled[:, 1], scaled[:, 3], 1)
    unit = oracles.pointwise(oracles.gaussian_surprisal(rows / rows.std(axis=1, keepdims=True), ddof=0))
    run = lambda **options: local.local_atoms(scaled, 1, 3, redundancy="pointwise", **options)
    assert spread(run(standardise=False), plain) < 1e-10
    assert spread(run(standardise=False, ridge=1e-6), ridge) < 1e-10
    assert spread(run(), unit) < 1e-10
    assert spread(run(), plain) > 1e-3
    assert 1e-8 < spread(run(standardise=False, ridge=1e-6), plain) < 1e-3


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
def test_all_pairs_equal_pair_by_pair(x64, latents, redundancy):
    run = jax.jit(lambda z: local.all_pairs_local_atoms(z, redundancy=redundancy, chunk=3))
    atoms = run(latents)
    for i, j in ((0, 1), (4, 2), (3, 0)):
        own = {name: atoms[name][i, j] for name in lattice.ATOM_NAMES}
        each = local.local_atoms(latents, i, j, redundancy=redundancy)
        assert max(abs(own[k] - np.mean(each[k])) for k in own) < 1e-12
        if redundancy != "pointwise":
            expected = oracle(latents, i, j, redundancy)
            assert max(abs(own[k] - expected[k].mean()) for k in own) < 1e-9


@pytest.mark.parametrize(("units", "chunk"), [(2, 64), (4, 4), (5, 2)])
def test_every_pair_is_met_in_both_orders(units, chunk):
    z = oracles.var_series(0.5 * np.eye(units) + 0.1, 60, 3).astype(np.float32)
    atoms = local.all_pairs_local_atoms(z, chunk=chunk)
    for i, j in itertools.permutations(range(units), 2):
        means = jax.tree.map(np.mean, local.local_atoms(z, i, j, redundancy="ccs"))._asdict()
        assert spread(jax.tree.map(lambda v, i=i, j=j: v[i, j], atoms), means) < 1e-6
    assert not np.diagonal(atoms.stack(), axis1=1, axis2=2).any()


@pytest.mark.parametrize("function", [local.all_pairs_local_atoms, all_pairs_discrete_atoms, gaussian_pairs])
def test_one_unit_is_no_pair(function):
    with pytest.raises(ValueError, match="1 unit; integrated information needs at least two"):
        function(np.zeros((50, 1), np.float32))


def test_all_pairs_over_several_blocks_with_a_mask(x64):
    z = oracles.var_series(0.6 * np.eye(3) + 0.1, 1300, 7)
    first = np.arange(1300) % 400 == 0
    mask = pair_mask(first)
    atoms = local.all_pairs_local_atoms(z, mask=mask)
    each = local.local_atoms(z, 0, 2, redundancy="ccs", mask=mask)
    assert np.isnan(np.asarray(each.sts)).sum() == np.sum(~np.asarray(mask))
    means = jax.tree.map(np.nanmean, each)._asdict()
    assert spread(jax.tree.map(lambda v: v[0, 2], atoms), means) < 1e-12


def test_masked_local_values_come_from_the_kept_pairs_alone(x64, latents):
    mask = np.arange(511) < 300
    poisoned = latents.copy()
    poisoned[301:] = np.nan
    kept = local.local_atoms(poisoned, 0, 1, mask=mask)
    alone = local.local_atoms(latents[:301], 0, 1)
    np.testing.assert_allclose(kept.stack()[:, :300], alone.stack(), atol=1e-10)


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
def test_sums_and_marginals_hold_locally_and_on_average(x64, latents, redundancy):
    atoms = local.local_atoms(latents, 0, 1, redundancy=redundancy)
    _, info = lattice.recompose(atoms)
    rows = oracles.lagged(latents[:, 0], latents[:, 1], 1)
    expected = oracles.information(oracles.gaussian_surprisal(rows, 0 if redundancy == "pointwise" else 1))
    for name in lattice.Information._fields:
        np.testing.assert_allclose(getattr(info, name), expected[name.replace("_", "")], atol=1e-10)
    np.testing.assert_allclose(atoms["tdmi"], expected["xyab"], atol=1e-10)
    closed = gaussian.pair_atoms(lagged_moments(jnp.asarray(latents)))
    _, average = lattice.recompose(closed)
    np.testing.assert_allclose(np.mean(np.asarray(info.xy_ab)), average.xy_ab, atol=1e-10)
    if redundancy == "mmi":
        np.testing.assert_allclose(jax.tree.map(np.mean, atoms), closed, atol=1e-10)


def test_time_reversal_transposes_ccs_but_not_pointwise(x64, latents):
    back = latents[::-1]
    ahead = local.all_pairs_local_atoms(latents, redundancy="ccs")
    reverse = local.all_pairs_local_atoms(back, redundancy="ccs")
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(ahead[name], reverse[name[::-1]], atol=1e-10)
    ahead = local.all_pairs_local_atoms(latents, redundancy="pointwise")
    reverse = local.all_pairs_local_atoms(back, redundancy="pointwise")
    gap = max(np.abs(ahead[n] - reverse[n[::-1]]).max() for n in lattice.ATOM_NAMES)
    assert gap > 1e-3


def test_affine_maps_and_swaps_leave_ccs_alone(x64, latents):
    base = local.all_pairs_local_atoms(latents, redundancy="ccs")
    moved = local.all_pairs_local_atoms(latents * [2, -1, 3, -0.5, 1] + 4, redundancy="ccs")
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(base[name], moved[name], atol=1e-9)
    swapped = local.local_atoms(latents, 3, 1, redundancy="ccs")
    direct = local.local_atoms(latents, 1, 3, redundancy="ccs")
    swap = str.maketrans("xy", "yx")
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(direct[name], swapped[name.translate(swap)], atol=1e-10)


def test_vector_halves_average_to_the_closed_form(x64, latents):
    moments = lagged_moments(jnp.asarray(latents))
    closed = gaussian.atoms_from_covariance(covariance(moments), [0, 3], [1, 2, 4])
    each = local.local_atoms(latents, [0, 3], [1, 2, 4])
    np.testing.assert_allclose(each.stack().mean(1), closed.stack(), atol=1e-10)


def test_moments_of_the_past_alone_do_not_see_the_future(x64, latents):
    early = lagged_moments(jnp.asarray(latents[:200]))
    later = latents.copy()
    later[300:] += 5
    for redundancy in ("ccs", "pointwise"):
        run = lambda z, r=redundancy: local.local_atoms(z, 0, 1, redundancy=r, moments=early).stack()
        np.testing.assert_array_equal(run(latents)[:, :299], run(later)[:, :299])


def test_independent_slow_units_get_emergence_from_pointwise_redundancy():
    z = oracles.var_series(0.9 * np.eye(2), 20000, 11)
    atoms = jax.tree.map(jnp.mean, local.local_atoms(jnp.asarray(z, jnp.float32), redundancy="pointwise"))
    np.testing.assert_allclose(atoms["ce3"], 0.546, atol=0.03)
    np.testing.assert_allclose(atoms["phi_r"], 0.842, atol=0.03)
    ccs = jax.tree.map(jnp.mean, local.local_atoms(jnp.asarray(z, jnp.float32), redundancy="ccs"))
    assert abs(float(ccs["phi_r"])) < 0.05


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
def test_gradients_exist_and_are_right(x64, latents, redundancy):
    z = jnp.asarray(latents[:40, :2])
    value = jax.jit(lambda z: local.local_atoms(z, redundancy=redundancy)["phi_r"].mean())
    gradient = jax.grad(value)(z)
    step = np.random.default_rng(0).standard_normal(z.shape) * 1e-7
    numeric = (value(z + step) - value(z - step)) / 2
    # CCS jumps where a sign changes, so only the others are continuous.
    if redundancy != "ccs":
        np.testing.assert_allclose(numeric, jnp.sum(gradient * step), rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_unknown_redundancy_gets_a_suggestion(latents):
    with pytest.raises(KeyError, match="pointwise"):
        local.local_atoms(latents, redundancy="pointwse")


def exact(seed, units=2):
    """A stationary lagged covariance."""
    transition = np.random.default_rng(seed).uniform(-0.4, 0.5, (units, units))
    return oracles.var_covariance(transition, np.eye(units) + 0.3)[0]


@pytest.mark.parametrize("redundancy", ["ccs", "pointwise"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_expected_atoms_are_what_long_recordings_converge_to(x64, redundancy, seed):
    c = exact(seed)
    scale = np.sqrt(np.diag(c))
    rows = np.random.default_rng(seed).multivariate_normal(np.zeros(4), c / np.outer(scale, scale), 400_000).T
    h = oracles.gaussian_surprisal(rows)
    info = oracles.information(h)
    wanted = oracles.pointwise(h) if redundancy == "pointwise" else oracles.solve(oracles.ccs(info), info)
    wanted = {name: value.mean() for name, value in wanted.items()}
    assert spread(local.expected_atoms(c, redundancy=redundancy), wanted) < 5e-3


@pytest.mark.parametrize("redundancy", REDUNDANCIES)
def test_expected_atoms_keep_the_exact_informations(x64, redundancy):
    c = exact(5, units=3)
    atoms = local.expected_atoms(c, [0, 2], [1], redundancy=redundancy)
    closed = gaussian.atoms_from_covariance(c, [0, 2], [1])
    for known in ("tdmi", "phi_wms", "te_xy", "te_yx", "active_storage_x", "active_storage_y"):
        np.testing.assert_allclose(atoms[known], closed[known], atol=1e-10)
    if redundancy == "mmi":
        np.testing.assert_array_equal(atoms.stack(), closed.stack())


def test_expected_atoms_of_sets_are_those_of_recordings_of_sets(x64):
    transition = 0.3 * np.eye(3) + 0.1
    z = oracles.var_series(transition, 100_000, 1)
    c = oracles.var_covariance(transition, np.eye(3))[0]
    recorded = local.local_atoms(z, [0, 2], [1], redundancy="ccs").stack().mean(1)
    np.testing.assert_allclose(local.expected_atoms(c, [0, 2], [1]).stack(), recorded, atol=1.5e-2)


def test_expected_atoms_are_accurate_and_differentiable(x64):
    c = jnp.asarray(exact(4))
    few, many = (local.expected_atoms(c, points=n).stack() for n in (2**15, 2**18))
    np.testing.assert_allclose(few, many, atol=2e-3)
    slope = jax.grad(lambda c: local.expected_atoms(c, points=2**10)["phi_r"])(c)
    assert np.isfinite(slope).all()
    assert np.abs(slope).max() > 1e-3


def test_a_number_of_points_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="points=1000: expected a power of two"):
        local.expected_atoms(jnp.eye(4), points=1000)
