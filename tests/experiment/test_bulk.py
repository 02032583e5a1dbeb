"""States with a large part that is cheap to lose: in place, out of the way, kept once or not at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stopping import stop_at
from toy_agent import ToyConfig, toy
from toy_ring import CAPACITY, RingConfig, ring

from rlkit.compiling import compiler_options
from rlkit.errors import UnknownNameError
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.runs.checkpoint import state_digest
from rlkit.experiment.train import train
from rlkit.experiment.training import run
from rlkit.experiment.training.health import NonFiniteError
from rlkit.experiment.training.population import population


def stored(state):
    return state.ring.stored


@pytest.mark.parametrize("batching", ["map", "vmap"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_population_advances_in_place(batching, skip, seeds):
    pop = population(
        ring(), seeds, batching=batching, devices=jax.local_devices()[:1], max_chunk=8, skip_nonfinite=skip
    )
    state, born = pop.init(jax.random.key(0)), np.ones(len(pop.leaves), bool)
    advance = pop.advance.lower(state, jnp.int32(1), born).compile(compiler_options())
    size, where = stored(state).nbytes, stored(state).unsafe_buffer_pointer()
    for n in (1, 8):
        state, _, finite = advance(state, np.int32(n), born)
    assert stored(state).unsafe_buffer_pointer() == where
    assert finite.shape == (seeds, len(pop.leaves))
    assert not any("stored" in leaf for leaf in pop.leaves)
    beside = size // seeds if batching == "map" else 0  # the item that is taken out of the stack
    assert advance.memory_analysis().temp_size_in_bytes < beside + 0.2 * size


def test_what_is_skipped_is_written_over():
    sick = train(
        ring(config=RingConfig(sick_at=5, cured=True)),
        12,
        seeds=2,
        on_nan="skip",
        probes=0,
        progress=False,
    )
    assert sick.curve("skipped").sum() == 2
    assert not np.isnan(stored(sick.state)).any()
    np.testing.assert_array_equal(sick.state.ring.cursor, [11, 11])
    assert (np.asarray(stored(sick.state))[:, :11] != 0).all()
    assert (np.asarray(stored(sick.state))[:, 11:] == 0).all()


def test_a_chunk_that_cannot_be_repeated_is_read_from_its_metrics():
    with pytest.raises(NonFiniteError, match=r"update 15 of seeds .*, first in metric loss") as e:
        train(ring(config=RingConfig(sick_at=14)), 20, seeds=2, probes=0, progress=False)
    assert "without its ring.stored" in str(e.value)
    assert e.value.state is None
    with pytest.raises(NonFiniteError) as e:
        train(ring(config=RingConfig(sick_at=1)), 20, seeds=2, probes=0, progress=False)
    assert "without" not in str(e.value)  # nothing was saved yet: it was repeated from the start
    assert int(e.value.state.update[0]) == 1


def test_rolling_back_keeps_it():
    agent = ring(config=RingConfig(sick_at=14, cured=True))
    found = train(agent, 20, seeds=2, on_nan="rollback", probes=0, progress=False)
    assert found.finished
    np.testing.assert_array_equal(found.state.ring.cursor, [20, 20])
    assert (np.asarray(stored(found.state))[:, :20] != 0).all()


def folders(path):
    return {int(p.parent.name) for p in (path / store.CHECKPOINTS).glob("*/bulk")}


@pytest.fixture
def straight(ringed, tmp_path):
    return run.run(ringed, tmp_path / "straight", progress=False).folder


@pytest.fixture
def ringed(settings):
    return settings.replace(agent=RingConfig(), total_steps=20, checkpoint_every=5)


def last(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    meta = checkpoint.describe(folder / store.CHECKPOINTS, update)
    return update, meta["state"], meta["bulk"]


def test_the_newest_checkpoint_alone_keeps_it_and_resumes_to_the_bit(
    ringed, straight, tmp_path, monkeypatch, capsys
):
    assert folders(straight) == {20}
    assert checkpoint.steps(straight / store.CHECKPOINTS) == [5, 10, 15, 20]
    stop_at(monkeypatch, 12)
    folder = run.run(ringed, tmp_path / "stopped", progress=False, chunk_length=1).folder
    assert folders(folder) == {12}
    assert run.resume(folder, progress=False).finished
    assert last(folder) == last(straight)
    assert "begins anew" not in capsys.readouterr().err


@pytest.mark.parametrize("how", ["forget", "damage"])
def test_without_it_a_run_goes_on_with_an_empty_one_and_says_so(
    ringed, straight, tmp_path, monkeypatch, capsys, how
):
    stop_at(monkeypatch, 12)
    chosen = ringed.replace(buffer="forget") if how == "forget" else ringed
    folder = run.run(chosen, tmp_path / "stopped", progress=False, chunk_length=1).folder
    assert folders(folder) == (set() if how == "forget" else {12})
    if how == "damage":
        for file in (folder / store.CHECKPOINTS / "12" / "bulk").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:-1])
    assert run.resume(folder, progress=False).finished
    assert "checkpoint 12 is without its ring, which begins anew" in capsys.readouterr().err
    assert last(folder)[1] != last(straight)[1]
    pop = population(ring(), 2)
    template = jax.eval_shape(pop.init, jax.random.key(0))
    found = checkpoint.restore(folder / store.CHECKPOINTS, template, pytest.fail)
    np.testing.assert_array_equal(found.state.ring.cursor, [8, 8])
    assert stored(found.state).shape == (2, CAPACITY)


def test_a_field_that_is_not_there_is_named():
    with pytest.raises(UnknownNameError, match=r"ring\.stord"):
        population(ring()._replace(bulk=("ring.stord",)), 1)
    assert population(toy(None, ToyConfig()), 1).leaves  # nothing is bulk
    assert state_digest(ring().init(jax.random.key(0))) == state_digest(ring().init(jax.random.key(0)))
