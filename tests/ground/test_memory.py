import jax
import jax.numpy as jnp
import numpy as np

from rlkit.memory import restart, side_by_side


def test_memories_of_any_kind_restart_where_an_episode_begins():
    fresh = {"h": jnp.full((3,), 0.5), "map": jnp.full((2, 2), 7, jnp.int32), "on": jnp.bool_(True), "z": ()}
    memory = {"h": jnp.ones((4, 3)), "map": jnp.ones((4, 2, 2), jnp.int32), "on": jnp.zeros(4, bool), "z": ()}
    first = jnp.array([True, False, False, True])
    out = jax.jit(restart)(memory, first, fresh)
    for name in ("h", "map", "on"):
        assert out[name].dtype == memory[name].dtype
        np.testing.assert_array_equal(out[name][1:3], memory[name][1:3])
        np.testing.assert_array_equal(out[name][::3], side_by_side(fresh, 2)[name])


def test_over_time_and_slots():
    memory, first = jnp.ones((5, 4, 3)), jnp.zeros((5, 4), bool).at[2, 1].set(True)
    out = restart(memory, first, jnp.zeros(3))
    assert float(out.sum()) == 5 * 4 * 3 - 3
    assert float(out[2, 1].sum()) == 0
