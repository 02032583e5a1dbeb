"""The trainer: how a gradient is made does not change it; rewards, parts that learn, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from processes import tolerance

from rlkit import group
from rlkit.envs.tokens import make_task
from rlkit.errors import UnknownNameError, UsageError
from rlkit.group.evaluation import majority_at_k, pass_at_k
from rlkit.group.judging import from_text, on_device
from rlkit.group.policies import DecoderConfig, decoder, lora, table, train_only
from rlkit.group.training import GroupConfig, trainer

TASK = make_task("tokens/modular", base=3)
WEIGHTS = {"correct": 1.0, "format": 0.5}
SMALL = GroupConfig(prompts=8, group_size=4, learning_rate=0.1)


def sgd(config, step):
    """Gradients as changes, so that two trainings can be compared by their parameters."""
    return optax.sgd(1.0)


@functools.cache
def stepped(**changes):
    """A state after one update and the update's metrics."""
    method = changes.pop("method", "grpo")
    options = changes.pop("options", ())
    built = trainer(
        TASK,
        tilted(),
        method,
        SMALL.replace(**changes),
        optimiser=sgd,
        options=dict(options),
        weights=WEIGHTS,
    )
    return jax.jit(built.step)(built.init(jax.random.key(0)))


@functools.cache
def tilted():
    policy = table(TASK, memory=1)
    rows = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(7), x.shape).at[:, 1, :, 0].add(2.0),
        policy.init(jax.random.key(0)),
    )
    return policy._replace(init=lambda key: rows)


def changes_of(state):
    return np.asarray(state.learnt["logits"] - tilted().init(None)["logits"])


