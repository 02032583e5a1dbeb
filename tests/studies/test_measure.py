"""What is measured of a cell, and what a report makes of it."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import CACHE

from rlkit.analysis.study.life import baselines_over
from rlkit.analysis.study.recordings import measure_recordings
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import store
from rlkit.experiment.training import cache
from rlkit.studies import evidence, report, results, runner
from rlkit.studies.emergence import EmergenceOptions
from rlkit.studies.emergence import study as emergence
from rlkit.studies.matched import Checkpoints, reference_observations, replayed
from rlkit.studies.measure import Recorded, measure, statistics
from rlkit.studies.representation import of_latents

OPTIONS = {"reference": 1, "replay_steps": 48, "draws": 4, "fraction": 0.2}
PARTS = ("pairs/value", "pairs/beyond null", "halves/value", "halves/beyond null", "baselines")
ARRAYS = dict.fromkeys(PARTS, 5) | {"representation": 4}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """A study of one small cell, run and measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.VARIABLE, str(CACHE))
        root = tmp_path_factory.mktemp("study")
        made = emergence(EmergenceOptions("smoke", env=("classic/cartpole",), torso=("mlp",)))
        assert runner.run(made, root) == 0
        yield made, root


def test_a_cell_is_an_ordinary_run_that_was_measured(cell):
    made, root = cell
    folder = runner.folder(root, made.cells[0])
    arrays = evidence.read(folder)
    seeds, checkpoints = arrays["returns"].shape
    assert (seeds, checkpoints) == (4, 6)
    for protocol in ("own", "matched"):
        for name, width in ARRAYS.items():
            assert arrays[f"{protocol}/{name}"].shape == (seeds, checkpoints, width)
    before = (folder / "study.npz").read_bytes()
    measure(folder, OPTIONS)
    assert (folder / "study.npz").read_bytes() == before
    assert not runner.due(made, root).indices


def test_measurements_of_another_cell_or_protocol_are_refused(cell, tmp_path):
    made, root = cell
    folder = tmp_path / "cell"
    shutil.copytree(runner.folder(root, made.cells[0]), folder)
    assert evidence.read(folder, made.measuring) is not None
    with pytest.raises(UsageError, match="was measured otherwise than this study"):
        evidence.read(folder, dataclasses.replace(made.measuring, draws=99))
    config = (folder / store.CONFIG).read_text()
    (folder / store.CONFIG).write_text(config.replace("classic/cartpole", "classic/pendulum"))
    with pytest.raises(UsageError, match="is of a run with another configuration"):
        evidence.read(folder, made.measuring)


def test_a_damaged_run_is_not_measured(cell, tmp_path):
    made, root = cell
    folder = tmp_path / "cell"
    shutil.copytree(runner.folder(root, made.cells[0]), folder)
    first, second = list(store.recordings(folder).values())[:2]
    shutil.copy(first, second)
    with pytest.raises(RlkitError, match=rf"{second.name} .*: a damaged run is not measured"):
        measure(folder, OPTIONS)


@pytest.mark.parametrize("licence", ["{}", "[]", "null", '{"studies": 3, "primary": "x", "truths": []}'])
def test_a_licence_that_is_none_is_left_out_of_the_report(licence, tmp_path):
    (tmp_path / report.LICENCE).write_text(licence)
    assert "cannot be used" in report._licence(tmp_path)


@pytest.mark.parametrize("seconds", ["null", "[1]", "NaN", '"x"'])
def test_seconds_that_are_none_do_not_count(seconds, tmp_path):
    lines = [f'{{"event": "probe", "seconds": {seconds}}}', '{"event": "probe", "seconds": 2.5}']
    (tmp_path / store.TIMINGS).write_text("\n".join(lines) + "\n")
    assert results._seconds(tmp_path) == 2.5


def test_matched_replay_shows_all_the_same(cell):
    made, root = cell
    run = Checkpoints(runner.folder(root, made.cells[0]))
    obs, first = reference_observations(run, [4], 48, jax.random.key(0))
    assert len(obs) == len(first) == 48
    assert first[::16].all()
    shown = replayed(run, 4, obs, first, jax.random.key(1))
    recorded = store.recordings(run.folder)
    last = jax.tree.map(lambda x: x[2], jax.vmap(run.agent.policy)(run.state(max(recorded))))
    act = lambda o: run.agent.act(last, run.agent.carry(), o, None)[2].latent
    np.testing.assert_allclose(shown.latent[2, -1], jax.vmap(act)(jnp.asarray(obs)), rtol=1e-4, atol=1e-6)
    start = jax.tree.map(lambda x: x[0], jax.vmap(run.agent.policy)(run.pop.init(run.key)))
    again = jax.vmap(lambda o: run.agent.act(start, run.agent.carry(), o, None)[2].latent)(jnp.asarray(obs))
    np.testing.assert_allclose(shown.latent[0, 0], again, rtol=1e-4, atol=1e-6)
    assert (shown.entropy > 0).all()
    with pytest.raises(UsageError, match="reference=0"):
        reference_observations(run, [], 48, jax.random.key(0))


def test_a_checkpoint_that_is_missing_is_named(cell, tmp_path):
    made, root = cell
    shutil.copytree(runner.folder(root, made.cells[0]), tmp_path / "run")
    run = Checkpoints(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / store.CHECKPOINTS / str(run.updates[2]))
    with pytest.raises(RlkitError, match=f"no checkpoint of update {run.updates[2]}"):
        run.state(run.updates[2])


