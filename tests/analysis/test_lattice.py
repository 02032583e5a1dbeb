import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis.atoms import lattice


def test_matrix_is_the_published_system_and_its_inverse_is_exact():
    np.testing.assert_array_equal(lattice.MATRIX, oracles.SYSTEM)
    assert tuple(oracles.NAMES) == lattice.ATOM_NAMES
    product = lattice.MATRIX.astype(int) @ lattice.INVERSE.astype(int)
    np.testing.assert_array_equal(product, np.eye(16, dtype=int))
    assert set(np.unique(lattice.INVERSE)) <= {-1, 0, 1}


def test_decompose_equals_a_linear_solve_and_recompose_inverts_it(x64):
    knowns = np.random.default_rng(0).standard_normal((16, 5))
    red, info = lattice.Redundancy(*knowns[:7]), lattice.Information(*knowns[7:])
    atoms = lattice.decompose(red, info)
    np.testing.assert_allclose(atoms.stack(), np.linalg.solve(oracles.SYSTEM, knowns), atol=1e-12)
    back = lattice.recompose(atoms)
    np.testing.assert_allclose(np.stack([*back[0], *back[1]]), knowns, atol=1e-12)


def test_derived_sums_satisfy_their_definitions(x64):
    knowns = np.random.default_rng(1).standard_normal((16, 3))
    red, i = lattice.Redundancy(*knowns[:7]), lattice.Information(*knowns[7:])
    atoms = lattice.decompose(red, i)
    d = lattice.derived(atoms)
    expected = {
        "tdmi": i.xy_ab,
        "phi_wms": i.xy_ab - i.x_a - i.y_b,
        "phi_r": i.xy_ab - i.x_a - i.y_b + red.rtr,
        "te_xy": i.xy_b - i.y_b,
        "te_yx": i.xy_a - i.x_a,
        "active_storage_x": i.x_a,
        "active_storage_y": i.y_b,
        "ce4": i.xy_ab - i.x_ab - i.y_ab + red.xy_ab,  # synergy of the forward decomposition
        "ce3": i.xy_ab - i.x_ab - i.y_ab + red.xy_ab - atoms.str,
        "downward": atoms.str + atoms.stx + atoms.sty,
        "upward": atoms.rts + atoms.xts + atoms.yts,
        "decoupling": atoms.sts,
        "storage": atoms.rtr + atoms.xtx + atoms.yty + atoms.sts,
        "copy": atoms.xtr + atoms.ytr,
        "transfer": atoms.xty + atoms.ytx,
        "erasure": atoms.rtx + atoms.rty,
    }
    assert set(d) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(d[name], value, atol=1e-12, err_msg=name)
        np.testing.assert_array_equal(atoms[name], d[name])


def test_atoms_are_a_pytree_indexable_by_name_and_position():
    atoms = lattice.Atoms(*jnp.arange(16.0))
    assert float(atoms["stx"]) == float(atoms.stx) == float(atoms[13]) == 13.0
    batched = jax.vmap(lambda scale: jax.tree.map(lambda a: a * scale, atoms))(jnp.arange(3.0))
    assert isinstance(batched, lattice.Atoms)
    assert batched.sts.shape == (3,)
    np.testing.assert_allclose(float(atoms.to("bits").sts), 15 / np.log(2), rtol=1e-6)
    assert atoms.to("nats") is atoms


def test_unknown_names_get_a_suggestion():
    atoms = lattice.Atoms(*jnp.arange(16.0))
    with pytest.raises(KeyError, match="phi_r"):
        atoms["phi_rr"]
    with pytest.raises(KeyError, match="bits"):
        atoms.to("bit")
