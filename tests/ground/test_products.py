"""Products are asked for at full precision: by default, accelerators round factors to 8 or 10 bits."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import analysis, envs
from rlkit.agents import PPOConfig, ppo
from rlkit.analysis.parts.halves import half_means
from rlkit.envs.craft_mini_world import generate
from rlkit.products import FULL, convolution, layer_options, matmul

STEPS, UNITS = 64, 6
KEY = jax.random.key(0)
Z = np.random.default_rng(0).normal(size=(STEPS, UNITS)).astype(np.float32)
FIRST = jnp.arange(STEPS) % 32 == 0
SYMBOLS = (Z[:, :3] > 0).astype(np.int32)
TPM = jnp.full((6, 6), 1 / 6)
LABELS = jnp.array([0, 0, 1, 1, 2, 2])
SIDE = jnp.arange(UNITS) < 3
CHAIN = jnp.stack([jnp.arange(6) % 2, jnp.arange(6) // 3], 1)


def fallen(key):
    """Two steps of an engine that multiplies at JAX's default."""
    env = envs.make("mujoco/inverted_pendulum", backend="generalized")
    params = env.default_params()
    _, state = envs.reset(env, key, params)
    return envs.step(env, key, state, jnp.zeros(1), params).obs


FUNCTIONS = {
    "measure_emergence": lambda z: analysis.measure_emergence(z, KEY, draws=4),
    "measure_emergence_ccs": lambda z: analysis.measure_emergence(
        z, KEY, draws=4, routes=("means",), redundancy="ccs"
    ),
    "episodes": lambda z: analysis.measure_emergence(z, KEY, first=FIRST, draws=4),
    "random_projection": lambda z: analysis.study.random_projection(KEY, z),
    "baselines": analysis.study.latent_baselines,
    "half_means": lambda z: half_means(z, SIDE),
    "macro_emergence": lambda z: analysis.macro_emergence(z, z[:, 0]),
    "macro_emergence_discrete": lambda z: (
        analysis.macro_emergence_discrete(SYMBOLS, SYMBOLS[:, 0], 2, 2).psi + z[0, 0]
    ),
    "macro_emergence_exact": lambda z: (
        analysis.macro.macro_emergence_exact(TPM / 6, CHAIN, CHAIN[:, 0], 2, 2).psi + z[0, 0]
    ),
    "expected_atoms": lambda z: analysis.atoms.expected_atoms(jnp.eye(4) + 0 * z[0, 0]),
    "gaussian_emergence": lambda z: analysis.macro.gaussian_emergence(
        *analysis.macro.linear_dynamics(analysis.moments.covariance(analysis.lagged_moments(z)))
    ),
    "coarse_grain": lambda z: analysis.macro.dynamical_inconsistency(TPM + 0 * z[0, 0], LABELS, 3),
    "craft_world": lambda z: generate(jax.random.fold_in(KEY, z[0, 0].astype(int))),
    "physics": lambda z: fallen(jax.random.fold_in(KEY, z[0, 0].astype(int))),
}


def check(text):
    products = [line for line in text.splitlines() if "dot_general" in line and "f32>" in line]
    rounded = [line for line in products if "HIGHEST" not in line]
    assert products, "no product: this case tests nothing"
    assert not rounded, rounded[0].strip()


@pytest.mark.filterwarnings("ignore:Accessing `ncon`")  # brax about MJX
@pytest.mark.parametrize("name", FUNCTIONS)
def test_analysis_and_worlds_at_full_precision(name):
    check(jax.jit(FUNCTIONS[name]).lower(Z).as_text())


@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_learning_at_full_precision(torso):
    agent = ppo(envs.make("classic/cartpole"), PPOConfig(num_envs=4, num_steps=8, torso=torso))
    check(jax.jit(agent.init).lower(KEY).as_text())
    check(jax.jit(agent.step).lower(jax.eval_shape(agent.init, KEY)).as_text())


def test_full_precision_is_seen():
    default = jax.jit(lambda z: z @ z.T).lower(Z).as_text()
    asked = jax.jit(lambda z: matmul(z, z.T)).lower(Z).as_text()
    assert "HIGHEST" not in default
    assert "HIGHEST" in asked


@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [
        ((5, 5), (1, 1), "SAME"),
        ((9, 7), (2, 2), "SAME"),
        ((7, 8), (2, 3), "VALID"),
        ((4, 6), (1, 2), [(0, 2), (1, 0)]),
    ],
)
def test_convolutions_and_their_gradients_are_those_of_jax(size, strides, padding):
    chance = np.random.default_rng(0)
    images, kernel = chance.normal(size=(3, *size, 2)), chance.normal(size=(3, 2, 2, 4))
    given = jnp.asarray(images, jnp.float32), jnp.asarray(kernel, jnp.float32)

    def both(images, kernel):
        usual = jax.lax.conv_general_dilated(
            images, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=FULL
        )
        return convolution(images, kernel, strides, padding, precision=FULL), usual

    ours, theirs = both(*given)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    slopes = [jax.grad(lambda *x, i=i: jnp.square(both(*x)[i]).sum(), (0, 1))(*given) for i in (0, 1)]
    for own, other in zip(*slopes, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-3)


def test_a_layer_takes_the_convolution_and_what_it_cannot_do_is_jax_own():
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 4)), jnp.float32)
    options = layer_options("float32", "conv_general_dilated")
    for more in (
        {},
        {"strides": 2},
        {"kernel_dilation": 2},
        {"feature_group_count": 2},
        {"input_dilation": 2, "padding": 1},
    ):
        own, other = (nn.Conv(8, (3, 3), **more, **o) for o in (options, {"precision": FULL}))
        params = own.init(KEY, images)
        np.testing.assert_allclose(
            own.apply(params, images), other.apply(params, images), rtol=1e-4, atol=1e-4
        )
    narrow = nn.Conv(8, (3, 3), **layer_options("bfloat16", "conv_general_dilated"))
    found = narrow.apply(narrow.init(KEY, images), images)
    assert found.dtype == jnp.float32
    line = nn.Conv(8, (3,), **options)
    assert line.apply(line.init(KEY, images[0]), images[0]).shape == (6, 6, 8)
