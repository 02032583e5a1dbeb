"""What was changed in a run folder is noticed and named, at resume and by the check that reports make."""

import json
import shutil

import pytest

from rlkit.errors import RlkitError, UsageError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config, integrity, provenance, run


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of 20 updates with recordings at 0, 10 and 20 and checkpoints every 5; DONE is taken away."""
    from toy_agent import TABLE, ToyConfig

    from rlkit.agents import registry
    from rlkit.experiment.training import cache

    patch = pytest.MonkeyPatch()
    patch.setattr(registry, "TABLE", TABLE)
    from processes import CACHE

    patch.setenv(cache.VARIABLE, str(CACHE))
    settings = config.TrainConfig(
        agent=ToyConfig(), seeds=2, total_steps=200, log_every=3, probes=2, probe_steps=8, eval_episodes=0,
        checkpoint_every=5, keep=10,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("kept") / "run"
    run.run(settings, folder, progress=False)
    (folder / store.DONE).unlink()
    patch.undo()
    return folder


@pytest.fixture
def copy(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run"


def resume(folder):
    return run.resume(folder, progress=False)


def content(folder):
    latents = {p.name: p.read_bytes() for p in store.recordings(folder).values()}
    return (
        checkpoint.describe(folder / store.CHECKPOINTS, 20)["state"],
        (folder / store.METRICS).read_bytes(),
        latents,
    )


def check(folder):
    data = json.loads((folder / store.CONFIG).read_text())
    return integrity.check_run(folder, data)


def test_an_untouched_run_has_no_problems(kept):
    assert check(kept) == []


def test_a_copied_checkpoint_is_rejected_by_its_name(copy, kept, capsys):
    where = copy / store.CHECKPOINTS
    shutil.copytree(where / "15", where / "31")
    shutil.rmtree(where / "20")
    assert resume(copy).finished
    said = capsys.readouterr().err
    assert "checkpoint 31" in said
    assert "it is a copy of checkpoint 15" in said
    assert content(copy) == content(kept)


EDITS = {
    "env": "classic/pendulum",
    "env_options": ["x=1"],
    "reward": "2 * task()",
    "seeds": 3,
    "seed": 1,
    "total_steps": 400,
    "log_every": 4,
    "probes": 3,
    "probe_steps": 16,
    "eval_episodes": 1,
    "checkpoint_every": 7,
    "keep": 9,
    "batching": "vmap",
    "devices": 1,
    "threads": 1,
    "on_nan": "skip",
    "sinks": ["tensorboard"],
    "agent.rate": 0.06,
    "agent.noise": 0.2,
    "agent.size": 6,
    "agent.work": 1,
}


def edit(folder, name, value):
    data = json.loads((folder / store.CONFIG).read_text())
    *path, last = name.split(".")
    place = data
    for part in path:
        place = place[part]
    place[last] = value
    (folder / store.CONFIG).write_text(json.dumps(data))


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("saved", [True, False])
def test_an_edited_configuration_is_refused_by_key(copy, name, saved):
    if not saved:  # killed before the first checkpoint
        shutil.rmtree(copy / store.CHECKPOINTS)
    edit(copy, name, EDITS[name])
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and ".lock" not in p.name}
    if saved:
        assert any(name in sentence for sentence in check(copy))
    with pytest.raises(UsageError) as caught:
        resume(copy)
    if name not in ("env", "env_options"):  # what these made cannot be made
        assert f"{name} was " in str(caught.value)
        assert "--from" in str(caught.value)
    assert before == {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and ".lock" not in p.name}


def test_another_machine_is_warned_of(copy, kept, monkeypatch, capsys):
    here = provenance.machine
    other = {"devices": 7, "threefry_partitionable": "no"}
    monkeypatch.setattr(run, "machine", lambda *given: here(*given) | other)
    shutil.rmtree(copy / store.CHECKPOINTS / "20")
    assert resume(copy).finished
    said = capsys.readouterr().err
    assert "devices was " in said
    assert "and is 7" in said
    assert "threefry_partitionable was" in said
    assert content(copy) == content(kept)


def test_all_starts_are_kept(copy):
    shutil.rmtree(copy / store.CHECKPOINTS / "20")
    resume(copy)
    starts = [line for line in store.read_jsonl(copy / store.TIMINGS) if line["event"] == "start"]
    assert [line["update"] for line in starts] == [0, 15]
    for line in starts:
        assert line["machine"]["jaxlib"]
        assert line["provenance"]["versions"]["jax"]
        assert line["config"]["agent"]["rate"] == 0.05


def flip(path, at, bit=2):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_in_the_log_is_healed_or_named(copy, kept, share, capsys):
    log = copy / store.METRICS
    flip(log, int(share * (log.stat().st_size - 1)))
    assert any(store.METRICS in sentence for sentence in check(copy))
    if share < 0.3:  # before the oldest checkpoint
        with pytest.raises(UsageError, match=r"metrics\.jsonl is not what the run wrote"):
            resume(copy)
        return
    resume(copy)
    assert content(copy) == content(kept)
    assert "passed over" in capsys.readouterr().err
    assert check(copy) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flip_in_any_file_is_named_or_harmless(copy, kept, share):
    """Outside the checkpoints, whose own tests flip every part of them."""
    settings = config.load(kept / store.CONFIG)
    files = [p for p in copy.rglob("*") if p.is_file() and store.CHECKPOINTS not in p.parts]
    files = [p for p in files if p.name != store.LOCK]
    assert len(files) == 8  # config, env, metrics, timings, three recordings, untrained networks
    for file in files:
        data = file.read_bytes()
        flip(file, int(share * len(data)), 3)
        try:
            found = integrity.check_run(copy, config.to_dict(config.load(copy / store.CONFIG)))
        except UsageError as error:
            found = [str(error)]
        harmless = file.name == store.CONFIG and not found and config.load(file) == settings
        late = file.name == store.TIMINGS and not found and share > 0.8  # after the last checkpoint
        assert harmless or late or any(file.name in sentence for sentence in found), file
        file.write_bytes(data)


def test_a_log_that_is_gone_or_short_is_named(copy):
    (copy / store.METRICS).write_bytes((copy / store.METRICS).read_bytes()[:10])
    with pytest.raises(UsageError, match=r"metrics\.jsonl has 10 bytes where"):
        resume(copy)
    (copy / store.METRICS).unlink()
    with pytest.raises(UsageError, match=r"metrics\.jsonl is missing"):
        resume(copy)


@pytest.mark.parametrize("what", ["deleted", "flipped", "half", "empty"])
def test_recordings_that_were_changed_stay_noticed(copy, what, capsys):
    file = copy / store.LATENTS / "00000010.npz"
    if what == "deleted":
        file.unlink()
    elif what == "flipped":
        flip(file, file.stat().st_size // 2)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if what == "half" else b"")
    assert any("00000010.npz" in sentence for sentence in check(copy))
    shutil.rmtree(copy / store.CHECKPOINTS / "20")
    assert resume(copy).finished
    assert "00000010.npz" in capsys.readouterr().err
    assert any("00000010.npz" in sentence for sentence in check(copy))  # also by the new checkpoint


@pytest.mark.parametrize("name", [store.TIMINGS, store.ENV])
def test_damage_to_what_only_reports_read_is_named_and_stays_so(copy, name, capsys):
    flip(copy / name, 40, 0)
    assert any(name in sentence for sentence in check(copy))
    shutil.rmtree(copy / store.CHECKPOINTS / "20")
    assert resume(copy).finished
    assert name in capsys.readouterr().err
    assert any(name in sentence for sentence in check(copy))


def test_recordings_of_updates_that_are_repeated_are_made_again(copy, kept):
    for update in (10, 15, 20):
        shutil.rmtree(copy / store.CHECKPOINTS / str(update))
    (copy / store.LATENTS / "00000015.npz").write_bytes(b"of another schedule")
    assert resume(copy).finished
    assert content(copy) == content(kept)


def test_a_damaged_description_is_named_and_the_next_one_is_used(copy):
    flip(copy / store.CHECKPOINTS / "20" / "meta" / "metadata", 30)
    found = check(copy)
    assert len(found) == 1
    assert "checkpoint 20" in found[0]


@pytest.mark.parametrize("name", ["8.npz", "00000007.npz", "0000000000000020.npz"])
def test_recordings_that_the_run_did_not_make_are_named(copy, name):
    shutil.copy(copy / store.LATENTS / "00000010.npz", copy / store.LATENTS / name)
    assert check(copy) == [f"{copy / store.LATENTS / name} is no recording of this run; remove it"]


def test_lines_behind_the_end_of_a_finished_run_are_named(copy):
    log = copy / store.METRICS
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines, lines[-1]]))
    assert check(copy) == []  # a run that goes on writes lines
    store.write_json(copy / store.DONE, {"update": 20})
    (damage,) = check(copy)
    assert damage.startswith(f"{log} has ")
    assert damage.endswith("there are lines behind its end")
    log.write_bytes(b"".join(lines))
    assert check(copy) == []
    shutil.rmtree(copy / store.CHECKPOINTS)
    (damage,) = check(copy)
    assert "nothing says whether the run wrote these files" in damage


def test_leftovers_go_at_the_next_start(copy, kept):
    shutil.rmtree(copy / store.CHECKPOINTS / "20")
    (copy / ".config.json.123.tmp").write_text("half")
    (copy / store.LATENTS / ".00000020.npz.123.tmp").write_text("half")
    (copy / store.CHECKPOINTS / "20.orbax-checkpoint-tmp").mkdir()
    with open(copy / store.TIMINGS, "a") as file:
        file.write('{"event": "chu')
    assert resume(copy).finished
    assert not list(copy.rglob("*tmp*"))
    assert store.read_jsonl(copy / store.TIMINGS)[-1]["event"] == "done"
    assert content(copy) == content(kept)


def test_all_checkpoints_damaged(copy):
    for update in checkpoint.steps(copy / store.CHECKPOINTS):
        flip(copy / store.CHECKPOINTS / str(update) / "meta" / "metadata", 30)
    with pytest.raises(RlkitError, match="none of the 4 checkpoints"):
        resume(copy)
