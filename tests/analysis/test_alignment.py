"""Alignment on planted trajectories and its nulls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis.study import alignment as module

SEEDS, CHECKPOINTS, FEATURES = 8, 21, 5


def planted(noise=0.05, seed=0):
    """Every run drifts along one feature direction as its return rises."""
    rng = np.random.default_rng(seed)
    progress = np.linspace(0, 1, CHECKPOINTS) * rng.uniform(0.8, 1.2, size=(SEEDS, 1))
    direction = rng.choice([-1.0, 1.0], size=FEATURES)
    metric = progress[..., None] * direction + noise * rng.normal(size=(SEEDS, CHECKPOINTS, FEATURES))
    return metric, 100 * progress


def test_monotone_drift_along_the_reward_is_aligned():
    metric, returns = planted(noise=0.01)
    result = module.reward_alignment(metric, returns)
    assert (result.global_alignment > 0.98).all()
    assert (result.local_alignment > 0.8).all()
    np.testing.assert_allclose(np.linalg.norm(result.directions, axis=1), 1.0)
    assert result.embedding.shape == (SEEDS, CHECKPOINTS, 2)


def test_a_run_that_goes_backwards_has_alignment_of_minus_one():
    metric, returns = planted(noise=0.01)
    metric[3] = metric[3, ::-1]
    result = module.reward_alignment(metric, returns)
    assert result.global_alignment[3] < -0.95
    # The odd run blurs the direction of the others, most where the plane is thin; a line cannot tilt.
    assert (np.delete(result.global_alignment, 3) > 0.5).all()
    line = module.reward_alignment(metric, returns, dims=1).global_alignment
    np.testing.assert_allclose(line, np.where(np.arange(SEEDS) == 3, -1.0, 1.0))
    # Its representation undoes itself while its return still rises.
    assert result.local_alignment[3] < -0.8


def test_the_direction_of_a_run_does_not_depend_on_its_own_returns():
    metric, returns = planted()
    changed = returns.copy()
    changed[2] = np.random.default_rng(9).normal(size=CHECKPOINTS) * 1000
    before, after = module.reward_alignment(metric, returns), module.reward_alignment(metric, changed)
    np.testing.assert_array_equal(before.directions[2], after.directions[2])
    assert before.global_alignment[2] == after.global_alignment[2]
    assert not np.array_equal(before.directions[1], after.directions[1])


def test_embedding_equals_principal_components_by_eigenvectors():
    rng = np.random.default_rng(3)
    metric = rng.normal(size=(4, 6, 3)) @ rng.normal(size=(3, 3)) * np.array([1, 10, 100]) + 7
    result = module.embed(metric)
    flat = metric.reshape(-1, 3)
    scaled = (flat - flat.mean(0)) / flat.std(0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    expected = scaled @ vectors[:, np.argsort(values)[::-1][:2]]
    np.testing.assert_allclose(np.abs(result.reshape(-1, 2)), np.abs(expected), rtol=1e-9, atol=1e-12)
    assert module.embed(metric[..., :1]).shape == (4, 6, 1)
    constant = np.concatenate([metric, np.full((4, 6, 1), 0.1)], axis=-1)
    np.testing.assert_allclose(module.embed(constant), result, rtol=1e-9, atol=1e-9)


def test_reward_direction_solves_the_normal_equations():
    rng = np.random.default_rng(5)
    points, returns = rng.normal(size=(3, 9, 2)) * [1, 4], rng.normal(size=(3, 9))
    cov = np.cov(np.c_[points.reshape(-1, 2), returns.ravel()].T)
    expected = np.linalg.solve(cov[:2, :2], cov[:2, 2])
    np.testing.assert_allclose(module.reward_direction(points, returns), expected / np.linalg.norm(expected))
    assert np.isnan(module.reward_direction(points, np.ones((3, 9)))).all()


def test_a_metric_that_does_not_move_is_nan_not_zero():
    metric, returns = planted()
    metric[1] = metric[1, :1]
    result = module.reward_alignment(metric, returns)
    assert np.isnan(result.global_alignment[1])
    assert np.isnan(result.local_alignment[1])
    assert np.isfinite(np.delete(result.global_alignment, 1)).all()


def test_planted_latents_beat_shuffled_and_projected_latents():
    rng = np.random.default_rng(11)
    _, returns = planted()
    gain = (returns / 100)[:, :, None, None]
    latents = (rng.normal(size=(SEEDS, CHECKPOINTS, 30, 4)) * (1 + gain)).astype(np.float32)
    metric = lambda z: jnp.stack([z[:, :2].std(), z[:, 2:].std()])
    observed = np.asarray(jax.vmap(jax.vmap(metric))(latents))
    noise = lambda key, z: jax.random.normal(key, z.shape, z.dtype)
    key = jax.random.key(0)
    nulls = {
        "random projection": module.random_projection_metrics(key, latents, 2, num_draws=99),
        "noise": jax.jit(lambda k, z: module.null_metrics(k, z, metric, noise, 49))(key, latents),
    }
    assert nulls["random projection"].shape == (99, SEEDS, CHECKPOINTS, 2)
    assert nulls["noise"].shape == (49, SEEDS, CHECKPOINTS, 2)
    table = module.alignment_against_nulls(observed, returns, nulls)
    for name, draws in (("random projection", 99), ("noise", 49)):
        row = table["global"][name]
        assert row.value > 0.9
        assert row.value > row.null_mean + 2 * row.null_sd
        np.testing.assert_allclose(row.p, 1 / (1 + draws))
    # A null that is the metric itself is never beaten.
    same = module.alignment_against_nulls(observed, returns, {"same": np.stack([observed] * 3)})
    assert same["local"]["same"].p == 1.0


def test_random_projections_are_unit_directions_shared_by_runs():
    latents = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    draws = module.random_projection_metrics(jax.random.key(1), latents, 6, num_draws=2)
    basis = np.eye(4, dtype=np.float32).reshape(1, 4, 4)
    weights = np.asarray(module.random_projection_metrics(jax.random.key(1), basis, 6, 2)[:, 0])
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(
        draws, np.einsum("skn,bnf->bskf", latents.mean(2), weights), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: module.reward_alignment(np.ones((1, 5, 2)), np.ones((1, 5))), "at least 2 seeds"),
        (lambda: module.reward_alignment(np.ones((2, 5, 2)), np.ones((2, 4))), "expected"),
        (lambda: module.embed(np.full((2, 3, 2), np.nan)), "not finite at index"),
        (lambda: module.embed(np.ones((2, 3))), "3 axes"),
        (lambda: module.embed(np.ones((2, 3, 1)), dims=0), "dims is 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
