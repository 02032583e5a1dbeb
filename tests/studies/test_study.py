"""A study as data, its cells, and what is refused."""

import dataclasses
import json

import pytest

from rlkit import cli
from rlkit.errors import UnknownNameError, UsageError, missing_extra
from rlkit.experiment.runs import store
from rlkit.experiment.training import config
from rlkit.jobs import file
from rlkit.studies import runner, study
from rlkit.studies.emergence import HYPOTHESES, WORLDS, EmergenceOptions, paper_alignment
from rlkit.studies.emergence import study as emergence


@pytest.mark.parametrize("scale", ["smoke", "cpu", "full"])
def test_a_study_travels_through_json(scale):
    made = emergence(EmergenceOptions(scale))
    assert study.from_dict(json.loads(json.dumps(study.to_dict(made)))) == made
    assert {cell.environment for cell in made.cells} == {world.title for world in WORLDS}
    assert sum(hypothesis.primary for hypothesis in made.hypotheses) == 1


def test_recordings_fall_on_checkpoints():
    from rlkit.experiment.training.loop import schedule

    for scale in ("smoke", "cpu", "full"):
        for cell in emergence(EmergenceOptions(scale)).cells:
            if not cell.skipped:
                settings = config.from_dict(cell.config)
                per = settings.agent.num_envs * settings.agent.num_steps
                assert settings.total_steps % per == 0
                plan = schedule(
                    settings.total_steps // per,
                    probes=settings.probes,
                    checkpoint_every=settings.checkpoint_every,
                )
                assert set(plan.probe_at) - {0} == {
                    *range(plan.checkpoint_every, plan.num_updates + 1, plan.checkpoint_every)
                }
                assert settings.keep > settings.probes


def test_seeds_are_as_many_as_are_asked_for():
    seeds = lambda scale: {c.config["seeds"] - emergence(EmergenceOptions(scale)).measuring.reference
                           for c in emergence(EmergenceOptions(scale)).cells if c.config}  # fmt: skip
    assert min(seeds("cpu")) >= 8
    assert min(seeds("full")) >= 30
    with pytest.raises(UsageError, match="at least 4"):
        emergence(EmergenceOptions(seeds=3))


def test_a_study_that_was_changed_is_refused_with_the_difference(tmp_path):
    made = emergence()
    runner.prepare(made, tmp_path)
    runner.prepare(made, tmp_path)
    longer = emergence(EmergenceOptions(total_steps=1280))
    with pytest.raises(UsageError, match=r"cells\[0\]\.config\.agent\.decay_updates.*--from"):
        runner.prepare(longer, tmp_path)
    picked = dataclasses.replace(made, hypotheses=made.hypotheses[1:])
    with pytest.raises(UsageError, match="hypotheses"):
        runner.prepare(picked, tmp_path)
    path = tmp_path / "study.json"
    assert study.load(path) == made
    path.write_text(path.read_text().replace('"protocol": "matched"', '"protocol": "own"', 1))
    with pytest.raises(UsageError, match=r"study\.json is not what was written"):
        study.load(path)  # as `rlkit study --from` reads it
    store.write_json(path, study.to_dict(made))  # by hand, without a digest
    assert study.load(path) == made


def test_cells_that_cannot_be_are_skipped_by_name(tmp_path, monkeypatch):
    options = EmergenceOptions(env=("classic/pendulum", "classic/cartpole"), algorithm=("sac", "ppo"))
    made = emergence(options)
    left = runner.due(made, tmp_path)
    assert set(left.skipped) == {
        "classic-pendulum-sac-gru", "classic-cartpole-sac-gru", "classic-cartpole-sac-mlp"
    }  # fmt: skip
    assert "torso" in left.skipped["classic-cartpole-sac-gru"]
    assert [file.Job("", "", {}).name] + [study.jobs(made)[i].name for i in left.indices] == [
        "", "classic-pendulum-sac-mlp", "classic-pendulum-ppo-mlp", "classic-pendulum-ppo-gru",
        "classic-cartpole-ppo-mlp", "classic-cartpole-ppo-gru",
    ]  # fmt: skip
    build = config.build

    def without(settings):
        if settings.env == "classic/pendulum":
            raise missing_extra("classic/pendulum", "pendula", "host")
        return build(settings)

    monkeypatch.setattr(config, "build", without)
    left = runner.due(made, tmp_path)
    assert "pip install" in left.skipped["classic-pendulum-ppo-mlp"]
    assert [study.jobs(made)[i].name for i in left.indices] == [
        "classic-cartpole-ppo-mlp",
        "classic-cartpole-ppo-gru",
    ]
    alone = emergence(EmergenceOptions(env=("classic/cartpole",), algorithm=("sac",)))
    with pytest.raises(UsageError, match="none of 2 cells of the study emergence can run"):
        runner.run(alone, tmp_path / "alone")
    with pytest.raises(UnknownNameError, match="did you mean 'classic-cartpole-ppo-mlp'"):
        runner.due(made, tmp_path, ["classic-cartpole-ppo-mpl"])


def test_a_study_of_ones_own_is_refused_where_it_is_wrong():
    data = study.to_dict(emergence())
    for change, words in (
        ({"cels": []}, "did you mean 'cells'"),
        ({"version": 9}, "version 1"),
        ({"hypotheses": [{"name": "h", "claim": "", "test": "gian", "metric": ""}]}, "did you mean 'gain'"),
        ({"cells": [data["cells"][0]] * 2}, "two cells are called"),
        ({"cells": [{"name": "x"}]}, "not complete"),
        ({"cells": 3}, "expected a study"),
    ):
        with pytest.raises(UsageError, match=words):
            study.from_dict(data | change)


def test_jobs_are_made_of_a_study(tmp_path, capsys):
    path = tmp_path / "jobs.jsonl"
    assert cli.main(["jobs", "make", "emergence", "--scale", "smoke", "-o", str(path)]) == 0
    jobs = file.read(path)
    assert len(jobs) == sum(not cell.skipped for cell in emergence().cells)
    assert study.load(tmp_path / "study.json") == emergence()
    again = [str(tmp_path / "study.json"), "-o", str(tmp_path / "again.jsonl"), "--base", "s3://bucket/study"]
    assert cli.main(["jobs", "make", *again]) == 0
    far = file.read(tmp_path / "again.jsonl")
    assert far[0].folder == f"s3://bucket/study/{jobs[0].name}"
    for wrong in (
        ["jobs", "make", "emergenc", "-o", "x"],
        ["jobs", "make", "emergence"],
        ["study", "--scale", "cpu"],
        ["jobs", "make", "emergence", "-o", str(tmp_path / "b.jsonl"), "--base", "s33://bucket/study"],
    ):
        assert cli.main(wrong) == 2


def test_the_papers_numbers_stand_beside_its_environments():
    assert [paper_alignment(world.title) for world in WORLDS] == [0.99, 1.0, 0.86, 0.35, 0.49, -0.95]
    assert all(hypothesis.protocol == "matched" for hypothesis in HYPOTHESES if hypothesis.primary)
