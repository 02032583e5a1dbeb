"""Pointing: closed forms, NumPy integrals and the released variant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.rewards import embodied

BOX = jnp.array([100.0, 50.0, 160.0, 74.0])


def test_point_reward_at_landmarks():
    """Known values: middle 1, middle of an edge exp(-1/2), corner exp(-1)."""
    at = lambda x, y: jnp.array([x, y, x, y])
    points = jnp.stack([at(130, 62), at(160, 62), at(130, 50), at(100, 50)])
    found = embodied.gaussian_point_reward(points, BOX)
    np.testing.assert_allclose(found, [1.0, np.exp(-0.5), np.exp(-0.5), np.exp(-1)], rtol=1e-6)
    np.testing.assert_array_equal(embodied.inside(points, BOX), [1, 1, 1, 1])
    assert float(embodied.inside(at(161, 62), BOX)) == 0.0
    far = at(130 + 4.5 * 30, 62)
    assert float(embodied.gaussian_point_reward(far, BOX)) > 0
    assert float(embodied.gaussian_point_reward(far, BOX, decimals=3)) == 0.0


def test_coverage_is_the_overlap_of_the_gaussians():
    """The Bhattacharyya coefficient, by a sum over a grid."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 20, (6, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 20, (6, 2))], 1)
    grid = np.linspace(-60, 100, 3201)

    def density(box, axis):
        m, s = (box[axis] + box[axis + 2]) / 2, 0.5 * (box[axis + 2] - box[axis])
        return np.exp(-0.5 * ((grid - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))

    overlap = lambda a, b, axis: np.sqrt(density(a, axis) * density(b, axis)).sum() * (grid[1] - grid[0])
    exact = [overlap(a, b, 0) * overlap(a, b, 1) for a, b in zip(boxes[:3], boxes[3:], strict=True)]
    found = embodied.gaussian_coverage_reward(jnp.asarray(boxes[:3]), jnp.asarray(boxes[3:]))
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_coverage_at_landmarks():
    """Half the size 0.80; shifted by half the width 0.88, by all of it 0.607 (our notes' numbers)."""
    wide, tall = 60.0, 24.0
    half = BOX + jnp.array([wide / 4, tall / 4, -wide / 4, -tall / 4])
    shifted = [BOX + jnp.array([s * wide, 0, s * wide, 0]) for s in (0.5, 1.0)]
    found = embodied.gaussian_coverage_reward(jnp.stack([BOX, half, *shifted]), BOX)
    np.testing.assert_allclose(found, [1.0, 0.8, np.exp(-1 / 8), np.exp(-0.5)], rtol=1e-5)


def test_empty_boxes_are_finite_also_their_gradients():
    empty = jnp.array([130.0, 62.0, 130.0, 62.0])
    for reward in (embodied.gaussian_point_reward, embodied.gaussian_coverage_reward):
        value, slope = jax.value_and_grad(lambda b, reward=reward: reward(b, empty))(BOX)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_boxes_are_asked_for():
    with pytest.raises(UsageError, match=r"predicted has shape \(2,\); expected \[..., 4\]"):
        embodied.gaussian_point_reward(jnp.zeros(2), BOX)
    with pytest.raises(UsageError, match="alpha=0"):
        embodied.pointing("a", "b", alpha=0.0)


def test_pointing_reads_features(step):
    reward = embodied.pointing("cursor", "button", alpha=0.5)
    box = jnp.array([0.2, 0.2, 0.4, 0.3])
    seen = step(next_features={"cursor": jnp.array([0.4, 0.25]), "button": box})
    np.testing.assert_allclose(reward.apply((), seen, reward.params)[1], np.exp(-0.5), rtol=1e-5)
    with pytest.raises(UsageError, match=r"feature 'cursor' has shape \(3,\)"):
        reward.apply((), step(next_features={"cursor": jnp.zeros(3), "button": box}), reward.params)
