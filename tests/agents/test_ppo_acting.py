"""``act``: greedy and sampled actions, and that it reports what training sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import KINDS, jit, small


def trained(kind):
    *_, (_, state, _, _) = small(kind).states(3)
    agent = small(kind).agent
    obs = state.experience.slots.row.obs[0]
    return agent, agent.policy(state), jax.tree.map(lambda c: c[0], state.experience.carry), obs


def head(kind, policy, carry, obs):
    """The distribution's parameters, from the network itself."""
    if policy.moments is not None:
        moments = policy.moments
        deviation = np.sqrt(np.asarray(moments.var, np.float64))
        obs = np.clip((np.asarray(obs, np.float64) - moments.mean) / deviation, -10, 10).astype(np.float32)
    return small(kind).spec.network.apply(policy.params, carry, obs)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_actions_are_the_most_likely(kind):
    agent, policy, carry, obs = trained(kind)
    action, after, info = jit(agent.act)(policy, carry, obs)
    out, value, latent, wanted_carry = head(kind, policy, carry, obs)
    space = agent.env.spec.action_space
    assert action.dtype == space.dtype
    assert bool(space.contains(action))
    if kind == "continuous":
        np.testing.assert_allclose(action, np.clip(2.0 * out[:1], -2.0, 2.0), rtol=1e-3, atol=1e-5)
        density = -out[1] - 0.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(info.log_prob, density, rtol=1e-5)
    else:
        assert int(action) == int(np.argmax(out))
        np.testing.assert_allclose(info.log_prob, jax.nn.log_softmax(out).max(), rtol=1e-5)
    np.testing.assert_allclose(info.value, value, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(info.latent, latent, atol=1e-4)
    assert jax.tree.structure(after) == jax.tree.structure(agent.carry())
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(wanted_carry), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_sampled_discrete_actions_have_the_reported_probabilities():
    agent, policy, carry, obs = trained("discrete")
    draws = jit(jax.vmap(agent.act, (None, None, None, 0)))
    actions, _, info = draws(policy, carry, obs, jax.random.split(jax.random.key(0), 20_000))
    share = np.bincount(actions, minlength=2) / len(actions)
    probability = dict(zip(np.asarray(actions).tolist(), np.exp(info.log_prob).tolist(), strict=True))
    assert sum(probability.values()) == pytest.approx(1.0, abs=1e-5)
    for action, p in probability.items():
        assert share[action] == pytest.approx(p, abs=4 * np.sqrt(0.25 / len(actions)))


def test_sampled_continuous_actions_have_the_reported_density():
    agent, policy, carry, obs = trained("continuous")
    out, *_ = head("continuous", policy, carry, obs)
    narrow = policy._replace(params=policy.params | {"log_std": jnp.full(1, -3.0)})  # nothing is clipped
    draws = jit(jax.vmap(agent.act, (None, None, None, 0)))
    actions, _, info = draws(narrow, carry, obs, jax.random.split(jax.random.key(0), 20_000))
    raw = np.asarray(actions[:, 0], np.float64) / 2.0
    std = np.exp(-3.0)
    assert raw.mean() == pytest.approx(float(out[0]), abs=4 * std / np.sqrt(len(raw)))
    assert raw.std() == pytest.approx(std, rel=0.03)
    density = -0.5 * ((raw - float(out[0])) / std) ** 2 + 3.0 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(info.log_prob, density, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_probabilities_of_training_are_those_of_act(kind):
    *_, (state, _, _, inside) = small(kind).states(2)
    seen, spec = inside.trajectory.transition, small(kind).spec
    assert np.all(seen.first[0] == np.asarray(state.experience.slots.first))
    for slot in range(2):
        carry = jax.tree.map(lambda c, slot=slot: c[slot] * ~seen.first[0, slot], state.experience.carry)
        out, *_ = head(kind, small(kind).agent.policy(state), carry, seen.obs[0, slot])
        raw = inside.batch.raw[0, slot]
        np.testing.assert_allclose(inside.batch.log_prob[0, slot], spec.dist.log_prob(out, raw), atol=1e-3)
        np.testing.assert_allclose(seen.action[0, slot], spec.dist.to_env(raw), rtol=1e-6)