# That the losses of all methods add up is a property of presets, tested there; here it is training.
@pytest.mark.parametrize(
    "method",
    ["grpo", "reinforce_pp", *(pytest.param(m, marks=pytest.mark.slow) for m in ("dapo", "dr_grpo", "gspo"))],
)
def test_accumulated_gradients_are_the_gradient(method):
    whole, told = stepped(method=method)
    pieces, told_too = stepped(method=method, micro_batches=4)
    assert np.abs(changes_of(whole)).max() > 1e-3
    np.testing.assert_allclose(changes_of(pieces), changes_of(whole), atol=1e-6)
    for name in told:
        np.testing.assert_allclose(told_too[name], told[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_completions_written_in_pieces_are_the_same():
    whole, told = stepped()
    pieces, told_too = stepped(rollout_batches=4)
    np.testing.assert_allclose(changes_of(pieces), changes_of(whole), atol=1e-6)
    assert float(told["reward/mean"]) == float(told_too["reward/mean"])


def test_the_gradient_is_that_of_plain_numpy():
    """GRPO on the table by hand: softmax gradients of each token, weighed by (r - mean) / std / length."""
    built = trainer(TASK, tilted(), "grpo", SMALL, optimiser=sgd, weights=WEIGHTS)
    state = built.init(jax.random.key(0))
    _, batch, _ = jax.jit(built.collect)(state)
    after, _ = jax.jit(built.learn)(state, batch)
    logits = np.asarray(state.learnt["logits"], np.float64)
    grad = np.zeros_like(logits)
    prompts = {tuple(row): i for i, row in enumerate(np.asarray(TASK.every().tokens).tolist())}
    tokens, mask = np.asarray(batch.tokens), np.asarray(batch.mask)
    reward = np.asarray(batch.rewards["correct"] + 0.5 * batch.rewards["format"], np.float64)
    size = reward.size
    for p in range(8):
        which = prompts[tuple(np.asarray(batch.prompt[p]).tolist())]
        std = reward[p].std(ddof=1)
        advantage = (reward[p] - reward[p].mean()) / (std + 1e-6) if std > 0 else np.zeros(4)
        for g in range(4):
            for t in range(2):
                if not mask[p, g, t]:
                    continue
                context = 0 if t == 0 else tokens[p, g, 0] + 1
                row = logits[which, t, context]
                q = np.exp(row - row.max())
                q /= q.sum()
                one = np.eye(len(q))[tokens[p, g, t]]
                grad[which, t, context] += advantage[g] * (one - q) / mask[p, g].sum() / size
    assert np.abs(grad).max() > 1e-3
    np.testing.assert_allclose(changes_of(after), grad, atol=2e-4 * np.abs(grad).max())


def test_several_passes_and_minibatches():
    state, told = stepped(iterations=2, minibatches=2)
    assert int(state.steps) == 4
    assert int(state.update) == 1
    assert float(told["approx_kl"]) > 0
    assert float(told["ratio/max"]) > 1.0


def test_all_masked_is_finite_and_changes_nothing():
    config = SMALL.replace(completion_length=1, mask_truncated=True)  # no completion can end within one token
    policy = table(TASK)
    rows = jax.tree.map(lambda x: x.at[..., 0].set(-50.0), policy.init(jax.random.key(0)))
    built = trainer(TASK, policy._replace(init=lambda key: rows), "grpo", config, optimiser=sgd)
    before = built.init(jax.random.key(0))
    after, told = jax.jit(built.step)(before)
    np.testing.assert_array_equal(after.learnt["logits"], before.learnt["logits"])
    assert float(told["frac_truncated"]) == 1.0
    assert all(np.isfinite(float(value)) for name, value in told.items() if name != "length/ended")


def test_without_a_token_that_counts_momentum_and_decay_rest():
    built = trainer(TASK, tilted(), "grpo", SMALL.replace(weight_decay=0.1), weights=WEIGHTS)
    state, batch, _ = jax.jit(built.collect)(built.init(jax.random.key(0)))
    learn = jax.jit(built.learn)
    state, _ = learn(state, batch)
    after, _ = learn(state, batch._replace(mask=jnp.zeros_like(batch.mask)))
    assert int(state.steps) == int(after.steps) == 1
    jax.tree.map(np.testing.assert_array_equal, after.learnt, state.learnt)
    jax.tree.map(np.testing.assert_array_equal, after.optimiser, state.optimiser)


def test_dynamic_sampling_replaces_groups_that_say_nothing():
    _, told = stepped()
    _, told_too = stepped(dynamic_sampling=8)
    assert float(told["frac_zero_std"]) > 0.2
    assert float(told_too["frac_zero_std"]) == 0.0
    assert 1 <= float(told_too["sampling/rounds"]) <= 8


def test_overlong_completions_cost():
    built = trainer(TASK, tilted(), "grpo", SMALL.replace(overlong_buffer=1))
    _, batch, _ = jax.jit(built.collect)(built.init(jax.random.key(0)))
    # T = 2, buffer 1: one token costs nothing, two tokens 1.
    np.testing.assert_allclose(batch.rewards["overlong"], -(np.asarray(batch.mask).sum(-1) - 1.0))


def test_a_reference_and_its_renewal():
    options = (("kl_coef", 0.1),)
    state, told = stepped(options=options)
    assert abs(float(told["kl"])) < 1e-6
    np.testing.assert_array_equal(state.reference["logits"], tilted().init(None)["logits"])
    state, _ = stepped(options=options, reference_every=1)
    np.testing.assert_array_equal(state.reference["logits"], state.learnt["logits"])


def numbers(completions, truth, **columns):
    """As one would write it for TRL."""
    return [None if not said else float(len(said.split())) + 0 * t for said, t in zip(completions, truth)]  # noqa: B905


async def slow(prompts, completions, completion_ids):
    return [0.25 * len(ids) for ids in completion_ids]


def test_reward_functions_of_texts():
    rows = [{"prompt": "1", "truth": 4.0}]
    task = TASK._replace(rows=rows, prompt=lambda key, part: with_row(TASK.prompt(key, part)))
    rewards = [
        from_text(numbers, task),
        from_text(slow, task),
        on_device(lambda prompt, tokens: tokens[0] == 1, "first"),
    ]
    built = trainer(
        task, tilted(), "grpo", SMALL, rewards=rewards, weights={"numbers": 1.0, "slow": 2.0, "correct": 0.5}
    )
    _, batch, _ = jax.jit(built.collect)(built.init(jax.random.key(0)))
    tokens, mask = np.asarray(batch.tokens), np.asarray(batch.mask)
    words = (tokens != 0).sum(-1)
    np.testing.assert_allclose(batch.rewards["numbers"], np.where(words, words, np.nan))
    np.testing.assert_allclose(batch.rewards["slow"], 0.25 * mask.sum(-1))
    np.testing.assert_allclose(batch.extras["first"], tokens[..., 0] == 1)
    assert set(batch.rewards) == {"numbers", "slow", "correct"}
    _, told = jax.jit(built.step)(built.init(jax.random.key(0)))
    assert float(told["reward/numbers/missing"]) == pytest.approx((words == 0).mean())


def with_row(prompt):
    return prompt._replace(columns=prompt.columns | {"row": jnp.int32(0)})


def test_faults_of_reward_functions_are_named():
    def broken(completions):
        raise KeyError("gold")

    def infinite(completions):
        return [float("inf")] * len(completions)

    def short(completions):
        return [1.0]

    def silent(completions):
        return None

    faults = ((broken, "KeyError"), (infinite, "is infinite"), (short, "1 rewards for 32"),
              (silent, "it gave None; expected a list"))  # fmt: skip
    for fn, message in faults:
        judge = from_text(fn, TASK)
        built = trainer(TASK, tilted(), "grpo", SMALL, rewards=[judge])
        with pytest.raises(jax.errors.JaxRuntimeError):
            jax.block_until_ready(jax.jit(built.collect)(built.init(jax.random.key(0))))
        assert fn.__name__ in str(judge.failure())
        assert message in str(judge.failure())


def test_lora_begins_as_the_policy_and_leaves_it_alone():
    policy = decoder(DecoderConfig(vocabulary=6, context=8, width=16, layers=2, heads=2, kv_heads=1))
    adapted = lora(policy, rank=2, targets=("query", "up"))
    params = adapted.init(jax.random.key(0))
    assert sorted(params["adapter"]) == ["blocks.attention.query.kernel", "blocks.up.kernel"]
    tokens = jax.random.randint(jax.random.key(1), (2, 6), 0, 6)
    np.testing.assert_array_equal(policy.logits(params["base"], tokens)[0], adapted.logits(params, tokens)[0])
    built = trainer(TASK, adapted, "grpo", SMALL.replace(overlong_buffer=1))
    before = built.init(jax.random.key(0))
    assert built.bulk == ("frozen.weights",)
    after, told = jax.jit(built.step)(before)
    jax.tree.map(np.testing.assert_array_equal, after.frozen, before.frozen)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), after.learnt, before.learnt)
    assert float(told["grad_norm"]) > 0
    assert all(value > 0 for name, value in jax.tree.leaves_with_path(moved) if "up" in str(name[-1]))
    assert len(jax.tree.leaves(after.optimiser)) < 2 * len(jax.tree.leaves(before.frozen)) + 8
    only = train_only(policy, "norm")
    assert sum(jax.tree.leaves(only.trainable(policy.init(jax.random.key(0))))) == 1
    with pytest.raises(UnknownNameError, match="did you mean 'query'"):
        lora(policy, targets=("querry",))


