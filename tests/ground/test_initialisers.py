"""Initial parameters against flax's own shapes, and against what orthogonal means."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.initialisers import orthogonal
from rlkit.networks import ActorCritic

D = 5


def bits(seed, initialiser, *lead):
    return jax.random.bits(jax.random.key(seed), (*lead, initialiser.words))


GAINS = {"actor_head": 0.01, "critic_head": 1.0, "gates": 1.0, "recurrent_new": 3.0}


@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_initial_kernels_are_orthogonal_and_other_vectors_zero(torso):
    net = ActorCritic(2, True, torso, (16, 8), "tanh", False)
    initialiser = orthogonal(net, net.memory(), jax.ShapeDtypeStruct((D,), jnp.float32), gains=GAINS)
    params = jax.jit(initialiser.build)(bits(5, initialiser))
    expected = jax.eval_shape(net.init, jax.random.key(0), net.memory(), jnp.zeros(D))["params"]
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    kernels = []
    for (path, leaf), shape in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(expected), strict=True
    ):
        assert (leaf.shape, leaf.dtype, leaf.weak_type) == (shape.shape, shape.dtype, False)
        place = jax.tree_util.keystr(path)
        if leaf.ndim < 2:
            np.testing.assert_array_equal(leaf, 0.0)
            continue
        gain = next((g for name, g in GAINS.items() if name in place), np.sqrt(2))
        matrix = np.asarray(leaf if leaf.shape[0] <= leaf.shape[1] else leaf.T, np.float64)
        np.testing.assert_allclose(
            matrix @ matrix.T, gain**2 * np.eye(len(matrix)), atol=2e-6 * gain**2 + 1e-9
        )
        kernels.append(matrix / gain)
    same_shape = [(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape]
    assert same_shape
    assert all(np.abs(a - b).max() > 0.1 for a, b in same_shape)


def test_rotations_are_uniformly_distributed():
    net = nn.Dense(4, use_bias=False)
    initialiser = orthogonal(net, jax.ShapeDtypeStruct((4,), jnp.float32))
    kernels = np.asarray(
        jax.vmap(initialiser.build)(bits(6, initialiser, 4000))["kernel"], np.float64
    ) / np.sqrt(2)
    np.testing.assert_allclose(kernels.mean(0), 0.0, atol=5 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose((kernels**2).mean(0), 0.25, atol=0.02)
    # Fourth moment of an entry of a Haar matrix, 3 / (n (n + 2)); both signs of the determinant.
    np.testing.assert_allclose((kernels**4).mean(0), 3 / 24, atol=0.02)
    assert abs(np.linalg.det(kernels).mean()) < 0.1


def test_a_large_rotation_stays_orthogonal():
    net = nn.Dense(256, use_bias=False)
    initialiser = orthogonal(net, jax.ShapeDtypeStruct((256,), jnp.float32))
    kernel = np.asarray(jax.jit(initialiser.build)(bits(7, initialiser))["kernel"], np.float64)
    np.testing.assert_allclose(kernel @ kernel.T, 2 * np.eye(256), atol=1e-5)


class Zoo(nn.Module):
    """Layers of every kind, two of them stacked."""

    @nn.compact
    def __call__(self, x, picture):
        stack = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        twins = nn.vmap(nn.Dense, **stack, in_axes=None, out_axes=0, axis_size=2)(6, name="twins")(x)
        towers = nn.vmap(nn.Conv, **stack, in_axes=None, out_axes=0, axis_size=3)
        seen = towers(4, (2,), name="towers")(picture[0])
        seen = seen.sum() + nn.Conv(8, (3, 3), name="conv")(picture).sum()
        many = nn.DenseGeneral((2, 3), name="heads")(x)
        back = nn.DenseGeneral(4, axis=(-2, -1), name="merge")(many)
        token = nn.Embed(7, 4, name="token")(jnp.int32(3))
        norm = nn.LayerNorm(name="norm")(back + token)
        scaled = norm * self.param("gain", nn.initializers.constant(0.3), (4,))
        return nn.Dense(1, name="head")(scaled).sum() + twins.sum() + seen


@pytest.fixture(scope="module")
def zoo():
    struct = jax.ShapeDtypeStruct
    initialiser = orthogonal(Zoo(), struct((D,), jnp.float32), struct((6, 6, 2), jnp.float32))
    both = jax.jit(jax.vmap(initialiser.build))(bits(8, initialiser, 2))
    own = jax.eval_shape(Zoo().init, jax.random.key(0), jnp.zeros(D), jnp.zeros((6, 6, 2)))["params"]
    assert jax.tree.structure(own) == jax.tree.structure(both)
    assert [x.shape[1:] for x in jax.tree.leaves(both)] == [x.shape for x in jax.tree.leaves(own)]
    return both


@pytest.mark.parametrize(
    ("name", "copies", "columns"),
    [("twins", 2, 6), ("towers", 3, 4), ("conv", 1, 8), ("heads", 1, 6), ("merge", 1, 4), ("head", 1, 1)],
)
def test_kernels_of_any_layer_are_orthogonal_each_by_itself(zoo, name, copies, columns):
    kernels = np.asarray(zoo[name]["kernel"], np.float64)
    matrices = kernels.reshape(2 * copies, -1, columns)
    for matrix in matrices:
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        np.testing.assert_allclose(wide @ wide.T, 2.0 * np.eye(len(wide)), atol=1e-5)
    gaps = [np.abs(a - b).max() for i, a in enumerate(matrices) for b in matrices[:i]]
    assert min(gaps) > 0.1


def test_what_is_no_kernel_starts_as_its_module_wants(zoo):
    np.testing.assert_array_equal(zoo["norm"]["scale"], 1.0)
    np.testing.assert_array_equal(zoo["gain"], np.float32(0.3))
    for name in ("twins", "towers", "conv", "heads", "merge", "norm", "head"):
        np.testing.assert_array_equal(zoo[name]["bias"], 0.0)
    embedding = np.asarray(zoo["token"]["embedding"])
    assert 0.2 < embedding.std() < 1.0  # flax draws it with variance 1 / features
    assert np.abs(embedding[0] - embedding[1]).max() > 0.1


class Odd(nn.Module):
    shape: tuple

    @nn.compact
    def __call__(self, x):
        return self.param("kernel", nn.initializers.zeros, self.shape).sum() * x


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_a_kernel_of_unknown_kind_is_an_error(shape):
    with pytest.raises(UsageError, match=r"kernel of shape .* is a kernel of a Odd: expected one of Dense"):
        orthogonal(Odd(shape), jnp.zeros(()))


def test_variables_beside_parameters_are_an_error():
    with pytest.raises(UsageError, match=r"BatchNorm has variables \['batch_stats'\] beside"):
        orthogonal(nn.BatchNorm(use_running_average=False), jnp.zeros((3, 2)))
