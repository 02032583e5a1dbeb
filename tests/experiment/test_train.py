"""Training in memory: chunks, log points, and what is not finite."""

import os
import signal
import time

import jax
import numpy as np
import pytest
from toy_agent import ToyConfig, same_alone, toy

from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment.runs.checkpoint import state_digest
from rlkit.experiment.runs.logbook import cut_windows, line, number
from rlkit.experiment.train import train
from rlkit.experiment.training.health import NonFiniteError, Sick, idle_seeds, stage
from rlkit.experiment.training.loop import schedule
from rlkit.experiment.training.members import sweep
from rlkit.experiment.training.population import fold_keys

SICK = ("loss", "params", "reward", "obs")


@pytest.fixture(scope="module")
def straight():
    return train(toy(), 23, seeds=2, log_every=4, probes=3, progress=False)


@pytest.mark.bits
@pytest.mark.parametrize("length", [1, 3, 20])
def test_chunk_boundaries_change_nothing(straight, length):
    other = train(toy(), 23, seeds=2, log_every=4, probes=3, progress=False, chunk_length=length)
    assert state_digest(other.state) == state_digest(straight.state)
    assert other.lines == straight.lines


def test_log_points_hold_averages_of_the_updates_since_the_last(straight):
    every = train(toy(), 23, seeds=2, log_every=1, probes=0, progress=False)
    assert list(straight.steps()) == [40, 80, 120, 160, 200, 230]
    loss = every.curve("loss")
    np.testing.assert_allclose(straight.curve("loss")[1], loss[4:8].mean(0), rtol=1e-6)
    np.testing.assert_allclose(straight.curve("loss")[-1], loss[20:].mean(0), rtol=1e-6)
    episodes = every.curve("episode/return")
    assert np.isnan(episodes[::3]).all()
    np.testing.assert_allclose(
        straight.curve("episode/return")[0], np.nanmean(episodes[:4], axis=0), rtol=1e-6
    )
    assert loss[-1].mean() < loss[0].mean()


def test_a_line_summarises_seeds_and_writes_undefined_as_null():
    values = {
        "a": np.array([1.0, 3.0, np.nan]),
        "b": np.array([np.nan] * 3),
        "c": np.array([0.1, np.nan, np.nan]),
    }
    entry = line("train", 2, 20, values)
    assert entry["mean"] == {"a": 2.0, "b": None, "c": 0.1}
    assert entry["std"] == {"a": number(np.sqrt(2.0)), "b": None, "c": None}
    assert entry["seeds"]["a"] == [1.0, 3.0, None]


@pytest.mark.parametrize("value", [0.1, 1e-45, 3.4e38, -0.0, 16777217.0])
def test_numbers_read_back_as_the_same_float32(value):
    assert np.float32(number(np.float32(value))).tobytes() == np.float32(value).tobytes()


def test_windows_do_not_depend_on_how_rows_arrive():
    rows = np.arange(2 * 11 * 1, dtype=np.float32).reshape(2, 11, 1)

    def windows(cuts):
        found, pending, begin = [], rows[:, :0], 0
        for end in (*cuts, 11):
            new, pending = cut_windows(pending, rows[:, begin:end], end, 4, 11)
            found, begin = found + new, end
        assert pending.shape[1] == 0
        return found

    wanted = windows(())
    assert [point for point, _ in wanted] == [4, 8, 11]
    for cuts in ((1,), (4,), (3, 9), tuple(range(1, 11))):
        for (point, a), (other, b) in zip(wanted, windows(cuts), strict=True):
            assert point == other
            np.testing.assert_array_equal(a, b)
    with pytest.raises(UsageError, match="was logging 1 metrics, the program now has 2"):
        cut_windows(rows[:, :1], np.zeros((2, 3, 2), np.float32), 4, 4, 11)


def test_a_schedule_knows_its_stops():
    plan = schedule(100, probes=4, checkpoint_every=30)
    assert plan.probe_at == (0, 25, 50, 75, 100)
    assert plan.stops() == [25, 30, 50, 60, 75, 90, 100]
    assert schedule(3, probes=20).stops() == [1, 2, 3]
    assert schedule(100, probes=0, checkpoint_every=1000).stops() == [100]
    with pytest.raises(ValueError, match="num_updates=0"):
        schedule(0)


