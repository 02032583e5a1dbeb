"""Run folders behind a store."""

import json
import shutil
import time

import pytest
from toy_jobs import job

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs import file, remote, running, worker

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def url(request):
    """A folder in a store that lives in memory."""
    url = f"memory://{request.node.name}/cell"
    yield url
    fsspec.filesystem("memory").store.clear()


def test_a_job_goes_on_from_the_store_alone(tmp_path, url, monkeypatch):
    from stopping import stop_at

    worker.run_job(job(0), tmp_path / "whole")
    path = file.write(tmp_path / "jobs.jsonl", [job(0, url)])
    stop_at(monkeypatch, 10)
    assert running.run_here(path, [0], scratch=tmp_path / "one") == 143
    assert remote.standing(url) == "partial"
    assert running.run_here(path, [0], scratch=tmp_path / "another") == 0  # another machine
    assert remote.standing(url) == "done"
    here = tmp_path / "another" / remote.local_name(url)
    digest = lambda folder: checkpoint._load(folder / store.CHECKPOINTS, 20)[1]["state"]
    assert digest(here) == digest(tmp_path / "whole")
    assert (here / store.METRICS).read_bytes() == (tmp_path / "whole" / store.METRICS).read_bytes()


def test_a_checkpoint_counts_when_its_marker_is_there(tmp_path, url):
    worker.run_job(job(0), tmp_path / "here")
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.push()
    assert mirror._marks() == set(checkpoint.steps(tmp_path / "here" / store.CHECKPOINTS))
    mirror.store.rm_file(f"{mirror.root}/{remote.MARKS}/20")  # killed before the marker
    there = remote.Mirror(url, tmp_path / "there")
    there.pull()
    assert checkpoint.steps(tmp_path / "there" / store.CHECKPOINTS) == [10, 15]
    shutil.rmtree(tmp_path / "here" / store.CHECKPOINTS / "10")  # pruned here, then there
    mirror.push()
    assert mirror._marks() == {15, 20}


def test_a_folder_that_another_worker_has_signed_is_refused(tmp_path, url):
    mirror = remote.Mirror(url, tmp_path / "here")
    sign = lambda since: mirror.store.pipe_file(
        f"{mirror.root}/{remote.OWNER}",
        json.dumps({"pid": 1, "host": "elsewhere", "time": time.time() - since}).encode(),
    )
    mirror.store.makedirs(mirror.root, exist_ok=True)
    sign(10)
    with pytest.raises(UsageError, match="process 1 on elsewhere"):
        mirror.claim()
    sign(10_000)
    mirror.claim()
    mirror.claim()  # its own sign is no obstacle


def test_a_store_that_goes_away_is_a_sentence_and_nothing_is_lost(tmp_path, url, monkeypatch):
    def away(*args, **options):
        raise ConnectionError("no route to host")

    path = file.write(tmp_path / "jobs.jsonl", [job(0, url)])
    with monkeypatch.context() as patch:
        patch.setattr(remote.Mirror, "_send", away)
        assert running.run_here(path, [0], scratch=tmp_path / "one") == 1
    here = tmp_path / "one" / remote.local_name(url)
    assert (here / "JOB").exists()
    assert running.run_here(path, [0], scratch=tmp_path / "one") == 0  # it is back: what is there is sent
    assert remote.standing(url) == "done"
    with pytest.raises(RlkitError, match="does not answer"):
        remote.Mirror("nostore://x/y", tmp_path)


def test_a_store_that_goes_away_while_a_run_arrives_loses_nothing(tmp_path, url, monkeypatch):
    worker.run_job(job(0), tmp_path / "here")
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.push()
    held, marks = mirror._files(), mirror._marks()
    fetch, count = type(mirror.store).get_file, iter(range(1000))

    def away(self, *args, **options):
        if next(count) == len(held) // 2:
            raise ConnectionError("no route to host")
        return fetch(self, *args, **options)

    there = tmp_path / "there"
    with monkeypatch.context() as patch:
        patch.setattr(type(mirror.store), "get_file", away)
        with pytest.raises(RlkitError, match="does not answer"), remote.mirrored(url, there):
            raise AssertionError("nothing is begun with half a run")
    assert (mirror._files(), mirror._marks()) == (held, marks)
    with remote.mirrored(url, there):  # it is back
        assert checkpoint.steps(there / store.CHECKPOINTS) == sorted(marks)
        assert (there / store.METRICS).read_bytes() == (tmp_path / "here" / store.METRICS).read_bytes()
