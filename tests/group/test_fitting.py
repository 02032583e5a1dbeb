"""Learning from recorded rows: losses against NumPy in float64, passes over the rows, bad rows."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit import group
from rlkit.envs.tokens import TABLE, Words, make_task, sample_prompts, tokenizer_of
from rlkit.errors import UnknownNameError, UsageError
from rlkit.group.fitting import fitter
from rlkit.group.policies import DecoderConfig, decoder, lora, table, with_params
from rlkit.group.policies.registry import small_decoder
from rlkit.group.recorded_batches import next_rows
from rlkit.group.rows import encode_rows, mismatched, read_rows, rows_digest, split_rows
from rlkit.group.trainer_config import RecordedConfig

CONTEXTS, PLACES, LETTERS, BETA = 3, 3, 4, 0.3
TASK = make_task("tokens/preferences", contexts=CONTEXTS, length=PLACES, letters=LETTERS, decisive=1)
DRAW = np.random.default_rng(0)
FIRST, NOW, GUIDE = (DRAW.normal(size=(CONTEXTS, PLACES, LETTERS + CONTEXTS)) for _ in range(3))
ASKED = np.array([0, 0, 1, 2, 1, 2, 0])  # two of one prompt follow each other
CHOSEN, REJECTED = DRAW.integers(0, LETTERS, (2, len(ASKED), PLACES))
REJECTED[:, 0] = (CHOSEN[:, 0] + 1) % LETTERS
LABEL = np.array([True, False, True, True, False, True, False])


def text(tokens):
    return tokenizer_of(TASK).decode(np.atleast_1d(tokens).tolist())


PROMPTS = [text(LETTERS + context) for context in ASKED]
PAIRS = [
    {"prompt": p, "chosen": text(c), "rejected": text(r)}
    for p, c, r in zip(PROMPTS, CHOSEN, REJECTED, strict=True)
]
LABELS = [
    {"prompt": p, "completion": text(c), "label": bool(good)}
    for p, c, good in zip(PROMPTS, CHOSEN, LABEL, strict=True)
]


def policy_of(logits):
    rows = {"logits": jnp.asarray(logits, jnp.float32)[:, :, None]}
    return table(TASK)._replace(init=lambda key: rows)


def log_probs(logits):
    """float64: of each letter by context and place."""
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def of(logits, asked, said):
    """Log-probabilities of tokens, [N, T]."""
    return log_probs(logits)[asked[:, None], np.arange(PLACES), said]


def gradient(logits, asked, said, each):
    """What a loss of token log-probabilities with derivatives ``each [N, T]`` changes in the logits."""
    out, chance = np.zeros_like(logits), np.exp(log_probs(logits))
    for i, context in enumerate(asked):
        for t in range(PLACES):
            one = np.eye(logits.shape[-1])[said[i, t]]
            out[context, t] += each[i, t] * (one - chance[context, t])
    return out


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def stepped(rows, method, **options):
    """Metrics and gradient of a step of all rows, and what is held out (the same rows), from NOW on FIRST."""
    built = fitter(
        rows, policy_of(FIRST), method, RecordedConfig(batch=len(rows), eval_prompts=0), task=TASK,
        held_out=rows[:5], optimiser=lambda config, step: optax.sgd(1.0), **options,
    )  # fmt: skip

    @jax.jit
    def run(now):
        state = built.init(jax.random.key(0))
        state = state._replace(group=state.group._replace(learnt=now))
        after, told = built.step(state)
        return after.group.learnt["logits"], told, built.judge(state, jax.random.key(1), 1)

    now = policy_of(NOW).init(None)
    after, told, judged = run(now)
    return told, np.asarray(now["logits"] - after, np.float64)[:, :, 0], judged


def near(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=3e-4, atol=3e-6)


def test_kto_is_that_of_numpy():
    """TRL's KTO: z0 from mismatched pairs, without gradient, and a weight for each kind."""
    good, bad = 1.3, 0.7
    options = {"desirable": good, "undesirable": bad, "beta": BETA}
    told, found, judged = stepped(LABELS, "kto", options=options)

    def oracle(asked, said, label):
        count = len(asked)
        partner = [
            next(j % count for j in range(i + 1, 2 * count) if asked[j % count] != asked[i])
            for i in range(count)
        ]
        ratio = lambda said: (of(NOW, asked, said) - of(FIRST, asked, said)).sum(-1)
        z0 = max(0.0, ratio(said[partner]).mean())
        sign, weight = np.where(label, 1.0, -1.0), np.where(label, good, bad)
        s = sigmoid(BETA * sign * (ratio(said) - z0))
        each = np.repeat((-weight * sign * BETA * s * (1 - s) / count)[:, None], PLACES, 1)
        reward = BETA * ratio(said)
        told = {
            "loss": (weight * (1 - s)).mean(), "implicit/chosen": reward[label].mean(),
            "implicit/rejected": reward[~label].mean(), "implicit/baseline": BETA * z0,
            "margin": reward[label].mean() - reward[~label].mean(), "preferred": (s > 0.5).mean(),
            "log_prob/chosen": of(NOW, asked, said)[label].sum(-1).mean(),
        }  # fmt: skip
        return told, gradient(NOW, asked, said, each)

    wanted, change = oracle(ASKED, CHOSEN, LABEL)
    assert wanted["implicit/baseline"] > 0.01
    for name, value in wanted.items():
        near(told["loss/policy" if name == "loss" else name], value)
    near(found, change)
    for name, value in oracle(ASKED[:5], CHOSEN[:5], LABEL[:5])[0].items():
        near(judged[f"held_out/{name}"], value)


