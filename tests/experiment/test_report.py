"""Reports of real runs: self-contained, made again from the folder alone, honest about what is missing."""

import html
import html.parser
import json
import re
import shlex
import shutil

import jax
import numpy as np
import pytest

from rlkit import cli
from rlkit.agents import PPOConfig
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.reports import analyze, inside, panels, reading, report, wording
from rlkit.experiment.reports.intervals import interval
from rlkit.experiment.runs import logbook, store
from rlkit.experiment.training import config, run  # fmt: skip
from rlkit.experiment.training.config import TrainConfig

DENSE = "success() + progress('path_distance')"


def _settings(reward):
    return TrainConfig(
        env="nav/pointmaze-umaze-far",
        agent=PPOConfig(num_envs=4, num_steps=16, sizes=(8,)),
        reward=reward,
        seeds=3,
        total_steps=4 * 64,
        probes=2,
        probe_steps=128,
        eval_episodes=4,
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two finished runs, the first one measured."""
    root = tmp_path_factory.mktemp("runs")
    found = []
    for name, reward in (("sparse", "success()"), ("dense", DENSE)):
        found.append(run.run(_settings(reward), root / name, progress=False).folder)
    analyze.analyze(found[0], draws=8, final_draws=16)
    return found


@pytest.fixture(scope="module")
def reported(folders):
    """The report of the measured run, made once for all tests that read it."""
    return report.report(folders[0])


class _Page(html.parser.HTMLParser):
    """Collects what a page would load, and checks that its tags are balanced."""

    VOID = ("meta", "img", "br", "link")  # HTML; of SVG, those that are closed at once

    def __init__(self, text):
        super().__init__()
        self.loads, self.open, self.words, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data") and value:
                self.loads.append(value)
        if tag == "img" or ("role", "img") in attrs:
            self.alts.append(dict(attrs).get("alt") or dict(attrs)["aria-label"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_a_report_is_one_file_that_loads_nothing(folders, reported):
    assert reported == folders[0] / "report.html"
    source = reported.read_text(encoding="utf-8")
    page = _Page(source)
    assert page.open == []
    assert all(target.startswith(("#", "data:")) for target in page.loads), page.loads
    assert not re.search(r"<(script|link|iframe)\b|@import|url\((?!#)", source)
    assert (
        len(page.alts) == len(set(page.alts)) == 2 + 1 + 1 + 6
    )  # learning, film, a term, 3 measures at 2 levels
    assert source.count("data:image/gif;base64,") == 1
    assert str(folders[0].parent) not in source  # no private paths


def test_the_same_folder_gives_the_same_report(folders, reported):
    first = reported.read_bytes()
    assert report.report(folders[0]).read_bytes() == first


def test_the_numbers_are_those_of_the_folder(folders, reported):
    page = _Page(reported.read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folders[0] / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "eval"][-1]["seeds"]
    assert f"success in fresh episodes {wording.percent(np.mean(last['eval/success']))}" in page.text
    assert f"episode length, steps {wording.plain(np.mean(last['eval/length']))}" in page.text
    (member,) = json.loads((folders[0] / "emergence.json").read_text())["members"]
    values, fresh = member["points"][-1]["units"]["phi_r"], member["untrained"]["units"]["phi_r"]["excess"]
    value, null = np.mean(values["value"]), np.mean(values["mean"])
    change, signed = interval(np.array(fresh["difference"])), report._change
    less = f"{signed(change.mean)} [{signed(change.low)}, {signed(change.high)}]"
    p = inside.p_value(fresh["p"], fresh["p_floor"])
    assert f"all pairs of units {wording.plain(value)} {less} {p} {wording.plain(null)}" in page.text
    excess = interval(np.subtract(values["value"], values["mean"]))
    assert f"{wording.plain(null)} +{wording.plain(excess.mean)} [+{wording.plain(excess.low)}," in page.text


def test_the_task_is_described_from_its_specification(reported):
    from rlkit.envs import make

    page = _Page(reported.read_text(encoding="utf-8"))
    spec = make("nav/pointmaze-umaze-far").spec
    assert " ".join(spec.task.split()) in page.text
    for feature in spec.features:
        assert feature.name in page.text
        assert feature.meaning in page.text


def test_the_commands_of_a_report_give_its_numbers_again(folders, reported, monkeypatch):
    page = reported.read_text(encoding="utf-8")
    before = (folders[0] / "emergence.json").read_bytes()
    (folders[0] / "emergence.json").unlink()
    monkeypatch.chdir(folders[0].parents[2])
    again = page[page.index("<h3>Again</h3>") :]
    command = html.unescape(re.search(r"^rlkit (analyze .*)$", again, re.MULTILINE)[1])
    assert cli.main(shlex.split(command)) == 0
    assert (folders[0] / "emergence.json").read_bytes() == before


def test_a_comparison_tells_runs_apart_by_what_differs(folders):
    path = report.compare(folders)
    assert path == folders[0].parent / "comparison.html"
    page = _Page(path.read_text(encoding="utf-8"))
    assert reading.labels([reading.read(folder) for folder in folders]) == ["success()", DENSE]
    assert f"of the reward success() , {DENSE}, averaged" in page.text.replace(" ,", ",").replace(
        "success(),", "success() ,"
    )
    assert "Not measured yet: run rlkit analyze" in page.text  # the second one is not


def test_a_run_that_has_just_begun_says_what_is_missing(folders, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(folders[0] / "config.json", begun)
    page = _Page(report.report(begun).read_text(encoding="utf-8"))
    for sentence in (
        "Not finished",
        "no learning curve yet",
        "No reward terms have been logged yet",
        "the run has no checkpoint yet",
        "Not measured yet",
        "rlkit train --resume",
    ):
        assert sentence in page.text


def test_an_environment_that_cannot_be_made_is_no_obstacle(folders, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(folders[0], moved)
    settings = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(settings | {"env": "nav/pointmaze-umaze-farther"}))
    page = _Page(report.report(moved).read_text(encoding="utf-8"))
    assert "did you mean 'nav/pointmaze-umaze-far'?" in page.text


def test_requests_that_make_no_sense(tmp_path):
    with pytest.raises(UsageError, match="no run folder"):
        report.report(tmp_path / "nothing")
    with pytest.raises(UsageError, match="no runs to compare"):
        report.compare([])


def test_analysis_without_latents_says_so(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(folders[0] / "config.json", empty)
    with pytest.raises(UsageError, match="no recorded latents"):
        analyze.analyze(empty)
    (empty / "latents").mkdir()
    (empty / "latents" / "00000004.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UsageError, match=r"00000004\.npz is damaged"):
        analyze.analyze(empty)


def test_analysis_is_repeatable_and_agrees_with_the_library(folders):
    before = [(folders[0] / name).read_bytes() for name in ("emergence.json", "emergence.npz")]
    analyze.analyze(folders[0], draws=8, final_draws=16)
    assert [(folders[0] / name).read_bytes() for name in ("emergence.json", "emergence.npz")] == before
    data = json.loads(before[0])
    (member,) = data["members"]
    points = member["points"]
    assert [point["update"] for point in points] == [0, 2, 4]
    assert [point["step"] for point in points] == [0, 128, 256]
    latents = analyze.read_latents(folders[0])
    from rlkit.analysis import pair_mask, phi_id
    from rlkit.analysis.study import latent_baselines

    z, first = latents[4]["latent"][1], latents[4]["first"][1]
    for name in analyze.MEASURES:
        exact = np.asarray(phi_id(z, first=first, check="off")[name])[np.triu_indices(8, 1)].mean()
        np.testing.assert_allclose(points[-1]["units"][name]["value"][1], exact, rtol=1e-3, atol=1e-5)
    plain = latent_baselines(z, pair_mask=pair_mask(first))
    for name, value in plain._asdict().items():
        np.testing.assert_allclose(points[-1]["baselines"][name][1], value, rtol=1e-4)
    assert set(member["alignment"]) == {"emergence", "beyond null", "baselines"}
    assert set(member["alignment"]["emergence"]["nulls"]["global"]) == {
        "projections", "shuffled", "autocorrelation"
    }  # fmt: skip
    assert member["prediction"] == {}  # of three seeds nothing can be learned
    arrays = np.load(folders[0] / "emergence.npz")
    assert arrays["pairs/phi_r/value"].shape == (3, 3)


def test_members_are_analysed_one_by_one(folders, tmp_path):
    """A sweep of two members of three seeds each: what each gives is what it gives in a run of its own."""
    swept = tmp_path / "swept"
    (swept / "latents").mkdir(parents=True)
    settings = config.load(folders[0] / "config.json")
    config.save(swept / "config.json", settings.replace(sweep=("agent.learning_rate=0.001,0.0001",)))
    for name in ("00000000", "00000002", "00000004", "untrained"):
        parts = [store.read_arrays(folder / "latents" / f"{name}.npz") for folder in folders]
        both = {field: np.concatenate([part[field] for part in parts]) for field in parts[0]}
        store.write_arrays(swept / "latents" / f"{name}.npz", both)
    data = store.read_json(analyze.analyze(swept, draws=8, final_draws=8))
    assert [member["label"] for member in data["members"]] == ["learning_rate=0.001", "learning_rate=0.0001"]
    assert (data["draws"], data["final_draws"], data["correction"]["tests"]) == (8, 8, 4)
    for folder, member in zip(folders, data["members"], strict=True):
        alone = store.read_json(analyze.analyze(folder, draws=8, final_draws=8, out=tmp_path / "alone"))
        for where in inside.LEVEL_NAMES:
            for name in analyze.MEASURES:
                found, own = (d["points"][-1][where][name] for d in (member, alone["members"][0]))
                assert len(found["value"]) == 3
                assert found["value"] == own["value"]
                assert found["over_seeds"]["value"] == own["over_seeds"]["value"]
                # All of them are written as float32: the mean of what is written is the next number at most.
                means = (found["over_seeds"]["value"]["mean"], np.mean(own["value"]))
                np.testing.assert_array_max_ulp(*map(np.float32, means), maxulp=1)
                networks = [d["untrained"][where][name]["value"] for d in (member, alone["members"][0])]
                assert networks[0]["trained"] == networks[1]["trained"]
                assert networks[0]["untrained"] == networks[1]["untrained"]
                assert networks[0]["difference"] == networks[1]["difference"]
    arrays = np.load(swept / "emergence.npz")
    assert arrays["pairs/phi_r/value"].shape == (6, 3)


@pytest.mark.slow
def test_options_of_the_analysis_are_used_and_given_again(folders, tmp_path, capsys, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(folders[0], moved)
    last = lambda: store.read_json(moved / "emergence.json")["members"][0]["points"][-1]
    options, before = ["--draws", "8", "--final-draws", "16", "--components", "3"], last()
    assert cli.main(["analyze", str(moved), *options]) == 0
    assert "against 16 surrogates" in capsys.readouterr().out
    data = store.read_json(moved / "emergence.json")
    assert (data["draws"], data["final_draws"], data["components"]) == (8, 16, 3)
    assert last()["active"] == before["active"]  # of the units, whatever is measured of them
    assert last() != before
    page = _Page(report.report(moved).read_text(encoding="utf-8"))
    assert " ".join(options) in page.text
    for wrong, words in (
        (["--draws", "8", "--final-draws", "7"], "final_draws=7"),
        (["--components", "9"], "expected 2 to 8"),
        (["--components", "1"], "at least 2"),
        (["--final-draws", "many"], "whole number"),
    ):
        assert cli.main(["analyze", str(moved), *wrong]) == 2
        assert words in capsys.readouterr().err


def _folder(path, terms=("success",), seeds=2, lines=3, **changes):
    """A run folder without checkpoints, whose reward has the given terms."""
    path.mkdir()
    config.save(
        path / "config.json", TrainConfig(**{"env": "nav/pointmaze-umaze-far", "seeds": seeds} | changes)
    )
    rng = np.random.default_rng(0)
    with open(path / "metrics.jsonl", "w") as file:
        for i in range(1, lines + 1):
            values = {f"reward/{name}": rng.random(seeds) for name in terms}
            file.write(json.dumps(logbook.line("train", i, 64 * i, values)) + "\n")
        values = {"eval/success": rng.random(seeds), "eval/return": rng.random(seeds)}
        file.write(json.dumps(logbook.line("eval", i, 64 * i, values)) + "\n")
    return path


HOSTILE = (
    "$\\frac$",
    "$x$",
    "_hidden",
    "<script>alert(1)</script>",
    "\ud800",
    "a\x00b",
    "x" * 5000,
    "",
    "{{ 7 * 7 }}",
)


def test_names_of_any_kind_are_shown_and_run_nothing(tmp_path):
    folder = _folder(tmp_path / "run", HOSTILE)
    source = report.report(folder).read_text(encoding="utf-8")
    page = _Page(source)
    for name in (
        "$\\frac$",
        "$x$",
        "_hidden",
        "<script>alert(1)</script>",
        "\\ud800",
        "x" * 100,
        "{{ 7 * 7 }}",
    ):
        assert name in page.text
    assert "<script>" not in source
    assert "x" * 200 not in page.text
    assert len(page.alts) == len(HOSTILE) + 1  # and their shares
    plain = _folder(tmp_path / "<b>$\\frac$", reward="'<i>$\\frac$' + \ud800")
    source = report.compare([folder, plain], tmp_path / "both.html").read_text(encoding="utf-8")
    assert "<i>" not in source
    assert "&#39;&lt;i&gt;$\\frac$&#39; + \\ud800" in source


DAMAGE = {
    "metrics.jsonl": (b"{}\n[]\n3\n", "line 5 of metrics.jsonl has no 'kind'"),
    "timings.jsonl": (b"{}\n", "line 1 of timings.jsonl names no event"),
    "emergence.json": (b"[]", "emergence.json holds list instead of an object"),
    "env.json": (b'{"devices": ["cpu', "env.json cannot be read as JSON"),
}


def test_damage_costs_what_it_hit_and_is_said(tmp_path):
    folder = _folder(tmp_path / "run")
    for name, (content, _) in DAMAGE.items():
        with open(folder / name, "ab") as file:
            file.write(content)
    settings = json.loads((folder / "config.json").read_text()) | {"seeds": 10**9}
    (folder / "config.json").write_text(json.dumps(settings))
    page = _Page(report.report(folder).read_text(encoding="utf-8"))
    for _, sentence in DAMAGE.values():
        assert sentence in page.text
    assert "metrics.jsonl has 2 seeds per line, but config.json asks for 1000000000" in page.text
    assert "recordings of latents after update 3 are missing" in page.text
    assert "success in fresh episodes" in page.text
    assert "2 seeds × 192 steps" in page.text


def test_all_starts_and_a_training_that_learnt_nothing_are_told(tmp_path):
    folder = _folder(tmp_path / "run")
    starts = [(0, "cpu 0", "0.10.2"), (2, "cuda 3", "0.12.0")]
    rows = [
        {
            "event": "start",
            "update": update,
            "provenance": {"devices": [device], "versions": {"jax": version}},
        }
        for update, device, version in starts
    ]
    (folder / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "DONE").write_text(json.dumps({"update": 3, "learnt_nothing": [0, 1]}))
    page = _Page(report.report(folder).read_text(encoding="utf-8"))
    assert "Started 2 times" in page.text
    assert "at update 2: cuda 3 (not from a checkout): jax 0.12.0" in page.text
    assert "nothing was learnt: " in page.text
    assert "the updates of all seeds were skipped" in page.text


def _member(values, null, trained, fresh, p, label=""):
    """A member in emergence.json, of two recordings; arrays ``[S]`` and ``[S, M]`` untrained."""
    excess = values - null
    over = {"p": p, "p_floor": 1 / 200, "p_adjusted": 2 * p}
    measure = {
        "value": values.tolist(),
        "mean": null.tolist(),
        "excess": excess.tolist(),
        "p": [None] * len(values),
        "over_seeds": over,
    }
    compared = {
        "value": {"untrained": fresh.tolist()},
        "excess": {"difference": trained.tolist(), "p": 0.25, "p_floor": 1 / 8},
    }
    quality = {name: [16.0] * len(values) for name in ("active", "effective_samples", "effective_dimension")}
    level = dict.fromkeys(inside.MEASURE_NAMES, measure)
    return {
        "label": label,
        "warnings": ["In 1 of 4 recordings units drift."],
        "points": [{"step": step, "units": level, "halves": level} | quality for step in (0, 192)],
        "untrained": {"networks": fresh.shape[1]}
        | {where: dict.fromkeys(inside.MEASURE_NAMES, compared) for where in inside.LEVEL_NAMES},
        "projections": {
            where: {name: {"excess": [-0.1, 0.1]} for name in inside.MEASURE_NAMES}
            for where in inside.LEVEL_NAMES
        },
    }


def _emergence(*members):
    """Content of emergence.json."""
    return {
        "version": 4,
        "steps_per_recording": 512,
        "components": None,
        "null": {"name": "own-past", "hypothesis": "every unit goes its way"},
        "draws": 20,
        "final_draws": 199,
        "correction": {"method": "Holm", "tests": 2 * len(members)},
        "members": list(members),
    }


def test_emergence_is_told_with_what_explains_it(tmp_path):
    folder = _folder(tmp_path / "run")
    values, null = np.array([0.5, 0.7]), np.array([0.1, 0.2])
    fresh = np.array([[0.1, 0.2, None], [0.3, 0.4, 0.5]], float)
    data = _emergence(_member(values, null, np.array([0.25, 0.35]), fresh, 1 / 200))
    data = json.loads(json.dumps(data).replace("NaN", "null"))
    store.write_json(folder / "emergence.json", data, digest=True)
    run = reading.read(folder)
    found = inside.measured(panels.groups([run])[0], run.notes.append)
    np.testing.assert_allclose(found.levels["units"][0].fresh, [0.15, 0.4])
    page = _Page(report.render([run]))
    assert (
        "R , all pairs of units 0.6 +0.3 [+0.25, +0.35] 0.25 0.15 +0.45 [+0.4, +0.5] < 1/200; 0.01"
        in page.text
    )
    for sentence in (
        "3 fresh ones per seed",
        "Hypothesis: every unit goes its way.",
        "199 of each last recording",
        "corrected by Holm for 2 tests",
        "512 steps, worth 16 independent samples",
        "In 1 of 4 recordings units drift.",
        "differs from that of untrained networks on the same observations by 0.3 nats [0.25, 0.35]",
        "not told from that of random directions",
        "none of 199 surrogates came near",
    ):
        assert sentence in page.text, sentence


def test_every_member_of_a_sweep_has_its_own_emergence(tmp_path):
    """Nothing is averaged over settings: each member's table has its own means, differences and p."""
    folder = _folder(tmp_path / "run", seeds=4)
    null, nothing = np.zeros(2), np.array([-0.1, 0.1])
    low = _member(np.array([0.1, 0.3]), null, nothing, np.ones((2, 2)), 0.5, "rate=1")
    high = _member(np.array([7.0, 9.0]), null, nothing + 5, np.ones((2, 2)), 1 / 200, "rate=2")
    store.write_json(folder / "emergence.json", _emergence(low, high), digest=True)
    run = reading.read(folder)._replace(members=("rate=1", "rate=2"))
    groups = panels.groups([run])
    assert [group.place for group in groups] == [0, 1]
    found = [inside.measured(group, run.notes.append) for group in groups]
    assert not any("emergence" in note for note in run.notes)
    np.testing.assert_array_equal(found[0].levels["units"][0].value[-1], [0.1, 0.3])
    np.testing.assert_array_equal(found[1].levels["units"][0].value[-1], [7.0, 9.0])
    rows = [inside.rows(one)[0] for one in found]
    assert [row["p"] for row in rows] == ["0.5; 1", "< 1/200; 0.01"]
    assert [row["excess"].mean for row in rows] == [0.2, 8.0]
    assert "corrected by Holm for 4 tests" in _Page(report.render([run])).text


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_changed_number_in_emergence_is_named(tmp_path, share):
    folder = _folder(tmp_path / "run")
    path = folder / "emergence.json"
    values = np.array([0.512345, 0.712345])
    store.write_json(
        path, _emergence(_member(values, values / 2, values, np.ones((2, 3)), 0.25)), digest=True
    )
    assert reading.read(folder).emergence["draws"] == 20
    data = bytearray(path.read_bytes())
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    place = digits[int(share * len(digits))]
    data[place] ^= 1  # another digit: still JSON
    path.write_bytes(bytes(data))
    run = reading.read(folder)
    assert run.emergence == {}
    assert any("emergence.json" in note and "something has changed it" in note for note in run.notes)


def test_a_p_never_claims_more_than_its_draws():
    assert inside.p_value(1 / 61, 1 / 61) == "< 1/61"
    assert inside.p_value(0.0, 1 / 1000) == "< 1/1000"
    assert inside.p_value(2 / 61, 1 / 61) == "0.033"
    assert inside.p_value(None, 1 / 61) == inside.p_value(0.5, None) == "–"


@pytest.mark.parametrize(
    "content",
    [
        {"points": 3},
        {"points": [], "draws": 8},
        {"points": [{}], "draws": 8},
        {"points": [{"step": 1, "units": {}, "halves": {}}], "draws": 8},
        {"alignment": {"emergence": []}},
        {"alignment": 3},
        {"points": [{"step": 0, "units": None}], "alignment": {"a": {"nulls": 1}}, "draws": "many"},
    ],
)
def test_emergence_of_another_shape_is_said(tmp_path, content):
    folder = _folder(tmp_path / "run")
    (folder / "emergence.json").write_text(json.dumps(content))
    page = _Page(report.report(folder).read_text(encoding="utf-8"))
    assert "emergence.json cannot be used" in page.text
    assert "Not measured yet" in page.text


def test_a_folder_that_cannot_be_written_is_only_read(tmp_path):
    folder = _folder(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    path = report.report(folder, tmp_path / "elsewhere" / "page.html")
    assert _Page(path.read_text(encoding="utf-8")).open == []
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before
    with pytest.raises(RlkitError, match="cannot write"):
        report.report(folder, folder / "config.json" / "page.html")


def test_members_of_a_run_have_a_curve_each(tmp_path):
    run = reading.read(_folder(tmp_path / "run", seeds=6))._replace(members=("rate=1", "rate=2", "rate=3"))
    groups = panels.groups([run])
    assert [group.label for group in groups] == ["rate=1", "rate=2", "rate=3"]
    whole = run.curve("train", "reward/success").values
    for k, group in enumerate(groups):
        np.testing.assert_array_equal(
            group.series("train", "reward/success").values, whole[:, 2 * k : 2 * k + 2]
        )
    page = _Page(report.render([run]))
    assert page.text.count("2 seeds × 192 steps") == 3
    assert "Differences from rate=1" in page.text
    both = panels.groups([run, run._replace(members=("",), folder=tmp_path / "other")])
    assert [group.label for group in both] == ["run, rate=1", "run, rate=2", "run, rate=3", "other"]


def test_rewards_and_tasks_that_differ_share_no_axis(tmp_path):
    runs = []
    for name, env, reward in (
        ("a", "nav/pointmaze-umaze-far", "success()"),
        ("b", "nav/pointmaze-umaze-far", "2 * success()"),
        ("c", "nav/pointmaze-umaze", "success()"),
    ):
        folder = _folder(tmp_path / name, env=env, reward=reward)
        with open(folder / "metrics.jsonl", "a") as file:
            for i in (4, 5):
                values = {n: np.array([i, ord(name)]) for n in ("episode/paid", "episode/return")}
                values["episode/paid"] = values["episode/paid"] * (2 if name == "b" else 1)
                values["episode/success"] = np.array([0.5, i / 10 + ord(name) / 1000])
                file.write(json.dumps(logbook.line("train", i, 64 * i, values)) + "\n")
        runs.append(reading.read(folder))
    shown = {drawn.title: drawn.alt for drawn in panels.learning(panels.groups(runs))}
    assert list(shown) == [
        "success in training episodes",
        "return in training episodes, nav/pointmaze-umaze-far",
        "return in training episodes, nav/pointmaze-umaze",
        "paid per episode by 2 * success()",
    ]  # the other pay is the return that is drawn already
    assert shown["success in training episodes"].count("mean of 2 seeds") == 3
    assert shown["return in training episodes, nav/pointmaze-umaze-far"].count("mean of 2 seeds") == 2


def test_the_animation_says_when_it_shows_an_older_checkpoint(folders, tmp_path, monkeypatch):
    from rlkit.experiment.reports import animation
    from rlkit.experiment.runs import checkpoint

    moved = tmp_path / "run"
    shutil.copytree(folders[1], moved)
    *_, before, newest = sorted(checkpoint.steps(moved / store.CHECKPOINTS))
    for file in (moved / store.CHECKPOINTS / str(newest)).rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    monkeypatch.setattr(animation, "record", lambda *a, **k: (None, np.array([3])))
    monkeypatch.setattr(animation, "frames", lambda *a, **k: [])
    monkeypatch.setattr(animation, "gif", lambda pictures: b"GIF")
    film, words = report._animation(reading.read(moved))
    assert film == b"GIF"
    assert f"after {before} updates" in words
    assert f"checkpoint {newest}" in words
    assert "is rejected" in words


def test_the_animation_shows_whole_episodes(folders):
    from rlkit.experiment.reports import animation

    agent = config.build(_settings(DENSE))
    policy = agent.policy(agent.init(jax.random.key(0)))
    states, lengths = animation.record(agent, policy, jax.random.key(1), episodes=2)
    assert states.position.shape == (2, agent.env.spec.max_steps + 1, 2)
    assert (lengths >= 1).all()
    assert (lengths <= agent.env.spec.max_steps).all()
    pictures = animation.frames(agent.env, states, lengths, most=12, size=64)
    assert 4 <= len(pictures) <= 16
    import io

    from PIL import Image

    with Image.open(io.BytesIO(animation.gif(pictures))) as film:
        assert film.size == (64, 64)
        assert film.n_frames >= 3
