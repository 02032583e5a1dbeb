"""Headline quantities against compositions of the parts, and their calibration on independent units."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit.analysis import (
    AnalysisWarning,
    half_means,
    lagged_moments,
    local_atoms,
    macro_emergence,
    measure_emergence,
    measure_recordings,
    pair_mask,
    phi_id,
)
from rlkit.analysis.atoms import Information, decompose, mmi_redundancy
from rlkit.analysis.moments.lagged import correlation
from rlkit.analysis.parts import information_graph
from rlkit.analysis.parts.partitions import fiedler_bipartition
from rlkit.analysis.study import (
    circular_shift,
    independent_information,
    joint_shuffle,
    own_past,
    phase_randomised,
    random_projection,
)
from rlkit.analysis.study.shared import Shared
from rlkit.errors import UsageError

KEY = jax.random.key(0)
T, N = 240, 6


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(0)
    transition = 0.7 * np.eye(N) + 0.08 * rng.normal(size=(N, N))
    transition[:3, :3] += 0.1
    return oracles.var_series(transition, T, 1, np.diag(rng.uniform(0.5, 2.0, N))).astype(np.float32)


def standardised(z):
    return (z - z[:-1].mean(0)) / z[:-1].std(0)


def bipartition(z):
    matrix = correlation(lagged_moments(jnp.asarray(z)))
    return np.asarray(fiedler_bipartition(information_graph(matrix[:N, N:])))


@pytest.fixture(scope="module")
def measured(latents):
    return measure_emergence(latents, KEY, routes=("means", "vectors", "pairs", "macro"), draws=0)


def test_values_are_those_of_the_parts(latents, measured):
    found = measured
    side = bipartition(latents)
    np.testing.assert_array_equal(found.side, side)
    assert found.active.all()
    assert int(found.count) == T - 1
    halves = half_means(standardised(latents), jnp.asarray(side))
    pair = phi_id(halves, pairs=(0, 1))
    sets = phi_id(latents, pairs=(np.flatnonzero(side), np.flatnonzero(~side)))
    everyone = phi_id(latents)
    macro = macro_emergence(jnp.asarray(latents), halves)
    for name in ("phi_r", "ce3", "ce4", "downward"):
        np.testing.assert_allclose(found["means"].value[name], pair[name], atol=2e-5)
        np.testing.assert_allclose(found["vectors"].value[name], sets[name], atol=2e-5)
        mean = np.asarray(everyone[name]).sum() / (N * (N - 1))
        np.testing.assert_allclose(found["pairs"].value[name], mean, atol=2e-5)
    for name in ("psi", "psi_corrected", "delta", "gamma"):
        # The lifted covariance takes past and future units as equally scaled.
        np.testing.assert_allclose(found["macro"].value[name], getattr(macro, name), atol=3e-3)
    assert np.isnan(found["pairs"].p["phi_r"])


@pytest.mark.parametrize(("redundancy", "ddof"), [("pointwise", 0), ("ccs", 1)])
def test_local_redundancies_average_the_local_atoms(latents, redundancy, ddof):
    first = np.arange(T) % 60 == 0
    mask = pair_mask(jnp.asarray(first))
    options = {"routes": ("means",), "redundancy": redundancy, "draws": 0}
    found = measure_emergence(latents, KEY, first=first, **options)
    moments = lagged_moments(jnp.asarray(latents), 1, mask)
    past = np.asarray(latents)[:-1][np.asarray(mask)]
    halves = half_means((latents - past.mean(0)) / past.std(0), found.side)
    assert int(found.count) == int(moments.count)
    local = local_atoms(halves, redundancy=redundancy, mask=mask, standardise=redundancy == "ccs", ddof=ddof)
    for name in ("phi_r", "ce3", "upward"):
        np.testing.assert_allclose(found["means"].value[name], np.nanmean(local[name]), atol=2e-5)


def test_the_published_pipeline_equals_an_independent_one(x64):
    """Standardise, Fiedler halves, their means, local pointwise atoms with the released ridge."""
    rng = np.random.default_rng(3)
    z = oracles.var_series(0.8 * np.eye(N) + 0.05 * rng.normal(size=(N, N)), 400, 5)
    z = (z - z.mean(0)) / z.std(0)
    # The oracle: graph, Laplacian and halves by NumPy alone.
    rho = np.corrcoef(z[:-1].T, z[1:].T)[:N, N:]
    weights = -0.5 * np.log1p(-(np.clip((rho + rho.T) / 2, -0.999999, 0.999999) ** 2)) + 1e-6
    np.fill_diagonal(weights, 0)
    vector = np.linalg.eigh(np.diag(weights.sum(1)) - weights)[1][:, 1]
    up = vector * np.sign(vector[np.abs(vector).argmax()]) > 0
    x, y = z[:, up].mean(1), z[:, ~up].mean(1)
    expected = oracles.phi_id(x, y, redundancy="pointwise", ddof=0, ridge=1e-6)

    matrix = correlation(lagged_moments(jnp.asarray(z)))
    side = fiedler_bipartition(information_graph(matrix[:N, N:]))
    np.testing.assert_array_equal(side, up)
    atoms = local_atoms(half_means(z, side), redundancy="pointwise", standardise=False, ridge=1e-6)
    for name in oracles.NAMES:
        np.testing.assert_allclose(atoms[name], expected[name], atol=1e-10)


def test_null_of_a_route_is_the_excess_over_independent_units(latents):
    found = measure_emergence(latents[:, :2], KEY, routes=("pairs",), draws=12, null="phases")["pairs"]
    key = jax.random.fold_in(KEY, 0)

    def both(z):
        atoms = phi_id(z, pairs=(0, 1), check="off")
        own = [0.5 * np.log(1 / (1 - np.corrcoef(z[:-1, u], z[1:, u])[0, 1] ** 2)) for u in range(2)]
        return np.array([atoms["ce4"], atoms["phi_r"]]), np.array([min(own), 0.0])

    z = jnp.asarray(standardised(latents[:, :2]))
    value, alone = both(z)
    drawn = [both(phase_randomised(jax.random.fold_in(key, b), z)) for b in range(12)]
    beyond = np.array([v - a for v, a in drawn])
    for i, name in enumerate(("ce4", "phi_r")):
        np.testing.assert_allclose(found.value[name], value[i], atol=1e-5)
        np.testing.assert_allclose(found.mean[name], np.mean([v[i] for v, _ in drawn]), atol=2e-5)
        np.testing.assert_allclose(found.sd[name], np.std([v[i] for v, _ in drawn], ddof=1), rtol=2e-2)
        np.testing.assert_allclose(found.excess[name], (value - alone - beyond.mean(0))[i], atol=3e-5)
        p = (1 + (beyond[:, i] >= (value - alone)[i]).sum()) / 13
        np.testing.assert_allclose(found.p[name], p, rtol=1e-5)
        least = min(p, (1 + (beyond[:, i] <= (value - alone)[i]).sum()) / 13)
        np.testing.assert_allclose(found.p_two[name], min(1, 2 * least), rtol=1e-5)


def test_white_noise_has_the_known_small_sample_means():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(1500, 1001, 2)), jnp.float32)
    atoms = jax.jit(lambda z: jax.lax.map(lambda one: phi_id(one, pairs=(0, 1)).atoms, z))(z)
    means = {name: 1000 * float(atoms[name].mean()) for name in ("rtr", "sts", "ce3", "ce4", "phi_r")}
    wanted = {"rtr": 0.06, "sts": 0.35, "ce3": 0.34, "ce4": 0.54, "phi_r": 1.05}
    for name, value in wanted.items():
        # Five standard errors of 1500 runs, and what the reference's own 400 leave open.
        error = 1000 * float(atoms[name].std()) / np.sqrt(1500) * 5 + 0.03
        assert abs(means[name] - value) < error, (name, means[name])


def test_independent_units_have_the_known_atoms():
    coupled = Information(*map(jnp.float32, (0.5, 0.1, 0.2, 0.3, 0.7, 0.6, 0.8, 0.4, 1.5)))
    alone = independent_information(coupled)
    atoms = decompose(mmi_redundancy(alone), alone)
    expected = {"rts": 0.3, "str": 0.3, "sts": 0.6, "xtx": 0.5, "yty": 0.3}
    expected |= dict.fromkeys(("xts", "yts", "stx", "sty"), -0.3)
    for name, value in atoms._asdict().items():
        np.testing.assert_allclose(value, expected.get(name, 0.0), atol=1e-6)


def ar(seeds, steps, memory, seed=0, episode=None):
    """Independent stationary AR(1) pairs ``[seeds, steps, 2]``, which forget all at every episode start."""
    rng = np.random.default_rng(seed)
    z = np.zeros((seeds, steps, 2))
    for t in range(steps):
        noise = rng.normal(size=(seeds, 2))
        fresh = t == 0 or (episode and t % episode == 0)
        z[:, t] = noise if fresh else memory * z[:, t - 1] + np.sqrt(1 - memory**2) * noise
    return jnp.asarray(z, jnp.float32)


@pytest.mark.parametrize(
    ("memory", "episode", "null"),
    [
        (0.95, None, "phases"),
        pytest.param(0.9, 32, "own-past", marks=pytest.mark.slow),
        (0.99, None, "own-past"),
        pytest.param(0.95, None, "shift", marks=pytest.mark.slow),
    ],
)
def test_independent_slow_units_are_rarely_called_coupled(memory, episode, null):
    z = ar(60, 384, memory, seed=4, episode=episode)
    first = None if episode is None else jnp.broadcast_to(jnp.arange(384) % episode == 0, (60, 384))
    options = {"routes": ("pairs",), "draws": 60, "check": "off", "null": null}
    found = measure_recordings(z, jax.random.key(7), first=first, **options)["pairs"]
    for name in found.p if null != "own-past" else ("phi_r",):
        # Of 60, 3 are expected; more than 9 happen once in 500 times.
        assert (found.p[name] <= 0.05).sum() <= 9, name
    # What this is about is there: slow units have synergy without interacting.
    assert (np.asarray(found.value["decoupling"]) > 0.5).all()


def test_coupled_maps_are_found_and_parity_is_not():
    def maps(seed):
        x, rows = np.random.default_rng(seed).uniform(0.1, 0.9, 2), []
        for _ in range(1500):
            image = 3.99 * x * (1 - x)
            x = 0.9 * image + 0.1 * image[::-1]
            rows.append(x)
        return rows[100:]

    def parity(seed):
        rng = np.random.default_rng(seed)
        x, rows = rng.integers(0, 2, 2), []
        for _ in range(1400):
            x = np.array([x[0] ^ x[1], rng.integers(0, 2)])
            rows.append(x)
        return rows

    z = jnp.asarray(np.array([maps(0), maps(1), *(parity(seed) for seed in range(8))]), jnp.float32)
    found = measure_recordings(z, KEY, routes=("pairs",), draws=60)["pairs"]
    assert (np.asarray(found.p["phi_r"][:2]) < 1 / 60).all()
    # Of 8, 0.4 are expected; more than 2 happen once in 170 times.
    assert (np.asarray(found.p_two["phi_r"][2:]) <= 0.05).sum() <= 2
    assert (np.abs(np.asarray(found.excess["phi_r"][2:])) < 0.01).all()
    seen = phi_id(z[2], pairs=(0, 1), estimator="discrete", redundancy="ccs")
    assert float(seen["stx"]) > 0.6  # nats; one bit is 0.69


def test_dead_units_and_copies_are_left_out_by_name(latents, measured):
    z = np.concatenate([latents[:, :3], np.full((T, 1), 2.0), latents[:, 3:], -3 * latents[:, :1]], 1)
    with pytest.warns(AnalysisWarning, match=r"unit 3 is constant; unit 0 and unit 7 are copies.*left out"):
        found = measure_emergence(z.astype(np.float32), KEY, draws=0, routes=("means", "vectors", "pairs"))
    np.testing.assert_array_equal(found.active, [True] * 3 + [False] + [True] * 3 + [False])
    for route in found.tests:
        for name, value in measured[route].value.items():
            np.testing.assert_allclose(found[route].value[name], value, atol=3e-5)
    with pytest.raises(ValueError, match="unit 3 is constant"):
        measure_emergence(z, KEY, check="error")


def test_padding_may_hold_anything(latents):
    z = np.concatenate([latents[:100], np.full((40, N), np.nan), latents[100:]]).astype(np.float32)
    valid = np.isfinite(z[:, 0])
    first = np.isin(np.arange(T + 40), [0, 140])
    options = {"routes": ("means",), "draws": 8}
    found = measure_emergence(z, KEY, first=first, valid=valid, **options)
    plain = measure_emergence(latents, KEY, first=np.isin(np.arange(T), [0, 100]), **options)
    assert int(found.count) == int(plain.count) == T - 2
    for route in found.tests:
        for name, value in plain[route].value.items():
            np.testing.assert_allclose(found[route].value[name], value, atol=1e-5)
            assert np.isfinite(found[route].p[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z: (z[:, :1], {}), "at least two"),
        (lambda z: (z[:5], {}), "too few"),
        (lambda z: (np.where(np.arange(T)[:, None] == 7, np.nan, z), {}), "not finite"),
        (lambda z: (z, {"first": np.ones(T, bool)}), "drops every lagged pair"),
        (lambda z: (z, {"lag": T}), "lag"),
        (lambda z: (z, {"routes": ("mean",)}), "did you mean 'means'"),
        (lambda z: (z, {"routes": "means"}), "sequence of names"),
        (lambda z: (z, {"null": "phase"}), "did you mean 'phases'"),
        (lambda z: (z, {"null": "common-phases"}), "keeps every linear coupling"),
        (lambda z: (z, {"null": "episodes"}), "give first"),
        (lambda z: (z, {"null": "episodes", "first": np.arange(T) == 0}), "fewer than two"),
        (lambda z: (z, {"quantities": ("phir",)}), "did you mean 'phi_r'"),
        (lambda z: (z, {"redundancy": "ccs"}), "routes"),
        (lambda z: (z, {"draws": 1}), "draws=1"),
        (lambda z: (z, {"unit": "bit"}), "bits"),
    ],
)
def test_bad_input_is_named(latents, change, words):
    z, options = change(latents)
    with pytest.raises((ValueError, KeyError), match=words):
        measure_emergence(z, KEY, **options)


def test_what_cannot_be_measured_is_nan_under_tracing(latents):
    measure = functools.partial(measure_emergence, routes=("means", "vectors"), draws=3)
    short = np.asarray(latents)[:11]  # fewer pairs than dimensions of past and future
    dead = np.concatenate([short[:, :1], np.zeros((11, N - 1))], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnalysisWarning)
        compiled = jax.jit(measure)
        found, brief = (compiled(jnp.asarray(z, jnp.float32), KEY) for z in (dead, short))
    for test in found.tests.values():
        assert all(np.isnan(v) for v in jax.tree.leaves(test))
    assert np.isnan(brief["vectors"].value["phi_r"])
    assert np.isfinite(brief["means"].value["phi_r"])


def test_recordings_are_measured_one_by_one(latents):
    z = jnp.asarray(latents).reshape(2, 2, T // 4, N)
    first = jnp.zeros((2, 2, T // 4), bool).at[:, :, ::30].set(True)
    found = measure_recordings(z, KEY, first=first, routes=("means",), draws=4, unit="bits")
    assert found.side.shape == (2, 2, N)
    keys = jax.random.split(KEY, (2, 2))
    alone = measure_emergence(z[1, 0], keys[1, 0], first=first[1, 0], routes=("means",), draws=4)
    for field in ("value", "mean", "sd", "excess"):
        for name, value in getattr(alone["means"], field).items():
            got = getattr(found["means"], field)[name][1, 0]
            np.testing.assert_allclose(got * np.log(2), value, atol=1e-5)
    np.testing.assert_allclose(found["means"].p["ce4"][1, 0], alone["means"].p["ce4"], rtol=1e-5)


def test_a_seed_is_a_key_and_other_keys_are_refused(latents):
    options = {"routes": ("means",), "draws": 8}
    found, same = (measure_emergence(latents, key, **options) for key in (0, KEY))
    raw = measure_emergence(latents, jax.random.PRNGKey(0), **options)
    for other in (same, raw):
        assert float(found["means"].mean["phi_r"]) == float(other["means"].mean["phi_r"])
    z = latents.reshape(2, 2, T // 4, N)
    first = np.zeros((2, 2, T // 4), bool)
    first[:, :, ::30] = True
    many = {"first": first, "routes": ("means",), "draws": 4, "unit": "bits"}
    found, same = (measure_recordings(z, key, **many)["means"].mean["phi_r"] for key in (0, KEY))
    np.testing.assert_array_equal(found, same)
    with pytest.raises(UsageError, match=r"make one with jax\.random\.key"):
        measure_emergence(latents, None, **options)


@pytest.mark.parametrize(
    "draw", [phase_randomised, circular_shift, joint_shuffle, random_projection, own_past]
)
def test_surrogates_take_seeds(latents, draw):
    np.testing.assert_array_equal(draw(3, latents), draw(jax.random.key(3), latents))


def test_ties_are_reported_before_they_are_ranked(latents):
    tied = np.array(latents)
    tied[::3, 2] = 0.0
    options = {"routes": ("means",), "draws": 0, "gaussianise": True}
    with pytest.warns(AnalysisWarning, match=r"unit 2 \(33%\)"):
        measure_emergence(tied, KEY, **options)
    with pytest.raises(UsageError, match="ties keep unit 2"):
        measure_emergence(tied, KEY, check="error", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnalysisWarning)
        measure_emergence(latents, KEY, **options)


@pytest.mark.parametrize("routes", [("means",), ("vectors",), ("means", "pairs")])
def test_a_delayed_copy_has_no_number_on_any_route_and_a_warning(routes):
    x = np.random.default_rng(0).normal(size=T + 1).astype(np.float32)
    with pytest.warns(AnalysisWarning, match="unit 0.*unit 1|unit 1.*unit 0"):
        found = measure_emergence(np.stack([x[1:], x[:-1]], 1), KEY, routes=routes, draws=0)
    for route in routes:
        assert np.isnan(found[route].value["phi_r"]), route


def few_states(steps=200, units=8):
    """Units of which the first two follow a cycle: no number for their pair, and one for all others."""
    rng = np.random.default_rng(5)
    z = oracles.var_series(0.6 * np.eye(units) + 0.03 * rng.normal(size=(units, units)), steps, 4)
    z[:, 0], z[:, 1] = np.cos(0.3 * np.arange(steps)), np.sin(0.3 * np.arange(steps))
    return z.astype(np.float32)


def test_pairs_without_a_number_are_left_out_of_means_over_pairs():
    z = few_states()
    with pytest.warns(AnalysisWarning, match="of means over pairs so are other such pairs"):
        found = measure_emergence(z, KEY, routes=("pairs",), draws=4)
    assert int(found.undefined) == 1
    everyone = phi_id(z, check="off")
    for name in ("phi_r", "ce3"):
        values = np.asarray(everyone[name])[np.triu_indices(8, 1)]
        mirrored = np.asarray(everyone[name]).T[np.triu_indices(8, 1)]
        assert np.isnan(values).sum() == 1
        np.testing.assert_allclose(
            found["pairs"].value[name], (np.nanmean(values) + np.nanmean(mirrored)) / 2, atol=2e-5
        )
        for field in ("excess", "p", "sd"):
            assert np.isfinite(getattr(found["pairs"], field)[name]), field
    # A unit that is a function of its own past has no number with any other one.
    time = np.arange(200)
    some, most = z.copy(), z.copy()
    some[:, 2] = most[:, 2] = (-1.0) ** time
    most[:, 3:6] = np.array([0.99, 0.98, 0.97]) ** time[:, None]
    recordings = np.stack([z, some, most, z[:, 2:][:, [0, 1, 2, 3, 4, 5, 0, 1]]])
    many = measure_recordings(recordings, KEY, draws=4, routes=("pairs",), shared=Shared(("pairs",), 4))
    assert many.undefined.tolist() == [1, 8, 23, 0]
    assert many.active.sum(1).tolist() == [8, 8, 8, 6]
    np.testing.assert_allclose(many["pairs"].value["phi_r"][0], found["pairs"].value["phi_r"], rtol=1e-5)
    for field in ("value", "excess", "p"):
        assert np.isfinite(getattr(many["pairs"], field)["phi_r"]).tolist() == [True, True, False, True], (
            field
        )
