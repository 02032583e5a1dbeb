"""Runs of recorded rows: folders, resuming to the bit, rows that changed, what is loaded and goes on."""

import json
import shutil

import jax
import numpy as np
import pytest

from rlkit import group
from rlkit.cli import main
from rlkit.envs.tokens import make_task, sample_prompts, tokenizer_of, verify_groups
from rlkit.errors import UsageError
from rlkit.experiment import FitRunConfig, load_group, report
from rlkit.experiment.runs import checkpoint, store
from rlkit.experiment.training import config, run
from rlkit.experiment.training.health import NonFiniteError
from rlkit.group.policies import table, with_params

TASK, OPTIONS = "tokens/preferences", {"contexts": 2, "length": 4, "letters": 4}


def recorded(count, key=0, slope=8.0, **options):
    """Rows of uniform strings, of which Bradley and Terry's model prefers one by their true value."""
    task, one = make_task(TASK, **OPTIONS | options), jax.random.key(key)
    words, prompts = tokenizer_of(task), sample_prompts(task, one, count)
    letters, length = task.spec.vocabulary.index("c0"), task.spec.completion_length
    said = jax.random.randint(jax.random.fold_in(one, 1), (count, 2, length), 0, letters)
    value = verify_groups(task, prompts, said)["value"]
    chance = jax.nn.sigmoid(slope * (value[:, 0] - value[:, 1]))
    first = np.asarray(jax.random.bernoulli(jax.random.fold_in(one, 2), chance))
    texts = [[words.decode(tokens) for tokens in pair] for pair in np.asarray(said).tolist()]
    return [
        {"prompt": words.decode([int(prompt)]), "chosen": pair[int(not a)], "rejected": pair[int(a)]}
        for prompt, pair, a in zip(prompts.tokens[:, 0], texts, first, strict=True)
        if pair[0] != pair[1]
    ]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    settings = FitRunConfig(
        data=str(written(folder / "pairs.jsonl", recorded(60))),
        task=TASK,
        task_options=tuple(f"{name}={value}" for name, value in OPTIONS.items()),
        policy="table",
        loss=("beta=0.2",),
        trainer=group.RecordedConfig(batch=16, learning_rate=0.1, eval_prompts=0),
        updates=8,
        seeds=2,
        probes=2,
        sample_prompts=1,
        checkpoint_every=4,
    )
    assert run.run(settings, folder / "straight", progress=False).finished
    return folder / "straight"


def content(folder):
    update = checkpoint.steps(folder / store.CHECKPOINTS)[-1]
    state = checkpoint.describe(folder / store.CHECKPOINTS, update)["state"]
    return update, state, (folder / store.METRICS).read_bytes()


def cut(straight, folder):
    """A copy of a run that was killed after its fourth update."""
    shutil.copytree(straight, folder)
    (folder / store.DONE).unlink()
    shutil.rmtree(folder / store.CHECKPOINTS / "8")
    return folder


def test_a_run_keeps_its_curves_and_the_digest_of_its_rows(straight):
    settings = config.load(straight / store.CONFIG)
    assert settings.kind == "fit"
    assert settings.digest == group.rows_digest(recorded(60))
    lines = store.read_jsonl(straight / store.METRICS)
    judged = [line for line in lines if line["kind"] == "eval"]
    assert [line["update"] for line in judged] == [0, 4, 8]
    assert {"held_out/loss", "held_out/preferred", "held_out/margin"} <= judged[0]["seeds"].keys()
    np.testing.assert_allclose(judged[0]["seeds"]["held_out/loss"], np.log(2), rtol=1e-5)
    trained = [line for line in lines if line["kind"] == "train"]
    assert trained[-1]["step"] == 8 * 16
    assert trained[-1]["mean"]["margin"] > trained[0]["mean"]["margin"] == 0.0
    losses = np.array([line["seeds"]["loss/policy"] for line in trained])
    assert np.all(losses[0] == losses[0, 0])
    assert losses[1, 0] != losses[1, 1]  # seeds take the rows in another order
    assert not [name for name in trained[0]["seeds"] if name.startswith(("reward/", "frac_"))]
    html = report(straight, straight.parent / "report.html").read_text(encoding="utf-8")
    for text in (
        "held_out/preferred",
        "of what was held out is preferred",
        "beta times the log-ratio",
        "after 8 updates",
    ):
        assert text in html


