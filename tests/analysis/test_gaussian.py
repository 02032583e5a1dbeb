import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.atoms import gaussian, lattice
from rlkit.analysis.moments.lagged import correlation, lagged_moments

POPULATION = {
    "V1": (
        [[0.5, 0.3], [0.1, 0.4]],
        [[1, 0.5], [0.5, 1]],
        {"rtr": 0.073139, "rtx": 0.115942, "rts": 0.019116, "xtx": 0.091782, "xts": -0.016931,
         "ytr": 0.054506, "ytx": -0.054506, "str": 0.005727, "stx": 0.029042, "sts": 0.030171},
    ),
    "V2": (
        np.full((2, 2), 0.4),
        np.eye(2),
        {"rtr": 0.212340, "rts": 0.105655, "str": 0.105655, "sts": 0.087177},
    ),
    "V3": (
        np.full((2, 2), 0.4),
        [[1, 0.9], [0.9, 1]],
        {"rtr": 0.479103, "rts": 0.015461, "str": 0.015461, "sts": 0.000801},
    ),
    "V4": (
        0.9 * np.eye(2),
        np.eye(2),
        {"rts": 0.830366, "str": 0.830366, "xts": -0.830366, "yts": -0.830366, "stx": -0.830366,
         "sty": -0.830366, "sts": 2 * 0.8303655, "xtx": 0.830366, "yty": 0.830366},
    ),
    "V5": ([[0, 0], [0.8, 0]], np.eye(2), {"xty": 0.247348}),
}  # fmt: skip


@pytest.mark.parametrize("case", POPULATION)
def test_population_values_from_exact_covariances(x64, case):
    transition, noise, expected = POPULATION[case]
    covariance, gamma = oracles.var_covariance(transition, noise)
    atoms = gaussian.atoms_from_covariance(covariance)
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[name], expected.get(name, 0.0), atol=1.01e-6, err_msg=name)
    exact = 0.5 * np.log(np.linalg.det(gamma) / np.linalg.det(noise))
    np.testing.assert_allclose(atoms["tdmi"], exact, atol=1e-12)
    blocks = gaussian.atoms_from_covariance(covariance, x=[0])
    np.testing.assert_allclose(blocks.stack(), atoms.stack(), atol=1e-12)


@pytest.fixture(scope="module")
def latents():
    transition = 0.5 * np.eye(6) + 0.1 * np.random.default_rng(3).standard_normal((6, 6))
    z = oracles.var_series(transition, 400, 4)
    return z * np.array([1, 10, 0.1, 1, -3, 1]) + np.array([0, 5, 0, -2, 1, 100])


@pytest.mark.parametrize("lag", [1, 3])
def test_all_pairs_equal_the_per_pair_oracle(x64, latents, lag):
    atoms = jax.jit(lambda z: gaussian.all_pairs_atoms(lagged_moments(z, lag)))(latents)
    assert atoms.sts.shape == (6, 6)
    for i in range(6):
        for j in range(6):
            if i == j:
                assert all(float(value[i, i]) == 0 for value in atoms)
                continue
            local = oracles.phi_id(latents[:, i], latents[:, j], lag)
            for name in lattice.ATOM_NAMES:
                np.testing.assert_allclose(atoms[name][i, j], local[name].mean(), atol=1e-9)
    one = gaussian.pair_atoms(lagged_moments(latents, lag), 4, 2)
    np.testing.assert_allclose(one.stack(), atoms.stack()[:, 4, 2], atol=1e-12)


def test_single_precision_is_close(latents):
    atoms = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(latents, jnp.float32)))
    assert atoms.sts.dtype == jnp.float32
    local = oracles.phi_id(latents[:, 0], latents[:, 3])
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[name][0, 3], local[name].mean(), atol=1e-4)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1000, 1))
    near = np.concatenate([z, z + 0.1 * rng.standard_normal((1000, 1))], axis=1)
    atoms = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(near, jnp.float32)))
    local = oracles.phi_id(near[:, 0], near[:, 1])
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[name][0, 1], local[name].mean(), atol=5e-3)


def test_near_singular_copy_in_double_precision(x64):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(2000)
    pair = np.stack([x, x + 1e-3 * rng.standard_normal(2000)], axis=1)
    atoms = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(pair)))
    local = oracles.phi_id(pair[:, 0], pair[:, 1])
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[name][0, 1], local[name].mean(), atol=1e-8)


def test_sum_and_marginals_are_kept(x64, latents):
    moments = lagged_moments(jnp.asarray(latents))
    atoms = gaussian.all_pairs_atoms(moments)
    c = np.asarray(correlation(moments))
    _, info = lattice.recompose(atoms)
    sides = {"x": [0], "y": [3], "a": [6], "b": [9], "xy": [0, 3], "ab": [6, 9]}
    for name in lattice.Information._fields:
        left, right = name.split("_")
        expected = oracles.block_mi(c, sides[left], sides[right])
        np.testing.assert_allclose(getattr(info, name)[0, 3], expected, atol=1e-10)
    np.testing.assert_allclose(atoms["tdmi"], info.xy_ab, atol=1e-10)


