"""Shuffled minibatches: their indices, and the loop over them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.minibatches import epochs, minibatch_indices

CASES = [(3, 12, 4), (1, 1, 1), (2, 1, 1), (4, 2048, 32), (2, 32_768, 2), (2, 40_000, 4), (1, 70_000, 7)]


@pytest.mark.parametrize(("epochs", "count", "minibatches"), CASES)
def test_every_row_occurs_once_in_each_epoch(epochs, count, minibatches):
    bits = jax.random.bits(jax.random.key(0), (epochs, count))
    order = minibatch_indices(bits, minibatches)
    assert order.shape == (epochs * minibatches, count // minibatches)
    assert order.dtype == jnp.int32
    passes = np.sort(np.asarray(order).reshape(epochs, count), 1)
    np.testing.assert_array_equal(passes, np.broadcast_to(np.arange(count), passes.shape))


def test_equal_bits_still_give_every_row():
    for value in (0, 1, 2**31, 2**32 - 1):
        order = minibatch_indices(jnp.full((1, 24), value, jnp.uint32), 3)
        np.testing.assert_array_equal(order.reshape(-1), np.arange(24))


@pytest.mark.parametrize("count", [6, 40_000])
def test_all_orders_are_equally_likely(count):
    draws = 6000 if count == 6 else 3
    bits = jax.random.bits(jax.random.key(1), (draws, count))
    order = np.asarray(minibatch_indices(bits, 1))
    if count == 6:  # each row in each place a sixth of the time
        share = np.stack([(order == row).mean(0) for row in range(count)])
        np.testing.assert_allclose(share, 1 / count, atol=5 * np.sqrt(1 / count / draws))
        assert len(np.unique(order, axis=0)) == 720
    else:  # no memory of the place, nor of the neighbour, nor of the epoch before
        place = np.arange(count)
        pairs = [(order[0], place), (order[1], order[0]), (order[2][1:], order[2][:-1])]
        for a, b in pairs:
            assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(count)


class Rows(NamedTuple):
    obs: jax.Array
    value: jax.Array
    flag: jax.Array
    weight: Any = ()


@pytest.mark.parametrize("sequences", [False, True])
def test_epochs_hand_out_the_rows_of_the_order(sequences):
    steps, slots = 6, 4
    rows = Rows(
        jnp.arange(steps * slots * 3.0).reshape(steps, slots, 3),
        jnp.arange(steps * slots * 1.0).reshape(steps, slots),
        jnp.arange(steps * slots).reshape(steps, slots) % 3 == 0,
    )
    count = slots if sequences else steps * slots
    order = minibatch_indices(jax.random.bits(jax.random.key(0), (2, count)), 2)

    def step(carry, some, index):
        return carry + some.weight.sum(), (some, index)

    prepare = lambda some: {"weight": 2.0 * some.value}
    total, (seen, index) = epochs(
        step, jnp.zeros(()), rows, order, sequences=sequences, large=("obs",), prepare=prepare
    )
    np.testing.assert_array_equal(index, order)
    assert total == 2 * 2 * rows.value.sum()
    for i, which in enumerate(order):
        for name in ("obs", "value", "flag"):
            all_rows = getattr(rows, name)
            wanted = all_rows[:, which] if sequences else all_rows.reshape(-1, *all_rows.shape[2:])[which]
            np.testing.assert_array_equal(getattr(seen, name)[i], wanted)
        np.testing.assert_array_equal(seen.weight[i], 2.0 * seen.value[i])
