"""What a run learned, back in Python and on the command line."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from rlkit import cli
from rlkit.agents import PPOConfig, evaluate
from rlkit.errors import UsageError
from rlkit.experiment.reports import animation
from rlkit.experiment.runs import store
from rlkit.experiment.training import loading, run
from rlkit.experiment.training.config import TrainConfig

TINY = PPOConfig(num_envs=2, num_steps=16, minibatches=2, epochs=1, sizes=(4,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    settings = TrainConfig(
        env="classic/pendulum", agent=TINY, seeds=2, total_steps=96, probes=1, probe_steps=0,
        eval_episodes=2, sweep=("agent.learning-rate=1e-3,1e-2",),
    )  # fmt: skip
    return run.run(settings, tmp_path_factory.mktemp("loading") / "a", progress=False).folder


def test_the_policy_is_the_one_that_was_judged(folder):
    every = loading.load(folder)
    assert every.update == 3
    assert jax.tree.leaves(every.state)[0].shape[0] == 4
    one = loading.load(folder, seed=1, member=1)
    for all_rows, mine in zip(jax.tree.leaves(every.policy), jax.tree.leaves(one.policy), strict=True):
        np.testing.assert_array_equal(all_rows[3], mine)
    np.testing.assert_allclose(one.state.config.learning_rate, 1e-2, rtol=1e-6)
    _, metrics = jax.jit(one.agent.step)(one.state)
    assert np.isfinite(metrics["loss/value"])
    outcome = evaluate(one.agent, one.policy, jax.random.key(0), 2)
    assert outcome.length.shape == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": 2}, "seeds 0 to 1"), ({"member": 2}, "members 0 to 1"), ({"update": 7}, "checkpoints of")],
)
def test_what_is_not_there_is_said(folder, options, message):
    with pytest.raises(UsageError, match=message):
        loading.load(folder, **options)


def test_episodes_are_drawn(folder, tmp_path, capsys):
    out = tmp_path / "swing.gif"
    assert cli.main(["render", str(folder), "--size", "32", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as picture:
        assert picture.n_frames > 10
        assert picture.size == (32, 32)
    assert cli.main(["render", str(folder), "--out", str(out)]) == 2
    assert "name another file" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"\.gif or \.mp4"):
        animation.save([np.zeros((8, 8, 3), np.uint8)], tmp_path / "a.png")


def test_policies_are_exported(folder, tmp_path):
    out = tmp_path / "policy"
    assert cli.main(["export", str(folder), "--seed", "0", "--out", str(out)]) == 0
    assert (out / "act.stablehlo").stat().st_size > 1000


def _copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_the_best_seed_is_that_of_the_member_that_is_named(folder, tmp_path):
    copy = _copied(folder, tmp_path)
    seeds = {"eval/success": [0, 0, 0, 0], "eval/return": [-3.0, -1.0, None, -2.0]}
    store.append_jsonl(copy / store.METRICS, {"kind": "eval", "update": 3, "seeds": seeds})
    assert loading.best_seed(copy) == (0, 1)
    assert [loading.best_seed(copy, member) for member in (0, 1)] == [(0, 1), (1, 1)]
    with pytest.raises(UsageError, match=r"member=9: the run has members 0 to 1"):
        loading.best_seed(copy, 9)


@pytest.mark.parametrize(
    "seeds", [None, [1], {}, {"eval/return": [1]}, {"eval/success": [[1]], "eval/return": [1, 2, 3, 4]},
              {"eval/success": [0] * 5, "eval/return": [0] * 5}, {"eval/success": [], "eval/return": []},
              {"eval/success": ["x"] * 4, "eval/return": [0] * 4}],
)  # fmt: skip
def test_an_evaluation_that_is_damaged_judges_nobody(folder, tmp_path, seeds):
    copy = _copied(folder, tmp_path)
    store.append_jsonl(copy / store.METRICS, {"kind": "eval", "update": 3, "seeds": seeds})
    if seeds == {}:
        assert loading.best_seed(copy) == (0, 0)
        return
    with pytest.raises(UsageError, match=r"the last evaluation in .* is not of 4 seeds"):
        loading.best_seed(copy)


def test_weights_are_not_loaded_into_another_network(folder, tmp_path):
    copy = _copied(folder, tmp_path)
    config = (copy / store.CONFIG).read_text()
    (copy / store.CONFIG).write_text(config.replace('"tanh"', '"relu"'))
    with pytest.raises(UsageError, match=r"is not what the run was started with: agent\.activation was"):
        loading.load(copy)


def test_a_run_does_not_go_on_with_another_reward(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reward = tmp_path / "x.reward"
    reward.write_text("1.0 * survival()")
    settings = TrainConfig(
        env="classic/pendulum", agent=TINY, seeds=1, total_steps=96, probes=0, reward="x.reward",
        checkpoint_every=1,
    )  # fmt: skip
    folder = run.run(settings, tmp_path / "a", progress=False).folder
    (folder / store.DONE).unlink()
    shutil.rmtree(folder / store.CHECKPOINTS / "3")
    monkeypatch.chdir("/")  # the file is found from anywhere
    reward.write_text("-5.0 * survival()")
    with pytest.raises(UsageError, match=r"has changed since checkpoint 2: content of .*x\.reward was"):
        run.resume(folder, progress=False)
    reward.write_text("1.0 * survival()")
    assert run.resume(folder, progress=False).finished


def test_lists_of_agents_and_rewards(capsys):
    assert cli.main(["agents"]) == 0
    assert "soft actor-critic" in capsys.readouterr().out
    assert cli.main(["agents", "ppo"]) == 0
    assert "gae_lambda" in capsys.readouterr().out
    assert cli.main(["rewards"]) == 0
    assert "potential_shaping" in capsys.readouterr().out
    assert cli.main(["rewards", "progress"]) == 0
    assert "feature" in capsys.readouterr().out
    assert cli.main(["rewards", "progres"]) == 2
    assert "did you mean 'progress'" in capsys.readouterr().err
