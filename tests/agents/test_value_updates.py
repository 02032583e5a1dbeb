"""One update of SAC, DQN and PQN is what the papers say, in double precision."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import value_oracle
from every import build
from small import close, jit

from rlkit.minibatches import minibatch_indices
from rlkit.q_learning import linear_epsilon
from rlkit.replay import draw_windows

RATE = 0.05


def plain(config, update):
    """Gradient descent: what it moves is the gradient, which Adam would hide."""
    return optax.sgd(config.learning_rate)


def before(kind, updates=4, limit=200):
    """An agent, a state that has learned a little, the trajectory that comes next and the numbers drawn."""
    agent = build(kind, optimiser=plain)
    step = jit(agent.step)
    physics = agent.env.default_params()._replace(max_steps=jnp.int32(limit))
    state = jit(agent.init)(jax.random.key(1), agent.config.replace(learning_rate=RATE), physics)
    for _ in range(updates):
        state, _ = step(state)
    state, trajectory, _ = jit(agent.collect)(state)
    module = importlib.import_module(f"rlkit.agents.{kind}")
    return agent, state, trajectory, jit(lambda s: module._drawn(agent.learn.args[0], s))(state)


def double(tree):
    """NumPy arrays, those of floats in double precision."""
    wide = lambda x: np.asarray(x, np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else np.asarray(x)
    return jax.tree.map(wide, tree)


def encoded(state, obs):
    """Observations as the networks see them."""
    moments = state.experience.moments
    if moments is None:
        return np.float64(obs)
    mean = np.float64(moments.mean) + np.float64(moments.residual)
    return np.clip((np.float64(obs) - mean) / np.sqrt(np.float64(moments.var) + 1e-8), -10, 10)


def batches(agent, state, after, drawn, length):
    """The batches of an update's gradient steps: rows by name ``[length, N, ...]``."""
    for bits in drawn["rows"]:
        rows = jax.tree.map(np.asarray, draw_windows(after.buffer, bits, length))
        seen = rows.transition
        yield (
            encoded(state, seen.obs),
            seen.action,
            np.float64(rows.reward),
            encoded(state, seen.next_obs),
            seen,
        )


def test_sac():
    agent, state, trajectory, drawn = before("sac")
    after, metrics = jit(agent.learn)(state, trajectory)
    learner, config, entropies = double(state.learner), double(state.config), []
    for (obs, action, reward, next_obs, seen), noise in zip(
        batches(agent, state, after, drawn, 1), np.float64(drawn["noise"]), strict=True
    ):
        rows = (obs[0], action[0] / 2.0, reward[0], next_obs[0], seen.terminated[0])
        with jax.enable_x64(True):
            params, target, entropy = value_oracle.sac(config, learner, rows, noise)
        learner = double(learner._replace(params=type(learner.params)(*params), target=target))
        entropies.append(entropy)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.learner.params, state.learner.params)
    assert min(jax.tree.leaves(moved)) > 1e-4
    close(after.learner.params, learner.params, rtol=1e-4, atol=1e-5)
    close(after.learner.target, learner.target, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["policy/entropy"], np.mean(entropies), rtol=1e-4)
    assert int(after.learner.updates) == int(state.learner.updates) + len(entropies)


def test_dqn():
    agent, state, trajectory, drawn = before("dqn", 12, 11)
    after, _ = jit(agent.learn)(state, trajectory)
    learner, config = double(state.learner), double(state.config)
    ends = np.zeros(2, int)
    for obs, action, reward, next_obs, seen in batches(agent, state, after, drawn, 3):
        done = seen.terminated | seen.truncated
        ends += [flag[:-1].sum() for flag in (seen.terminated, seen.truncated)]
        with jax.enable_x64(True):
            params = value_oracle.dqn(config, learner, (obs, action, reward, next_obs, seen.terminated, done))
        count = int(learner.updates) + 1
        target = params if count % 3 == 0 else learner.target
        learner = double(learner._replace(params=params, target=target, updates=np.int32(count)))
    assert ends.min() > 0  # some stretches run over the end of an episode, of either kind
    assert (
        float(jnp.abs(after.learner.params["head"]["bias"] - state.learner.params["head"]["bias"]).max())
        > 1e-4
    )
    close(after.learner.params, learner.params, rtol=1e-4, atol=1e-5)
    close(after.learner.target, learner.target, rtol=1e-4, atol=1e-5)


def test_pqn():
    agent, state, trajectory, drawn = before("pqn")
    after, _ = jit(agent.learn)(state, trajectory)
    seen = jax.tree.map(np.asarray, trajectory.transition)
    done = seen.terminated | seen.truncated
    rows = (
        encoded(state, seen.obs),
        seen.action,
        np.float64(trajectory.reward),
        encoded(state, seen.next_obs),
    )
    order = np.asarray(minibatch_indices(drawn["order"], agent.config.minibatches))
    with jax.enable_x64(True):
        wanted = value_oracle.pqn(
            double(state.config), double(state.params), (*rows, seen.terminated, done), order
        )
    assert float(jnp.abs(after.params["head"]["bias"] - state.params["head"]["bias"]).max()) > 1e-3
    close(after.params, double(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["dqn", "pqn"])
def test_exploration_ends(kind):
    agent = build(kind)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    policy = jit(lambda update, s: agent.policy(s._replace(update=update)).epsilon)
    state = jit(agent.init)(
        jax.random.key(0), agent.config.replace(epsilon_steps=10.0 * agent.steps_per_update)
    )
    found = [float(policy(jnp.int32(update), state)) for update in (0, 5, 10, 1000)]
    np.testing.assert_allclose(found, [1.0, 0.525, 0.05, 0.05], rtol=1e-5)
    assert linear_epsilon(1.0, 0.0, 4.0, jnp.int32(1)) == 0.75
