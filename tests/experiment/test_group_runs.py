"""Runs of group trainers: folders, resuming to the bit, faults, reports, four devices."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import environment

from rlkit import group
from rlkit.cli import main
from rlkit.envs.tokens import sample_prompts
from rlkit.errors import UnknownNameError, UsageError
from rlkit.experiment import GroupRunConfig, analyze, compare, load, load_group, report
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config, run
from rlkit.experiment.training.health import NonFiniteError
from rlkit.group.judging import RewardError
from rlkit.group.policies import write

SETTINGS = GroupRunConfig(
    task="tokens/modular",
    task_options=("base=3",),
    policy="table",
    preset="pipo",
    weights=("correct=1", "format=0.5"),
    trainer=group.GroupConfig(prompts=8, group_size=4, learning_rate=0.1, eval_samples=4),
    updates=12,
    seeds=2,
    probes=2,
    eval_prompts=8,
    sample_prompts=2,
    checkpoint_every=4,
)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group") / "straight"
    assert run.run(SETTINGS, folder, progress=False).finished
    return folder


def content(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    state = checkpoint.describe(folder / store.CHECKPOINTS, update)["state"]
    kept = {path.name: path.read_bytes() for path in sorted((folder / store.LATENTS).glob("*.npz"))}
    return update, state, (folder / store.METRICS).read_bytes(), kept


def test_settings_travel_through_json(straight):
    assert config.load(straight / store.CONFIG) == SETTINGS
    data = json.loads((straight / store.CONFIG).read_text())
    assert data["kind"] == "group"
    assert data["trainer"]["group_size"] == 4


def test_a_run_keeps_curves_and_completions(straight):
    lines = store.read_jsonl(straight / store.METRICS)
    judged = [line for line in lines if line["kind"] == "eval"]
    assert [line["update"] for line in judged] == [0, 6, 12]
    assert {"eval/success", "eval/pass@4", "eval/maj@2", "eval/greedy"} <= judged[0]["seeds"].keys()
    trained = [line for line in lines if line["kind"] == "train"]
    assert trained[-1]["step"] == 12 * 8 * 4
    assert all(0 <= x <= 1 for x in trained[-1]["seeds"]["frac_zero_std"])
    arrays = store.read_arrays(straight / store.LATENTS / "00000012.npz")
    assert arrays["tokens"].shape == (2, 2, 4, 2)
    np.testing.assert_array_equal(arrays["reward/correct"] <= arrays["reward/format"], True)


@pytest.mark.bits
def test_a_run_that_was_cut_off_continues_to_the_bit(straight, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(straight, folder)
    (folder / store.DONE).unlink()
    for update in (8, 12):
        shutil.rmtree(folder / store.CHECKPOINTS / str(update))
    assert run.resume(folder, progress=False, chunk_length=1).finished
    assert content(folder) == content(straight)


def test_reports(straight, tmp_path):
    html = report(straight, tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("frac_zero_std", "eval/success", "after 12 updates", "loss of 0 is then no fault", "<svg"):
        assert text in html
    prompts = store.read_arrays(straight / store.LATENTS / "00000012.npz")["prompt"][0]
    for a, _, b, _ in prompts.tolist():
        assert f"{a - 1} + {b - 1} =" in html
    both = compare([straight, straight], tmp_path / "both.html").read_text(encoding="utf-8")
    assert both.count("eval/greedy") >= 2


def test_what_was_learned_is_loaded_and_writes(straight):
    policy, params, task, trainer, state, settings, update = load_group(straight, seed=1)
    assert (update, settings, task.spec.id) == (12, SETTINGS, "tokens/modular")
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(params))  # that a policy can index
    prompts = sample_prompts(task, jax.random.key(0), 4)
    keys, length = jax.random.split(jax.random.key(1), 4), task.spec.completion_length
    write_some = jax.jit(lambda params: write(policy, params, prompts, keys, group=3, length=length))
    written = write_some(params)
    assert written.tokens.shape == (4, 3, length)
    # What the driver judged last is what these parameters do.
    found = jax.jit(lambda s: trainer.judge(s, jax.random.key(2), 64))(state)
    last = [line for line in store.read_jsonl(straight / store.METRICS) if line["kind"] == "eval"][-1]
    assert abs(float(found["eval/success"]) - last["seeds"]["eval/success"][1]) < 0.25
    begun = load_group(straight, seed=0, update=4).params
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(begun), jax.tree.leaves(params), strict=True))
    with pytest.raises(UsageError, match="seed=2: the run has seeds 0 to 1"):
        load_group(straight, seed=2)
    with pytest.raises(UsageError, match="update=5: "):
        load_group(straight, update=5)


def test_what_is_of_agents_is_refused(straight):
    with pytest.raises(UsageError, match="records no latents"):
        analyze(straight)
    with pytest.raises(UsageError, match="has no agent"):
        load(straight, 0)
    assert main(["train", "--from", str(straight / store.CONFIG)]) == 2


def test_the_command_line(straight, tmp_path, capsys):
    options = ["--from", str(straight / store.CONFIG), "--folder", str(tmp_path / "a"), "--updates", "4"]
    assert main(["group", "train", *options, "--no-progress", "--no-cache"]) == 0
    assert checkpoint.steps(tmp_path / "a" / store.CHECKPOINTS)[-1] == 4
    capsys.readouterr()
    for command, word in (("presets", "dr_grpo"), ("tasks", "tokens/sorting"), ("policies", "smollm2")):
        assert main(["group", command]) == 0
        assert word in capsys.readouterr().out
    assert main(["group", "metrics"]) == 0
    assert "teach nothing" in capsys.readouterr().out
    assert main(["group", "trian"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "tokens/modula"}, "did you mean 'tokens/modular'"),
        ({"policy": "tabel"}, "did you mean 'table'"),
        ({"preset": "grp"}, "did you mean 'grpo'"),
        ({"loss": ("clip_hi=0.3",)}, "did you mean 'clip_high'"),
        ({"weights": ("correct",)}, "expected key=value"),
        ({"weights": ("correct=much",)}, "expected a number"),
        ({"rewards": ("no_such_module:fn",)}, "no module"),
        ({"task_options": ("bass=3",)}, "did you mean 'base'"),
        ({"policy_options": ("memory=9",), "task": "tokens/preferences", "task_options": ()}, "50 million"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        SETTINGS.replace(**changes).build()


def trained(**options):
    chosen = {"config": SETTINGS.trainer, "updates": 3, "probes": 0, "progress": False} | options
    return group.train(SETTINGS.build().task, "table", "grpo", **chosen)


def test_rewards_that_are_not_finite_are_named():
    nothing = group.on_device(lambda prompt, tokens: np.nan, "nothing")
    with pytest.raises(NonFiniteError, match=r"update 1 .*reward/.*no reward function applies"):
        trained(rewards=[nothing])


def test_reward_functions_that_fail_are_named():
    def picky(completions, **columns):
        raise ValueError("no such answer")

    with pytest.raises(RewardError, match=r"'picky' failed: ValueError: no such answer"):
        trained(rewards=[picky])


def test_learning_from_python():
    def words(completions, **columns):
        return [float(len(text.split())) for text in completions]

    found = trained(rewards=[words], updates=30, samples=2, probes=1, eval_prompts=0)
    curve = found.curve("reward/words/mean")[:, 0]
    assert curve[-5:].mean() > curve[:5].mean() + 0.2
    assert found.latents[30]["tokens"].shape == (1, 2, 4, 2)


@pytest.mark.slow
def test_four_devices_do_what_one_does():
    command = [sys.executable, str(Path(__file__).resolve().parent / "group_devices.py")]
    done = subprocess.run(command, env=environment(4), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["devices"] == 4
    assert found["collected"]
    assert max(found["methods"].values()) < 1e-5, found  # sums in another order
    assert max(found["fitted"].values()) < 1e-5, found
    assert found["trained"]["params"] < 1e-3, found  # by Adam, which divides gradients of 0 by themselves
    assert found["trained"]["success"] < 1e-6, found
