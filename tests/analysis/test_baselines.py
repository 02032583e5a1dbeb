"""The five baseline metrics against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis.study import baselines

BINS = 6


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(301, 4)).cumsum(axis=0) * 0.1 + rng.normal(size=(301, 4))
    z[:, 1] += 0.8 * z[:, 0]
    return z * np.array([1.0, 2.0, 0.5, 3.0]) + 1.0


def histogram_entropy(*columns):
    counts = np.histogramdd(np.stack(columns, 1), bins=BINS)[0].ravel()
    share = counts[counts > 0] / counts.sum()
    return -(share * np.log(share)).sum()


def numpy_baselines(z):
    n = z.shape[1]
    entropy = [histogram_entropy(z[:, i]) for i in range(n)]
    information = [
        entropy[i] + entropy[j] - histogram_entropy(z[:, i], z[:, j]) for i in range(n) for j in range(i)
    ]
    spectrum = np.linalg.eigvalsh(np.cov(z.T))
    return (
        np.mean(entropy),
        np.mean(information),
        np.mean([np.corrcoef(z[:-1, i], z[1:, i])[0, 1] for i in range(n)]),
        spectrum.sum() ** 2 / (spectrum**2).sum(),
        np.linalg.norm(z, axis=1).mean(),
    )


def test_all_five_equal_numpy(latents):
    with jax.enable_x64(True):
        result = baselines.latent_baselines(jnp.asarray(latents), bins=BINS)
    np.testing.assert_allclose(np.array(result), numpy_baselines(latents), rtol=1e-10)


def test_padding_and_episode_ends_are_left_out(latents):
    padded = np.concatenate([latents, np.full((20, 4), np.nan)])
    valid = np.arange(len(padded)) < len(latents)
    with jax.enable_x64(True):
        result = baselines.latent_baselines(jnp.asarray(padded), jnp.asarray(valid), bins=BINS)
        np.testing.assert_allclose(np.array(result), numpy_baselines(latents), rtol=1e-10)
        keep = np.ones(300, dtype=bool)
        keep[100] = False
        value = baselines.latent_autocorrelation(jnp.asarray(latents), None, jnp.asarray(keep))
    past, future = latents[:-1][keep], latents[1:][keep]
    expected = np.mean([np.corrcoef(past[:, i], future[:, i])[0, 1] for i in range(4)])
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_known_values():
    rng = np.random.default_rng(1)
    z = jnp.asarray(rng.uniform(size=(20_000, 3)), jnp.float32)
    result = baselines.latent_baselines(z, bins=4, unit="bits")
    np.testing.assert_allclose(result.entropy, 2.0, atol=1e-3)
    np.testing.assert_allclose(result.mutual_information, 0.0, atol=1e-3)
    np.testing.assert_allclose(result.autocorrelation, 0.0, atol=0.02)
    np.testing.assert_allclose(result.effective_dimension, 3.0, atol=0.01)
    doubled = jnp.stack([z[:, 0], -2 * z[:, 0]], axis=1)
    np.testing.assert_allclose(
        baselines.latent_mutual_information(doubled, bins=4, unit="bits"), 2.0, atol=2e-3
    )
    np.testing.assert_allclose(baselines.effective_dimension(doubled), 1.0, atol=1e-4)
    np.testing.assert_allclose(
        baselines.latent_magnitude(jnp.array([[3.0, 4.0], [0.0, 1.0]])), 3.0, rtol=1e-6
    )


def test_constant_units_are_harmless_and_batches_vmap(latents):
    z = np.concatenate([latents, np.full((301, 1), 0.3)], axis=1).astype(np.float32)
    result = baselines.latent_baselines(jnp.asarray(z), bins=BINS)
    assert np.isfinite(np.array(result)).all()
    np.testing.assert_allclose(result.autocorrelation, numpy_baselines(latents)[2], rtol=1e-4)
    np.testing.assert_allclose(result.entropy, numpy_baselines(latents)[0] * 4 / 5, rtol=1e-2)
    groups = jnp.asarray(z[:160]).reshape(2, 2, 40, 5)
    batch = jax.vmap(jax.vmap(baselines.latent_baselines))(groups)
    assert batch.entropy.shape == (2, 2)


def test_a_single_unit_has_no_mutual_information_and_nan_latents_show():
    z = jnp.linspace(0, 1, 20)[:, None]
    assert np.isnan(baselines.latent_mutual_information(z))
    assert np.isnan(baselines.latent_entropy(z.at[3].set(jnp.nan)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: baselines.latent_entropy(jnp.ones(4)), r"expected float latents \[T, n\]"),
        (lambda: baselines.latent_magnitude(jnp.ones((4, 2)), jnp.ones(3, bool)), r"expected \[4\]"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