def series_once_and_twice():
    """Recordings, and the same ones twice, as two episodes."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 2, 64, 6)).astype(np.float32)
    z[:, :, 1:] += 0.6 * np.roll(z, 1, -1)[:, :, :-1]
    first = np.zeros((2, 2, 64), bool)
    first[..., 0] = True
    return Recorded(z, first), Recorded(np.concatenate([z, z], 2), np.concatenate([first, first], 2))


def test_twice_the_series_is_not_twice_the_number():
    """Every statistic is per step."""
    options = {"routes": ("pairs", "means"), "quantities": ("phi_r", "ce3", "ce4", "decoupling"), "draws": 0}
    found = [
        (
            measure_recordings(r.latent, jax.random.key(0), first=r.first, check="off", **options).tests,
            baselines_over(r.latent, r.first),
            of_latents(r.latent),
        )
        for r in series_once_and_twice()
    ]
    values = [
        {f"{route} {name}": v for route, test in tests.items() for name, v in test.value.items()}
        | plain
        | {"rank": rank, "dead": dead}
        for tests, plain, (rank, dead) in found
    ]
    for name, once in values[0].items():
        np.testing.assert_allclose(values[1][name], once, rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_twice_the_series_is_not_twice_the_number_of_a_study():
    once, twice = (statistics(recorded, jax.random.key(0), 4) for recorded in series_once_and_twice())
    for name in ("pairs/value", "halves/value", "baselines"):
        np.testing.assert_allclose(twice[name], once[name], rtol=2e-3, atol=2e-5, err_msg=name)


def test_the_report_says_what_is_there_and_what_is_missing(cell, tmp_path):
    made, root = cell
    path = report.write(made, root)
    text, data = path.read_text(), store.read_json(root / results.RESULTS)
    assert "## Licence" in text
    assert text.index("## Licence") < text.index("## Conclusions")
    assert data["complete"]
    assert all(
        (root / "figures" / name).exists() for name in ("lives.svg", "alignment.svg", "prediction.svg")
    )
    assert report.write(made, root).read_text() == text
    empty = emergence()
    runner.prepare(empty, tmp_path)
    nothing = report.write(empty, tmp_path).read_text()
    assert "nothing to conclude" in nothing
    assert nothing.count("*missing*") == sum(not cell.skipped for cell in empty.cells)
    assert "has no torso 'gru'" in nothing


def fabricated(seeds=8, checkpoints=21, draws=20, seed=0, leads=0.0):
    """Measured arrays in which early Φ_R of pairs knows the final return as well as ``leads`` says."""
    rng = np.random.default_rng(seed)
    talent = rng.normal(size=(seeds, 1))
    late = np.linspace(0, 1, checkpoints) > 0.4
    arrays = {
        "returns": talent * late + 0.1 * rng.normal(size=(seeds, checkpoints)),
        "steps": np.arange(checkpoints),
    }
    for protocol in ("own", "matched"):
        for name, width in ARRAYS.items():
            arrays[f"{protocol}/{name}"] = rng.normal(size=(seeds, checkpoints, width))
        arrays[f"{protocol}/pairs/beyond null"][..., 0] += leads * talent
        for name in ("halves/drawn", "halves/shuffled", "projections"):
            arrays[f"{protocol}/{name}"] = rng.normal(size=(draws, seeds, checkpoints, 5))
    return arrays | {"not_normal": np.zeros(seeds)}


@pytest.mark.slow
def test_what_leads_is_found_and_noise_is_not():
    from rlkit.studies.emergence import HYPOTHESES
    from rlkit.studies.hypotheses import verdicts

    both = {}
    for leads in (0.0, 4.0):
        cells = {
            f"cell {i}": {
                p: evidence.evidence(fabricated(seed=i, leads=leads), p) for p in ("own", "matched")
            }
            for i in range(3)
        }
        both[leads] = {v.hypothesis.name: v for v in verdicts(HYPOTHESES, cells)}
    assert both[4.0]["early-gain"].holds
    assert both[4.0]["early-gain-own"].holds
    assert not any(verdict.holds for verdict in both[0.0].values())
    assert not both[4.0]["early-gain-halves"].holds
    assert both[4.0]["early-gain"].p_adjusted >= both[4.0]["early-gain"].p
    json.dumps(results._plain([v._asdict() for v in both[0.0].values()]), default=str)


@pytest.mark.slow
def test_seeds_without_numbers_are_left_out():
    arrays = fabricated()
    arrays["own/halves/value"][3, 5, 0] = np.nan
    found = evidence.evidence(arrays, "own")
    assert found.left_out == 1
    assert np.isnan(found.alignment["emergence halves"].global_alignment).tolist() == [
        i == 3 for i in range(8)
    ]
    assert np.isfinite(found.alignment["baselines"].global_alignment).all()
    assert len(found.prediction["emergence halves"].target) == 8  # what is missing is not early
    arrays["own/halves/drawn"][2, 1, 0] = np.nan  # one surrogate more or less
    assert "emergence halves" in evidence.evidence(arrays, "own").null_draws
    arrays["returns"][:5] = np.nan
    assert evidence.evidence(arrays, "own").alignment == {}


def test_surrogate_lives_mix_the_draws_of_every_checkpoint():
    draws = np.arange(5.0)[:, None, None, None] + np.zeros((5, 3, 4, 2))
    lives = np.stack(list(evidence.recombined(draws, 50)))
    assert lives.shape == (50, 3, 4, 2)
    assert len({life.tobytes() for life in lives}) == 50
    assert set(np.unique(lives)) == set(range(5))