def test_tgdpo_is_that_of_numpy():
    """DPO with weighed tokens. What is reported is what TRL calls rewards and logps."""
    chosen = np.repeat([True, False], len(ASKED))
    asked, said = np.tile(ASKED, 2), np.concatenate([CHOSEN, REJECTED])
    alpha = 0.5
    options = {"beta": BETA, "alpha": alpha}
    told, found, judged = stepped(
        PAIRS, "tgdpo", options=options, guide=(policy_of(GUIDE), policy_of(GUIDE).init(None))
    )
    ratio = of(NOW, asked, said) - of(FIRST, asked, said)
    sign = np.where(chosen, 1.0, -1.0)[:, None]
    weight = 1 + sign * alpha * BETA * (of(GUIDE, asked, said) - of(FIRST, asked, said))
    each = BETA * (weight * ratio).sum(-1)
    z = each[chosen] - each[~chosen]
    near(told["loss/policy"], -np.log(sigmoid(z)).mean())
    near(judged["held_out/loss"], -np.log(sigmoid(z))[:5].mean())
    outer = np.tile(-(1 - sigmoid(z)) / len(z), 2)[:, None] * sign * BETA * weight
    near(found, gradient(NOW, asked, said, outer))
    near(told["margin"], z.mean())
    near(told["preferred"], (z > 0).mean())
    near(told["implicit/chosen"], each[chosen].mean())
    near(told["implicit/rejected"], each[~chosen].mean())
    near(told["log_prob/rejected"], of(NOW, ASKED, REJECTED).sum(-1).mean())


SUMS = make_task("tokens/modular", base=3)
DEMOS = [
    {"prompt": "1 + 2 =", "completion": "0"},
    {"prompt": "0 + 2 =", "completion": ""},
    {"prompt": "1 + 1 =", "completion": "2"},
    {"prompt": "2 + 2 =", "completion": "1"},
]


