"""What agents with a buffer share: when they learn, from what, and paying stored steps anew."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import build
from small import jit, same_bits

from rlkit.agents.replaying import gradient_steps, learn_from, store
from rlkit.agents.sac import SACConfig
from rlkit.replay import add_steps, empty_replay, stored_steps
from rlkit.rewards import chain, init_slots, progress, relabel_replay, scale, task


def test_gradient_steps_follow_from_the_ratio():
    ratio = lambda *numbers: gradient_steps(
        SACConfig(updates_to_data=numbers[0], num_envs=numbers[1], num_steps=numbers[2])
    )
    assert [ratio(1.0, 1, 1), ratio(0.125, 8, 1), ratio(0.1, 5, 4), ratio(4.0, 2, 3)] == [1, 1, 2, 24]


def test_every_gradient_step_has_a_batch_of_its_own_and_none_is_made_too_soon():
    replay = add_steps(
        empty_replay({"time": jnp.int32(0)}, 64, 2, 32),
        {"time": jnp.arange(32, dtype=jnp.int32)[:, None] + jnp.array([[0, 100]], jnp.int32)},
    )
    bits = jax.random.bits(jax.random.key(0), (3, 5))

    def update(learner, batch, noise):
        return learner.at[learner[-1]].set(batch["time"].sum()).at[-1].add(1), {
            "noise": noise,
            "one": noise * 0 + 1,
        }

    run = lambda ready: learn_from(
        replay, bits, update, jnp.zeros(4, jnp.int32), jnp.arange(3.0), ready=ready, length=2
    )
    learner, metrics = jit(run)(jnp.array(True))
    assert learner[-1] == 3
    assert len(set(learner[:3].tolist())) == 3
    np.testing.assert_allclose([metrics["noise"], metrics["one"]], [1.0, 1.0])
    learner, metrics = jit(run)(jnp.array(False))
    np.testing.assert_array_equal(learner, 0)
    assert np.isnan([metrics["noise"], metrics["one"]]).all()


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_a_buffer_can_be_paid_anew(kind):
    feature = {"sac": "velocity", "dqn": "cart_position"}[kind]
    other = chain(task(), scale(0.5), progress(feature))
    buffers = {}
    for name, reward in (("task", None), ("other", other)):
        agent = build(kind, reward=reward, record=None)
        state, collect = jit(agent.init)(jax.random.key(0)), jit(agent.collect)
        for _ in range(7):  # more than the buffer holds
            state, trajectory, _ = collect(state)
            state = state._replace(
                buffer=store(state.buffer, trajectory), key=jax.random.fold_in(state.key, 1)
            )
        buffers[name] = state.buffer
    memory = init_slots(other, jax.random.key(1), 2)
    paid = jit(lambda buffer: relabel_replay(other, memory, buffer))(buffers["task"])
    rows, wanted = stored_steps(paid), stored_steps(buffers["other"])
    np.testing.assert_allclose(rows.reward, wanted.reward, rtol=1e-5, atol=1e-6)
    same_bits(rows.transition, stored_steps(buffers["task"]).transition)
    assert float(jnp.abs(rows.reward - stored_steps(buffers["task"]).reward).max()) > 1e-2
