"""A training life with a planted story, its nulls, its leakage, and the figures of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.analysis import measure_emergence, pair_mask, phi_id, study_life
from rlkit.analysis.study import baselines_over, latent_baselines, plots
from rlkit.analysis.study.life import FEATURES

S, K, T, N = 6, 6, 96, 4
KEY = jax.random.key(3)


def planted(seed=0):
    """Latents whose halves couple more and more, the faster the better the seed is; and the returns."""
    rng = np.random.default_rng(seed)
    talent = np.linspace(0.3, 1.0, S)
    z = np.zeros((S, K, T, N))
    for s in range(S):
        for k in range(K):
            coupling = 0.5 * talent[s] * (k + 1) / K
            a = 0.4 * np.eye(N)
            a[:2, 2:] = coupling / 2
            for t in range(1, T):
                z[s, k, t] = a @ z[s, k, t - 1] + rng.normal(size=N)
    returns = 100 * talent[:, None] * np.arange(1, K + 1) / K + rng.normal(size=(S, K))
    return z.astype(np.float32), returns


@pytest.fixture(scope="module")
def first():
    return np.broadcast_to(np.arange(T) % 48 == 0, (S, K, T))


OPTIONS = {"routes": ("means",), "draws": 12, "final_draws": 24, "projections": 40, "fraction": 0.3}


@pytest.fixture(scope="module")
def lived(first):
    latents, returns = planted()
    return study_life(latents, returns, KEY, first=first, **OPTIONS)


def test_a_life_is_its_recordings_one_by_one(lived, first):
    latents, _ = planted()
    s, k = 4, 5
    alone = measure_emergence(latents[s, k], KEY, first=first[s, k], routes=("means",), draws=0)
    for name in FEATURES:
        assert lived.tests["means"].value[name].shape == (S, K)
        np.testing.assert_allclose(
            lived.tests["means"].value[name][s, k], alone["means"].value[name], atol=1e-5
        )
    stacked = [lived.tests["means"].excess[name] for name in FEATURES]
    np.testing.assert_array_equal(lived.metrics["beyond null"], np.stack(stacked, -1))
    plain = latent_baselines(jnp.asarray(latents[s, k]), pair_mask=pair_mask(jnp.asarray(first[s, k])))
    np.testing.assert_allclose(lived.metrics["baselines"][s, k], plain, rtol=1e-5)
    assert set(baselines_over(latents[:1, :1])) == set(plain._fields)
    assert (np.asarray(lived.quality.active) == N).all()
    assert lived.seeds.tolist() == list(range(S))


def test_alignment_and_prediction_come_with_nulls_and_intervals(lived):
    for name in ("emergence", "beyond null", "baselines"):
        assert lived.alignment[name].global_alignment.shape == (S,)
        for kind in ("global", "local"):
            table = lived.null_alignment[name][kind]
            surrogates = set() if name == "baselines" else {"shuffled", "autocorrelation"}
            assert set(table) == {"projections"} | surrogates
            assert all(0 < row.p <= 1 for row in table.values())
        found = lived.prediction[name]
        assert found.r2 <= 1
        assert found.r2_interval[0] <= found.r2_interval[1]


def test_early_features_do_not_see_late_recordings(lived, first):
    latents, returns = planted()
    early = 2  # indices 0 and 1 are within 0.3 of 5
    rng = np.random.default_rng(9)
    latents[:, early:] = 5 * rng.normal(size=latents[:, early:].shape)
    other = study_life(latents, returns, KEY, first=first, **OPTIONS)
    for name, metric in lived.metrics.items():
        np.testing.assert_array_equal(other.metrics[name][:, :early], metric[:, :early])
        np.testing.assert_array_equal(other.prediction[name].predicted, lived.prediction[name].predicted)
        assert not np.allclose(other.metrics[name][:, early:], metric[:, early:])


def test_runs_that_cannot_be_measured_are_left_out_and_named(first):
    latents, returns = planted()
    latents[2, 3] = 1.0
    returns[4, 1] = np.nan
    found = study_life(latents, returns, KEY, first=first, **OPTIONS)
    assert found.seeds.tolist() == [0, 1, 3, 5]
    assert found.quality.active[2, 3] == 0
    assert np.isnan(found.tests["means"].value["phi_r"][2, 3])
    assert len(found.alignment["emergence"].global_alignment) == 4


def test_bad_shapes_are_named():
    latents, returns = planted()
    with pytest.raises(ValueError, match="expected"):
        study_life(latents[0], returns, KEY)
    with pytest.raises(ValueError, match="expected"):
        study_life(latents, returns[:, :-1], KEY)
    with pytest.raises(ValueError, match="first has shape"):
        study_life(latents, returns, KEY, first=np.zeros((S, K, T - 1)))


def test_figures_show_what_they_are_given(lived, tmp_path):
    latents, returns = planted()
    z = latents[5, 5]
    found = phi_id(z)
    atoms = jax.tree.map(lambda v: v[0, 2], found.atoms)
    figures = {
        "lattice": plots.atom_lattice(atoms, title="one pair"),
        "training": plots.emergence_over_training(lived.tests["means"], np.arange(K) * 1000),
        "plane": plots.alignment_plane(
            lived.alignment["emergence"].embedding, returns, lived.alignment["emergence"].directions
        ),
        "pairs": plots.pair_matrices({name: found[name] for name in ("phi_r", "sts")}),
        "prediction": plots.prediction_scatter(lived.prediction),
    }
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=60)
        assert (tmp_path / f"{name}.png").stat().st_size > 3000
    words = {text.get_text().split("\n")[0] for text in figures["lattice"].axes[0].texts}
    assert words == set(found.atoms._fields)
    panels = figures["training"].axes
    assert [panel.get_title() for panel in panels] == ["phi_r", "ce3", "ce4"]
    drawn = panels[0].lines[1].get_ydata()
    np.testing.assert_allclose(drawn, lived.tests["means"].value["phi_r"].mean(0), rtol=1e-6)
    seen = figures["pairs"].axes[0].images[0].get_array()
    np.testing.assert_allclose(seen[0, 2], found["phi_r"][0, 2], rtol=1e-6)
    points = figures["prediction"].axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 0], lived.prediction["emergence"].target)