@pytest.mark.bits
def test_a_run_that_was_cut_off_continues_to_the_bit(straight, tmp_path):
    folder = cut(straight, tmp_path / "cut")
    assert run.resume(folder, progress=False, chunk_length=1).finished
    assert content(folder) == content(straight)


def test_other_rows_are_refused(straight, tmp_path, capsys):
    folder, data = cut(straight, tmp_path / "cut"), straight.parent / "pairs.jsonl"
    rows = recorded(60)
    try:
        written(data, [dict(rows[0], chosen=rows[0]["rejected"], rejected=rows[0]["chosen"]), *rows[1:]])
        with pytest.raises(UsageError, match=r"the rows in .*pairs.jsonl have changed .*start a new run"):
            run.resume(folder, progress=False)
        written(data, [dict(reversed(row.items())) for row in rows])  # the same, written in another way
        assert load_group(straight).update == 8
        data.unlink()
        with pytest.raises(UsageError, match="there is no file"):
            load_group(straight)
    finally:
        written(data, rows)


def test_rows_that_move_to_those_that_judge_are_other_rows(tmp_path):
    rows = recorded(20)
    data, judging = tmp_path / "pairs.jsonl", tmp_path / "held.jsonl"
    settings = FitRunConfig(
        data=str(written(data, rows[:12])), held_out_data=str(written(judging, rows[12:])), task=TASK,
        task_options=tuple(f"{name}={value}" for name, value in OPTIONS.items()), policy="table",
        trainer=group.RecordedConfig(batch=4, eval_prompts=0), updates=1,
    ).settled()  # fmt: skip
    settings.build()
    written(data, rows[:10])
    written(judging, rows[10:])
    with pytest.raises(UsageError, match=r"the rows in .*pairs.jsonl have changed"):
        settings.build()
    settings.replace(digest=group.rows_digest(rows)).build()  # as earlier versions took it


def test_what_was_learned_is_loaded_and_goes_on(straight):
    policy, params, task, *_, settings, update = load_group(straight, seed=1)
    assert (update, settings.preset, task.spec.id) == (8, "dpo", TASK)
    tokens = sample_prompts(task, jax.random.key(0), 2).tokens
    assert policy.logits(params, tokens, None)[0].shape == (2, 1, 6)
    again = settings.replace(
        policy="run", policy_options=(f"folder={straight}", "seed=1"), preset="ipo"
    ).build()
    begun = jax.eval_shape(again.init, jax.random.key(0))
    assert jax.tree.map(jax.numpy.shape, again.policy.init(None)) == jax.tree.map(jax.numpy.shape, params)
    np.testing.assert_array_equal(again.policy.init(None)["logits"], params["logits"])
    assert begun.group.learnt["logits"].shape == params["logits"].shape
    other = settings.replace(policy="run", policy_options=(f"folder={straight}",), task_options=("length=3",))
    with pytest.raises(UsageError, match="it does not fit"):
        other.build()
    tgdpo = settings.replace(preset="tgdpo", guide=str(straight))
    assert tgdpo.settled().guide_update == 8  # the newest of now, also when there will be newer ones
    with pytest.raises(UsageError, match=r"update=5: .* has checkpoints of"):
        tgdpo.replace(guide_update=5).build()
    guided = tgdpo.build()
    assert guided.method.reads == {"chosen": "PG", "guide_log_prob": "PGT"}


