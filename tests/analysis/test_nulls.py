"""Hypotheses and the p against them: what surrogates keep, what p can claim, untrained networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis import NULLS, measure_emergence, measure_recordings
from rlkit.analysis.study import (
    against_untrained,
    compare,
    episode_shuffle,
    equal_episodes,
    fit_own_past,
    holm,
    own_past,
    p_text,
    paired,
    pooled_p,
    recording_quality,
    stationary,
)
from rlkit.analysis.study.resampling import shrunk

KEY = jax.random.key(0)
T, N = 384, 4


def noisy(seed, correlation=0.0, coupling=0.0, memory=0.9, units=2, steps=T, count=16):
    """AR(1) units whose noise correlates, and of which the first drives the others: [count, steps, units]."""
    rng = np.random.default_rng(seed)
    transition = memory * np.eye(units)
    transition[1:, 0] = coupling
    shared = np.full((units, units), correlation) + (1 - correlation) * np.eye(units)
    noise = rng.normal(size=(steps + 200, count, units)) @ np.linalg.cholesky(shared).T
    z = np.zeros((steps + 200, count, units))
    for t in range(1, len(z)):
        z[t] = z[t - 1] @ transition.T + noise[t]
    return np.swapaxes(z[200:], 0, 1).astype(np.float32)


def rejected(z, null, **options):
    found = measure_recordings(z, KEY, null=null, draws=60, routes=("pairs",), check="off", **options)
    return float((np.asarray(found["pairs"].p["phi_r"]) <= 0.05).mean())


def test_what_each_hypothesis_says_about_common_noise_and_about_coupling():
    common, coupled = noisy(0, correlation=0.7), noisy(1, coupling=0.25, memory=0.5)
    assert rejected(common, "phases") >= 0.9
    assert rejected(common, "own-past") <= 0.2
    assert rejected(coupled, "own-past") >= 0.9


def test_units_locked_to_the_place_in_an_episode_are_no_coupling_under_episodes():
    first = np.broadcast_to(np.arange(T) % 24 == 0, (16, T))
    z = noisy(2, memory=0.3) + 2 * np.sin(np.arange(T) % 24 / 4)[:, None].astype(np.float32)
    assert rejected(z, "phases", first=first) >= 0.9
    assert rejected(z, "episodes", first=first) <= 0.2


def test_every_hypothesis_has_a_sentence_and_runs():
    z, first = noisy(3, count=1)[0], np.arange(T) % 48 == 0
    for name, null in NULLS.items():
        assert null.hypothesis
        found = measure_emergence(z, KEY, first=first, null=name, routes=("pairs",), draws=8, check="off")
        test = found["pairs"]
        assert np.isfinite(test.p["phi_r"]), name
        if not null.baseline:  # compared as they are
            np.testing.assert_allclose(test.excess["ce4"], test.value["ce4"] - test.mean["ce4"], atol=1e-6)
    found = measure_emergence(
        z, KEY, null="shuffle", routes=("pairs",), draws=20, check="off", keep_draws=True
    )
    np.testing.assert_allclose(found["pairs"].mean["ce4"], found.drawn["pairs"][0]["ce4"].mean(), rtol=1e-5)
    assert found["pairs"].mean["ce4"] < 0.1 < found["pairs"].excess["ce4"]


def test_own_past_is_least_squares_with_its_bias_removed(x64):
    first = np.isin(np.arange(T), [0, 100])
    z = noisy(4, correlation=0.6, count=1)[0].astype(np.float64)
    fit = fit_own_past(jnp.asarray(z), jnp.asarray(first), order=1)
    rows = np.flatnonzero(~first)
    for unit in range(2):
        slope, _ = np.polyfit(z[rows - 1, unit], z[rows, unit], 1)
        expected = (len(rows) * slope + 1) / (len(rows) - 3)
        np.testing.assert_allclose(fit.weights[unit, 0], expected, rtol=1e-5)
    assert int(fit.count) == len(rows)
    assert float(fit.shared) > 0.8
    drawn = own_past(KEY, jnp.asarray(z), jnp.asarray(first), order=1, fit=fit)
    np.testing.assert_allclose(drawn[first], z[first], rtol=1e-12)
    again = fit_own_past(jnp.asarray(noisy(5, count=1, units=6)[0], jnp.float64))
    assert float(again.shared) < 0.5


def test_how_slow_units_are_is_shrunk_towards_their_mean_by_what_errors_explain(x64):
    rng = np.random.default_rng(11)
    for slow, still in ((np.full(6, 0.9), False), (np.array([0.2, 0.95, 0.5, 0.8, -0.3, 0.6]), True)):
        z = rng.normal(size=(T, 6))
        for t in range(1, T):
            z[t] += slow * z[t - 1]
        z[:, still * 1] *= 1 - still  # a constant unit says nothing
        fit = fit_own_past(jnp.asarray(z))
        alive = np.flatnonzero(z.std(0) > 0)
        sums, errors = [], []
        for unit in alive:
            now, one, two = z[2:, unit], z[1:-1, unit], z[:-2, unit]
            columns = np.stack([np.ones(T - 2), one, one - two], 1)
            found, (rest,), _, _ = np.linalg.lstsq(columns, now, rcond=None)
            count = len(now)
            sums.append((count * found[1] + 1) / (count - 3))
            errors.append(rest / (count - 3) * np.linalg.inv(columns.T @ columns)[1, 1])
        sums, errors = np.array(sums), np.array(errors)
        apart = sums - sums.mean()
        kept = 1 - min(1, (len(alive) - 3) * errors.mean() / np.square(apart).sum())
        assert kept > 0.9 if still else kept < 0.9
        np.testing.assert_allclose(fit.weights.sum(1)[alive], sums.mean() + kept * apart, rtol=1e-4)
    few = z[:, 1:4]  # three units: nothing to learn from each other
    alone = [fit_own_past(jnp.asarray(few[:, [unit]])).weights[0] for unit in range(3)]
    np.testing.assert_allclose(fit_own_past(jnp.asarray(few)).weights, np.stack(alone), rtol=1e-10)


def test_a_unit_without_an_estimate_says_nothing_of_the_others():
    estimates = np.array([0.9, 0.92, 0.88, 0.95, 0.9])
    apart = estimates - estimates.mean()
    expected = estimates.mean() + (1 - 2 * 1e-4 / np.square(apart).sum()) * apart
    for extra in (np.nan, np.inf):
        found = shrunk(jnp.asarray([*estimates, extra]), jnp.full(6, 1e-4), jnp.ones(6, bool))
        np.testing.assert_allclose(found[:5], expected, rtol=1e-6)
        assert not np.isfinite(found[5])


def run_away(seed: int, steps: int = T, short: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Units at a unit root, beyond it, swinging, and breaking out at the end; episodes of ``short`` steps."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(steps, 6))
    for t in range(2, steps):
        z[t, 1] += z[t - 1, 1]
        z[t, 2] = 1.03 * z[t - 1, 2] + 0.1 * z[t, 2]
        z[t, 3] += 1.9 * z[t - 1, 3] - 0.999 * z[t - 2, 3]
        z[t, 4] += 2 * z[t - 1, 4] - z[t - 2, 4]
    z[:, 2] = np.clip(z[:, 2], -1e6, 1e6)
    z[-5:, 5] = 4.0 ** np.arange(5)
    return z / z.std(0), np.arange(steps) % (short or steps) == 0


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("short", [0, 16])
def test_surrogates_of_units_that_run_away_stay_bounded(order, short):
    runs = [run_away(seed, short=short) for seed in range(8)]
    z, first = (jnp.asarray(np.stack(part)) for part in zip(*runs, strict=True))
    z = z.astype(jnp.float32)
    fit = jax.vmap(lambda z, first: fit_own_past(z, first, order=order))(z, first)
    drawn = jax.vmap(lambda z, first, fit: own_past(KEY, z, first, order=order, fit=fit))(z, first, fit)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn).max() < 1000  # of recordings with variance one
    polynomials = np.asarray(fit.weights, np.float64).reshape(-1, order)
    radii = [np.abs(np.roots([1, *-weights])).max() for weights in polynomials]
    assert max(radii) <= 1 - 0.4 / T


def test_stationary_scales_all_roots_of_what_is_outside_and_keeps_the_bits_of_the_rest():
    roots = np.array([[0.99, -0.5], [1.5, 0.6], [-1.2, 1.0], [0.3, 0.2]])
    weights = np.stack([-np.poly(pair)[1:] for pair in roots]).astype(np.float32)
    found = np.asarray(stationary(jnp.asarray(weights), 0.995))
    np.testing.assert_array_equal(found[[0, 3]], weights[[0, 3]])
    for row, pair in zip(found[1:3], roots[1:3], strict=True):
        expected = np.sort(pair * 0.995 / np.abs(pair).max())
        np.testing.assert_allclose(np.sort(np.roots([1, *-row.astype(np.float64)])), expected, atol=1e-5)
    swinging = np.array([[2 * 1.1 * np.cos(0.4), -(1.1**2)]], np.float32)
    assert abs(np.abs(np.roots([1, *-np.asarray(stationary(swinging, 0.9))[0]])).max() - 0.9) < 1e-5


def test_episodes_are_cut_to_one_length_and_dealt_whole():
    first = np.isin(np.arange(40), [0, 12, 24, 27])
    valid = np.asarray(equal_episodes(jnp.asarray(first)))
    np.testing.assert_array_equal(np.flatnonzero(valid), [*range(12), *range(12, 24), *range(27, 39)])
    z = np.arange(40.0)[:, None] + 100 * np.arange(3)
    drawn = np.asarray(episode_shuffle(KEY, jnp.asarray(z), jnp.asarray(first)))
    for unit in range(3):
        blocks = [drawn[a : a + 12, unit] - 100 * unit for a in (0, 12, 27)]
        assert sorted(block[0] for block in blocks) == [0, 12, 27]
        for block in blocks:
            np.testing.assert_allclose(np.diff(block), 1)
    np.testing.assert_allclose(drawn[~valid], z[~valid])


@pytest.mark.parametrize("seed", range(3))
def test_an_effect_of_any_size_claims_no_more_than_the_draws_support(seed):
    drawn = jnp.asarray(np.random.default_rng(seed).normal(size=60))
    test = compare(jnp.asarray(400.0), drawn)
    np.testing.assert_allclose(test.p, 1 / 61, rtol=1e-6)
    np.testing.assert_allclose(test.p_two, 2 / 61, rtol=1e-6)
    assert p_text(float(test.p), 60) == "p < 1/61"
    low = compare(jnp.asarray(-400.0), drawn)
    np.testing.assert_allclose(low.p, 1.0)
    np.testing.assert_allclose(low.p_two, 2 / 61, rtol=1e-6)


def test_p_is_never_written_as_nothing():
    for draws in (2, 60, 999):
        for count in range(1, draws + 2):
            assert (
                "0.00" not in p_text(count / (draws + 1), draws).split("=")[-1][:5]
                or count / (draws + 1) < 0.01
            )
            assert float(p_text(count / (draws + 1), draws).split("1/")[-1].split("= ")[-1]) > 0


def test_holm_equals_its_definition():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, np.nan, 0.06, 0.06, 0.02])


def test_p_of_a_mean_over_seeds(x64):
    rng = np.random.default_rng(0)
    beyond = rng.normal(size=(5, 200))
    excess = np.array([0.4, 0.9, 0.1, np.nan, 0.6])
    null = (beyond - beyond.mean(1, keepdims=True))[[0, 1, 2, 4]].mean(0)
    above = (1 + (null >= excess[[0, 1, 2, 4]].mean()).sum()) / 201
    np.testing.assert_allclose(pooled_p(excess, beyond), [above, min(1, 2 * above)])


def test_trained_networks_less_untrained_ones():
    rng = np.random.default_rng(0)
    untrained = rng.normal(size=(6, 20))
    found = paired(untrained.mean(1) + 3.0, untrained)
    np.testing.assert_allclose(found.difference, 3.0)
    np.testing.assert_allclose([found.p, found.floor], 2 / 2**6)
    none = paired(untrained.mean(1) + np.array([1, -1, 1, -1, 1, -1.0]), untrained)
    assert none.p > 0.9
    z, others = noisy(6, coupling=0.3, memory=0.5, count=4, steps=128), noisy(7, count=8, steps=128)
    shown = against_untrained(z, others.reshape(4, 2, 128, 2), KEY, routes=("pairs",), draws=4)
    row = shown["pairs"]["phi_r"]["value"]
    alone = measure_emergence(others[3], KEY, draws=0, routes=("pairs",))["pairs"].value["phi_r"]
    np.testing.assert_allclose(row.untrained[1, 1], alone, rtol=1e-3, atol=1e-6)
    assert row.difference.mean() > 0
    with pytest.raises(ValueError, match="expected"):
        against_untrained(z, others, KEY)


def test_values_are_per_step():
    short, long = (
        noisy(8, correlation=0.5, steps=1000, count=4),
        noisy(8, correlation=0.5, steps=4000, count=4),
    )
    excess = []
    for z in (short, long):
        test = measure_recordings(z, KEY, routes=("pairs",), draws=20, null="phases", check="off")["pairs"]
        excess.append((np.mean(test.value["phi_r"]), np.mean(test.excess["phi_r"])))
    np.testing.assert_allclose(excess[0], excess[1], rtol=0.15)


def test_quality_beside_the_values():
    z = np.concatenate([noisy(9, count=2, units=3), np.zeros((2, T, 1), np.float32)], -1)
    z[1] += np.linspace(0, 40, T)[:, None].astype(np.float32)
    found = recording_quality(z)
    np.testing.assert_array_equal(found.active[0], 3)
    assert found.drifting[0] <= 1 < found.drifting[1]
    assert 2 < found.effective_samples[0] < T / 4
    assert found.effective_dimension[0] > 2


def test_leading_components_are_measured_instead_of_units():
    rng = np.random.default_rng(0)
    sources = noisy(10, count=1, units=2)[0]
    z = (sources @ rng.normal(size=(2, 8)) + 0.01 * rng.normal(size=(T, 8))).astype(np.float32)
    found = measure_emergence(z, KEY, components=2, routes=("pairs",), draws=4, check="off")
    assert found.active.shape == (2,)
