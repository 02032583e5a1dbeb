"""Networks against flax's own layers, and their initialisation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError
from rlkit.networks import GRU, MLP, TORSOS, ActorCritic, check_choice

T, B, D = 7, 3, 5
OBS = jax.random.normal(jax.random.key(0), (T, B, D))
FIRST = jax.random.bernoulli(jax.random.key(1), 0.3, (T, B)).at[0, 0].set(True).at[0, 1].set(False)


@pytest.fixture(autouse=True)
def oracles_at_full_precision():
    """What the tests multiply themselves is not rounded on accelerators; networks say it of their own."""
    with jax.default_matmul_precision("highest"):
        yield


def random_params(module, *example, scale=0.5):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *example)["params"]
    leaves, treedef = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    return treedef.unflatten(
        [scale * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    )


def test_the_recurrent_unit_is_flax_s():
    gru = GRU((8,))
    params = random_params(gru, jnp.zeros(8), OBS[0, 0])
    names = {"reset": "r", "update": "z", "new": "n"}
    theirs = {}
    for i, (ours, letter) in enumerate(names.items()):
        columns = slice(8 * i, 8 * (i + 1))
        theirs[f"i{letter}"] = {k: v[..., columns] for k, v in params["gates"].items()}
        theirs[f"h{letter}"] = {"kernel": params[f"recurrent_{ours}"]}
    theirs["hn"]["bias"] = params["new_bias"]
    h = jax.random.normal(jax.random.key(3), (B, 8))
    carry, out = gru.apply({"params": params}, h, OBS[0])
    wanted_carry, wanted = nn.GRUCell(8).apply({"params": theirs}, h, OBS[0])
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carry, wanted_carry, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_unrolling_is_stepping_with_restarts(torso, shared):
    net = ActorCritic(2, True, torso, (6, 8), "tanh", shared)
    params = {"params": random_params(net, net.memory(), OBS[0, 0])}
    start = jax.tree.map(lambda m: jax.random.normal(jax.random.key(4), (B, *m.shape)), net.memory())
    apply = jax.jit(net.apply, static_argnames="method")
    out, value, latent, last = apply(params, start, OBS, FIRST, method="unroll")
    assert (out.shape, value.shape, latent.shape) == ((T, B, 4), (T, B), (T, B, 8))
    carry = start
    for t in range(T):
        carry = jax.tree.map(lambda c, t=t: jnp.where(FIRST[t][:, None], 0.0, c), carry)
        *wanted, carry = apply(params, carry, OBS[t])
        for found, right in zip((out, value, latent), wanted, strict=True):
            np.testing.assert_allclose(found[t], right, rtol=1e-5, atol=1e-5)
    for a, c in zip(jax.tree.leaves(last), jax.tree.leaves(carry), strict=True):
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-6)
    if torso == "gru":  # it does remember
        other, *_ = apply(params, start, OBS, jnp.zeros_like(FIRST), method="unroll")
        assert float(jnp.abs(other - out).max()) > 0.01


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu", "gelu", "elu"])
def test_the_perceptron_is_its_formula(activation):
    net = MLP((6, 4), activation)
    params = random_params(net, (), OBS[0, 0])
    x, function = OBS, {"tanh": jnp.tanh}.get(activation) or getattr(jax.nn, activation)
    for layer in ("Dense_0", "Dense_1"):
        x = function(x @ params[layer]["kernel"] + params[layer]["bias"])
    np.testing.assert_allclose(net.apply({"params": params}, (), OBS)[1], x, rtol=1e-5, atol=1e-6)


def test_a_gaussian_head_appends_one_deviation_for_all_observations():
    net = ActorCritic(3, True, "mlp", (4,), "tanh", False)
    params = random_params(net, net.memory(), OBS[0, 0])
    out, value, latent, _ = net.apply({"params": params}, net.memory(), OBS)
    mean = latent @ params["actor_head"]["kernel"] + params["actor_head"]["bias"]
    np.testing.assert_allclose(out[..., :3], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[..., 3:], np.broadcast_to(params["log_std"], (T, B, 3)))
    assert value.shape == (T, B)


def test_unknown_choices_get_a_suggestion():
    check_choice("torso", "mlp", TORSOS)
    with pytest.raises(UnknownNameError, match="unknown torso 'grru'; did you mean 'gru'"):
        check_choice("torso", "grru", TORSOS)
