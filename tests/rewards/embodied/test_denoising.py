"""Denoising policies: flows of known solution, and gains that telescope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit import flows
from rlkit.errors import UsageError
from rlkit.rewards import embodied

MEAN, SPREAD = jnp.array([1.0, -2.0]), 0.5


def _velocity(x, sigma):
    """Exact for samples from N(MEAN, SPREAD²): E[ε - x_0 | x]."""
    off, var = x - (1 - sigma) * MEAN, (1 - sigma) ** 2 * SPREAD**2 + sigma**2
    return sigma * off / var - MEAN - (1 - sigma) * SPREAD**2 * off / var


TIMES = flows.noise_times(40)


def test_ordinary_and_stochastic_rollouts_have_the_flows_marginals():
    key = jax.random.key(0)
    roll = jax.jit(lambda a: flows.sde_rollout(_velocity, key, (4000, 2), TIMES, jnp.full(40, a)))
    for noise in (0.0, 0.7):
        last = np.asarray(roll(noise)[0][-1])
        np.testing.assert_allclose(last.mean(0), MEAN, atol=0.06)
        np.testing.assert_allclose(last.std(0), SPREAD, atol=0.08)
    states, _ = roll(0.0)
    end = flows.ode_rollout(_velocity, states[0], TIMES)
    np.testing.assert_allclose(end, states[-1], atol=1e-5)


def test_log_densities_of_steps_are_gaussian():
    x, v = jnp.array([0.3, -0.2]), jnp.array([1.0, 0.5])
    for sigma, then in ((1.0, 0.9), (0.5, 0.4)):
        made = flows.sde_step(v, x, jnp.float32(sigma), jnp.float32(then), 0.7, key=jax.random.key(1))
        again = flows.sde_step(v, x, jnp.float32(sigma), jnp.float32(then), 0.7, taken=made.x)
        exact = stats.norm(np.asarray(made.mean), float(made.std)).logpdf(np.asarray(made.x)).mean()
        np.testing.assert_allclose(made.log_prob, exact, rtol=1e-4)
        np.testing.assert_allclose(again.log_prob, exact, rtol=1e-4)
        dt, s = then - sigma, 0.7 * np.sqrt(sigma / (1 - (then if sigma >= 1 else sigma)))
        mean = x * (1 + s**2 / (2 * sigma) * dt) + v * (1 + s**2 * (1 - sigma) / (2 * sigma)) * dt
        np.testing.assert_allclose(made.mean, mean, rtol=1e-4)
        np.testing.assert_allclose(made.std, s * np.sqrt(-dt), rtol=1e-4)
    euler = flows.sde_step(v, x, jnp.float32(0.5), jnp.float32(0.4), 0.0)
    np.testing.assert_allclose(euler.x, x - 0.1 * v, rtol=1e-5)
    assert float(euler.log_prob) == 0.0


def test_gains_telescope_and_are_those_of_the_remaining_flow():
    times = flows.noise_times(6)
    states, _ = flows.sde_rollout(_velocity, jax.random.key(2), (5, 2), times, jnp.full(6, 0.7))
    reward = lambda x: -jnp.sum((x - MEAN) ** 2, -1)
    values = flows.ode_values(_velocity, reward, states, times)
    assert values.shape == (5, 7)
    np.testing.assert_allclose(
        values[:, 0], reward(flows.ode_rollout(_velocity, states[0], times)), rtol=1e-5
    )
    np.testing.assert_allclose(
        values[:, 4], reward(flows.ode_rollout(_velocity, states[4], times[4:])), rtol=1e-4
    )
    np.testing.assert_allclose(values[:, -1], reward(states[-1]), rtol=1e-5)
    gain = embodied.stepwise_reward_gain(values)
    np.testing.assert_allclose(gain.sum(-1), values[:, -1] - values[:, 0], atol=1e-4)


def test_advantages_of_steps():
    gain = jnp.array([[1.0, 0.5], [3.0, 0.5], [2.0, 0.5]])
    found = embodied.stepwise_group_advantage(gain)
    np.testing.assert_allclose(found[:, 0], [-np.sqrt(1.5), np.sqrt(1.5), 0.0], atol=1e-5)
    np.testing.assert_array_equal(found[:, 1], 0.0)
    sparse = embodied.sparse_group_advantage(gain[:, 0], 4)
    np.testing.assert_allclose(sparse, np.repeat(np.asarray(found[:, :1]), 4, 1), atol=1e-6)


def test_noise_grows_where_gains_balance():
    gain = jnp.array(
        [[1.0, -1.0, 1.0, 0.0], [-1.0, -1.0, 1.0, 0.0], [1.0, -1.0, -1.0, 0.0], [-1.0, -1.0, 1.0, 0.0]]
    )
    found = embodied.calibrate_noise(jnp.array([0.5, 0.5, 0.06, 1.5]), gain)
    np.testing.assert_allclose(found, [0.52, 0.48, 0.05, 1.5], rtol=1e-6)
    with pytest.raises(UsageError, match="expected"):
        embodied.calibrate_noise(jnp.zeros(3), gain)
    with pytest.raises(UsageError, match="expected"):
        embodied.stepwise_reward_gain(jnp.zeros((4, 1)))
    with pytest.raises(UsageError, match="steps=0"):
        flows.noise_times(0)


@pytest.mark.slow
def test_a_learned_velocity_finds_its_samples():
    import optax

    from rlkit.optimisers import descend

    net = flows.VelocityNet((32, 32))
    params = net.init(jax.random.key(0), jnp.zeros(2), jnp.float32(0))
    data = MEAN + SPREAD * jax.random.normal(jax.random.key(1), (512, 2))
    adam = optax.adam(3e-3)

    @jax.jit
    def train(params):
        def body(loop, key):
            velocity = lambda p: lambda x, s: net.apply(p, x, s)
            loss = lambda p: (flows.flow_matching_loss(velocity(p), key, data), ())
            params, state, _ = descend(loss, adam, *loop)
            return (params, state), None

        loop = (params, adam.init(params))
        return jax.lax.scan(body, loop, jax.random.split(jax.random.key(2), 800))[0][0]

    params = train(params)
    start = jax.random.normal(jax.random.key(3), (2000, 2))
    made = flows.ode_rollout(lambda x, s: net.apply(params, x, s), start, TIMES)
    np.testing.assert_allclose(made.mean(0), MEAN, atol=0.1)
    np.testing.assert_allclose(made.std(0), SPREAD, atol=0.12)
