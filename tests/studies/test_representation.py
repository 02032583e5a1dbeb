"""Plain numbers of a representation."""

import jax.numpy as jnp
import numpy as np

from rlkit.agents.acting import Policy
from rlkit.normalize import RunningMoments
from rlkit.studies.representation import of_latents, weight_norm


def test_rank_and_dead_units_of_known_latents():
    rng = np.random.default_rng(0)
    full = rng.normal(size=(400, 6))
    low = full[:, :2] @ rng.normal(size=(2, 6))
    dead = full.copy()
    dead[:, 1], dead[:, 4] = 0.0, 5.0  # silent, saturated
    nothing = np.ones((400, 6))
    rank, gone = of_latents(np.stack([full, low, dead, nothing])[None])
    assert rank.tolist() == [[6, 2, 4, 0]]
    np.testing.assert_allclose(gone, [[0, 0, 2 / 6, 1]], rtol=1e-6)


def test_rank_counts_directions_that_hold_the_variance():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(4000, 3)) * np.sqrt([90.0, 9.5, 0.5])
    assert of_latents(z)[0] == 2
    values = np.sort(np.linalg.eigvalsh(np.cov(z.T)))[::-1]
    assert np.argmax(np.cumsum(values) >= 0.99 * values.sum()) + 1 == 2


def test_norms_leave_out_what_was_not_learnt():
    moments = RunningMoments(*(jnp.full((), 100.0) for _ in RunningMoments._fields))
    policy = Policy({"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}, moments)
    np.testing.assert_allclose(weight_norm(policy), 5.0)
