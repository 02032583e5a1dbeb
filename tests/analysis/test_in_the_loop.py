"""Emergence as reward and as auxiliary loss: past-only, right on average, differentiable, usable in PPO."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.agents import PPOConfig, ppo, probe
from rlkit.analysis import emergence_loss, emergence_reward, phi_id
from rlkit.analysis.atoms import atoms_from_covariance
from rlkit.envs.cartpole import CartPole
from rlkit.reads import AGENT_LATENT, latent_offer, with_offers
from rlkit.rewards import task, total
from rlkit.types import FeatureSpec, Transition

UNITS = 6


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(0)
    transition = 0.6 * np.eye(UNITS) + 0.15 * rng.normal(size=(UNITS, UNITS))
    return jnp.asarray(oracles.var_series(transition, 4001, 2), jnp.float32)


def pay(reward, z):
    """What a reward pays along a recording of one slot."""
    zero, flag = jnp.float32(0), jnp.asarray(False)

    def body(state, pair):
        past, future = pair
        features, after = {AGENT_LATENT: past}, {AGENT_LATENT: future}
        t = Transition(zero, zero, zero, features, after, zero, flag, flag, flag, flag)
        state, paid, _ = reward.apply(state, t, reward.params)
        return state, paid

    return jax.lax.scan(body, reward.init(jax.random.key(0)), (z[:-1], z[1:]))[1]


def test_mean_pay_follows_the_average_quantity(latents):
    side = jnp.arange(UNITS) < 3
    halves = jnp.stack([latents[:, :3].mean(1), latents[:, 3:].mean(1)], 1)
    expected = phi_id(halves, pairs=(0, 1))
    for name in ("phi_r", "tdmi"):
        options = {"side": side, "rate": 1e-3, "limit": 50.0, "axis_name": None}
        paid = jax.jit(functools.partial(pay, emergence_reward(name, **options)))(latents)
        assert (np.asarray(paid[:190]) == 0).all()
        # The local values' standard error over 3000 steps is below 0.01.
        np.testing.assert_allclose(paid[1000:].mean(), expected[name], atol=0.03)


def test_pay_does_not_depend_on_the_future(latents):
    reward = emergence_reward(rate=0.01, warmup=20.0, axis_name=None)
    run = jax.jit(functools.partial(pay, reward))
    other = latents.at[600:].set(7.0 - 3 * latents[600:])
    one, two = run(latents[:1000]), run(other[:1000])
    np.testing.assert_array_equal(one[:599], two[:599])
    assert not np.allclose(one[599:], two[599:])
    assert (np.asarray(one[25:]) != 0).all()


def test_pay_is_finite_whatever_the_latents_do():
    z = jnp.zeros((300, 4)).at[150:, 0].set(1e4)
    paid = pay(emergence_reward(rate=0.02, warmup=10.0, limit=3.0, axis_name=None), z)
    assert np.isfinite(paid).all()
    assert np.abs(paid).max() <= 3.0


def test_loss_is_the_quantity_and_its_gradient_is_right(x64, latents):
    z = jnp.asarray(latents[:400], jnp.float64)
    mask = jnp.arange(399) % 7 != 0
    loss = emergence_loss(2.0, "phi_r", beta=None, shrinkage=0.0, decay=0.0)
    value, _ = loss.apply(loss.init(UNITS), z[:-1], z[1:], mask)
    spoiled = jnp.where(mask[:, None], z[:-1], 100.0), jnp.where(mask[:, None], z[1:], -100.0)
    again, _ = loss.apply(loss.init(UNITS), *spoiled, mask)
    rows = np.concatenate([np.asarray(z[:-1])[mask], np.asarray(z[1:])[mask]], 1)
    matrix = np.corrcoef(rows.T)
    pairs = [
        float(atoms_from_covariance(matrix[np.ix_(m, m)])["phi_r"])
        for i in range(UNITS)
        for j in range(UNITS)
        if i != j
        for m in ([i, j, i + UNITS, j + UNITS],)
    ]
    np.testing.assert_allclose(value, -2 * np.mean(pairs), rtol=1e-9)
    np.testing.assert_allclose(again, value, rtol=1e-9)

    soft = emergence_loss(1.0, route="means", beta=30.0)
    mix = lambda w: soft.apply(soft.init(UNITS), z[:-1] @ w, z[1:] @ w, mask)[0]
    start = jnp.eye(UNITS) + 0.1 * jnp.asarray(np.random.default_rng(0).normal(size=(UNITS, UNITS)))
    direction = jnp.asarray(np.random.default_rng(1).normal(size=(UNITS, UNITS)))
    slope = jnp.vdot(jax.grad(mix)(start), direction)
    step = 1e-5
    numeric = (mix(start + step * direction) - mix(start - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-5)


def test_past_moments_weigh_but_do_not_carry_gradients(latents):
    loss = emergence_loss(1.0, beta=20.0, decay=0.9)
    mask = jnp.ones(200, bool)
    step = jax.jit(loss.apply)
    state = loss.init(UNITS)
    for i in range(5):
        block = latents[200 * i : 200 * i + 201]
        _, state = step(state, block[:-1], block[1:], mask)
    weights = 0.9 ** np.arange(5)
    np.testing.assert_allclose(state.count, 200 * weights.sum(), rtol=1e-5)
    through = jax.grad(lambda s: loss.apply(s, block[:-1], block[1:], mask)[0], allow_int=False)(state)
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(through))
    dead = jnp.zeros((201, UNITS)).at[:, 1].set(latents[:201, 0]).at[:, 2].set(latents[:201, 0])
    grads = jax.grad(lambda z: loss.apply(state, z[:-1], z[1:], mask)[0])(dead)
    assert np.isfinite(grads).all()


CONFIG = PPOConfig(num_envs=4, num_steps=64, epochs=2, minibatches=2, sizes=(8, 8))


@pytest.mark.parametrize("torso", ["mlp", "gru"])
def test_ppo_takes_both(torso):
    config = CONFIG.replace(torso=torso)
    paid = total((1.0, task()), (0.5, emergence_reward(rate=0.02, warmup=50.0)))
    agent = ppo(CartPole(), config, paid, auxiliary=emergence_loss(0.1))
    state = jax.jit(agent.init)(jax.random.key(0))
    step = jax.jit(agent.step)
    for _ in range(2):
        state, metrics = step(state)
    assert float(metrics["reward/emergence"]) != 0
    assert np.isfinite(metrics["loss/auxiliary"])
    assert float(metrics["loss/auxiliary"]) != 0
    assert int(state.auxiliary.count) > 0
    assert all(np.isfinite(v) for k, v in metrics.items() if not k.startswith("episode/"))
    trajectory = jax.jit(lambda p, k: probe(agent, p, k, 60, 2))(agent.policy(state), jax.random.key(1))
    seen = trajectory.transition
    follows = ~np.asarray(seen.done)[:-1]
    before, after = seen.features[AGENT_LATENT], seen.next_features[AGENT_LATENT]
    np.testing.assert_array_equal(before, trajectory.extras["latent"])
    # Within an episode the successor's latent is the next step's, at its end it is the true last one.
    np.testing.assert_allclose(after[:-1][follows], before[1:][follows], rtol=1e-4, atol=1e-5)
    ended = np.asarray(seen.done)[:-1]
    assert not np.allclose(after[:-1][ended], before[1:][ended], atol=1e-3)


def test_the_loss_moves_emergence_the_way_its_sign_says():
    values = {}
    for coefficient in (-3.0, 3.0):
        agent = ppo(
            CartPole(), CONFIG.replace(learning_rate=3e-3), auxiliary=emergence_loss(coefficient, decay=0.5)
        )
        state, step = jax.jit(agent.init)(jax.random.key(0)), jax.jit(agent.step)
        for _ in range(30):
            state, metrics = step(state)
        values[coefficient] = float(metrics["loss/auxiliary"]) / -coefficient
    assert values[3.0] > values[-3.0] + 0.1


def test_without_a_loss_the_program_is_the_same():
    shape = jax.eval_shape(ppo(CartPole(), CONFIG).init, jax.random.key(0))
    text = lambda **options: jax.jit(ppo(CartPole(), CONFIG, **options).step).lower(shape).as_text()
    assert text() == text(auxiliary=None)
    assert shape.auxiliary == ()


def test_bad_arguments_are_named():
    for call, words in (
        (lambda: emergence_reward("phir"), "did you mean 'phi_r'"),
        (lambda: emergence_reward(rate=1.0), "rate=1.0"),
        (lambda: emergence_reward(rate=0.5), "warmup"),
        (lambda: emergence_reward(limit=0.0), "limit"),
        (lambda: emergence_loss(1.0, "phir"), "did you mean 'phi_r'"),
        (lambda: emergence_loss(1.0, route="pair"), "did you mean 'pairs'"),
        (lambda: emergence_loss(1.0, decay=1.0), "decay=1.0"),
        (lambda: emergence_loss(1.0, shrinkage=-0.1), "shrinkage"),
        (lambda: emergence_loss(1.0, beta=0.0), "beta=0.0"),
        (lambda: emergence_loss(1.0).init(1), "at least two"),
        (lambda: ppo(CartPole(), CONFIG, emergence_reward(feature="pole_angle")), "expected a vector"),
    ):
        with pytest.raises((ValueError, KeyError), match=words):
            call()


def test_the_name_of_the_latent_is_kept_for_agents():
    spec = CartPole().spec
    taken = replace(spec, features=(*spec.features, FeatureSpec(AGENT_LATENT)))
    with pytest.raises(ValueError, match="kept for agents"):
        with_offers(taken, [latent_offer(4)])
