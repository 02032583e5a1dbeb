"""Reports of designs: from the folder alone, of one that has ended and of one that goes on."""

import dataclasses
import html.parser
import json
import re

import pytest
from test_loop import CONFIG, Answers, loop

from rlkit import cli
from rlkit.design.folder import resume
from rlkit.design.journal import JOURNAL, Journal
from rlkit.design.recorded import read_design
from rlkit.design.report import context, render, report
from rlkit.errors import UsageError
from rlkit.experiment.runs import store
from rlkit.experiment.training import config as configs

EVIL = "</pre><script>alert(1)</script>"
TEXT = "def reward(s, a, ns, done):\n    near = {} * ns.height\n    return near, {{'near': near}}\n"


class _Page(html.parser.HTMLParser):
    """Words and figures of a page; its tags are balanced and load nothing."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.alts, self.rows = [], [], [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert all(not v or v.startswith("#") for n, v in attrs if n in ("src", "href", "xlink:href", "data"))
        self.alts += [given["aria-label"]] if given.get("role") == "img" else []
        self.rows += tag == "tr"
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(trainer, tmp_path_factory):
    """Of a design with an answer that is none in each generation, and hostile words."""
    path = tmp_path_factory.mktemp("design")
    config = dataclasses.replace(CONFIG, candidates=3, words=EVIL)
    store.write_json(path / store.CONFIG, configs.to_dict(config))
    designer = Answers((TEXT.format(1.0), "", TEXT.format(-2.0)), [])
    loop(trainer, config, Journal(path / JOURNAL), designer).run()
    return path


def test_a_report_shows_what_became_of_every_candidate(folder) -> None:
    page = _Page(report(folder).read_text())
    design = read_design(folder)
    assert len(design.records) == 6
    assert [bool(r.refused) for r in design.records] == [False, True, False] * 2
    for record in design.records:
        assert page.text.count(record.candidate.id) >= 1
    assert "no code block" in page.text
    assert EVIL in page.text  # as words
    assert design.winner
    assert "ns.height" in page.text
    for what in ("winner", "sparse", "environment's own"):
        assert what in page.text
    shown = [alt.split(".")[0] for alt in page.alts]
    curves = ["success", "fitness", "near", "total", "base"]
    assert [alt.removeprefix("Curves over training: ") for alt in shown[:5]] == curves
    assert page.alts[5].startswith("Candidates by generation and score: 6, of which 4 have one")
    assert f"Marked: {design.winner}" in page.alts[5]


def test_numbers_are_those_of_the_journal(folder) -> None:
    shown, journal = context(read_design(folder)), Journal(folder / JOURNAL)
    for row in shown["rows"]:
        outcome = journal.steps.get(f"{row['id']} trained")
        if outcome is not None:
            assert row["steps"] == 192 * CONFIG.seeds
            assert dict(row["terms"])["near"] == pytest.approx(sum(outcome["terms"]["near"][-1]) / 2)
    assert {row["check"] for row in shown["checks"]} <= {"exact optimum", "highest paid"}


def test_the_same_folder_gives_the_same_report_and_is_not_changed(folder) -> None:
    data = (folder / JOURNAL).read_bytes()
    assert report(folder).read_bytes() == report(folder).read_bytes()
    assert (folder / JOURNAL).read_bytes() == data


def test_a_design_that_was_cut_off_has_a_report(folder, tmp_path, capsys) -> None:
    data = (folder / JOURNAL).read_bytes()
    (tmp_path / store.CONFIG).write_bytes((folder / store.CONFIG).read_bytes())
    for part in (0.05, 0.3, 0.6, 0.9):
        cut = data[: int(part * len(data))]
        (tmp_path / JOURNAL).write_bytes(cut)
        page = _Page(render(read_design(tmp_path)))
        assert "has not ended" in page.text
        assert (tmp_path / JOURNAL).read_bytes() == cut  # what is torn as well
    assert cli.main(["design", "--report", str(tmp_path)]) == 0
    assert "report.html" in capsys.readouterr().out


def test_what_is_no_design_has_none(folder, tmp_path, capsys) -> None:
    (tmp_path / store.CONFIG).write_text("{}")
    with pytest.raises(UsageError, match="no journal"):
        report(tmp_path)
    assert cli.main(["design", "--report", str(tmp_path), "--seeds", "2"]) == 2
    assert "no other options" in capsys.readouterr().err
    changed = (folder / JOURNAL).read_text().replace('"origin": ""', '"origin": "x"', 1)
    (tmp_path / JOURNAL).write_text(changed)
    (tmp_path / store.CONFIG).write_text(json.dumps(configs.to_dict(CONFIG)))
    with pytest.raises(UsageError, match="has been changed"):
        report(tmp_path)
    assert not re.search("Traceback", capsys.readouterr().err)


def test_what_a_design_ended_with_is_what_its_report_is_made_from(folder, tmp_path) -> None:
    """The configuration, the result and the end of the journal are not changed behind anybody's back."""
    for name in (JOURNAL, store.CONFIG):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    settings = json.loads((tmp_path / store.CONFIG).read_text())
    store.append_jsonl(tmp_path / store.TIMINGS, {"event": "start", "config": settings})
    journal = (tmp_path / JOURNAL).read_bytes()
    summary = {"sentence": "It gained 0.1.", "journal": Journal(tmp_path / JOURNAL).last}
    result = tmp_path / "result.json"
    store.write_json(result, summary, digest=True)
    assert read_design(tmp_path).summary["sentence"] == "It gained 0.1."
    whole = result.read_text()
    for damaged, words in (
        (whole.replace("0.1", "0.9"), "is not what was written"),
        (json.dumps(summary), "has no digest"),
        ("[1]", "has no digest"),
    ):
        result.write_text(damaged)
        with pytest.raises(UsageError, match=rf"result\.json .*{words}"):
            read_design(tmp_path)
    result.write_text(whole)
    (tmp_path / JOURNAL).write_bytes(b"".join(journal.splitlines(keepends=True)[:-1]))
    with pytest.raises(UsageError, match="does not end as it did"):
        read_design(tmp_path)
    (tmp_path / JOURNAL).write_bytes(journal)
    configs.save(tmp_path / store.CONFIG, dataclasses.replace(read_design(tmp_path).config, workers=7))
    read_design(tmp_path)  # how many train at once changes nothing
    configs.save(tmp_path / store.CONFIG, dataclasses.replace(read_design(tmp_path).config, score="max"))
    with pytest.raises(UsageError, match=r"begun with: score was 'mean' and is 'max'"):
        read_design(tmp_path)
    with pytest.raises(UsageError, match=r"begun with: score was 'mean' and is 'max'"):
        resume(tmp_path)
    (tmp_path / store.CONFIG).write_text(json.dumps(settings))
    result.unlink()
    assert read_design(tmp_path).summary == {}
    store.write_json(tmp_path / store.DONE, {})
    with pytest.raises(UsageError, match=r"result\.json is missing"):
        report(tmp_path)


def test_half_a_character_in_a_file_can_be_shown(folder, tmp_path) -> None:
    (tmp_path / JOURNAL).write_bytes((folder / JOURNAL).read_bytes())
    settings = json.loads((folder / store.CONFIG).read_text()) | {"words": "half \ud800"}
    (tmp_path / store.CONFIG).write_text(json.dumps(settings))
    assert r"half \ud800" in report(tmp_path).read_text(encoding="utf-8")