def test_the_command_line(straight, tmp_path, capsys):
    source = straight / store.CONFIG
    options = ["--from", str(source), "--folder", str(tmp_path / "a"), "--no-progress", "--no-cache"]
    assert main(["group", "fit", *options, "--trainer.batch", "100"]) == 2
    assert "batch=100: " in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert main(["group", "train", "--from", str(source)]) == 2
    assert "train it with: rlkit group fit --from" in capsys.readouterr().err
    assert main(["group", "fit", "--preset", "dpo"]) == 2
    assert "data='': expected a file of rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer": "smol"}, "did you mean 'smollm2'"),
        ({"columns": ("prompt",)}, "expected key=value"),
        ({"task": ""}, "tokenizer=None, task=None"),
        ({"preset": "rloo"}, "rloo learns from completions that the policy writes"),
        ({"held_out_data": "none.jsonl"}, "there is no file none.jsonl"),
    ],
)
def test_bad_settings(straight, changes, message):
    with pytest.raises(UsageError, match=message):
        config.load(straight / store.CONFIG).replace(digest="", **changes).build()


def learned(rows, method, key=0, seeds=5, **options):
    chosen = {"config": group.RecordedConfig(batch=64, learning_rate=0.05), "updates": 150, "probes": 2}
    task = make_task(TASK)
    return group.fit(
        rows, "table", method, task=task, key=key, seeds=seeds, progress=False, **chosen | options
    )


@pytest.mark.slow
def test_preferences_are_learnt_and_please():
    """Five data sets: what is held out, and the true value that the policy is never told (at best 1)."""
    told = {}
    for key in range(5):
        rows = recorded(1000, key, contexts=4, length=8, letters=6)
        sides = [(row, side) for row in rows for side in ("chosen", "rejected")]
        labels = [{"prompt": r["prompt"], "completion": r[s], "label": s == "chosen"} for r, s in sides]
        for method, data in (("dpo", rows), ("ipo", rows), ("slic", rows), ("kto", labels)):
            found = learned(data, method, key, seeds=1)
            names = ("eval/reward", "held_out/preferred", "held_out/loss", "held_out/margin")
            told.setdefault(method, []).append([found.curve(name)[[0, -1], 0] for name in names])
    for method, each in told.items():
        value, right, loss, margin = np.moveaxis(np.array(each), 1, 0)  # [data set, before and after]
        half = 2.776 * (value[:, 1] - value[:, 0]).std(ddof=1) / 5**0.5  # Student's t of four degrees
        print(f"{method}: value {value.mean(0)}, gain ± {half:.3f}; held out {right.mean(0)}")
        assert (value[:, 1] > value[:, 0] + 0.3).all()
        assert (loss[:, 1] < loss[:, 0]).all()
        assert (margin[:, 1] > 0.0).all()
        if method != "kto":  # which counts completions on the right side of its reference point, not pairs
            assert (right[:, 1] > 0.65).all()


@pytest.mark.slow
def test_what_is_not_finite_is_named():
    with pytest.raises(NonFiniteError, match="not finite"):
        learned(recorded(200, contexts=4, length=8, letters=6), "dpo", seeds=1,
                config=group.RecordedConfig(batch=16, learning_rate=3e38), updates=20, probes=0)  # fmt: skip


@pytest.mark.slow
def test_a_guide_and_a_start_from_demonstrations():
    """SFT on what was chosen, then DPO, and TGDPO guided by it: both are better than what they began with."""
    rows = recorded(1000, contexts=4, length=8, letters=6)
    shown = learned(rows, "sft", columns={"completion": "chosen"}, seeds=1)
    start = shown.population.agent.params(jax.tree.map(lambda x: x[0], shown.state))
    policy = with_params(table(make_task(TASK)), start)
    task, chosen = make_task(TASK), group.RecordedConfig(batch=64, learning_rate=0.05)
    fit = lambda method, **options: group.fit(
        rows, policy, method, 100, task=task, config=chosen, probes=1, progress=False, **options
    )
    liked = fit("dpo")
    guide = policy, liked.population.agent.params(jax.tree.map(lambda x: x[0], liked.state))
    guided = fit("tgdpo", guide=guide)
    values = [x.curve("eval/reward") for x in (shown, liked, guided)]
    print([value[:, 0].tolist() for value in values])
    assert values[0][0, 0] < values[0][-1, 0] < values[1][-1, 0]
    assert values[2][-1, 0] > values[0][-1, 0]
