"""Surrogates against NumPy's Fourier transform and against what they must keep and destroy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis import all_pairs_atoms, lagged_moments, pair_mask
from rlkit.analysis.study.nulls import against_null
from rlkit.analysis.study.surrogates import (
    circular_shift,
    episode_basis,
    joint_shuffle,
    phase_randomised,
    random_projection,
)

STEPS, UNITS = 96, 4
STARTS = (0, 7, 8, 40)  # episodes of 7, 1, 32 and 56 steps: odd, single, even


def _first():
    return np.isin(np.arange(STEPS), STARTS)


def _episodes():
    return [slice(a, b) for a, b in zip(STARTS, (*STARTS[1:], STEPS), strict=True)]


def _samples(seed=0, steps=STEPS, units=UNITS, memory=0.9, shared=0.0):
    """AR(1) units; ``shared`` is the share of noise common to all."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(1 - shared) * rng.normal(size=(steps, units))
    noise += np.sqrt(shared) * rng.normal(size=(steps, 1))
    z = np.zeros((steps, units))
    z[0] = noise[0]
    for t in range(1, steps):
        z[t] = memory * z[t - 1] + np.sqrt(1 - memory**2) * noise[t]
    return z


@pytest.mark.parametrize("steps", [95, 96])
def test_phases_keep_every_spectrum_and_change_the_rest(x64, steps):
    z = _samples(steps=steps) + 3.0
    drawn = np.asarray(phase_randomised(jax.random.key(0), z))
    np.testing.assert_allclose(np.abs(np.fft.rfft(drawn, axis=0)), np.abs(np.fft.rfft(z, axis=0)), atol=1e-9)
    np.testing.assert_allclose(drawn.mean(0), z.mean(0), atol=1e-12)
    assert np.abs(np.corrcoef(drawn.T) - np.corrcoef(z.T)).max() > 0.05
    assert np.abs(drawn - z).max() > 1.0


def test_common_phases_keep_every_cross_spectrum(x64):
    z = _samples(shared=0.8)
    drawn = np.asarray(phase_randomised(jax.random.key(1), z, common=True))
    cross = lambda x: (f := np.fft.rfft(x, axis=0))[:, :, None] * f[:, None, :].conj()
    np.testing.assert_allclose(cross(drawn), cross(z), atol=1e-7)
    assert np.abs(drawn - z).max() > 1.0


@pytest.mark.parametrize("common", [False, True])
def test_phases_by_episode_keep_the_spectrum_of_each_and_deal_the_means_out(x64, common):
    z = _samples() + np.linspace(-3, 3, STEPS)[:, None]
    drawn = np.asarray(phase_randomised(jax.random.key(2), z, _first(), common=common))
    for part in _episodes():
        before, after = (np.abs(np.fft.rfft(x[part], axis=0))[1:] for x in (z, drawn))
        np.testing.assert_allclose(after, before, atol=1e-9)
    means = lambda x: np.stack([x[part].mean(0) for part in _episodes()])
    source = np.abs(means(drawn)[:, None] - means(z)[None]).argmin(1)  # which episode each mean came from
    np.testing.assert_allclose(means(drawn), np.take_along_axis(means(z), source, 0), atol=1e-10)
    assert (np.sort(source, 0) == np.arange(len(STARTS))[:, None]).all()
    assert (source == source[:, :1]).all() == common
    assert np.abs(drawn - z)[_episodes()[3]].max() > 0.5


def test_one_episode_is_the_whole_recording(x64):
    z = _samples()
    first = np.arange(STEPS) == 0
    drawn = np.asarray(phase_randomised(jax.random.key(3), z, first))
    np.testing.assert_allclose(np.abs(np.fft.rfft(drawn, axis=0)), np.abs(np.fft.rfft(z, axis=0)), atol=1e-9)


def test_single_precision_stays_single_and_accurate():
    z = jnp.asarray(_samples(), jnp.float32)
    for first in (None, _first()):
        drawn = phase_randomised(jax.random.key(4), z, first)
        assert drawn.dtype == jnp.float32
        if first is None:
            before, after = (np.abs(np.fft.rfft(np.asarray(x, np.float64), axis=0)) for x in (z, drawn))
            np.testing.assert_allclose(after, before, atol=2e-5)