def test_demonstrations_are_learnt_token_by_token():
    """The mean over tokens, whatever the completions' lengths and however many pieces there are."""
    words, policy = tokenizer_of(SUMS), table(SUMS, memory=1)
    logits = jax.tree.map(lambda x: jax.random.normal(jax.random.key(3), x.shape), policy.init(None))
    config = RecordedConfig(batch=4, micro_batches=2, eval_prompts=0)
    policy = policy._replace(init=lambda key: logits)
    built = fitter(DEMOS, policy, "sft", config, task=SUMS, held_out=DEMOS[:3])

    @jax.jit
    def run(key):
        state = built.init(key)
        return built.step(state)[1], built.judge(state, key, 1)

    told, judged = run(jax.random.key(0))
    rows = np.zeros((4, 6), np.int32)
    for row, demo in zip(rows, DEMOS, strict=True):
        tokens = words.encode(f"{demo['prompt']} {demo['completion']}")
        row[: len(tokens)] = tokens
    log = np.asarray(jax.nn.log_softmax(policy.logits(logits, jnp.asarray(rows))[0]), np.float64)
    each = []
    for i, demo in enumerate(DEMOS):
        said = [*words.encode(demo["completion"]), words.eos]
        each.append([log[i, 3 + t, token] for t, token in enumerate(said)])
    near(told["loss/policy"], -np.mean([x for row in each for x in row]))
    near(judged["held_out/loss"], -np.mean([x for row in each[:3] for x in row]))


def test_parts_of_a_policy_learn():
    small = decoder(DecoderConfig(tokenizer_of(SUMS).size, 8, width=8, layers=1, heads=2, kv_heads=1))
    built = fitter(DEMOS, lora(small, 2), "sft", RecordedConfig(batch=2), task=SUMS, held_out=0.0)
    assert built.bulk == ("reference", "group.frozen.weights")
    state = jax.eval_shape(built.init, jax.random.key(0))
    base, adapter = (jax.eval_shape(lora(small, 2).init, jax.random.key(0))[x] for x in ("base", "adapter"))
    sizes = lambda tree: sorted(x.shape for x in jax.tree.leaves(tree))
    assert sizes(state.group.frozen) == sizes(base)
    assert sizes(state.group.learnt) == sizes(adapter)


class Shouting(Words):
    """A tokenizer with a template of chats."""

    def chat(self, prompt):
        return f"? {prompt} !"


def test_without_a_task_the_policy_writes_after_the_recorded_prompts():
    words = Shouting(("<end>", "?", "!", "yes", "no", "why", "not"), 0)
    rows = [
        {"question": "why", "good": "not", "completion": "yes yes"},
        {"question": "why not", "good": "yes no why", "completion": "no"},
        {"question": "why", "good": "no", "completion": "yes"},
    ]
    seen = []

    def make(task):
        seen.append(task)
        return small_decoder(task, width=8, layers=1, heads=2, kv_heads=1)

    config = RecordedConfig(batch=2, packed=2, completion_length=2)
    columns = {"prompt": "question", "chosen": "good", "rejected": "completion"}
    options = {"tokenizer": words, "held_out": 0.0, "columns": columns, "chat": True}
    built = fitter(rows, make, "dpo", config, **options)
    assert seen == [built.task]
    spec = built.task.spec
    assert (spec.prompt_length, spec.completion_length, spec.eos, len(spec.vocabulary)) == (4, 2, 0, 7)
    np.testing.assert_array_equal(built.data.prompt, [[1, 5, 2, 0], [1, 5, 6, 2], [1, 5, 2, 0]])
    np.testing.assert_array_equal(built.data.tokens[1], [[3, 4], [4, 0]])
    np.testing.assert_array_equal(built.data.cut, [[False, True], [True, False], [False, False]])
    assert built.judge is None  # nothing is held out, and nothing verifies what is written
    state = jax.eval_shape(built.init, jax.random.key(0))
    assert jax.eval_shape(lambda s: built.record(s, jax.random.key(1), 3), state)["tokens"].shape == (3, 4, 2)
    asked = {tuple(sample_prompts(built.task, jax.random.key(i), 1).tokens[0].tolist()) for i in range(9)}
    assert asked == {(1, 5, 2, 0), (1, 5, 6, 2)}
    assert jax.eval_shape(built.step, state)[1]["margin"].shape == ()


