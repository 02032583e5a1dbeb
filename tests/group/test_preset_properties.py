"""What must hold of every preset, in one compiled program: scenarios are its mapped axis."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rlkit import group
from rlkit.errors import UsageError
from rlkit.group.glossary import meaning
from rlkit.group.policies import DecoderConfig, Scores, decoder, score
from rlkit.group.presets import PRESETS

P, G, T = 10, 4, 6
SIZES = {"P": P, "G": G, "T": T, "C": 3, "K": 2, "D": 3, "Q": 4, "R": 3}
NEEDED = {name: group.preset(name) for name in PRESETS}
READS = {column: axes for method in NEEDED.values() for column, axes in method.reads.items()}
EXTREME = 500.0


def make_column(rng, name, axes):
    shape = [SIZES[axis] for axis in axes]
    if name == "answer" or name.endswith(("_name", "_values")):
        return rng.integers(-1, 4, shape).astype(np.int32)
    if name == "pair":
        return np.arange(P).reshape(-1, 2)[:, ::-1].reshape(-1).astype(np.int32)
    if name == "guide_log_prob":
        return -3 * rng.random(shape).astype(np.float32)
    if name in ("flag", "satisfied", "factual", "parsed", "correct", "format", "unsafe", "refuses"):
        return rng.integers(0, 2, shape).astype(np.float32)
    return rng.random(shape).astype(np.float32)


def base():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, T, (P, G))
    lengths[3, 1] = 0  # a completion of which no token counts
    f = lambda: -3 * rng.random((P, G, T)).astype(np.float32)
    batch = group.Completions(
        prompt=rng.integers(0, 9, (P, 3)).astype(np.int32),
        prompt_mask=np.ones((P, 3), np.float32),
        tokens=rng.integers(0, 9, (P, G, T)).astype(np.int32),
        mask=(np.arange(T) < lengths[..., None]).astype(np.float32),
        behaviour_log_prob=f(),
        rewards={"a": rng.random((P, G)).astype(np.float32), "b": rng.random((P, G)).astype(np.float32)},
        reference_log_prob=f(),
        truncated=rng.random((P, G)) < 0.2,
        off_policy=rng.random((P, G)) < 0.2,
        extras={name: make_column(rng, name, axes) for name, axes in READS.items()},
    )
    return batch, (batch.behaviour_log_prob + 0.3 * rng.standard_normal((P, G, T))).astype(np.float32)


def over_completions(batch, log_prob, order):
    """The completions of each prompt in another order, int [P, G]."""

    def move(x, axes):
        return np.take_along_axis(x, order.reshape(P, G, *[1] * (x.ndim - 2)), 1) if axes[:2] == "PG" else x

    return changed(batch, move), move(log_prob, "PGT")


def over_prompts(batch, log_prob, order):
    moved = changed(batch, lambda x, axes: x[order])
    place = np.argsort(order)  # where each prompt went
    pair = place[batch.extras["pair"]][order].astype(np.int32)
    return moved._replace(extras=moved.extras | {"pair": pair}), log_prob[order]


def changed(batch, move):
    fixed = {"prompt": "PL", "prompt_mask": "PL", "truncated": "PG", "off_policy": "PG"}
    out = {name: move(getattr(batch, name), fixed.get(name, "PGT")) for name in batch._fields[:5]}
    out |= {name: move(getattr(batch, name), fixed.get(name, "PGT")) for name in batch._fields[6:9]}
    rewards = {name: move(x, "PG") for name, x in batch.rewards.items()}
    extras = {name: move(x, READS[name]) for name, x in batch.extras.items()}
    return batch._replace(**out, rewards=rewards, extras=extras)


def scenarios():
    batch, log_prob = base()
    rng = np.random.default_rng(1)
    orders = np.stack([rng.permutation(G) for _ in range(P)])
    alike = np.broadcast_to(rng.permutation(G), (P, G))
    prompts = rng.permutation(P)
    dirty = lambda x: np.where(batch.mask > 0, x, rng.choice([np.nan, np.inf, 1e30], x.shape)).astype(x.dtype)
    padding = batch._replace(
        tokens=np.where(batch.mask > 0, batch.tokens, 7).astype(np.int32),
        behaviour_log_prob=dirty(batch.behaviour_log_prob),
        reference_log_prob=dirty(batch.reference_log_prob),
        extras=batch.extras
        | {
            name: dirty(x)
            for name, x in batch.extras.items()
            if READS[name] == "PGT" and x.dtype == np.float32
        },
    )
    same = changed(
        batch, lambda x, axes: np.repeat(x[:, :1], G, 1) if axes[:2] == "PG" and axes != "PGT" else x
    )
    sign = rng.choice([-EXTREME, EXTREME], log_prob.shape).astype(np.float32)
    paired = batch._replace(extras=batch.extras | {"pair": (np.arange(P) + P // 2) % P})
    twice, again = over_prompts(paired, log_prob, np.arange(P) % (P // 2))
    twice = twice._replace(extras=twice.extras | {"pair": ((np.arange(P) + P // 2) % P).astype(np.int32)})
    rewards = lambda fn: batch._replace(
        rewards={name: fn(x).astype(np.float32) for name, x in batch.rewards.items()},
        extras=batch.extras | {"gap": fn(batch.extras["gap"]).astype(np.float32)},
    )
    return {
        "base": (batch, log_prob),
        "members": over_completions(batch, log_prob, orders),
        "members alike": over_completions(batch, log_prob, alike),
        "prompts": over_prompts(batch, log_prob, prompts),
        "shifted": (rewards(lambda x: x + 2.0), log_prob),
        "scaled": (rewards(lambda x: 2.5 * x), log_prob),
        "padding": (padding, dirty(log_prob)),
        "equal": (same, log_prob),
        "extreme": (batch, batch.behaviour_log_prob + sign),
        "far reference": (batch._replace(reference_log_prob=log_prob + sign), log_prob),
        "twice": (twice, again),
    }, {"orders": orders, "alike": alike, "prompts": prompts}


def learn(method, batch, log_prob, halves=True):
    """Advantages, loss and gradient; whole and in two halves."""
    ctx = group.Context(jnp.int32(6), jnp.int32(10), jax.random.key(0))
    _, credit, metrics = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    plan = method.controller.plan(method.controller.init(batch), method.loss, batch, credit, ctx)
    update = plan.updates[-1]
    loss = lambda x, part: group.objective(plan.loss, x, part, entropy=-x)
    (value, told), gradient = jax.value_and_grad(loss, has_aux=True)(log_prob, update)
    told |= plan.metrics
    whole = {"credit": credit, "loss": value, "gradient": gradient, "metrics": metrics | told}
    if not halves:
        return whole
    parts = jax.tree.map(lambda *x: jnp.stack(x), *group.micro_batches(update, 2))
    (values, metrics), gradients = jax.vmap(jax.value_and_grad(loss, has_aux=True))(
        jnp.stack(jnp.split(log_prob, 2)), parts
    )
    return whole | {
        "split loss": values.sum(),
        "split gradient": jnp.concatenate(gradients),
        "split metrics": group.merge_metrics([jax.tree.map(lambda x, i=i: x[i], metrics) for i in range(2)]),
    }


def method_of(name):
    """With a divergence and an entropy bonus, so that they are under test as well."""
    method = group.preset(name)
    return method._replace(loss=method.loss.replace(kl_coef=0.01, entropy_coef=0.01))


@functools.cache
def outcomes():
    cases, orders = scenarios()
    methods = {name: method_of(name) for name in PRESETS}
    stacked = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(one) for one in x]), *cases.values())
    run = jax.jit(jax.vmap(lambda batch, x: {name: learn(m, batch, x) for name, m in methods.items()}))
    out = jax.tree.map(np.asarray, run(*stacked))
    split = {place: jax.tree.map(lambda x, i=i: x[i], out) for i, place in enumerate(cases)}
    return split, orders


every = pytest.mark.parametrize("name", sorted(PRESETS))
BUNDLED = {"risk_po", "risk_po_hard", "risk_po_centred"}  # prompts are dealt out at random, by their place


def near(a, b, rtol=2e-4):
    scale = np.abs(b).max(initial=0.0)
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * 0.1 * (scale + 1e-3))


@every
def test_members_of_a_group_have_no_order(name):
    out, orders = outcomes()
    case, order = ("members alike", orders["alike"]) if name in BUNDLED else ("members", orders["orders"])
    before, after = out["base"][name], out[case][name]
    moved = np.take_along_axis(before["credit"].advantage, order[..., None], 1)
    near(after["credit"].advantage, moved)
    near(after["gradient"], np.take_along_axis(before["gradient"], order[..., None], 1))
    near(after["loss"], before["loss"])


@every
def test_prompts_have_no_order(name):
    if name in BUNDLED:
        pytest.skip("bundles are dealt out by place")
    out, orders = outcomes()
    before, after = out["base"][name], out["prompts"][name]
    near(after["gradient"], before["gradient"][orders["prompts"]])
    near(after["loss"], before["loss"])


SHIFTED = [name for name, method in NEEDED.items() if not method.reads and name not in (
    "kto", "implicit_bridge", "sft", "mora", "mora_decoupled")]  # fmt: skip
SHIFTED += ["pit", "perceval", "tgdpo", "tgdpo_bounded"]
LINEAR = ["dr_grpo", "rloo", "dro", "pit"]
CURVED = ["a2po"]  # its soft maximum is not homogeneous


@pytest.mark.parametrize("name", SHIFTED)
def test_a_constant_added_to_rewards_changes_nothing(name):
    if name in ("risk_po", "risk_po_hard"):
        pytest.skip("as published its scale is the deviation, its level is not the group's")
    out, _ = outcomes()
    near(out["shifted"][name]["gradient"], out["base"][name]["gradient"], rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in SHIFTED if name not in BUNDLED | set(CURVED)])
def test_the_scale_of_rewards(name):
    out, _ = outcomes()
    factor = 2.5 if name in LINEAR else 1.0
    near(out["scaled"][name]["credit"].advantage, factor * out["base"][name]["credit"].advantage, rtol=1e-3)


@every
def test_what_is_at_masked_places_does_not_matter(name):
    out, _ = outcomes()
    before, after = out["base"][name], out["padding"][name]
    np.testing.assert_array_equal(after["loss"], before["loss"])
    np.testing.assert_array_equal(after["gradient"], before["gradient"])
    mask = scenarios()[0]["base"][0].mask
    assert np.all(after["gradient"][mask == 0] == 0.0)


@every
def test_what_is_reported_is_explained(name):
    told = outcomes()[0]["base"][name]["metrics"]
    assert not [key for key in told if not meaning(key).what]


JUDGED_ALONE = {"kto", "implicit_bridge", "sft", "reinforce_pp", "r1_reward", "r1_reward_released", "a2po",
                "waltz_rl_feedback", "waltz_rl_conversation"}  # fmt: skip


@every
def test_groups_of_equal_rewards_teach_nothing(name):
    out, _ = outcomes()
    equal = out["equal"][name]
    if name not in JUDGED_ALONE | BUNDLED:
        assert np.all(equal["credit"].advantage == 0.0)
        assert equal["metrics"]["frac_zero_std"] == 1.0
    assert np.isfinite(equal["loss"])
    assert np.all(np.isfinite(equal["gradient"]))


@every
@pytest.mark.parametrize("case", ["extreme", "far reference"])
def test_log_ratios_of_500_are_finite(name, case):
    out, _ = outcomes()
    far = out[case][name]
    assert np.isfinite(far["loss"])
    assert np.all(np.isfinite(far["gradient"]))
    assert all(np.isfinite(value) for value in far["metrics"].values())


@every
def test_micro_batches_add_up(name):
    out, _ = outcomes()
    for case in ("base", "extreme"):
        got = out[case][name]
        near(got["split loss"], got["loss"])
        near(got["split gradient"], got["gradient"])
        for key, value in got["split metrics"].items():
            near(value, got["metrics"][key])


@every
def test_prompts_that_are_there_twice_get_the_same(name):
    if name in BUNDLED:
        pytest.skip("bundles are dealt out by place")
    out, _ = outcomes()
    first, second = np.split(out["twice"][name]["gradient"], 2)
    near(second, first)


def test_a_batch_twice_is_the_batch():
    """Losses are means: each prompt twice gives the same loss, and each copy half the gradient."""
    batch, log_prob = base()
    half = jax.tree.map(lambda x: jnp.asarray(x[: P // 2]), (batch, log_prob))
    double = jax.tree.map(lambda x: jnp.concatenate([x, x]), half)
    for name in ("grpo", "dr_grpo", "rloo", "dapo", "dpo", "kto"):
        method = method_of(name)
        one, two = (jax.jit(functools.partial(learn, method, halves=False))(*x) for x in (half, double))
        near(two["loss"], one["loss"])
        near(2 * two["gradient"][: P // 2], one["gradient"])


@pytest.mark.parametrize("name", [n for n, m in NEEDED.items() if m.group_size > 1])
def test_groups_of_one_are_refused(name):
    batch, _ = base()
    single = changed(batch, lambda x, axes: x[:, :1] if axes[:2] == "PG" else x)
    with pytest.raises(UsageError, match="G=1 completions"):
        group.check_batch(NEEDED[name], single)


@every
def test_check_batch_takes_what_presets_need(name):
    batch, _ = base()
    group.check_batch(NEEDED[name], batch)


def test_completions_that_share_a_row_change_nothing():
    """Scores of a decoder and the gradient that every preset makes of them."""
    batch, _ = base()
    config = DecoderConfig(vocabulary=9, context=3 + T, width=16, heads=2, kv_heads=1, layers=2)
    policy = decoder(config)
    params = policy.init(jax.random.key(0))
    prompt_mask = (jnp.arange(3) < 1 + jnp.arange(P)[:, None] % 3).astype(jnp.float32)
    pull = np.stack([outcomes()[0]["base"][name]["gradient"] for name in sorted(PRESETS)])

    def run(params, pull, packed):
        found = lambda p: score(policy, p, batch.prompt, prompt_mask, batch.tokens, packed=packed)
        scores, back = jax.vjp(found, params)
        zero = jnp.zeros(scores.entropy.shape)
        gradients = jax.vmap(lambda x: ravel_pytree(back(Scores(x, zero))[0])[0])(pull)
        return scores, gradients

    step = jax.jit(run, static_argnums=2)
    (alone, one), (shared, many) = (step(params, pull, packed) for packed in (1, 2))
    counts = batch.mask > 0
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_allclose(np.where(counts, a, 0), np.where(counts, b, 0), atol=2e-5)
    for name, a, b in zip(sorted(PRESETS), np.asarray(one), np.asarray(many), strict=True):
        assert np.abs(a).max() > 0, name
        np.testing.assert_allclose(b, a, atol=1e-4 * np.abs(a).max(), err_msg=name)
