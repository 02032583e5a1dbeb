"""Keys as users have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.keys import typed_key


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(jax.random.key_data(a), jax.random.key_data(b))


@pytest.mark.parametrize("seed", [0, 7, -1, 2**31, 2**32 - 1])
def test_all_ways_to_write_a_seed_give_one_key(seed):
    expected = jax.random.key(seed)
    for key in (
        seed,
        np.int64(seed),
        expected,
        jax.random.PRNGKey(seed),
        np.asarray(jax.random.PRNGKey(seed)),
    ):
        assert same(typed_key(key), expected)


def test_arrays_of_keys_are_kept_where_many_will_do(x64):
    keys = jax.random.split(jax.random.key(0), 3)
    raw = jax.random.split(jax.random.PRNGKey(0), 3)
    assert typed_key(keys, many=True) is keys
    assert same(typed_key(raw, many=True), keys)
    for several in (keys, raw, keys[:1]):
        with pytest.raises(UsageError, match=r"start=key<.*>\[[13]\]: expected one PRNG key; .*jax\.vmap"):
            typed_key(several, "start")
    assert same(typed_key(jnp.uint32(3)), jax.random.key(3))


def test_inside_a_program():
    raw = jax.random.split(jax.random.PRNGKey(5), 4)
    draws = jax.jit(jax.vmap(lambda k: jax.random.uniform(typed_key(k))))
    np.testing.assert_array_equal(draws(raw), draws(typed_key(raw, many=True)))
    np.testing.assert_array_equal(draws(jnp.arange(4)), draws(jax.vmap(jax.random.key)(jnp.arange(4))))


@pytest.mark.parametrize(
    "key", [None, True, 0.5, "seed", jnp.zeros(2), np.zeros(2, int), jnp.zeros(3, jnp.uint32), [1, 2], 2**80],
    ids=str,
)  # fmt: skip
def test_what_is_no_key_is_refused_in_a_sentence(key):
    with pytest.raises(
        UsageError, match=r"start=.*: expected a PRNG key; make one with jax\.random\.key\(0\)"
    ):
        typed_key(key, "start")
