"""Run folders behind a store."""

import dataclasses
import json
import shutil
import time

import pytest
from toy_jobs import job

from rlkit import cli
from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.jobs import file, remote, running, state, worker

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
    assert remote.standing(url).state == "partial"
    assert running.run_here(path, [0], scratch=tmp_path / "another") == 0  # another machine
    assert remote.standing(url).state == "done"
    here = tmp_path / "another" / remote.local_name(url)
    digest = lambda folder: checkpoint._load(folder / store.CHECKPOINTS, 20)[1]["state"]
    assert digest(here) == digest(tmp_path / "whole")
    assert (here / store.METRICS).read_bytes() == (tmp_path / "whole" / store.METRICS).read_bytes()


def test_a_checkpoint_counts_when_its_marker_is_there(tmp_path, url):
    worker.run_job(job(0), tmp_path / "here")
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.push()
    assert mirror._marks(mirror._files()) == set(checkpoint.steps(tmp_path / "here" / store.CHECKPOINTS))
    mirror.store.rm_file(f"{mirror.root}/{remote.MARKS}/20")  # killed before the marker
    there = remote.Mirror(url, tmp_path / "there")
    there.pull()
    assert checkpoint.steps(tmp_path / "there" / store.CHECKPOINTS) == [10, 15]
    shutil.rmtree(tmp_path / "here" / store.CHECKPOINTS / "10")  # pruned here, then there
    mirror.push()
    assert mirror._marks(mirror._files()) == {15, 20}


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
    assert remote.standing(url).state == "done"
    with pytest.raises(RlkitError, match="does not answer"):
        remote.Mirror("nostore://x/y", tmp_path)


def test_a_store_that_goes_away_while_a_run_arrives_loses_nothing(tmp_path, url, monkeypatch):
    worker.run_job(job(0), tmp_path / "here")
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.push()
    held = mirror._files()
    marks = mirror._marks(held)
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
    assert mirror._files() == held
    with remote.mirrored(url, there):  # it is back
        assert checkpoint.steps(there / store.CHECKPOINTS) == sorted(marks)
        assert (there / store.METRICS).read_bytes() == (tmp_path / "here" / store.METRICS).read_bytes()


def put(folder, *updates):
    """Make a folder look like a run with these checkpoints."""
    for update in updates:
        path = folder / store.CHECKPOINTS / str(update) / "state"
        path.mkdir(parents=True, exist_ok=True)
        (path / "data").write_text(str(update))
    (folder / store.METRICS).write_text(f"{updates}")


def content(mirror):
    """Every file of a store and what is in it."""
    return {name: mirror.store.cat_file(f"{mirror.root}/{name}") for name in mirror._files()}


def age(mirror, seconds):
    """Make the sign of life at a folder older."""
    owner = mirror._owner()
    owner["time"] -= seconds
    mirror.store.pipe_file(f"{mirror.root}/{remote.OWNER}", json.dumps(owner | {"pid": 1}).encode())


@pytest.mark.parametrize("ended", [False, True])
def test_a_worker_that_wakes_after_its_successor_came_writes_nothing(tmp_path, url, ended):
    asleep, awake = (remote.Mirror(url, tmp_path / name) for name in ("asleep", "awake"))
    asleep.claim()
    put(asleep.local, 4)
    asleep.push()
    age(asleep, remote.ALIVE + 100)
    awake.claim()  # of the same process and host, as pods of one index are
    awake.pull()
    put(awake.local, 4, 8, 12)
    awake.push()
    if ended:
        awake.release()
    held = content(awake)
    put(asleep.local, 6)
    for late in (asleep.sign, asleep.push, asleep.release):
        with pytest.raises(RlkitError, match=r"took over memory://.* while this one was silent.*is kept in"):
            late()
    assert content(awake) == held
    assert awake._marks(awake._files()) == {4, 8, 12}
    assert awake._owner().get("token") == (None if ended else awake._token)


def test_one_that_lost_its_folder_says_so_and_stops_following(tmp_path, url, capsys):
    other = remote.Mirror(url, tmp_path / "other")

    def work():
        with remote.mirrored(url, tmp_path / "here", 0.01):
            owner = {"pid": 1, "host": "elsewhere", "token": "another", "time": time.time()}
            other.store.pipe_file(f"{other.root}/{remote.OWNER}", json.dumps(owner).encode())
            put(tmp_path / "here", 4)
            time.sleep(0.3)

    with pytest.raises(RlkitError, match="process 1 on elsewhere took over"):
        work()
    assert capsys.readouterr().err.count("warning: process 1 on elsewhere took over") == 1
    assert (other._owner()["token"], other._marks(other._files())) == ("another", set())


def test_a_sign_that_is_half_written_is_the_own_one(tmp_path, url, monkeypatch):
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.claim()
    write = type(mirror.store).pipe_file

    def full(self, path, value, **options):
        write(self, path, value[:10], **options)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(mirror.store), "pipe_file", full)
        with pytest.raises(RlkitError, match="does not answer"):
            mirror.sign()
    mirror.sign()  # there is space again
    assert mirror._owner()["token"] == mirror._token