def test_pass_and_majority_at_k():
    solved = jnp.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0.0]])
    np.testing.assert_allclose(pass_at_k(solved, 1), solved.mean(1))
    np.testing.assert_allclose(pass_at_k(solved, 2), [1 - 3 / 6, 1.0, 0.0])  # C(3, 2) / C(4, 2)
    np.testing.assert_allclose(pass_at_k(solved, 4), [1, 1, 0])
    answer = jnp.array([[3, 5, 5, 1], [2, 2, 2, 0], [-1, -1, -1, 4]])
    np.testing.assert_allclose(majority_at_k(answer, solved, 4), [0, 1, 0])
    np.testing.assert_allclose(majority_at_k(answer, solved, 1), [1, 1, 0])
    with pytest.raises(UsageError, match="k=5"):
        pass_at_k(solved, 5)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("tokens/brackets", "rgr_grpo"),
        ("tokens/series", "time_master"),
        ("tokens/calls", "tool_rl"),
        ("tokens/calculator", "ftrl"),
        ("tokens/calculator", "crf"),
        ("tokens/views", "co_reward"),
        ("tokens/modular", "scope"),
        ("tokens/modular", "pipo"),
        ("tokens/preferences", "dpo"),
    ],
)
def test_methods_find_what_they_read(name, method):
    """By shapes alone: every task offers what the papers on it read."""
    task = make_task(name)
    spec = task.spec
    policy = decoder(
        DecoderConfig(len(spec.vocabulary), spec.prompt_length + spec.completion_length, 8, 1, 1, 1)
    )
    built = trainer(task, policy, method, SMALL.replace(group_size=8))
    state = jax.eval_shape(built.init, jax.random.key(0))
    after, told = jax.eval_shape(built.step, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert "reward/mean" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": SMALL.replace(group_size=1)}, "G=1 completions a prompt"),
        ({"config": SMALL.replace(micro_batches=3)}, "multiple of the 3 pieces of micro_batches"),
        ({"config": SMALL.replace(completion_length=9)}, "reads at most 6 in all"),
        ({"method": "grp"}, "did you mean 'grpo'"),
        ({"method": "r1_reward"}, "consistency"),
        ({"weights": {"corect": 1.0}}, "did you mean 'correct'"),
        ({"options": {"kl": 1}}, "kl"),
        ({"method": "ftrl", "weights": {"correct": 1.0}}, "takes no weights"),
        ({"rewards": [len]}, "use from_text or on_device"),
        ({"rewards": [on_device(lambda p, t: 0.0, "correct")]}, "two rewards are called 'correct'"),
        ({"policy": decoder(DecoderConfig(vocabulary=7))}, "knows 7 tokens"),
        ({"task": make_task("tokens/views"), "config": SMALL.replace(prompts=7)}, "groups of 2"),
        ({"config": SMALL.replace(learning_rate=-1.0)}, "learning_rate"),
        ({"config": SMALL.replace(packed=3)}, "packed=3: expected a divisor of group_size=4"),
        ({"config": SMALL.replace(packed=2)}, "reads one completion per row"),
        ({"options": {"clip_high": 0.3}}, "argument of its loss"),
        ({"loss": {"clip_hihg": 0.3}}, "did you mean 'clip_high'"),
        ({"loss": {"aggregation": "tokenmean"}}, "did you mean 'token_mean'"),
        ({"loss": {"clip_low": -0.1}}, "clip_low=-0.1"),
        ({"loss": {"objective": "dpo"}}, "does not fit a method whose loss is 'clip'"),
        ({"loss": {"entropy_coef": 0.1}, "config": SMALL.replace(entropy=False)}, "set entropy=True"),
        ({"weights": {"correct": 0.0, "format": 0}}, "every weight is 0"),
        ({"weights": {"correct": float("nan")}}, r"weights\['correct'\]=nan"),
    ],
)
def test_bad_input(arguments, message):
    arguments = {"task": TASK, "policy": None, "method": "grpo", "config": SMALL} | arguments
    task = arguments.pop("task")
    policy = arguments.pop("policy") or (table(task) if task is TASK else decoder(DecoderConfig(23)))
    with pytest.raises(UsageError, match=message):
        trainer(task, policy, arguments.pop("method"), arguments.pop("config"), **arguments)


