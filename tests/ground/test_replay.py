"""The replay buffer against a list of what was added."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.replay import add_steps, draw_windows, empty_replay, replace_steps, replay_bytes, stored_steps

B, T = 3, 2
EXAMPLE = {"time": jnp.int32(0), "obs": jnp.zeros(2), "done": jnp.array(False), "slot": jnp.int32(0)}


def steps(begin):
    """Rows that say when and where they were made."""
    time = np.arange(begin, begin + T)[:, None] + np.zeros(B, int)
    slot = np.zeros((T, 1), int) + np.arange(B)
    obs = np.stack([time, slot], -1).astype(np.float32)
    return {
        "time": jnp.int32(time),
        "obs": jnp.array(obs),
        "done": jnp.array(time % 5 == 4),
        "slot": jnp.int32(slot),
    }


@pytest.fixture(scope="module")
def filled():
    """A buffer of 8 steps after k rollouts of two."""
    add = jax.jit(add_steps)
    replay, out = empty_replay(EXAMPLE, 8 * B, B, T), []
    for k in range(8):
        out.append(replay)
        replay = add(replay, steps(k * T))
    return out


@pytest.mark.parametrize("rollouts", [1, 3, 4, 5, 7])
@pytest.mark.parametrize("length", [1, 2])
def test_draws_are_uniform_over_what_is_stored(filled, rollouts, length):
    replay = filled[rollouts]
    bits = jax.random.bits(jax.random.key(rollouts), (6000,))
    rows = jax.jit(draw_windows, static_argnames="length")(replay, bits, length=length)
    assert rows["time"].shape == (length, 6000)
    newest = rollouts * T
    oldest = max(0, newest - 8)
    begin = np.asarray(rows["time"][0])
    assert (begin.min(), begin.max()) == (oldest, newest - length)
    places = (newest - oldest - length + 1) * B
    counts = np.unique(np.stack([begin, rows["slot"][0]]), axis=1, return_counts=True)[1]
    assert len(counts) == places
    np.testing.assert_allclose(counts, 6000 / places, atol=5 * np.sqrt(6000 / places))
    for k in range(length):  # consecutive steps of one environment
        np.testing.assert_array_equal(rows["time"][k], begin + k)
        np.testing.assert_array_equal(rows["slot"][k], rows["slot"][0])
        np.testing.assert_array_equal(rows["obs"][k], np.stack([begin + k, rows["slot"][0]], -1))
        np.testing.assert_array_equal(rows["done"][k], (begin + k) % 5 == 4)
    assert {k: v.dtype for k, v in rows.items()} == {k: v.dtype for k, v in EXAMPLE.items()}


@pytest.mark.parametrize("rollouts", [2, 4, 7])
def test_stored_steps_are_in_order_and_can_be_replaced(filled, rollouts):
    replay = filled[rollouts]
    rows, have = stored_steps(replay), min(rollouts * T, 8)
    newest = rollouts * T
    np.testing.assert_array_equal(rows["time"][:have, 0], np.arange(newest - have, newest))
    again = replace_steps(replay, rows | {"obs": 2 * rows["obs"]})
    np.testing.assert_array_equal(stored_steps(again)["obs"], 2 * rows["obs"])
    np.testing.assert_array_equal(stored_steps(again)["time"], rows["time"])
    assert (again.cursor, again.filled) == (replay.cursor, replay.filled)


def test_adding_keeps_the_buffer_in_place():
    add = jax.jit(add_steps, donate_argnums=0)
    replay = empty_replay(EXAMPLE, 64 * B, B, T)
    before = {name: row.unsafe_buffer_pointer() for name, row in replay.stored.rows.items()}
    for k in range(3):
        replay = add(replay, steps(k * T))
    assert {name: row.unsafe_buffer_pointer() for name, row in replay.stored.rows.items()} == before


def test_the_size_is_predicted():
    replay = empty_replay(EXAMPLE, 100 * B, B, T)
    assert replay_bytes(EXAMPLE, 100 * B) == sum(row.nbytes for row in replay.stored.rows.values())
    assert replay.capacity == 100
    assert empty_replay(EXAMPLE, 100 * B + 1, B, T).capacity == 102


def test_bad_requests_say_what_was_expected():
    with pytest.raises(UsageError, match=re.escape("at least 6, one rollout of 2 steps of 3 environments")):
        empty_replay(EXAMPLE, 5, B, T)
    with pytest.raises(UsageError, match=r"takes \d+\.\d GB, and there are .* ask for at most \d+"):
        empty_replay(EXAMPLE, 10**13, B, T)
    with pytest.raises(UsageError, match="expected a divisor"):
        add_steps(empty_replay(EXAMPLE, 9 * B, B, 3), steps(0))