def test_shift_is_circular_in_every_episode():
    z = np.arange(STEPS * UNITS).reshape(STEPS, UNITS).astype(np.float32)
    drawn = np.asarray(circular_shift(jax.random.key(0), z, _first(), least=10))
    for part in _episodes():
        length = part.stop - part.start
        shifts = [(int(drawn[part.start, u] - z[part.start, u]) // UNITS) % length for u in range(UNITS)]
        for unit, shift in enumerate(shifts):
            np.testing.assert_array_equal(drawn[part, unit], np.roll(z[part, unit], -shift))
            assert length < 20 or 10 <= shift <= length - 10
    assert len({int(x) for x in drawn[40] // UNITS}) > 1  # units move by themselves


def test_shift_of_one_side_moves_it_as_one_and_leaves_the_other():
    z = np.arange(STEPS * UNITS).reshape(STEPS, UNITS).astype(np.float32)
    side = np.array([True, False, True, False])
    drawn = np.asarray(circular_shift(jax.random.key(1), z, side=side))
    np.testing.assert_array_equal(drawn[:, ~side], z[:, ~side])
    np.testing.assert_array_equal(drawn[:, 2] - drawn[:, 0], z[:, 2] - z[:, 0])
    assert (drawn[:, 0] != z[:, 0]).all()


def test_every_allowed_shift_is_drawn():
    z = np.arange(8.0, dtype=np.float32)[:, None]
    drawn = jax.vmap(lambda k: circular_shift(k, z, least=3)[0, 0])(jax.random.split(jax.random.key(0), 200))
    assert set(np.asarray(drawn).astype(int)) == {3, 4, 5}


def test_shuffle_permutes_rows_within_episodes():
    z = _samples().astype(np.float32)
    whole = np.asarray(joint_shuffle(jax.random.key(0), z))
    inside = np.asarray(joint_shuffle(jax.random.key(0), z, _first()))
    rows = lambda x: sorted(map(tuple, x.tolist()))
    assert rows(whole) == rows(z)
    assert (whole != z).any()
    for part in _episodes():
        assert rows(inside[part]) == rows(z[part])


@pytest.mark.parametrize("surrogate", [phase_randomised, circular_shift, joint_shuffle])
def test_surrogates_compile_and_map(surrogate):
    z = jnp.asarray(_samples(), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    mapped = jax.jit(jax.vmap(surrogate, (0, None, None)))(keys, z, jnp.asarray(_first()))
    alone = [surrogate(key, z, _first()) for key in keys]
    np.testing.assert_allclose(mapped, jnp.stack(alone), atol=1e-5)


def _mean_phi(z, first):
    atoms = all_pairs_atoms(lagged_moments(z, 1, pair_mask(first)))
    upper = jnp.triu_indices(z.shape[1], 1)
    return {name: atoms[name][upper].mean() for name in ("phi_r", "ce4")}


def test_null_statistics_are_those_of_the_draws(x64):
    z, key = jnp.asarray(_samples(shared=0.5)), jax.random.key(0)
    statistic = functools.partial(_mean_phi, first=_first())
    test = jax.jit(lambda k, z: against_null(statistic, phase_randomised, k, z, draws=20))(key, z)
    draws = [statistic(phase_randomised(jax.random.fold_in(key, b), z)) for b in range(20)]
    for name in ("phi_r", "ce4"):
        null, value = np.array([draw[name] for draw in draws]), float(statistic(z)[name])
        np.testing.assert_allclose(test.value[name], value, rtol=1e-9)
        np.testing.assert_allclose(test.mean[name], null.mean(), rtol=1e-9)
        np.testing.assert_allclose(test.sd[name], null.std(ddof=1), rtol=1e-9)
        np.testing.assert_allclose(test.excess[name], value - null.mean(), rtol=1e-8)
        np.testing.assert_allclose(test.p[name], (1 + (null >= value).sum()) / 21)


def test_two_sides_keep_their_own_coupling_and_lose_that_between_them(x64):
    z, side = jnp.asarray(_samples(shared=0.7, units=4)), np.array([True, True, False, False])
    for first in (None, _first()):
        drawn = phase_randomised(jax.random.key(1), z, first, side=side)
        part = slice(None) if first is None else _episodes()[0]
        before, after = (np.fft.rfft(np.asarray(a)[part], axis=0) for a in (z, drawn))
        product = lambda f, i, j: (f[:, i] * f[:, j].conj())[1:]
        for i, j in ((0, 1), (2, 3)):
            np.testing.assert_allclose(product(after, i, j), product(before, i, j), atol=1e-9)
        assert np.abs(product(after, 0, 2) - product(before, 0, 2)).max() > 1e-3
    mean = lambda a: a[:, :2].mean(1)
    spectrum = lambda a: np.abs(np.fft.rfft(np.asarray(a)))[1:]
    drawn = phase_randomised(jax.random.key(1), z, side=side)
    np.testing.assert_allclose(spectrum(mean(drawn)), spectrum(mean(z)), atol=1e-9)


def test_a_prepared_basis_changes_nothing(x64):
    z, key = jnp.asarray(_samples()), jax.random.key(2)
    prepared = episode_basis(_first(), z.dtype)
    np.testing.assert_array_equal(
        phase_randomised(key, z, basis=prepared), phase_randomised(key, z, _first())
    )


def test_projections_are_unit_directions_of_the_standardised_units(x64):
    z = jnp.asarray(_samples(units=5))
    drawn = random_projection(jax.random.key(0), 3.0 * z + 1.0)
    standard = (z - z.mean(0)) / z.std(0)
    weights, *_ = np.linalg.lstsq(np.asarray(standard), np.asarray(drawn), rcond=None)
    np.testing.assert_allclose(standard @ weights, drawn, atol=1e-9)
    np.testing.assert_allclose((weights**2).sum(0), 1.0, rtol=1e-9)


def test_a_null_that_does_not_vary_says_nothing():
    z = jnp.asarray(_samples(), jnp.float32)
    test = against_null(lambda z: jnp.float32(2.0) * z.shape[0], joint_shuffle, jax.random.key(0), z, draws=4)
    assert float(test.excess) == 0.0
    assert float(test.p) == 1.0
    with pytest.raises(ValueError, match="draws=1"):
        against_null(jnp.sum, joint_shuffle, jax.random.key(0), z, draws=1)


def _scores(first):
    """Tests of Φ_R and CE4 for independent slow units in episodes that forget their past at each start."""
    z = np.stack([[_samples(100 * s + i, 48, 2, 0.9) for i in range(8)] for s in range(24)])
    z = jnp.asarray(z.reshape(24, 384, 2), jnp.float32)
    statistic = functools.partial(_mean_phi, first=np.zeros(384, bool) if first is None else first)
    surrogate = functools.partial(phase_randomised, first=first)
    keys = jax.random.split(jax.random.key(0), 24)
    return jax.jit(jax.vmap(lambda k, z: against_null(statistic, surrogate, k, z, 60)))(keys, z)


def test_slow_independent_units_are_not_called_emergent():
    stream, episodes = _scores(None), _scores(np.arange(384) % 48 == 0)
    for test in (stream, episodes):
        assert (test.p["phi_r"] <= 0.05).mean() <= 0.2
        assert np.median(test.p["phi_r"]) > 0.2


def test_coupling_is_found():
    first = np.arange(384) % 48 == 0
    lead = []
    for seed in range(8):
        x = np.random.default_rng(seed).normal(size=385)
        lead.append(
            np.stack([x[1:], 0.8 * x[:-1] + 0.6 * np.random.default_rng(99 + seed).normal(size=384)], 1)
        )
    z = jnp.asarray(np.stack(lead), jnp.float32)
    statistic = lambda z: all_pairs_atoms(lagged_moments(z, 1, pair_mask(first)))["transfer"][0, 1]
    surrogate = functools.partial(phase_randomised, first=first)
    keys = jax.random.split(jax.random.key(0), 8)
    test = jax.jit(jax.vmap(lambda k, z: against_null(statistic, surrogate, k, z, 60)))(keys, z)
    assert (np.asarray(test.excess) > 5 * np.asarray(test.sd)).all()
    np.testing.assert_allclose(test.p, 1 / 61, rtol=1e-5)
