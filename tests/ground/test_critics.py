"""Networks for values of actions against flax's own layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.critics import Critic, HeadedTorso, critics
from rlkit.initialisers import orthogonal

OBS = jax.random.normal(jax.random.key(0), (7, 3, 5))
ACTION = jax.random.normal(jax.random.key(1), (7, 3, 2))
FIRST = jax.random.bernoulli(jax.random.key(2), 0.3, (7, 3))


def filled(module, *example):
    initialiser = orthogonal(module, *example)
    return {"params": jax.jit(initialiser.build)(jax.random.bits(jax.random.key(3), (initialiser.words,)))}


def test_critics_are_networks_of_their_own():
    twins = critics(2, (8, 6), "tanh", layer_norm=True)
    params = filled(twins, OBS[0], ACTION[0])
    q = twins.apply(params, OBS, ACTION)
    assert q.shape == (2, 7, 3)
    for i in range(2):
        one = jax.tree.map(lambda x, i=i: x[i], params)
        np.testing.assert_allclose(
            q[i], Critic((8, 6), "tanh", True).apply(one, OBS, ACTION), rtol=1e-4, atol=1e-5
        )
    assert float(jnp.abs(q[0] - q[1]).max()) > 0.1
    x = np.concatenate([OBS, ACTION], -1).astype(np.float64)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    torso = params["params"]["MLP_0"]
    for layer in range(2):
        take = lambda name, leaf, layer=layer: torso[f"{name}_{layer}"][leaf][0]
        x = x @ take("Dense", "kernel") + take("Dense", "bias")
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = np.tanh(x * take("LayerNorm", "scale") + take("LayerNorm", "bias"))
    head = params["params"]["Dense_0"]
    np.testing.assert_allclose(q[0], (x @ head["kernel"][0] + head["bias"][0])[..., 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_unrolling_is_stepping_with_restarts(torso, layer_norm):
    net = HeadedTorso(4, True, torso, (6, 8), "relu", layer_norm)
    params = filled(net, net.memory(), OBS[0, 0])
    start = jax.tree.map(lambda m: jnp.ones((3, *m.shape)), net.memory())
    whole = net.apply(params, start, OBS, FIRST, method="unroll")
    assert (whole.distribution.shape, whole.latent.shape) == ((7, 3, 4), (7, 3, 8))
    np.testing.assert_array_equal(whole.value, whole.distribution.max(-1))
    carry = start
    for t in range(7):
        carry = jax.tree.map(lambda c, t=t: jnp.where(FIRST[t][:, None], 0.0, c), carry)
        out = net.apply(params, carry, OBS[t])
        carry = out.carry
        np.testing.assert_allclose(out.distribution, whole.distribution[t], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out.latent, whole.latent[t], rtol=1e-4, atol=1e-5)


def test_normalised_layers_ignore_the_scale_of_what_they_see():
    plain, normed = (HeadedTorso(2, sizes=(8,), layer_norm=on) for on in (False, True))
    for net, ignores in ((plain, False), (normed, True)):
        params = filled(net, (), OBS[0, 0])
        one, ten = (net.apply(params, (), scale * OBS).latent for scale in (1.0, 10.0))
        assert np.allclose(one, ten, rtol=1e-3, atol=1e-3) == ignores
    assert nn.LayerNorm().epsilon == 1e-6


def test_a_policy_knows_no_value():
    net = HeadedTorso(2, values=False, sizes=(8,))
    assert bool(jnp.isnan(net.apply(filled(net, (), OBS[0, 0]), (), OBS).value).all())
