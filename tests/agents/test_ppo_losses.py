"""Losses, advantages and updates of PPO against their definitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from processes import tolerance
from small import KINDS, PAY, Restless, close, jit, module, small

from rlkit.returns import gae

MLPS = ("discrete", "continuous")


@functools.cache
def history(kind):
    """Three updates: (state before, state after, metrics, inside)."""
    return list(small(kind).states(3))


def shaken(p):
    """Other parameters, so that probabilities and values differ from the collected ones."""
    return np.asarray(p) + 0.3 * np.cos(7.0 * np.arange(p.size, dtype=np.float32)).reshape(p.shape)


@pytest.mark.parametrize("kind", MLPS)
@pytest.mark.parametrize("clip_value", [False, True])
def test_losses_are_those_of_the_formulas(kind, clip_value):
    agent, spec = small(kind).agent, small(kind).spec
    state, _, _, inside = history(kind)[-1]
    config = agent.config.replace(clip_value=clip_value)
    params = jax.tree.map(shaken, agent.policy(state).params)
    rows = oracle.flat_rows(inside.batch)
    weight = np.linspace(-2.0, 2.0, len(rows.value), dtype=np.float32)
    carry = agent.carry()
    batch = inside.batch._replace(weight=weight.reshape(inside.batch.value.shape))
    total, means = jit(lambda p, b: module._loss(spec, config, p, carry, b))(params, batch)
    exact = lambda tree: jax.tree.map(
        lambda a: np.asarray(a, np.float64 if a.dtype == np.float32 else a.dtype), tree
    )
    wanted, parts = oracle.losses(np, config, exact(params), exact(rows), exact(weight))
    assert parts[4] > 0.01, "no ratio was clipped: the test would see nothing"
    np.testing.assert_allclose(total, wanted, rtol=2e-5)
    np.testing.assert_allclose(means, parts, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MLPS)
def test_an_update_is_minibatch_adam_on_those_losses(kind):
    state, after, _, inside = history(kind)[0]
    agent = small(kind).agent
    before, learned = (agent.policy(s).params for s in (state, after))
    wanted = oracle.learn(agent.config, before, None, [inside.batch], [inside.order])
    # Adam magnifies rounding where a gradient is near 0; a step is 1e-3.
    close(learned, wanted, atol=tolerance(2e-5, 5e-5))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), wanted, before)
    assert min(jax.tree.leaves(moved)) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_in_one_minibatch_of_each_epoch(kind):
    config = small(kind).agent.config
    rows = config.num_envs * (1 if config.torso == "gru" else config.num_steps)
    seen = set()
    for *_, inside in history(kind):
        passes = inside.order.reshape(config.epochs, rows)
        np.testing.assert_array_equal(np.sort(passes, 1), np.broadcast_to(np.arange(rows), passes.shape))
        seen |= {tuple(order) for order in passes}
    assert len(seen) > config.epochs


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_advantages_are_those_of_the_true_successor(kind):
    agent = small(kind).agent
    state, _, _, inside = history(kind)[-1]
    seen, batch = inside.trajectory.transition, inside.batch
    assert seen.done.any() or kind == "continuous"
    policy = agent.policy(state)

    @jit
    def values(carry, obs, next_obs, first):
        def body(carry, x):
            obs, next_obs, first = x
            carry = jax.tree.map(lambda c: jnp.where(first[:, None], 0.0, c), carry)
            act = jax.vmap(agent.act, (None, 0, 0))
            _, carry, info = act(policy, carry, obs)
            return carry, (info.value, act(policy, carry, next_obs)[2].value, info.latent)

        return jax.lax.scan(body, carry, (obs, next_obs, first))[1]

    value, next_value, latent = values(state.experience.carry, seen.obs, seen.next_obs, seen.first)
    np.testing.assert_allclose(batch.value, value, rtol=1e-5, atol=1e-5)
    if "latent" in inside.trajectory.extras:
        np.testing.assert_allclose(inside.trajectory.extras["latent"], latent, rtol=1e-5, atol=1e-6)
    arguments = (inside.trajectory.reward, batch.value, next_value, seen.terminated, seen.done)
    factors = (agent.config.discount, agent.config.gae_lambda)
    np.testing.assert_allclose(batch.advantage, gae(*arguments, *factors), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(batch.advantage, oracle.gae(*arguments, *factors), rtol=1e-4, atol=1e-4)


def valued(state, value, discount):
    """The state with a critic that says ``value`` everywhere."""
    params = dict(small("discrete").agent.policy(state).params)
    head = params["critic_head"]
    params["critic_head"] = {"kernel": jnp.zeros_like(head["kernel"]), "bias": jnp.full((1,), value)}
    return state._replace(
        params=params,
        config=state.config.replace(discount=jnp.float32(discount)),
    )


@pytest.mark.parametrize(("discount", "atol"), [(0.5, 1e-6), (0.99, 1e-5)])
def test_a_time_limit_is_bootstrapped_from_the_true_final_observation(discount, atol):
    agent = small("discrete")
    params = Restless().default_params()._replace(max_steps=jnp.int32(6))  # too short for a fall
    state = valued(agent.init(jax.random.key(0)), PAY / (1 - discount), discount)
    state = state._replace(experience=state.experience._replace(env_params=params))
    ((*_, inside),) = agent.states(1, state)
    seen = inside.trajectory.transition
    assert seen.truncated.any(0).all()
    assert not seen.terminated.any()
    np.testing.assert_allclose(inside.batch.advantage, 0.0, atol=atol)


def test_a_true_end_is_worth_its_reward_alone():
    agent = small("discrete")
    state = valued(agent.init(jax.random.key(0)), PAY / 0.01, 0.99)
    *_, (*_, inside) = agent.states(
        2, state._replace(config=state.config.replace(learning_rate=jnp.zeros(())))
    )
    seen, batch = inside.trajectory.transition, inside.batch
    assert seen.terminated.any()
    assert not seen.truncated.any()
    target = batch.advantage + batch.value
    np.testing.assert_allclose(target[seen.terminated], PAY, atol=1e-5)
    assert (target[~seen.done] > PAY).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_minibatch_sees_the_policy_that_collected_it(kind):
    state, _, _, inside = history(kind)[-1]
    frozen = state._replace(config=state.config.replace(learning_rate=jnp.zeros(())))
    _, metrics, _ = small(kind).step(frozen)
    assert abs(float(metrics["policy/kl"])) < 1e-7
    assert float(metrics["policy/clip_fraction"]) == 0.0
    np.testing.assert_allclose(metrics["loss/policy"], 0.0, atol=1e-6)  # minus the mean normalised advantage
    if kind == "recurrent":  # which it only does if it starts from the memory of the time
        network, batch, memory = small(kind).spec.network, inside.batch, state.experience.carry
        assert all(jnp.abs(c).max() > 0.01 for c in jax.tree.leaves(memory))
        unroll = lambda carry: network.unroll(state.params, carry, batch.obs, batch.first)
        for carry, equal in ((memory, True), (jax.tree.map(jnp.zeros_like, memory), False)):
            out, value, *_ = unroll(carry)
            log_prob = small(kind).spec.dist.log_prob(out, batch.raw)
            assert np.allclose(log_prob, batch.log_prob, atol=1e-6) == equal
            assert np.allclose(value, batch.value, rtol=1e-5, atol=1e-5) == equal
