"""The score of motion as what an agent is paid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.agents import PPOConfig, ppo
from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import init_slots, motion, relabel
from rlkit.types import Trajectory, Transition

DT = 1 / 30


def _trajectory(poses, first):
    """Trajectory [T, B] of poses [T + 1, B, nq]."""
    shape = first.shape
    nothing, no = jnp.zeros(shape), jnp.zeros(shape, bool)
    before, after = (
        {"pose": jnp.asarray(poses[:-1], jnp.float32)},
        {"pose": jnp.asarray(poses[1:], jnp.float32)},
    )
    t = Transition(nothing, nothing, nothing, before, after, nothing, no, no, no, jnp.asarray(first))
    return Trajectory(t, nothing, {}, {})


def test_steps_are_paid_their_frames(standing, clean):
    poses = np.stack([clean[0, :7], clean[1, :7] + 0.1 * np.eye(28)[2]], 1)
    first = np.zeros((6, 2), bool)
    first[0] = True
    first[3, 1] = True  # another episode begins
    poses[5:, 0] = np.nan  # a simulation that broke
    reward = motion.motion_reward(standing, DT)
    paid = jax.jit(lambda t: relabel(reward, init_slots(reward, jax.random.key(0), 2), t)[1])(
        _trajectory(poses, first)
    )
    score = jax.jit(motion.frame_score)
    offline = [score(motion.motion_features(standing, q, DT)) for q in (poses[:5, 0], poses[:, 1])]
    np.testing.assert_allclose(paid.reward[:, 0], np.r_[0.0, offline[0], 0.0, 0.0], atol=1e-3)
    expected = np.r_[0.0, offline[1]]
    expected[3] = 0.0
    np.testing.assert_allclose(paid.reward[:, 1], expected, atol=1e-3)
    np.testing.assert_array_equal(paid.terms["motion"], paid.reward)


def test_other_scores(standing, clean):
    """The published formula, of one step."""
    score = lambda f: motion.published_motion_score(f, floor="true").score
    reward = motion.motion_reward(standing, DT, score=score)
    first = np.array([[True], [False]])
    paid = jax.jit(lambda t: relabel(reward, init_slots(reward, jax.random.key(0), 1), t)[1].reward)
    value = paid(_trajectory(clean[0, :3, None], first))
    alone = jax.jit(score)(motion.motion_features(standing, clean[0, :3], DT))
    np.testing.assert_allclose(value[:, 0], [0.0, alone], atol=1e-5)


def test_bad_input(standing, clean):
    with pytest.raises(UsageError, match="dt=0"):
        motion.motion_reward(standing, 0.0)
    with pytest.raises(UnknownNameError, match="did you mean 'mjx'"):
        motion.motion_reward(standing, DT, backend="mjxx")
    first = np.ones((2, 1), bool)
    short, other = motion.motion_reward(standing, DT), motion.motion_reward(standing, DT, pose="poses")
    for reward, width, message in ((short, 24, "expected .28,."), (other, 28, "did you mean 'pose'")):
        with pytest.raises(UsageError, match=message):
            relabel(
                reward, init_slots(reward, jax.random.key(0), 1), _trajectory(np.ones((3, 1, width)), first)
            )


@pytest.mark.slow
def test_an_agent_is_paid_for_gymnasiums_humanoid():
    """Through the host's features, a compiled program and a call back to MuJoCo."""
    env = make("host:Humanoid-v5")
    reward = motion.motion_reward(motion.body("gymnasium"), 0.015)
    agent = ppo(env, PPOConfig(num_envs=2, num_steps=16, minibatches=2, sizes=(16,)), reward=reward)
    state, trajectory, _ = agent.collect(agent.init(jax.random.key(0)))
    paid = np.asarray(trajectory.reward)
    assert paid.shape == (16, 2)
    np.testing.assert_array_equal(paid[0], 0.0)
    first = np.asarray(trajectory.transition.first)
    assert ((paid[~first] > 0.1) & (paid[~first] <= 1.0)).all()
    pose = np.asarray(trajectory.transition.features["pose"])
    seen = motion.motion_features(motion.body("gymnasium"), pose[:4, 0], 0.015)
    np.testing.assert_allclose(paid[1:3, 0], motion.frame_score(seen), atol=1e-3)
    assert np.isfinite(float(agent.learn(state, trajectory)[1]["loss/policy"]))
