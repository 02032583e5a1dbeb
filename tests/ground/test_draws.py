"""Random numbers from one draw of bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit.draws import Draw, as_keys, draw_bits, gumbel, key_shape, normal, raw, split, uniform

N = 100_000


@pytest.fixture(scope="module")
def bits():
    return jax.random.bits(jax.random.key(1), (N,))


def test_bits_are_cut_from_one_draw():
    a, b, c = draw_bits(jax.random.key(0), (2, 3), (), (4,))
    assert [x.shape for x in (a, b, c)] == [(2, 3), (), (4,)]
    assert {x.dtype.name for x in (a, b, c)} == {"uint32"}
    whole = jax.random.bits(jax.random.key(0), (11,))
    np.testing.assert_array_equal(jnp.concatenate([x.reshape(-1) for x in (a, b, c)]), whole)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_bits_become_keys_of_the_same_kind(impl):
    key = jax.random.key(0, impl=impl)
    (bits,) = draw_bits(key, key_shape(key, (5, 2)))
    keys = as_keys(bits, key)
    assert keys.shape == (5, 2)
    assert keys.dtype == key.dtype
    draws = jax.vmap(jax.vmap(jax.random.uniform))(keys)
    assert len(np.unique(draws)) == 10


def test_uniform_and_normal_are_those_of_jax(bits):
    key = jax.random.key(1)
    np.testing.assert_array_equal(uniform(bits), jax.random.uniform(key, (N,)))
    found, wanted = normal(bits), jax.random.normal(key, (N,))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)  # the tails magnify rounding
    middle = np.abs(wanted) < 2
    np.testing.assert_allclose(found[middle], wanted[middle], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("draw", "law"), [(uniform, stats.uniform), (normal, stats.norm), (gumbel, stats.gumbel_r)]
)
def test_noise_follows_its_law(bits, draw, law):
    x = np.asarray(draw(bits), np.float64)
    assert np.isfinite(x).all()
    assert stats.kstest(x, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("draw", [uniform, normal, gumbel])
def test_extreme_bits_stay_finite(draw):
    x = draw(jnp.array([0, 2**32 - 1, 511, 512], jnp.uint32))
    assert x.dtype == jnp.float32
    assert bool(jnp.isfinite(x).all())
    assert bool((jnp.diff(x[jnp.array([0, 3, 1])]) > 0).all())


def test_keys_noise_and_bits_by_name_are_parts_of_one_draw():
    key = jax.random.key(3)
    out = split(key, noise=Draw((8, 2), normal), order=Draw((4, 64), raw), steps=Draw((5, 2)), next=Draw())
    assert {name: (x.shape, str(x.dtype)) for name, x in out.items()} == {
        "noise": ((8, 2), "float32"),
        "order": ((4, 64), "uint32"),
        "steps": ((5, 2), str(key.dtype)),
        "next": ((), str(key.dtype)),
    }
    bits = jnp.concatenate([out["order"].reshape(-1), jax.random.key_data(out["steps"]).reshape(-1)])
    assert len(set(bits.tolist())) > 0.99 * bits.size  # no part is drawn twice
    program = jax.make_jaxpr(lambda key: split(key, a=Draw((2,), raw), b=Draw()))(key)
    assert str(program).count("random_bits") == 1