def test_probes_and_evaluations_happen_at_their_points():
    seen = []

    def observer(pop):
        def look(state, update):
            seen.append(update)
            return {"x": np.asarray(state.params["x"])}

        return look

    judge = lambda pop: lambda state, update: {"eval/update": np.asarray(state.update)}
    result = train(toy(), 10, seeds=2, probes=2, probe=observer, evaluate=judge, progress=False)
    assert seen == [0, 5, 10]
    assert sorted(result.latents) == [0, 5, 10]
    np.testing.assert_array_equal(result.latents[10]["x"], result.state.params["x"])
    np.testing.assert_array_equal(result.curve("eval/update")[:, 0], [0, 5, 10])
    with pytest.raises(UnknownNameError, match="did you mean 'loss'"):
        result.curve("los")


def test_an_interrupted_training_says_so_and_other_signals_are_left_alone(capsys):
    before, heard = signal.getsignal(signal.SIGTERM), []

    def interrupt(entry):
        # A scheduler's SIGTERM must end the script, or its next lines print what an untrained policy does.
        heard.append(signal.getsignal(signal.SIGTERM))
        if entry["update"] == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the watching thread reads it

    result = train(toy(), 10, seeds=1, log_every=1, probes=0, log=[interrupt], progress=False, chunk_length=1)
    assert not result.finished
    assert result.curve("loss").shape[0] == len(heard) < 10
    assert set(heard) == {before}
    assert "interrupted after" in capsys.readouterr().err


@pytest.mark.bits
@pytest.mark.parametrize("sick", SICK)
def test_stopping_names_update_seed_and_what_went_first(sick):
    agent = toy(config=ToyConfig(sick_at=13, sick=sick, sick_seed=1))
    with pytest.raises(NonFiniteError, match="update 14 of seed 1 is not finite") as caught:
        train(agent, 30, seeds=3, probes=0, progress=False)
    error = caught.value
    first = {
        "loss": "metric loss",
        "params": "state.params['x']",
        "reward": "metric reward",
        "obs": "state.obs, metric loss, state.params",
    }
    assert f"first in {first[sick]}" in str(error)
    assert error.update == 13
    assert np.isfinite(error.state.params["x"]).all()
    later = toy(config=ToyConfig(sick_at=1000, sick=sick, sick_seed=1))
    healthy = train(later, 13, seeds=3, probes=0, progress=False)
    assert state_digest(error.state) == state_digest(healthy.state)


@pytest.mark.parametrize("sick", SICK)
def test_skipping_undoes_one_update_of_one_seed(sick):
    healthy = train(toy(), 30, seeds=3, probes=0, progress=False, on_nan="skip")
    agent = toy(config=ToyConfig(sick_at=13, sick=sick, sick_seed=1, cured=True))
    result = train(agent, 30, seeds=3, probes=0, log_every=1, progress=False, on_nan="skip")
    skipped = result.curve("skipped")
    assert (skipped[13] == [0, 1, 0]).all()
    assert skipped.sum() == 1
    assert list(result.state.update) == [30, 29, 30]
    assert np.isfinite(result.state.params["x"]).all()
    for seed in (0, 2):
        np.testing.assert_allclose(result.state.params["x"][seed], healthy.state.params["x"][seed], rtol=1e-5)


@pytest.mark.bits
@pytest.mark.parametrize("sick", SICK)
def test_rolling_back_repeats_with_other_numbers(sick):
    healthy = train(toy(), 30, seeds=3, probes=0, progress=False)
    agent = toy(config=ToyConfig(sick_at=13, sick=sick, sick_seed=1, cured=True))
    results = [
        train(agent, 30, seeds=3, probes=0, progress=False, on_nan="rollback", chunk_length=length)
        for length in (1, 7)
    ]
    assert state_digest(results[0].state) == state_digest(results[1].state)
    assert results[0].lines == results[1].lines
    assert len(results[0].lines) == 30
    assert list(results[0].state.update) == [30, 30, 30]
    x, wanted = results[0].state.params["x"], healthy.state.params["x"]
    assert np.isfinite(x).all()
    assert np.abs(x[1] - wanted[1]).max() > 1e-3
    for seed in (0, 2):
        np.testing.assert_allclose(x[seed], wanted[seed], rtol=1e-5)