def test_vector_halves_equal_block_determinants(x64, latents):
    c = np.asarray(correlation(lagged_moments(jnp.asarray(latents))))
    halves = {"x": [0, 2, 5], "y": [1, 4]}
    run = jax.jit(lambda x, y: gaussian.atoms_from_covariance(c, x, y))
    mask = lambda idx: np.isin(np.arange(6), idx)
    atoms = run(mask(halves["x"]), mask(halves["y"]))
    shift = lambda idx: [k + 6 for k in idx]
    part = {**halves, "a": shift(halves["x"]), "b": shift(halves["y"])}
    part |= {"xy": part["x"] + part["y"], "ab": part["a"] + part["b"]}
    red, info = lattice.recompose(atoms)
    for name in lattice.Information._fields:
        left, right = name.split("_")
        expected = oracles.block_mi(c, part[left], part[right])
        np.testing.assert_allclose(getattr(info, name), expected, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(red.rtr, min(info.x_a, info.x_b, info.y_a, info.y_b), atol=1e-12)
    # Rotating the units inside a half changes nothing.
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    rotated = latents.copy()
    rotated[:, halves["x"]] = rotated[:, halves["x"]] @ q
    c2 = correlation(lagged_moments(jnp.asarray(rotated)))
    turned = gaussian.atoms_from_covariance(c2, halves["x"], halves["y"])
    np.testing.assert_allclose(turned.stack(), atoms.stack(), atol=1e-9)


SWAP = str.maketrans("xy", "yx")


def test_symmetries(x64, latents):
    atoms = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(latents)))
    affine = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(latents * [2, -1, 3, -0.5, 1, 7] + 4)))
    backward = gaussian.all_pairs_atoms(lagged_moments(jnp.asarray(latents[::-1])))
    for name in lattice.ATOM_NAMES:
        np.testing.assert_allclose(atoms[name], atoms[name.translate(SWAP)].T, atol=1e-12)
        np.testing.assert_allclose(atoms[name], affine[name], atol=1e-9)
        np.testing.assert_allclose(atoms[name], backward[name[::-1]], atol=1e-10)


def test_independent_units_show_the_known_defect(x64):
    z = oracles.var_series(0.95 * np.eye(2), 20000, 5)
    atoms = gaussian.pair_atoms(lagged_moments(jnp.asarray(z)))
    iota = -0.5 * np.log(1 - 0.95**2)
    assert abs(float(atoms["phi_r"])) < 0.01
    np.testing.assert_allclose(atoms["sts"], 2 * iota, rtol=0.05)
    np.testing.assert_allclose(atoms["ce3"], 0, atol=0.02)
    np.testing.assert_allclose(atoms["ce4"], iota, rtol=0.05)


def test_batches_over_seeds_and_checkpoints(latents):
    batch = jnp.asarray(np.stack([latents[:200], latents[200:]]).reshape(2, 1, 200, 6), jnp.float32)
    each = jax.vmap(jax.vmap(lambda z: gaussian.all_pairs_atoms(lagged_moments(z))))(batch)
    assert each.sts.shape == (2, 1, 6, 6)
    single = gaussian.all_pairs_atoms(lagged_moments(batch[1, 0]))
    np.testing.assert_allclose(each.sts[1, 0], single.sts, atol=1e-5)


def _phi_r(z, beta=None):
    values = gaussian.all_pairs_atoms(lagged_moments(z), beta=beta)["phi_r"]
    return gaussian.pairs_mean(jnp.nan_to_num(values))


@pytest.mark.parametrize("beta", [None, 20.0])
def test_gradient_equals_finite_differences(x64, latents, beta):
    z = jnp.asarray(latents[:60])
    value = jax.jit(lambda z: _phi_r(z, beta))
    gradient = jax.jit(jax.grad(value))(z)
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = rng.standard_normal(z.shape) * latents.std(0) * 1e-5
        numeric = (value(z + step) - value(z - step)) / 2
        np.testing.assert_allclose(numeric, jnp.sum(gradient * step), rtol=1e-5)


def test_soft_minimum_tends_to_the_minimum(x64, latents):
    moments = lagged_moments(jnp.asarray(latents))
    hard = gaussian.all_pairs_atoms(moments)
    gaps = []
    for beta in (1e2, 1e4, 1e6):
        soft = gaussian.all_pairs_atoms(moments, beta=beta)
        gaps.append(max(float(jnp.abs(a - b).max()) for a, b in zip(soft, hard, strict=True)))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-5


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dead_and_duplicate_units_have_finite_values_and_gradients(x64, latents, dtype):
    z = jnp.asarray(latents, dtype).at[:, 1].set(7.3).at[:, 5].set(jnp.asarray(latents, dtype)[:, 0])
    value, gradient = jax.jit(jax.value_and_grad(_phi_r))(z)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    for value in gaussian.all_pairs_atoms(lagged_moments(z)):
        undefined = np.isnan(value)
        assert undefined[1, 2:].all()
        assert undefined[5, 0]
        assert not undefined[2:5, 2:5].any()


def test_shape_errors_say_what_is_expected():
    with pytest.raises(ValueError, match=r"\[2n, 2n\]"):
        gaussian.atoms_from_covariance(jnp.eye(3))
    with pytest.raises(ValueError, match="sets x"):
        gaussian.atoms_from_covariance(jnp.eye(6))