@pytest.mark.parametrize("left", [[], ["data"]])
def test_a_marker_without_its_files_is_not_trusted_and_they_are_sent_again(tmp_path, url, left):
    mirror = remote.Mirror(url, tmp_path / "here")
    put(mirror.local, 4, 8)
    (mirror.local / store.CHECKPOINTS / "8/state/more").write_text("more")
    mirror.push()
    for name in {"data", "more"} - set(left):
        mirror.store.rm_file(f"{mirror.root}/{store.CHECKPOINTS}/8/state/{name}")
    there = remote.Mirror(url, tmp_path / "there")
    there.pull()
    assert checkpoint.steps(there.local / store.CHECKPOINTS) == [4]
    assert remote.standing(url).update == 4
    mirror.push()  # by the worker that had sent them before
    assert remote.standing(url).update == 8
    there = remote.Mirror(url, tmp_path / "another")
    there.pull()
    assert (there.local / store.CHECKPOINTS / "8/state/more").read_text() == "more"


def test_an_older_marker_which_names_no_files_counts_with_any(tmp_path, url):
    mirror = remote.Mirror(url, tmp_path / "here")
    put(mirror.local, 4, 8)
    mirror.push()
    for update in (4, 8, 12):
        mirror.store.pipe_file(f"{mirror.root}/{remote.MARKS}/{update}", b"")
    mirror.store.pipe_file(f"{mirror.root}/{remote.MARKS}/8", b'{"half')
    assert remote.standing(url).update == 4


def test_a_local_run_that_is_farther_than_the_store_stays(tmp_path, url):
    mirror = remote.Mirror(url, tmp_path / "here")
    put(mirror.local, 4, 12)
    mirror.push()
    mirror.store.rm(f"{mirror.root}/{store.CHECKPOINTS}/12", recursive=True)  # and its marker stays
    there = remote.Mirror(url, tmp_path / "there")
    put(there.local, 4, 8)
    there.pull()
    assert checkpoint.steps(there.local / store.CHECKPOINTS) == [4, 8]
    there.push()
    assert there._marks(there._files()) == {4, 8}


ODD = ['{"pid": 1, "ho', "[]", "", "[" * 100_000, '{"time": "x"}', "{}", '{"time": NaN}']


@pytest.mark.parametrize("sign", [*ODD, f'{{"time": 1{"0" * 400}}}', "\0"])
def test_a_sign_of_life_that_cannot_be_read_is_none(tmp_path, url, sign):
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.store.makedirs(mirror.root, exist_ok=True)
    mirror.store.pipe_file(f"{mirror.root}/{remote.OWNER}", sign.encode())
    assert remote.standing(url).state == "new"
    mirror.claim()
    assert remote.standing(url).state == "running"


def test_a_sign_of_life_from_the_future_is_none(tmp_path, url):
    mirror = remote.Mirror(url, tmp_path / "here")
    mirror.claim()
    age(mirror, -remote.ALIVE / 2)  # clocks differ
    assert remote.standing(url).state == "running"
    age(mirror, -10 * 365 * 86400)
    assert remote.standing(url).state == "new"
    remote.Mirror(url, tmp_path / "there").claim()


def test_a_job_of_a_store_whose_measurement_is_gone_is_measured_again(tmp_path, url, capsys):
    path = file.write(tmp_path / "jobs.jsonl", [dataclasses.replace(job(0, url), then="after:measure")])
    assert running.run_here(path, [0], scratch=tmp_path / "one") == 0
    mirror = remote.Mirror(url, tmp_path)
    mirror.store.rm_file(f"{mirror.root}/notes.txt")
    assert remote.standing(url) == state.Standing(state.PARTIAL, 20)
    assert running.run_here(path, [0], scratch=tmp_path / "another") == 0
    assert remote.standing(url).state == "done"
    mirror.store.pipe_file(f"{mirror.root}/{state.MARK}", b"")
    assert cli.main(["jobs", "status", str(path)]) == 0
    assert f"failed  the mark {url}/JOB is damaged" in capsys.readouterr().out


def test_a_store_that_does_not_answer_is_told_in_the_line_of_its_job(tmp_path, url, capsys):
    path = file.write(tmp_path / "jobs.jsonl", [job(0, "nostore://x/y"), job(1, url)])
    assert cli.main(["jobs", "status", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "failed  the store of nostore://x/y does not answer" in lines[0]
    assert lines[-1] == "2 jobs: 1 failed, 1 new"


def test_what_says_that_it_is_over_is_sent_last(tmp_path, url, monkeypatch):
    put(tmp_path / "here", 4)
    for name in (state.MARK, store.DONE):
        (tmp_path / "here" / name).write_text("{}")
    mirror, sent = remote.Mirror(url, tmp_path / "here"), []
    write = type(mirror)._send
    monkeypatch.setattr(
        type(mirror), "_send", lambda self, p, name: (sent.append(name), write(self, p, name))
    )
    mirror.push()
    assert sent == [store.METRICS, f"{store.CHECKPOINTS}/4/state/data", store.DONE, state.MARK]
