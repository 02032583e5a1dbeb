"""Evaluation and probe rollouts against loops written by hand."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import KINDS, PAY, Restless, jit, small

from rlkit.agents import Evaluation, PPOConfig, evaluate, ppo, probe
from rlkit.envs import Same, advance, reset
from rlkit.envs.cartpole import CartPole

EPISODES = 6
LIMIT = 30


@dataclass(frozen=True)
class Judged(Restless):
    """Fitness is the pole's angle less 1, reduced in one of the three ways; episodes are short."""

    fitness_over: str = "mean"

    @property
    def spec(self):
        return dataclasses.replace(super().spec, fitness_over=self.fitness_over, max_steps=LIMIT)

    def fitness(self, state, params):
        return state.physics[2] - 1.0


@pytest.fixture(scope="module")
def judged():
    """For each way to reduce fitness: the agent, one policy for all, and its evaluation."""
    agents = {over: ppo(Judged(over), PPOConfig(sizes=(8,))) for over in ("mean", "final", "max")}
    policy = agents["mean"].policy(jit(agents["mean"].init)(jax.random.key(0)))
    run = lambda agent: jit(lambda key: evaluate(agent, policy, key, EPISODES, greedy=False))
    return policy, agents, {over: run(agent)(jax.random.key(5)) for over, agent in agents.items()}


def episode(agent, policy, key, params, greedy):
    """One whole episode, step by step: what :func:`evaluate` says it does, and every fitness."""
    key_reset, key_steps = jax.random.split(key)
    (obs, state), carry = reset(agent.env, key_reset, params), agent.carry()
    act = jit(agent.act)
    step = jit(lambda key, state, action: advance(agent.env, key, state, action, params))
    fitness, success = [], False
    for key in jax.random.split(key_steps, agent.env.spec.max_steps):
        key_act, key_step = jax.random.split(key)
        action, carry, _ = act(policy, carry, obs, *([] if greedy else [key_act]))
        out = step(key_step, state, action)
        obs, state = out.obs, out.state
        fitness.append(float(agent.env.fitness(state.inner, params)))
        success |= bool(out.success)
        if out.terminated | out.truncated:
            break
    return len(fitness), success, np.array(fitness)


def test_evaluation_is_a_loop_over_whole_episodes(judged):
    policy, agents, found = judged
    params = Judged().default_params()
    reduce = {"mean": np.mean, "final": lambda x: x[-1], "max": np.max}
    lengths = []
    for i, key in enumerate(jax.random.split(jax.random.key(5), EPISODES)):
        length, success, fitness = episode(agents["mean"], policy, key, params, greedy=False)
        lengths.append(length)
        for over, result in found.items():
            assert int(result.length[i]) == length
            assert float(result.returned[i]) == length  # the environment's own reward
            assert bool(result.success[i]) == success
            np.testing.assert_allclose(result.fitness[i], reduce[over](fitness), rtol=1e-4, atol=1e-6)
    assert len(set(lengths)) > 2
    assert min(lengths) < LIMIT
    assert [x.dtype.name for x in found["mean"]] == ["float32", "int32", "bool", "float32"]


def test_fitness_can_be_negative_at_its_best(judged):
    # The greatest of negative numbers is not the 0 that accumulation starts from.
    _, _, found = judged
    assert float(found["max"].fitness.max()) < -0.5
    assert bool((found["max"].fitness >= found["mean"].fitness - 1e-6).all())
    assert bool((found["max"].fitness >= found["final"].fitness).all())