def test_arguments_of_the_loss_go_over_those_of_the_preset():
    changes = {"clip_high": 1, "dual_clip": 3.0, "ratio": "sequence", "kl_coef": 0.1, "entropy_coef": 0.01}
    built = trainer(TASK, tilted(), "dapo", SMALL, weights=WEIGHTS, loss=changes)
    assert built.method.loss == group.preset("dapo").loss.replace(**changes)
    state, told = jax.jit(built.step)(built.init(jax.random.key(0)))
    assert {"kl", "entropy"} <= told.keys()
    assert state.reference  # it was asked for


def test_seeds_are_vmapped_and_numbers_swept():
    built = trainer(TASK, tilted(), "grpo", SMALL, weights=WEIGHTS)
    keys = jax.random.split(jax.random.key(0), 3)
    configs = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x), (3,)), SMALL)
    states = jax.vmap(built.init)(keys, configs.replace(learning_rate=jnp.array([0.0, 0.1, 0.2])))
    after, told = jax.jit(jax.vmap(built.step))(states)
    assert told["reward/mean"].shape == (3,)
    moved = jnp.abs(after.learnt["logits"] - states.learnt["logits"]).max((1, 2, 3, 4))
    assert float(moved[0]) == 0.0
    assert float(moved[1]) > 0.0
    one, _ = jax.jit(built.step)(built.init(keys[1]))
    # Adam turns the rounding of a gradient near 0 into a part of a step of 0.1.
    near = tolerance(1e-5, 1e-2)
    np.testing.assert_allclose(one.learnt["logits"], after.learnt["logits"][1], atol=near)
