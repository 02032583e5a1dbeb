"""What a run learned, back in Python and on the command line."""

import jax
import numpy as np
import pytest
from PIL import Image

from rlkit import cli
from rlkit.agents import PPOConfig, evaluate
from rlkit.errors import UsageError
from rlkit.experiment.reports import animation
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