@pytest.mark.parametrize("kind", ["recurrent"])
def test_greedy_evaluation_uses_memory_and_parameters_of_the_environment(kind):
    agent = small(kind).agent
    *_, (_, state, _, _) = small(kind).states(3)
    policy = agent.policy(state)
    params = CartPole().default_params()._replace(max_steps=jnp.int32(25), gravity=jnp.float32(5.0))
    found = jit(lambda key: evaluate(agent, policy, key, 3, env_params=params))(jax.random.key(2))
    for i, key in enumerate(jax.random.split(jax.random.key(2), 3)):
        assert int(found.length[i]) == episode(agent, policy, key, params, greedy=True)[0]
    assert int(found.length.max()) <= 25
    again = jit(lambda key: evaluate(agent, policy, key, 3, env_params=params))(jax.random.key(2))
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_evaluations_of_a_population_are_mapped(judged):
    policy, agents, found = judged
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), policy)
    keys = jnp.stack([jax.random.key(5), jax.random.key(6)])
    run = jax.vmap(lambda policy, key: evaluate(agents["mean"], policy, key, EPISODES, greedy=False))
    both: Evaluation = jit(run)(stacked, keys)
    assert both.returned.shape == (2, EPISODES)
    np.testing.assert_array_equal(both.length[0], found["mean"].length)
    assert bool((both.length[0] != both.length[1]).any())


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_probe_records_what_acting_on_the_observations_gives(kind, greedy):
    agent = small(kind).agent
    *_, (_, state, _, _) = small(kind).states(2)
    policy, steps, slots = agent.policy(state), 40, 2
    trajectory = jit(lambda key: probe(agent, policy, key, steps, slots, greedy=greedy))(jax.random.key(0))
    seen, extras = trajectory.transition, trajectory.extras
    assert set(extras) == {"latent", "value", "log_prob"}
    assert extras["latent"].shape == (steps, slots, agent.config.sizes[-1])
    assert extras["value"].shape == extras["log_prob"].shape == seen.reward.shape == (steps, slots)
    assert set(seen.features) == {spec.name for spec in agent.env.spec.features}
    np.testing.assert_allclose(
        trajectory.reward, seen.reward * (PAY if kind == "discrete" else 1.0), rtol=1e-6
    )
    assert bool(seen.first[0].all())
    assert kind == "continuous" or bool(seen.first[1:].any())

    @jit
    def replay(obs, first):
        def body(carry, x):
            obs, first = x
            carry = jax.tree.map(lambda start, c: jnp.where(first, start, c), agent.carry(), carry)
            action, carry, info = agent.act(policy, carry, obs)
            return carry, (action, info)

        return jax.lax.scan(body, agent.carry(), (obs, first))[1]

    for slot in range(slots):
        action, info = replay(seen.obs[:, slot], seen.first[:, slot])
        np.testing.assert_allclose(extras["latent"][:, slot], info.latent, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(extras["value"][:, slot], info.value, rtol=1e-4, atol=1e-5)
        if greedy:
            np.testing.assert_allclose(seen.action[:, slot], action, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(extras["log_prob"][:, slot], info.log_prob, rtol=1e-4, atol=1e-5)
        elif kind == "continuous":
            assert bool((extras["log_prob"][:, slot] <= info.log_prob + 1e-5).all())
        else:
            other = jnp.log1p(-jnp.exp(info.log_prob))
            wanted = jnp.where(seen.action[:, slot] == action, info.log_prob, other)
            np.testing.assert_allclose(extras["log_prob"][:, slot], wanted, rtol=1e-4, atol=1e-5)


def test_probe_resets_as_it_is_told():
    agent = small("discrete").agent
    policy = agent.policy(small("discrete").init(jax.random.key(0)))
    params = Restless().default_params()._replace(max_steps=jnp.int32(4))
    run = lambda key: probe(agent, policy, key, 13, 2, env_params=params, auto_reset=Same())
    seen = jit(run)(jax.random.key(0)).transition
    assert seen.first.nonzero()[0][::2].tolist() == [0, 4, 8, 12]
    starts = np.asarray(seen.obs[::4])
    np.testing.assert_array_equal(starts, np.broadcast_to(starts[0], starts.shape))
    assert (starts[0, 0] != starts[0, 1]).any()
