"""Demonstrations, pairs, and a model of hops that is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.train import train
from rlkit.rewards import embodied, init_slots, relabel
from rlkit.spaces import Box
from rlkit.types import Trajectory

SPACE = Box((3,), -2.0, 2.0)


def _lines(number, length, key=0):
    """Straight walks from random starts to the origin; the third entry is noise."""
    rng = np.random.default_rng(key)
    start = rng.uniform(-1.5, 1.5, (number, 1, 2))
    share = np.linspace(0, 1, length)[None, :, None]
    obs = np.concatenate([start * (1 - share), rng.uniform(-1, 1, (number, length, 1))], -1)
    progress = np.broadcast_to(share[..., 0], (number, length))
    return embodied.Demonstrations(
        jnp.asarray(obs, jnp.float32), jnp.asarray(progress, jnp.float32), jnp.full(number, length, jnp.int32)
    )


def test_step_aware_progress():
    found = embodied.step_aware_progress((1, 5, 9), 10)
    np.testing.assert_allclose(found[[0, 1, 3, 5, 7, 9]], [0, 1 / 3, 0.5, 2 / 3, 5 / 6, 1], rtol=1e-6)
    for bad in ((), (3, 3, 9), (3, 8), (0, 9)):
        with pytest.raises(UsageError, match="expected ascending frames"):
            embodied.step_aware_progress(bad, 10)


def test_pairs_are_balanced_and_labelled():
    demos = _lines(6, 21)._replace(length=jnp.array([21, 21, 21, 11, 11, 11], jnp.int32))
    pairs = jax.jit(lambda k: embodied.balanced_pairs(k, demos, 1000))(jax.random.key(0))
    demo, before, after = (np.asarray(x) for x in pairs[:3])
    assert (before < np.asarray(demos.length)[demo]).all()
    phi = np.asarray(demos.progress)
    exact = embodied.hop(jnp.asarray(phi[demo, before]), jnp.asarray(phi[demo, after]))
    np.testing.assert_allclose(pairs.hop, exact, atol=1e-6)
    still = before[:50] == after[:50]
    assert still.all()
    far = np.abs(after - before) / (np.asarray(demos.length)[demo] - 1)
    cell = lambda hop, far: (
        np.minimum(((np.asarray(hop) + 1) / 2 * 25).astype(int), 24) * 4
        + np.minimum((far * 4).astype(int), 3)
    )
    counts = np.bincount(cell(pairs.hop[50:], far[50:]))
    assert counts.max() <= 1.5 * np.median(counts[counts > 0])
    # Pairs drawn at random crowd some cells.
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 21, (2, 950))
    drawn = np.bincount(
        cell(embodied.hop(jnp.asarray(phi[0, a]), jnp.asarray(phi[0, b])), np.abs(a - b) / 20)
    )
    assert drawn.max() > 3 * np.median(drawn[drawn > 0])


def test_demonstrations_of_a_trajectory(step):
    """Two slots: one success after a reset, one that is cut off by the time limit."""
    T = 6
    obs = np.arange(T * 2 * 3, dtype=np.float32).reshape(T, 2, 3) / 40
    first, success, truncated = np.zeros((3, T, 2), bool)
    first[0] = first[2, 0] = True
    success[4, 0] = True
    truncated[1, 0] = truncated[5, 1] = True
    key = np.zeros((T, 2), bool)
    key[3:, 0] = True
    wide = lambda x: jnp.broadcast_to(x, (T, 2, *jnp.shape(x)))
    t = jax.tree.map(wide, step())._replace(
        obs=jnp.asarray(obs), next_obs=jnp.asarray(obs + 1 / 40), first=first, success=success,
        truncated=truncated,
        features={"has_key": jnp.asarray(np.roll(key, 1, axis=0) & ~first)},
        next_features={"has_key": jnp.asarray(key)},
    )  # fmt: skip
    trajectory = Trajectory(t, t.reward, {}, {})
    found = embodied.demonstrations(trajectory, stages=("has_key",))
    assert found.obs.shape == (1, 4, 3)
    np.testing.assert_allclose(found.obs[0], np.concatenate([obs[2:5, 0], obs[4:5, 0] + 1 / 40]), rtol=1e-6)
    np.testing.assert_allclose(found.progress[0], [0, 0.25, 0.5, 1.0], rtol=1e-6)
    # Who takes over after the key was found begins there, with half of it done; before, with nothing done.
    over = np.zeros((T, 2), bool)
    over[[1, 3, 4], 0] = over[5, 1] = True  # the last one in the episode counts
    late = embodied.demonstrations(trajectory, stages=("has_key",), takeover=over)
    np.testing.assert_allclose(late.obs[0], [obs[4, 0], obs[4, 0] + 1 / 40], rtol=1e-6)
    np.testing.assert_allclose(late.progress, [[0.5, 1.0]], rtol=1e-6)
    over[4, 0] = False
    early = embodied.demonstrations(trajectory, stages=("has_key",), takeover=over)
    np.testing.assert_allclose(early.progress, [[0.0, 0.5, 1.0]], rtol=1e-6)
    with pytest.raises(UsageError, match="takeover has shape"):
        embodied.demonstrations(trajectory, takeover=over[1:])
    with pytest.raises(UsageError, match="no feature"):
        embodied.demonstrations(trajectory, stages=("key",))
    failed = Trajectory(t._replace(success=np.zeros((T, 2), bool)), t.reward, {}, {})
    with pytest.raises(UsageError, match="no episode"):
        embodied.demonstrations(failed)


@pytest.fixture(scope="module")
def learned():
    """A model of hops of straight walks, by the driver of all learners."""
    config = embodied.ProgressConfig(sizes=(32, 32), batch_size=128, steps_per_update=25, learning_rate=3e-3)
    learner = embodied.progress_learner(SPACE, _lines(24, 16), config)
    trained = train(learner, 12, seeds=1, probes=0, progress=False)
    return learner.model, jax.tree.map(lambda x: x[0], trained.state.params), trained.curve("error/hop")[:, 0]


@pytest.mark.slow
def test_it_learns(learned):
    model, params, error = learned
    assert error[-1] < 0.6 * error[0]
    fresh = _lines(8, 16, key=1)
    follow = jax.jit(jax.vmap(lambda obs: embodied.episode_progress(model, params, obs)))
    phi = follow(fresh.obs)
    voc = jax.vmap(embodied.value_order_correlation)(phi)
    assert float(voc.mean()) > 0.9
    back = follow(fresh.obs[:, ::-1])
    assert float(back[:, -1].mean()) < float(phi[:, -1].mean()) - 0.2


@pytest.mark.slow
def test_the_goal_of_another_episode_measures_what_is_left():
    """Walks to goals of their own: seen are the place and the way to the goal, and the goal that the model
    pays with is another episode's."""
    lines = _lines(128, 16)
    way = lines.obs[..., :2]
    goals = np.random.default_rng(3).uniform(-1, 1, (128, 1, 2))
    demos = lines._replace(obs=jnp.concatenate([goals - way, way], -1).astype(jnp.float32))
    found = {}
    for share in (0.0, 0.3):
        config = embodied.ProgressConfig(
            sizes=(32, 32), batch_size=128, steps_per_update=25, learning_rate=3e-3, goal_pairs=share
        )
        learner = embodied.progress_learner(Box((4,), -3.0, 3.0), demos, config)
        params = jax.tree.map(
            lambda x: x[0], train(learner, 16, seeds=1, probes=0, progress=False).state.params
        )
        look = lambda obs, m=learner.model, p=params: embodied.episode_progress(m, p, obs, "backward")
        error = jnp.abs(jax.jit(jax.vmap(look))(demos.obs) - demos.progress)[:, 1:]
        found[share] = float(error.mean())
    assert found[0.3] < 0.6 * found[0.0]


