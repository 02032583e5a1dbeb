"""Networks as arguments: modules of users, functions, and what they return."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.initialisers import Initialiser
from rlkit.networks import Outputs
from rlkit.policies import Network, check_network, network_of


class Plain(nn.Module):
    @nn.compact
    def __call__(self, carry, x):
        z = nn.tanh(nn.Dense(8, kernel_init=nn.initializers.constant(0.1))(x))
        return Outputs(nn.Dense(2)(z), nn.Dense(1)(z)[..., 0], z)


class Counter(nn.Module):
    """Memory of two kinds, no `unroll`."""

    @nn.nowrap
    def memory(self):
        return jnp.zeros(3), jnp.int32(10)

    @nn.compact
    def __call__(self, carry, x):
        h = jnp.tanh(nn.Dense(3)(x) + carry[0])
        return Outputs(nn.Dense(2)(h), h.sum(-1) + carry[1], h, (h, carry[1] + 1))


def test_a_modules_own_initialisers_are_kept():
    network = network_of(Plain(), (4,))
    assert check_network(network, (4,), 2) == 8
    bits = jax.random.bits(jax.random.key(0), (network.initialiser.words,))
    params = network.initialiser.build(bits)
    np.testing.assert_array_equal(params["Dense_0"]["kernel"], np.float32(0.1))
    assert float(jnp.abs(params["Dense_1"]["kernel"]).min()) > 0
    shapes = jax.tree.map(lambda x: x.shape, params)
    assert shapes == jax.tree.map(lambda x: x.shape, network.initialiser.shapes)


def test_sequences_of_a_module_without_unroll_run_step_by_step():
    network = network_of(Counter(), (4,))
    assert check_network(network, (4,), 2) == 3
    params = network.initialiser.build(jax.random.bits(jax.random.key(0), (network.initialiser.words,)))
    x, first = jax.random.normal(jax.random.key(1), (5, 2, 4)), jnp.zeros((5, 2), bool).at[3, 1].set(True)
    carry = (jnp.ones((2, 3)), jnp.array([4, 5], jnp.int32))
    out = network.unroll(params, carry, x, first)
    assert out.carry[1].tolist() == [9, 12]
    again = network.unroll(params, (jnp.zeros((1, 3)), jnp.array([10], jnp.int32)), x[3:, 1:], first[3:, 1:])
    np.testing.assert_allclose(out.distribution[3:, 1:], again.distribution, rtol=1e-6)
    np.testing.assert_allclose(out.value[3:, 1:], again.value, rtol=1e-6)


def functions(apply, memory=lambda: ()):
    initialiser = Initialiser(1, lambda bits: jnp.zeros(2), jax.ShapeDtypeStruct((2,), jnp.float32))
    return Network(initialiser, apply, lambda p, c, x, first: apply(p, c, x), memory)


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda p, c, x: (x[..., :2], x[..., 0], x), r"returns tuple; expected rlkit.networks.Outputs"),
        (lambda p, c, x: Outputs(x, x[..., 0], x), r"distribution has shape \(4,\); expected \(2,\)"),
        (
            lambda p, c, x: Outputs(x[..., :2], x[..., :1], x),
            r"value has shape \(1,\); expected \(\), a scalar",
        ),
        (lambda p, c, x: Outputs(x[..., :2], x[..., 0], x[..., None]), r"latent has shape \(4, 1\)"),
        (lambda p, c, x: Outputs(x[..., :2], x[..., 0], x, x), r"carry is .*; expected \(\), as its memory"),
    ],
)
def test_what_a_network_returns_wrong_is_named(apply, message):
    with pytest.raises(UsageError, match=message):
        check_network(functions(apply), (4,), 2)


def test_a_module_that_takes_something_else():
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x

    with pytest.raises(UsageError, match=r"Odd cannot be called with \(carry, x\), x of shape \(4,\)"):
        network_of(Odd(), (4,))
