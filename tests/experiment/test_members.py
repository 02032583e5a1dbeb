"""Members: settings side by side are those settings alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_agent import ToyConfig, toy

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.runs.checkpoint import state_digest
from rlkit.experiment.training.members import Members, parse_grid, sweep
from rlkit.experiment.training.population import population

N = np.int32(3)


@pytest.fixture(scope="module")
def agent():
    config = PPOConfig(num_envs=2, num_steps=8, minibatches=2, epochs=1, sizes=(4,))
    return ppo(make("classic/pendulum"), config)


def test_a_grid_becomes_all_combinations(agent):
    grid = {"agent.learning_rate": [1e-4, 3e-4], "env.gravity": [5, 10, 20]}
    members = sweep(agent, grid)
    assert members.labels[1] == "learning_rate=0.0001, env.gravity=10"
    np.testing.assert_allclose(members.config.learning_rate, np.repeat([1e-4, 3e-4], 3), rtol=1e-6)
    np.testing.assert_allclose(members.env_params.gravity, [5, 10, 20] * 2)
    np.testing.assert_allclose(members.config.clip, [agent.config.clip] * 6, rtol=1e-6)
    assert members.config.num_envs == 2
    assert members.reward_params is None
    assert members.env_params.max_steps.dtype == jnp.int32


@pytest.mark.bits
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere members are a batch")
def test_a_member_is_that_setting_alone():
    toys = sweep(toy(), {"agent.rate": [0.05, 0.2]})
    pop = population(toy(), 3, members=toys)
    assert pop.size == 6
    born = np.ones(len(pop.leaves), bool)
    together, rows, _ = pop.advance(pop.init(jax.random.key(0)), N, born)
    for member, rate in enumerate((0.05, 0.2)):
        one = population(toy(config=ToyConfig(rate=rate)), 3)
        alone, alone_rows, _ = one.advance(one.init(jax.random.key(0)), N, born)
        mine = jax.tree.map(lambda x, m=member: x[3 * m : 3 * m + 3], together)
        assert state_digest(mine) == state_digest(alone)
        np.testing.assert_array_equal(rows[3 * member : 3 * member + 3], alone_rows)


@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_a_member_costs_what_a_seed_costs(agent, batching):
    members = sweep(agent, {"agent.learning_rate": [1e-4, 2e-4, 3e-4]})

    def program(pop):
        state = jax.eval_shape(pop.init, jax.random.key(0))
        born = jax.ShapeDtypeStruct((len(pop.leaves),), jnp.bool_)
        return pop.advance.lower(state, jax.ShapeDtypeStruct((), jnp.int32), born).as_text()

    swept = population(agent, 4, members=members, batching=batching, max_chunk=4)
    seeds = population(agent, 12, batching=batching, max_chunk=4)
    assert program(swept) == program(seeds)  # three members of four seeds are twelve seeds


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"agent.num_envs": [1, 2]}, "fixed when the program is compiled.*start a run for each value"),
        ({"agent.learning_rates": [1]}, "did you mean 'agent.learning_rate'"),
        ({"learning_rate": [1]}, "did you mean 'agent.learning_rate'"),
        ({"agent.learning_rate": [-1.0]}, "learning_rate=-1.0: expected a number"),
        ({"agent.learning_rate": []}, "at least one value"),
        ({"env.max_steps": [2.5]}, "env.max_steps=2.5: expected an integer"),
        ({"env.gravity": [1e300]}, "infinite in float32"),
        ({"reward.near": [1.0]}, "unknown number"),
        ({"env.max_steps": [0]}, "env.max_steps=0: expected at least 1"),
        ({"agent.discount": [0.9, 0.9]}, "expected each value once"),
        ({"agent.discount": [[0.9], [0.8]]}, "expected a number"),
        ({"agent.discount": 0.9}, "expected values by name"),
        (["agent.discount=0.9"], "expected values by name"),
    ],
)
def test_what_cannot_be_swept_is_said(agent, grid, message):
    with pytest.raises(UsageError, match=message):
        sweep(agent, grid)


def test_members_that_do_not_fit_are_refused(agent):
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (3, *x.shape)), agent.env.default_params())
    with pytest.raises(UsageError, match=r"members.env_params.max_steps has shape \(3,\); expected \(2,\)"):
        population(agent, 1, members=Members(("a", "b"), env_params=wide))
    with pytest.raises(UsageError, match="with a leading axis"):
        population(agent, 1, members=Members(("a",), reward_params={"near": jnp.ones(1)}))
    with pytest.raises(UsageError, match="no labels"):
        population(agent, 1, members=Members(()))
    with pytest.raises(UsageError, match="expected Members; did you mean"):
        population(agent, 1, members={"agent.learning_rate": [1e-3]})


def test_grids_are_read_from_text():
    assert parse_grid(["agent.learning-rate=1e-4,3e-4", "env.gravity=5"]) == {
        "agent.learning_rate": [1e-4, 3e-4],
        "env.gravity": [5.0],
    }
    for text in ("agent.learning-rate", "=1", "a=", "a=1,b"):
        with pytest.raises(UsageError, match=r"expected NAME=NUMBER,NUMBER"):
            parse_grid([text])
    with pytest.raises(UsageError, match="twice"):
        parse_grid(["a.b=1", "a.b=2"])
    with pytest.raises(UnknownNameError):
        sweep(toy(), parse_grid(["nothing=1"]))