def test_rolling_back_gives_up():
    agent = toy(config=ToyConfig(sick_at=13, sick_seed=1))
    with pytest.raises(NonFiniteError, match="after 3 attempts"):
        train(agent, 30, seeds=3, probes=0, progress=False, on_nan="rollback")


def test_leaves_that_were_never_finite_may_stay_so():
    agent = toy(config=ToyConfig(bests=False))  # `best` starts at infinity and stays there
    result = train(agent, 5, seeds=1, probes=0, progress=False)
    assert np.isinf(result.state.best).all()
    assert result.finished
    assert not np.isnan(result.curve("loss")).any()


@pytest.mark.parametrize("order", [1, -1])
def test_what_went_first_is_told_by_cause_and_not_by_the_alphabet(order):
    names = [
        ".obs_moments.mean",
        "reward/success",
        "episode/return",
        "value/mean",
        "loss/value",
        "loss/entropy",
    ]
    names += ["grad_norm", ".params", ".optimiser[1].mu"]
    metrics = [n for n in names if not n.startswith(".")][::order]
    leaves = [n for n in names if n.startswith(".")][::order]
    said = Sick(3, [0], metrics, leaves, {}).sentence()
    middle = ["metric reward/success", "metric episode/return"][::order]
    first = ", ".join(["state.obs_moments.mean", *middle, "metric value/mean"])
    assert said.endswith(f"first in {first} and 5 more")
    assert [stage(n) for n in names] == sorted(stage(n) for n in names)


def test_skipping_everything_is_told(capsys):
    agent = toy(config=ToyConfig(rate=1e30))
    train(agent, 60, seeds=2, probes=0, progress=False, on_nan="skip")
    said = capsys.readouterr().err
    assert "nothing was learnt: 90 to 100 % of the updates of all seeds were skipped" in said
    lines = [line("train", u, u, {"skipped": np.array([1.0, 0.5, 1.0])}) for u in (1, 2)]
    assert idle_seeds(lines) == [0, 2]
    assert idle_seeds([*lines, line("train", 3, 3, {"skipped": np.array([1.0, 1.0, 0.2])})]) == [0]
    assert idle_seeds([]) == []


def test_unknown_policy_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'rollback'"):
        train(toy(), 3, on_nan="roll-back")


def test_folding_changes_all_keys_and_nothing_else():
    state = toy().init(jax.random.key(0))
    other = fold_keys(state, 1)
    assert (jax.random.key_data(other.key) != jax.random.key_data(state.key)).any()
    np.testing.assert_array_equal(other.params["x"], state.params["x"])


def test_the_words_of_runs_are_those_of_training_from_python():
    heard = []
    agent = toy()
    result = train(agent, total_steps=95, seeds=2, probes=0, progress=False, log=[heard.append])
    assert list(result.state.update) == [10, 10]
    assert heard == result.lines
    with pytest.raises(UsageError, match="expected one of them"):
        train(agent, 3, total_steps=95)
    with pytest.raises(UsageError, match="expected one of them"):
        train(agent)
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        train(agent, 3, log=["tensorbord"])


def test_the_former_word_for_seeds_still_works():
    with pytest.warns(DeprecationWarning, match="is called seeds= now"):
        result = train(toy(), 3, num_seeds=2, probes=0, progress=False)
    assert result.curve("loss").shape[1] == 2


def test_a_sweep_from_python_has_curves_for_each_member():
    members = sweep(toy(), {"agent.rate": [0.02, 0.1]})
    result = train(toy(), 10, seeds=2, members=members, probes=0, log_every=1, progress=False)
    one = train(toy(config=ToyConfig(rate=0.1)), 10, seeds=2, probes=0, log_every=1, progress=False)
    same_alone(one.curve("loss"), result.curve("loss")[:, 2:])
