"""Composition, combination, controllers, devices, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit import group
from rlkit.errors import UnknownNameError, UsageError
from rlkit.group import combine, controllers, credit, filters, risk, shaping
from rlkit.group.presets import base, papers, preference

P, G, T = 4, 4, 3


def completions(seed=0, **changes):
    rng = np.random.default_rng(seed)
    mask = np.ones((P, G, T), np.float32)
    mask[1, 2, 1:] = 0
    given = {
        "prompt": np.zeros((P, 2), np.int32), "prompt_mask": np.ones((P, 2), np.float32),
        "tokens": np.zeros((P, G, T), np.int32), "mask": mask,
        "behaviour_log_prob": -rng.random((P, G, T)).astype(np.float32),
        "rewards": {name: rng.random((P, G)).astype(np.float32) for name in "ab"},
        "reference_log_prob": -rng.random((P, G, T)).astype(np.float32),
        "extras": {"correct": rng.integers(0, 2, (P, G)).astype(np.float32),
                   "conciseness": rng.random((P, G)).astype(np.float32),
                   "flag": rng.integers(0, 2, (P, G, T)).astype(np.float32)},
    } | changes  # fmt: skip
    return jax.tree.map(jnp.asarray, group.Completions(**given))


CTX = group.Context(jnp.int32(2), jnp.int32(10), jax.random.key(0))


def run(stage, x=(), batch=None, ctx=CTX):
    return stage.apply(stage.init(), x, batch or completions(), ctx)[1:]


def test_chain_named_and_masked():
    doubled, told = run(group.chain(group.identity(), group.stateless(lambda x: 2 * x)), jnp.ones((P, G)))
    assert (doubled == 2).all()
    assert told == {}
    _, told = run(group.named("first", group.columns("a")))
    assert set(told) == {f"first/reward/a/{name}" for name in ("mean", "std", "missing")}
    some = np.random.default_rng(0).random((P, G)).astype(np.float32)
    some[0, 1], some[2, 3] = np.nan, np.nan
    _, told = run(group.columns("a"), batch=completions(rewards={"a": some}))
    assert float(told["reward/a/mean"]) == pytest.approx(np.nanmean(some), rel=1e-5)
    assert float(told["reward/a/std"]) == pytest.approx(np.nanstd(some, ddof=1), rel=1e-5)
    assert float(told["reward/a/missing"]) == pytest.approx(2 / some.size)
    with pytest.raises(UsageError, match="two stages report the metric 'reward/a/mean'"):
        run(group.chain(group.columns("a"), group.columns("a")))
    some = jnp.arange(P) < 2
    part, _ = run(group.masked(group.stateless(lambda x: x + 1), lambda batch: some), jnp.zeros((P, G)))
    np.testing.assert_array_equal(part, np.where(np.arange(P) < 2, 1, 0)[:, None] * np.ones((P, G)))
    late = group.switched(group.stateless(lambda x: x), group.stateless(lambda x: -x), 5)
    for step, sign in ((4, 1), (5, -1)):
        assert (run(late, jnp.ones(3), ctx=CTX._replace(step=jnp.int32(step)))[0] == sign).all()


def test_each_stage_of_a_chain_has_its_own_key():
    draw = group.stateless(lambda x, batch, ctx: [*x, jax.random.uniform(ctx.key)])
    x, _ = run(group.chain(draw, draw), [])
    assert float(x[0]) != float(x[1])


def test_weights_are_renormalised_where_a_reward_does_not_apply():
    a, b = jnp.full((P, G), 0.5), jnp.ones((P, G)).at[0, 0].set(jnp.nan)
    both = {"a": a.at[0, 1].set(jnp.nan), "b": b.at[0, 1].set(jnp.nan)}
    value, _ = run(combine.linear({"a": 1.0, "b": 3.0}), both)
    assert float(value[1, 1]) == 3.5
    assert float(value[0, 0]) == 2.0  # a alone, with the weight of both
    assert np.isnan(value[0, 1])
    with pytest.raises(
        UsageError, match=r"no reward function applies to 1 completions, e\.g\. number 1 of prompt 0"
    ):
        group.check_rewards(both)
    with pytest.raises(UsageError, match="'a' of prompt 2, completion 3 is infinite"):
        group.check_rewards(
            {"a": np.zeros((P, G)) + np.where(np.arange(P * G).reshape(P, G) == 11, np.inf, 0)}
        )
    group.check_rewards({"a": a, "b": b})


def test_weights_may_be_schedules():
    ramp = optax.linear_schedule(0.0, 1.0, 10)
    value, _ = run(combine.linear({"a": ramp, "b": 1.0}), {"a": jnp.ones((P, G)), "b": jnp.ones((P, G))})
    np.testing.assert_allclose(value, 1.2, rtol=1e-6)


def test_terms_of_tokens_are_summed_over_the_mask():
    batch = completions()
    value, _ = run(combine.linear({"flag": 1.0}), {"flag": batch.extras["flag"]}, batch)
    np.testing.assert_allclose(value, (batch.extras["flag"] * batch.mask).sum(-1))


def test_gdpo_keeps_small_rewards_audible():
    rng = np.random.default_rng(3)
    loud, quiet = 1000 * rng.random((P, G)), rng.random((P, G))
    batch = completions(rewards={"loud": np.float32(loud), "quiet": np.float32(quiet)})
    method = base.gdpo()
    _, out, _ = method.pipeline.apply(method.pipeline.init(), (), batch, CTX)
    z = lambda r: (r - r.mean(1, keepdims=True)) / (r.std(1, ddof=1, keepdims=True) + 1e-4)
    total = z(loud) + z(quiet)
    expected = total / (total.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(out.advantage[..., 0], expected, rtol=1e-3, atol=1e-4)


def test_dropped_groups_leave_the_normaliser():
    equal = np.random.default_rng(0).random((P, G)).astype(np.float32)
    equal[0] = 0.3
    batch = completions(rewards={"a": equal})
    dapo, grpo = base.dapo(), base.dapo(filter_groups=False)
    kept, all_of_them = (m.pipeline.apply(m.pipeline.init(), (), batch, CTX) for m in (dapo, grpo))
    assert not kept[1].mask[0].any()
    assert all_of_them[1].mask[0].all()
    assert float(kept[2]["frac_counted"]) == 0.75
    assert float(kept[2]["frac_zero_std"]) == 0.25
    weight = group.make_update(dapo.loss, batch, kept[1]).weight
    assert float(weight.sum()) == pytest.approx(1.0)


def test_truncated_completions_and_overlong_ones():
    batch = completions(truncated=np.eye(P, G, dtype=bool))
    method = base.dapo({"a": 1.0}, max_length=3, buffer=2, mask_overlong=True, filter_groups=False)
    _, out, _told = method.pipeline.apply(method.pipeline.init(), (), batch, CTX)
    assert not out.mask[np.eye(P, G, dtype=bool)].any()
    assert out.mask.any()
    np.testing.assert_allclose(out.reward[0], batch.rewards["a"][0] - 1.0, rtol=1e-5)
    np.testing.assert_allclose(out.reward[1, 2], batch.rewards["a"][1, 2], rtol=1e-5)  # 1 token of 3


def test_special_cases_are_the_plain_methods():
    batch = completions()
    plain = base.grpo({"a": 1.0})
    advantage = lambda m: m.pipeline.apply(m.pipeline.init(), (), batch, CTX)[1].advantage
    for other in (papers.perceval(alpha=0.0, weights={"a": 1.0}), papers.pipo({"a": 1.0})):
        np.testing.assert_array_equal(advantage(other), advantage(plain))
    guided = preference.tgdpo("flag", alpha=0.0, weights={"a": 1.0})
    np.testing.assert_array_equal(advantage(guided), advantage(preference.dpo({"a": 1.0})))
    np.testing.assert_array_equal(advantage(papers.crf(alpha=0.0)), advantage(base.grpo({"correct": 1.0})))


def test_adaptive_terms_follow_their_past():
    stage = shaping.adaptive("a", 0.5, 2.0, 32)
    state = stage.init()
    for seed in range(3):
        batch = completions(seed)
        state, terms, told = stage.apply(state, {"a": batch.rewards["a"]}, batch, CTX)
    seen = np.concatenate([np.ravel(completions(s).rewards["a"]) for s in (1, 2)])
    z = (np.float64(batch.rewards["a"]) - np.median(seen)) / (seen.std() + 1e-6)
    np.testing.assert_allclose(terms["a"], 1 / (1 + np.exp(-2 * z)), rtol=1e-4)
    assert float(told["adaptive/a/threshold"]) == pytest.approx(np.median(seen), rel=1e-5)


def test_improvement_feedback():
    """The previous batch is stepped on again, by how far the mean reward left the last ones behind."""
    control = controllers.improvement_feedback(size=2, min_std=0.0)
    config = group.LossConfig()
    state = control.init(completions())
    slot, means = credit.group(), []
    for seed in range(4):
        batch = completions(seed)
        given = slot.apply((), batch.rewards["a"], batch, CTX)[1]
        before = state
        plan = control.plan(state, config, batch, given, CTX)
        state = plan.state
        means.append(float(given.reward.mean()))
        if seed < 2:
            assert not plan.updates[0].mask.any()
    xi = (means[3] - np.mean(means[1:3])) / np.std(means[1:3], ddof=1)
    phi = np.clip(xi if xi >= 0 else 0.1 * xi, -3, 3)
    assert float(plan.metrics["pipo/scale"]) == pytest.approx(phi, rel=1e-3)
    level = np.asarray(before.credit.advantage[..., 0])
    expected = phi * G * level / np.abs(level).sum(1, keepdims=True)
    np.testing.assert_allclose(plan.updates[0].advantage[..., 0], expected, rtol=1e-3)
    np.testing.assert_array_equal(plan.updates[0].batch.behaviour_log_prob, completions(2).behaviour_log_prob)
    np.testing.assert_array_equal(plan.updates[1].advantage, given.advantage)


def test_kl_controller_raises_and_lowers():
    control = controllers.kl_controller(target=1.0, horizon=160, initial=0.5)
    batch = completions()
    state = control.init(batch)
    given = credit.group().apply((), batch.rewards["a"], batch, CTX)[1]
    plan = control.plan(state, group.LossConfig(), batch, given, CTX)
    assert float(plan.loss.kl_coef) == 0.5
    up = control.observe(plan.state, {"kl": jnp.float32(9.0)})
    down = control.observe(plan.state, {"kl": jnp.float32(0.9)})
    assert float(up["coef"]) == pytest.approx(0.5 * (1 + 0.2 * 16 / 160))
    assert float(down["coef"]) == pytest.approx(0.5 * (1 - 0.1 * 16 / 160))
    frozen = controllers.frozen_until(5).plan((), group.LossConfig(), batch, given, CTX)
    assert not frozen.updates[0].mask.any()


@functools.cache
def sharded():
    """Methods whose statistics are of the whole batch, whole and on four parts of it."""
    makers = {
        "batch": lambda axis: base.grpo({"a": 1.0}, scale="batch", axis_name=axis),
        "token mean": lambda axis: base.dapo({"a": 1.0}, axis_name=axis),
        "reinforce": lambda axis: base.reinforce_pp({"a": 1.0}, 0.1, axis_name=axis),
        "gdpo": lambda axis: base.gdpo({"a": 1.0, "b": 1.0}, axis_name=axis),
        "sigma": lambda axis: papers.r1_reward("flagged", "correct", "conciseness", axis_name=axis),
        "adaptive": lambda axis: papers.armed("correct", "conciseness", buffer=16, axis_name=axis),
        "pipo": lambda axis: papers.pipo({"a": 1.0}, axis_name=axis),
        "dpo": lambda axis: group.preset("dpo", weights={"a": 1.0}, axis_name=axis),
    }

    def learn(method, batch):
        _, given, metrics = method.pipeline.apply(method.pipeline.init(), (), batch, CTX)
        plan = method.controller.plan(method.controller.init(batch), method.loss, batch, given, CTX)
        update = plan.updates[-1]
        loss = lambda x: group.objective(plan.loss, x, update)[0]
        value, gradient = jax.value_and_grad(loss)(batch.behaviour_log_prob - 0.1)
        return given.advantage, value, gradient, metrics

    batch = completions()
    batch = batch._replace(extras=batch.extras | {"flagged": batch.extras["flag"][..., 0]})
    parts = jax.tree.map(lambda x: x.reshape(4, P // 4, *x.shape[1:]), batch)
    whole = jax.jit(lambda b: {name: learn(make(None), b) for name, make in makers.items()})(batch)
    split = jax.jit(
        jax.vmap(
            lambda b: {name: learn(make("shards"), b) for name, make in makers.items()}, axis_name="shards"
        )
    )(parts)
    return whole, split


@pytest.mark.parametrize(
    "name", ["batch", "token mean", "reinforce", "gdpo", "sigma", "adaptive", "pipo", "dpo"]
)
def test_statistics_of_the_batch_are_over_all_devices(name):
    whole, split = (out[name] for out in sharded())
    flat = lambda x: np.reshape(x, (P, *x.shape[2:]))
    np.testing.assert_allclose(flat(split[0]), whole[0], rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(np.sum(split[1]), whole[1], rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(flat(split[2]), whole[2], rtol=2e-4, atol=1e-6)
    for key, value in whole[3].items():
        np.testing.assert_allclose(split[3][key], np.full(4, value), rtol=1e-4, atol=1e-6)


def test_numbers_of_a_loss_can_be_swept():
    batch, method = completions(), base.grpo({"a": 1.0})
    given = method.pipeline.apply(method.pipeline.init(), (), batch, CTX)[1]
    update = group.make_update(method.loss, batch, given)
    sweep = jax.vmap(lambda c: group.objective(c, batch.behaviour_log_prob + 0.3, update)[0], 0)
    many = jax.tree.map(lambda x: jnp.full(3, x), method.loss).replace(clip_high=jnp.array([0.1, 0.2, 9.0]))
    single = lambda high: group.objective(
        method.loss.replace(clip_high=high), batch.behaviour_log_prob + 0.3, update
    )[0]
    np.testing.assert_allclose(sweep(many), [single(0.1), single(0.2), single(9.0)], rtol=1e-4, atol=1e-6)


BAD = {
    "stage": (lambda: group.chain(base.grpo), "expected an rlkit.group Stage; call it"),
    "no stages": (group.chain, "got no stages"),
    "arguments": (lambda: group.stateless(lambda: 1), "takes 0 arguments"),
    "preset": (lambda: group.preset("grpoo"), "did you mean 'grpo'"),
    "option": (lambda: group.preset("grpo", skale="group"), "did you mean 'scale'"),
    "scale": (lambda: group.preset("grpo", scale="groups"), "did you mean 'group'"),
    "weights": (lambda: combine.linear({}), "name at least one term"),
    "levels": (lambda: risk.risk((0.9, 0.2)), r"levels=\(0.9, 0.2\)"),
    "credit": (lambda: risk.risk(credit="unifrom"), "did you mean 'uniform'"),
    "window": (lambda: controllers.improvement_feedback(1), "size=1"),
    "rectify": (lambda: controllers.improvement_feedback(how="leeky"), "did you mean 'leaky'"),
    "kl": (lambda: controllers.kl_controller(target=0.0), "target=0.0"),
    "q": (lambda: shaping.adaptive("a", 1.5), "q=1.5"),
    "clip": (lambda: shaping.clip_term("a", 1.0, 0.0), "expected low < high"),
    "difficulty": (lambda: papers.crf(difficulty="hard"), "did you mean 'harder'"),
    "schedule": (lambda: group.preset("atom_searcher", schedule="cosine"), "'linear' or 'constant'"),
    "column": (lambda: group.check_batch(papers.crf("corect"), completions()), "did you mean 'correct'"),
    "axes": (
        lambda: group.check_batch(papers.perceval("correct"), completions()),
        r"'correct' has shape \(4, 4\); expected \[P, G, T\]",
    ),
    "reference": (
        lambda: group.check_batch(group.preset("dpo"), completions()._replace(reference_log_prob=None)),
        "needs batch.reference_log_prob",
    ),
    "kl_coef": (
        lambda: group.check_batch(base.grpo(kl_coef=0.1), completions()._replace(reference_log_prob=None)),
        "kl_coef=0.1 needs batch.reference_log_prob",
    ),
    "no rewards": (lambda: group.check_batch(base.grpo(), completions(rewards={})), "batch.rewards is empty"),
    "one": (lambda: group.group_advantage(jnp.ones((3, 1))), "G=1 completions"),
    "micro": (
        lambda: group.micro_batches(group.Update(*[jnp.ones((4, 2, 2))] * 8), 3),
        "4 prompts cannot be cut into micro_batches=3",
    ),
    "term": (lambda: run(combine.linear({"c": 1.0}), {"a": jnp.ones((P, G))}), "unknown term 'c'"),
    "aggregation": (lambda: group.token_weights(jnp.ones((1, 1, 1)), "mean"), "did you mean"),
    "entropy": (
        lambda: group.objective(
            group.LossConfig(entropy_coef=0.1), jnp.zeros((P, G, T)),
            group.make_update(group.LossConfig(), completions(), group.Credit(*[jnp.ones((P, G, T))] * 3)),
        ),
        "entropy_coef=0.1 needs the entropy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises((UsageError, UnknownNameError), match=message):
        call()


def test_all_masked_is_zero_and_not_nan():
    batch = completions(mask=np.zeros((P, G, T), np.float32))
    for name in ("grpo", "dapo", "gspo", "rloo", "reinforce_pp", "dpo", "kto"):
        method = group.preset(name)
        given = method.pipeline.apply(method.pipeline.init(), (), batch, CTX)[1]
        update = group.make_update(method.loss, batch, given)
        value, gradient = jax.value_and_grad(lambda x, m=method, u=update: group.objective(m.loss, x, u)[0])(
            batch.behaviour_log_prob
        )
        assert float(value) == 0.0
        assert not gradient.any()


def test_selected_prompts_alone_count():
    batch = completions()
    keep = filters.select_prompts(lambda b: jnp.arange(P) == 1)
    given = credit.group().apply((), batch.rewards["a"], batch, CTX)[1]
    out, _ = run(keep, given, batch)
    assert out.mask[1].any()
    assert not out.mask[jnp.arange(P) != 1].any()
