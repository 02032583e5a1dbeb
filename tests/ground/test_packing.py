"""Packing is a bijection."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.packing import PackedTree, packing, stacked


class Pair(NamedTuple):
    left: object
    right: object


def _tree(lead=()):
    rng = np.random.default_rng(0)
    return Pair(
        {"x": jnp.asarray(rng.normal(size=(*lead, 2, 3)), jnp.float32),
         "flag": jnp.asarray(rng.random(lead) < 0.5)},
        [jnp.asarray(rng.integers(-9, 9, (*lead, 4)), jnp.int32),
         jnp.asarray(rng.integers(0, 255, (*lead, 2)), jnp.uint8),
         jnp.asarray(rng.random((*lead, 3)) < 0.5),
         jnp.asarray(rng.normal(size=lead), jnp.bfloat16),],
    )  # fmt: skip


def _same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("lead", [(), (7,), (3, 7)])
def test_unpack_inverts_pack_for_any_leading_axes(lead):
    pack = packing(_tree())
    tree = _tree(lead)
    packed = pack.pack(tree)
    assert {name: (x.shape, x.dtype.name) for name, x in packed.items()} == {
        "float32": ((*lead, 6), "float32"),
        "int32": ((*lead, 8), "int32"),  # four integers and four bools
        "uint8": ((*lead, 2), "uint8"),
        "bfloat16": ((*lead, 1), "bfloat16"),
    }
    _same(pack.unpack(packed), tree)


def test_leading_axes_of_the_example_are_left_out():
    tree = _tree((5,))
    pack = packing(tree, lead=1)
    _same(pack.unpack(pack.pack(tree)), tree)
    assert pack.pack(tree)["float32"].shape == (5, 6)


def test_works_on_abstract_examples_under_jit_and_vmap():
    example = jax.eval_shape(_tree)
    pack = packing(example)
    tree = _tree((4,))
    _same(jax.jit(lambda t: pack.unpack(pack.pack(t)))(tree), tree)
    _same(jax.vmap(pack.unpack)(jax.vmap(pack.pack)(tree)), tree)


def test_bools_survive_and_empty_trees_are_fine():
    pack = packing({"a": jnp.array([True, False])})
    assert pack.unpack(pack.pack({"a": jnp.array([False, True])}))["a"].tolist() == [False, True]
    empty = packing(())
    assert empty.pack(()) == {}
    assert empty.unpack({}) == ()


def test_keys_are_refused():
    with pytest.raises(TypeError, match="keep keys out of environment states"):
        packing({"key": jax.random.key(0)})


def test_another_structure_is_refused():
    with pytest.raises(ValueError, match=r"(?i)expected|arity|mismatch|dict"):
        packing({"a": jnp.zeros(2)}).pack({"b": jnp.zeros(2)})


def test_a_packed_tree_unpacks_itself_in_loops_and_batches():
    tree = _tree((5,))
    packed = PackedTree.of(tree, lead=1)
    assert len(jax.tree.leaves(packed)) == 4  # one per dtype
    _same(packed.tree, tree)
    _same(jax.jit(jax.vmap(lambda one: one.tree))(packed), tree)

    def body(carry, _):
        return PackedTree.of(carry.tree, lead=1), carry.tree.left["flag"]

    after, flags = jax.lax.scan(body, packed, length=3)  # the layout made anew is the same layout
    _same(after.tree, tree)
    assert flags.shape == (3, 5)
    other = PackedTree.of(_tree((2, 5)), lead=1)
    assert other.layout != packed.layout
    assert jax.tree.structure(other) != jax.tree.structure(packed)


def test_scalars_are_stacked_as_by_the_library():
    scalars = [jnp.float32(1.5), jnp.int32(2), jnp.array(True), jnp.float32(jnp.nan), jnp.float32(-jnp.inf)]
    wanted = jnp.stack([x.astype(jnp.float32) for x in scalars])
    got = jax.jit(stacked)(scalars)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    slope = jax.grad(lambda x: stacked([x, 3.0 * x]) @ jnp.array([1.0, 10.0]))(2.0)
    assert float(slope) == 31.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_arrays_are_stacked_as_by_the_library(axis):
    parts = [*np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32), np.arange(20).reshape(4, 5)]
    parts[1][2, 3] = np.nan
    wanted = jnp.stack([jnp.asarray(part, jnp.float32) for part in parts], axis)
    got = jax.jit(lambda *parts: stacked(parts, axis))(*(jnp.asarray(part) for part in parts))
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