@pytest.fixture(scope="module")
def untrained():
    learner = embodied.progress_learner(SPACE, _lines(2, 4), embodied.ProgressConfig(sizes=(8,)))
    return learner.model, learner.init(jax.random.key(0)).params


def test_its_reward_telescopes(untrained, step):
    """Whatever the model says, an episode that ends is paid nothing, one that is cut off γ^T Φ; differences
    of progress are the same and an income of (1 - γ) Φ."""
    model, params = untrained
    fresh = _lines(2, 8, key=2)
    obs = jnp.moveaxis(fresh.obs, 0, 1)
    wide = lambda x: jnp.broadcast_to(x, (7, 2, *jnp.shape(x)))
    first, terminated = np.zeros((2, 7, 2), bool)
    first[0] = True
    terminated[-1, 0] = True
    t = jax.tree.map(wide, step())._replace(
        obs=obs[:-1], next_obs=obs[1:], first=jnp.asarray(first), terminated=jnp.asarray(terminated)
    )
    trajectory = Trajectory(t, t.reward, {}, {})

    @jax.jit
    def paid(discount):
        reward = embodied.learned_progress(model, params, discount)
        return relabel(reward, init_slots(reward, jax.random.key(0), 2), trajectory)[1].reward

    phi = np.asarray(jax.vmap(lambda x: embodied.episode_progress(model, params, x))(fresh.obs)).T
    found = {discount: np.asarray(paid(discount)) for discount in (0.9, 1.0)}
    for discount, reward in found.items():
        total = (discount ** np.arange(7)[:, None] * reward).sum(0)
        np.testing.assert_allclose(total, [0.0, discount**7 * phi[-1, 1]], atol=1e-5)
    income = 0.1 * np.where(terminated, 0.0, phi[1:])
    np.testing.assert_allclose(found[1.0] - found[0.9], income, atol=1e-5)
    assert income[:-1].max() > 1e-3


def test_bad_input(untrained):
    model, params = untrained
    with pytest.raises(UnknownNameError, match="did you mean 'fused'"):
        embodied.learned_progress(model, params, 0.9, perspective="fuse")
    with pytest.raises(UsageError, match=r"discount=1\.5"):
        embodied.learned_progress(model, params, 1.5)
    with pytest.raises(UsageError, match=r"frames have shape \(3,\); expected \(4,\)"):
        embodied.progress_learner(Box((4,)), _lines(2, 4))
    with pytest.raises(UsageError, match="batch_size=0"):
        embodied.progress_model(SPACE, embodied.ProgressConfig(batch_size=0))