def test_a_policy_begins_with_given_parameters():
    begun = with_params(table(TASK), policy_of(NOW).init(None))
    near(begun.init(None)["logits"][:, :, 0], NOW)
    with pytest.raises(UsageError, match=r"logits has shape \(2,\), expected \(3, 3, 1, 7\)"):
        with_params(table(TASK), {"logits": np.zeros(2)})


def test_a_pass_takes_every_row_once_and_none_that_is_held_out():
    rows = [dict(PAIRS[0], chosen=text([a, b, 0])) for a in range(4) for b in range(4)]
    rows = [row for row in rows if row["chosen"] != row["rejected"]]
    from rlkit.group.fit_binding import recorded_data

    data, train, kept = recorded_data(rows, "pairs", tokenizer_of(TASK), 0.2, {}, False, RecordedConfig())
    assert len(kept) == int(0.2 * len(rows))
    assert sorted([*train, *kept]) == list(range(len(rows)))
    source = functools.partial(_source, data, train, kept)
    take = jax.jit(jax.vmap(functools.partial(next_rows, source(4)), (None, 0)))
    turns = len(train) // 4
    seen, passes = take(jax.random.key(0), jnp.arange(3 * turns))
    for epoch in np.asarray(seen).reshape(3, -1):
        assert len(set(epoch)) == 4 * turns
        assert set(epoch) <= set(train)
    assert not np.array_equal(seen[:turns], seen[turns : 2 * turns])
    np.testing.assert_allclose(passes[turns - 1 :: turns], [1.0, 2.0, 3.0])
    # Two members of an axis share what one would take alone.
    axis = source(2)._replace(axis_name="rows")
    both = jax.vmap(lambda _: next_rows(axis, jax.random.key(0), jnp.int32(1))[0], axis_name="rows")(
        jnp.arange(2)
    )
    np.testing.assert_array_equal(both.reshape(-1), seen[1])
    with pytest.raises(UsageError, match="batch=9 on each of 2 devices"):
        jax.vmap(
            lambda _: next_rows(axis._replace(size=9), jax.random.key(0), jnp.int32(0)), axis_name="rows"
        )(jnp.arange(2))


def _source(data, train, kept, size):
    from rlkit.group.recorded_batches import Source

    return Source(table(TASK), data, train, kept, train, None, True, False, size, 1.0, None)


def test_rows_that_are_the_same_are_on_one_side():
    data = encode_rows(PAIRS * 3, "pairs", tokenizer_of(TASK))
    train, kept = split_rows(data, 0.4)
    assert len(kept) == 6  # two of seven different rows
    assert not {i % 7 for i in train} & {i % 7 for i in kept}


def test_mismatched_rows_have_other_prompts():
    data = encode_rows(LABELS, "labels", tokenizer_of(TASK))
    np.testing.assert_array_equal(mismatched(data, np.arange(7)), [2, 2, 3, 4, 5, 6, 2])
    np.testing.assert_array_equal(mismatched(data, np.array([0, 1, 6])), [1, 6, 0])  # all of one prompt


def test_words_of_tasks_are_read_back():
    for name in TABLE:
        words = tokenizer_of(make_task(name))
        every = [i for i in range(words.size) if i != words.eos]
        assert words.encode(words.decode(every)) == every
    with pytest.raises(UnknownNameError, match="did you mean 'c0'"):
        tokenizer_of(TASK).encode("a C0")


def test_files_of_rows(tmp_path):
    lines, whole = tmp_path / "rows.jsonl", tmp_path / "rows.json"
    lines.write_text("\n".join(json.dumps(row) for row in PAIRS) + "\n\n")
    whole.write_text(json.dumps(PAIRS, indent=1))
    assert read_rows(lines) == read_rows(whole) == PAIRS
    turned = [dict(reversed(row.items())) for row in PAIRS]
    assert rows_digest(turned) == rows_digest(PAIRS) != rows_digest(PAIRS[::-1])
    for content, message in (
        ("{}\n{", "line 2 of .*no JSON"),
        ("[1]", "entry 0 of .* is 1; expected"),
        ("", ""),
    ):
        lines.write_text(content)
        if message:
            with pytest.raises(UsageError, match=message):
                read_rows(lines)
    with pytest.raises(UsageError, match="there is no file"):
        read_rows(tmp_path / "none.jsonl")


