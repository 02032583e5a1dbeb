"""Units and pairs that have no decomposition: one answer, NaN and a sentence, on every path."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from rlkit import analysis
from rlkit.analysis.moments.lagged import alive
from rlkit.analysis.moments.validate import AnalysisWarning
from rlkit.errors import UsageError


def noise(steps=300, units=3, seed=0):
    return np.random.default_rng(seed).standard_normal((steps, units))


def delayed():
    z = noise()
    z[1:, 1] = z[:-1, 0]
    return z, "unit 1 repeats unit 0 one lag later"


def delayed_affine():
    z = noise()
    z[1:, 0] = 5 - 1e4 * z[:-1, 1]
    return z, "unit 0 repeats unit 1 one lag later"


def constant():
    z = noise()
    z[:, 0] = 0.1
    return z, "unit 0 is constant"


def constant_until_the_end():
    z = noise()
    z[:-1, 0] = 3.0
    return z, "unit 0 is constant"


def constant_from_the_second():
    z = noise()
    z[1:, 0] = -7.3
    return z, "unit 0 is constant"


def copies():
    z = noise()
    z[:, 1] = 2 - 3 * z[:, 0]
    return z, "unit 0 and unit 1 are copies"


def alternating():
    z = noise()
    z[:, 1] = np.arange(300) % 2
    return z, "a unit is a function of its own past"


def rotation():
    z = noise()
    z[:, 0], z[:, 1] = np.cos(0.3 * np.arange(300)), np.sin(0.3 * np.arange(300))
    return z, "one is a linear function of the others"


GAUSSIAN = [
    delayed, delayed_affine, constant, constant_until_the_end, constant_from_the_second, copies, alternating,
    rotation,
]  # fmt: skip


@functools.partial(jax.jit, static_argnums=1)
def traced(z, redundancy):
    return analysis.phi_id(z, redundancy=redundancy).atoms


def routes(z):
    """{name: 16 atoms and all sums of the pair (0, 1)}: every way to them."""
    pair = lambda atoms: [
        np.asarray(atoms[name])[..., 0, 1] for name in (*analysis.ATOM_NAMES, *analysis.atoms.DERIVED)
    ]
    one = lambda atoms: [np.nanmean(atoms[name]) for name in (*analysis.ATOM_NAMES, *analysis.atoms.DERIVED)]
    moments = analysis.lagged_moments(jnp.asarray(z))
    found = {}
    for redundancy in analysis.atoms.REDUNDANCIES:
        found[f"phi_id {redundancy}"] = pair(analysis.phi_id(z, redundancy=redundancy))
        found[f"phi_id one {redundancy}"] = one(analysis.phi_id(z, pairs=(0, 1), redundancy=redundancy))
        found[f"local {redundancy}"] = one(analysis.local_atoms(z, 0, 1, redundancy=redundancy))
        found[f"traced {redundancy}"] = pair(traced(jnp.asarray(z), redundancy))
    found["all pairs"] = pair(analysis.all_pairs_atoms(moments))
    found["pair"] = one(analysis.atoms.pair_atoms(moments))
    found["all pairs local"] = pair(analysis.atoms.all_pairs_local_atoms(z))
    found["sets"] = one(analysis.phi_id(z, pairs=([0], [1, 2])))
    found["local sets"] = one(analysis.local_atoms(z, [0, 2], [1], redundancy="ccs"))
    return found


@pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore::rlkit.analysis.moments.validate.AnalysisWarning"
)
@pytest.mark.parametrize("case", GAUSSIAN)
def test_every_path_says_nan(case):
    z, _ = case()
    for name, values in routes(z.astype(np.float32)).items():
        assert np.isnan(values).all(), name
    # A pair that has nothing to do with it keeps its value.
    pair = (0, 2) if case is alternating else (1, 2)
    if case is not rotation:
        assert np.isfinite(analysis.phi_id(z, pairs=pair)["phi_r"])


@pytest.mark.parametrize("case", GAUSSIAN)
@pytest.mark.parametrize("double", [False, True])
def test_the_warning_names_the_pair_and_the_cause(case, double):
    z, cause = case()
    with jax.enable_x64(double):
        for call in (
            lambda **o: analysis.phi_id(z, **o),
            lambda **o: analysis.phi_id(z, pairs=(0, 1), **o),
            lambda **o: analysis.local_atoms(z, 0, 1, **o),
            lambda **o: analysis.atoms.all_pairs_local_atoms(z, **o),
        ):
            with pytest.warns(AnalysisWarning, match=cause):
                call()
            with pytest.raises(UsageError, match=cause):
                call(check="error")
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                call(check="off")


def test_sets_with_too_few_pairs_or_too_low_a_rank(x64):
    z = noise(20, 16)
    halves = np.arange(16) < 8
    with pytest.warns(AnalysisWarning, match="19 lagged pairs are too few .* 32 dimensions"):
        result = analysis.phi_id(z, pairs=(halves, ~halves))
    assert np.isnan([result["te_xy"], result["phi_r"], result["tdmi"]]).all()
    z = noise(400, 3)
    z[:, 2] = z[:, 0] + z[:, 1]
    with pytest.warns(AnalysisWarning, match="unit 2 is a linear function of the units before it"):
        result = analysis.phi_id(z, pairs=([0, 1], [2]))
    assert np.isnan([result[name] for name in (*analysis.ATOM_NAMES, *analysis.atoms.DERIVED)]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(analysis.phi_id(z)["phi_r"]).all()  # no two of them are singular
    low = noise(500, 5) @ noise(5, 24, 1)
    halves = np.arange(24) < 12
    with pytest.warns(AnalysisWarning, match="unit 5 is a linear function"):
        assert np.isnan(analysis.phi_id(low, pairs=(halves, ~halves), check="warn")["te_xy"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(analysis.phi_id(low, pairs=(halves, ~halves), shrinkage=0.1)["te_xy"])
    assert np.isnan(jax.jit(lambda z: analysis.phi_id(z, pairs=(halves, ~halves)))(jnp.asarray(low))["te_xy"])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_discrete_constants_are_undefined_and_delayed_copies_are_an_entropy(x64):
    z, cause = constant()
    for call in (
        lambda: analysis.phi_id(z, pairs=(0, 1), estimator="discrete")["tdmi"],
        lambda: analysis.atoms.discrete_pair_atoms(z, 0, 1)["tdmi"],
        lambda: analysis.atoms.all_pairs_discrete_atoms(z)["tdmi"][0, 1],
    ):
        with pytest.warns(AnalysisWarning, match=cause):
            assert np.isnan(call())
    assert np.isnan(
        jax.jit(lambda z: analysis.atoms.all_pairs_discrete_atoms(z)["tdmi"])(jnp.asarray(z))[0, 1]
    )
    z, _ = delayed()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied = analysis.phi_id(z, pairs=(0, 1), estimator="discrete", unit="bits")
    np.testing.assert_allclose(copied["xty"], 1, atol=0.05)
    symbols = np.stack([np.zeros(100, int), np.arange(100) % 3], 1)
    with pytest.warns(AnalysisWarning, match="micro unit 0 is constant"):
        found = analysis.macro_emergence_discrete(symbols, symbols[:, 1], 3, 3)
    assert np.isnan([found.psi, found.delta, found.gamma]).all()


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_a_change_of_scale_changes_nothing(factor, double):
    z = oracles.var_series(0.4 * np.eye(4) + 0.1, 400, 4)
    z[:, 3] = z[:, 3] * 1e-5 + 1  # varies by little beside its mean
    v = z[:, :2].mean(1)
    with jax.enable_x64(double):
        once = analysis.phi_id(z)["phi_r"], analysis.macro_emergence(z[:, :3], v).psi
        scaled = (
            analysis.phi_id(z * factor)["phi_r"],
            analysis.macro_emergence(z[:, :3] * factor, v * factor).psi,
        )
        for one, other in zip(once, scaled, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-9 if double else 2e-4)
        moments = analysis.lagged_moments(jnp.asarray(z[:, :3]) * factor)
        exact = analysis.parts.partition_information(analysis.moments.covariance(moments), [0])
        base = analysis.parts.partition_information(
            analysis.moments.covariance(analysis.lagged_moments(jnp.asarray(z[:, :3]))), [0]
        )
        np.testing.assert_allclose(exact, base, atol=1e-10 if double else 1e-5)


def test_affine_maps_change_no_ccs_atom_of_whole_numbers(x64):
    rng = np.random.default_rng(7)
    for seed, high in ((0, 2), (1, 3), (2, 5)):
        z = np.random.default_rng(seed).integers(0, high, (600, 2)).astype(float)
        z[1:, 1] = (z[:-1, 0] + z[1:, 1]) // 2
        scale, shift = rng.uniform(0.1, 9, 2) * [1, -1], rng.uniform(-5, 5, 2)
        for options in ({}, {"estimator": "discrete"}):
            for redundancy in ("ccs", "mmi"):
                options = options | {"pairs": (0, 1), "redundancy": redundancy}
                if options.get("estimator") == "discrete":
                    scale = np.abs(scale)
                one, other = analysis.phi_id(z, **options), analysis.phi_id(z * scale + shift, **options)
                for name in analysis.ATOM_NAMES:
                    np.testing.assert_allclose(one[name], other[name], atol=1e-9)


@pytest.mark.parametrize("redundancy", ["mmi", "ccs", "pointwise"])
def test_doubling_a_recording_moves_nothing(x64, redundancy):
    z = oracles.var_series(0.4 * np.eye(3) + 0.1, 300, 5)
    twice, first = np.tile(z, (2, 1)), np.arange(600) % 300 == 0
    for options in ({}, {"estimator": "discrete"}):
        # ddof of local values under CCS and the bias corrections know the number of samples.
        atol = 2e-3 if redundancy == "ccs" and not options else 1e-10
        once = analysis.phi_id(z, redundancy=redundancy, **options)
        both = analysis.phi_id(twice, redundancy=redundancy, first=first, **options)
        for name in analysis.ATOM_NAMES:
            np.testing.assert_allclose(both[name], once[name], atol=atol)
        assert int(both.count) == 2 * int(once.count)
    once, both = (
        analysis.macro_emergence(z, z[:, 0]),
        analysis.macro_emergence(twice, twice[:, 0], first=first),
    )
    np.testing.assert_allclose(both.delta, once.delta, atol=1e-10)


def test_ties_are_named_and_components_stand_for_units(x64):
    z = oracles.var_series(0.4 * np.eye(3) + 0.1, 400, 5)
    rectified = np.maximum(z, 0)
    with pytest.warns(AnalysisWarning, match=r"ties keep unit 0 \(\d+%\), unit 1"):
        analysis.phi_id(rectified, gaussianise=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analysis.phi_id(z, gaussianise=True)
    parts = analysis.phi_id(z, components=2)
    direct = analysis.phi_id(np.asarray(analysis.moments.leading_components(z, 2)))
    np.testing.assert_allclose(parts["phi_r"], direct["phi_r"], atol=1e-12)


def test_effective_information_of_an_intervention_is_the_information_it_carries(x64):
    tpm = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.0, 0.0, 1.0]])
    weight = np.array([0.5, 0.25, 0.25])
    joint = weight[:, None] * tpm
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    kept = joint > 0
    wanted = np.sum(joint[kept] * np.log(joint[kept] / independent[kept]))
    np.testing.assert_allclose(analysis.effective_information(tpm, weight), wanted, atol=1e-12)
    np.testing.assert_allclose(
        analysis.effective_information(tpm, np.full(3, 1 / 3)),
        analysis.effective_information(tpm),
        atol=1e-12,
    )
    with pytest.raises(UsageError, match=r"intervention sums to 2"):
        analysis.effective_information(tpm, [1.0, 0.5, 0.5])
    with pytest.raises(UsageError, match=r"one probability a state"):
        analysis.effective_information(tpm, [1.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 2}, "did you mean 'lag'"),
        ({"kind": "discrete"}, "did you mean 'estimator'"),
        ({"redundency": "mmi"}, "did you mean 'redundancy'"),
        ({"redundancy": "MMI"}, "did you mean 'mmi'"),
        ({"estimator": "Gaussian"}, "did you mean 'gaussian'"),
        ({"lag": 0}, "the future must come after the past"),
        ({"lag": 1.0}, "whole number"),
        ({"mask": np.ones(3, bool)}, "one entry a pair"),
        ({"first": np.ones(3, bool)}, "one entry a step"),
    ],
)
def test_options_are_refused_in_a_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        analysis.phi_id(noise(), **options)


@pytest.mark.parametrize("steps", [100, 1000, 20_000])
def test_rounding_of_long_sums_is_no_variation(steps):
    """Sums about the mean of all samples round at every step where the past is constant beside it."""
    z = noise(steps, 24).astype(np.float32)
    z[:-1, :12] = np.random.default_rng(1).normal(scale=10, size=12)
    z[1:, 12:] = np.random.default_rng(2).normal(scale=10, size=12)
    past, future = np.split(np.asarray(alive(analysis.lagged_moments(z))), 2)
    np.testing.assert_array_equal(past, np.arange(24) >= 12)
    np.testing.assert_array_equal(future, np.arange(24) < 12)
    # Not even single precision takes slow or small changes far from the centre for rounding.
    far = 50 + noise(steps, 24).astype(np.float32)
    assert np.asarray(alive(analysis.lagged_moments(far, origin=np.zeros(24)))).all()