def changed(**changes):
    return [*PAIRS[:3], PAIRS[3] | changes, *PAIRS[4:]]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "there are no rows; expected at least one with prompt, chosen, rejected"),
        ("pairs.jsonl", {}, "expected a list of rows"),
        (changed(rejected=None), {}, "row 3 has no rejected"),
        (changed(chosen=[1]), {}, "row 3 has chosen=.*expected text"),
        (changed(rejected=PAIRS[3]["chosen"]), {}, "row 3 has the same chosen and rejected"),
        (PAIRS, {"config": RecordedConfig(batch=2, completion_length=1), "rows_of": "cut"}, "at 1 tokens"),
        (changed(chosen="a zz b"), {}, "row 3: the tokenizer cannot read chosen=.*'zz'"),
        (changed(chosen=" "), {}, "row 3 has an empty chosen"),
        (changed(prompt="c0 c0 c0"), {}, "row 3 has a prompt of 3 tokens.*reads at most 4 in all"),
        (PAIRS, {"method": "grpo"}, "grpo learns from completions that the policy writes.*dpo, ipo, slic"),
        (PAIRS, {"method": "dpoo"}, "did you mean 'dpo'"),
        (PAIRS, {"method": "sft"}, "row 0 has no completion: it has prompt, chosen, rejected"),
        (LABELS, {}, "row 0 has no chosen: it has prompt, completion, label"),
        ([LABELS[0] | {"label": "yes"}], {"method": "kto"}, "row 0 has label='yes'"),
        (PAIRS, {"method": "tgdpo"}, "weighs tokens by a guide"),
        (PAIRS, {"loss": {"betta": 1.0}}, "did you mean 'beta'"),
        (PAIRS, {"options": {"betta": 1.0}}, "did you mean 'beta'"),
        (PAIRS, {"columns": {"promt": "question"}}, "did you mean 'prompt'"),
        (PAIRS, {"columns": {"prompt": "question"}}, "row 0 has no prompt"),
        (PAIRS, {"held_out": 1.0}, "held_out=1.0: expected a share"),
        (PAIRS, {"held_out": 0.1}, "held_out=0.1 of 7 rows keeps none"),
        (PAIRS, {"held_out": 0.9}, "batch=2: 1 rows are left to learn from"),
        (PAIRS, {"held_out": changed(chosen=" ")}, "row 3 of held_out has an empty chosen"),
        (PAIRS, {"config": RecordedConfig(batch=8)}, "batch=8: 7 rows are left"),
        (PAIRS, {"config": RecordedConfig(batch=4, micro_batches=3)}, "multiple of the 3 pieces"),
        (PAIRS, {"config": RecordedConfig(batch=2, packed=2)}, "reads one completion per row"),
        (PAIRS, {"chat": True}, "no template of chats"),
        (PAIRS, {"task": None}, "tokenizer=None, task=None"),
        (PAIRS, {"task": SUMS}, "row 0: the tokenizer cannot read prompt"),
        (PAIRS, {"task": make_task("tokens/calculator")}, "which tokens a tool wrote"),
        (PAIRS, {"policy": table(SUMS)}, "do not fit; take the policy's own"),
    ],
)  # fmt: skip
def test_bad_rows_and_requests_are_told(rows, options, message):
    if options.get("rows_of") == "cut":
        rows = [dict(PAIRS[0], chosen="a b c", rejected="a c b")]
    given = {"method": "dpo", "config": RecordedConfig(batch=2), "task": TASK, "held_out": 0.0} | options
    given.pop("rows_of", None)
    with pytest.raises(UsageError, match=message):
        group.fitter(rows, given.pop("policy", table(TASK)), **given)
