"""Losses and advantages against NumPy in float64, after the papers and after what TRL and verl compute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from rlkit import group
from rlkit.group import advantages, preference_losses, ratios
from rlkit.group.config import AGGREGATIONS, LossConfig
from rlkit.group.updates import make_update

P, G, T = 3, 4, 5
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, T + 1, (P, G))
LENGTHS[1, 2] = 0
MASK = (np.arange(T) < LENGTHS[..., None]).astype(np.float64)
OLD = -2 * RNG.random((P, G, T)) - 0.05
NEW = OLD + 0.5 * RNG.standard_normal((P, G, T))
NEW = np.minimum(NEW, -0.01)
REF = -2 * RNG.random((P, G, T))
ADV = np.repeat(RNG.standard_normal((P, G))[..., None], T, 2)
REWARD = RNG.random((P, G))


def aggregated(loss, how):
    """What verl's agg_loss returns (and Dr. GRPO's constant, as TRL divides)."""
    lengths = MASK.sum(-1)
    if how == "token_mean":
        return (loss * MASK).sum() / MASK.sum()
    sums = (loss * MASK).sum(-1)
    if how == "constant":
        return sums.sum() / (P * G * 7)
    if how == "seq_mean_token_mean":
        sums = sums / np.maximum(lengths, 1e-8)
    return sums.sum() / (lengths > 0).sum()


def surrogate(ratio, low=0.2, high=0.28, dual=0.0, cap=0.0):
    first = np.minimum(ratio, cap) * ADV if cap else ratio * ADV
    loss = -np.minimum(first, np.clip(ratio, 1 - low, 1 + high) * ADV)
    return np.where((ADV < 0) & (dual > 0), np.minimum(loss, -dual * ADV), loss)


def sequence_ratio():
    mean = ((NEW - OLD) * MASK).sum(-1) / np.maximum(MASK.sum(-1), 1)
    return np.exp(mean)[..., None] * np.ones(T)


def vespo():
    w = np.exp(((NEW - OLD) * MASK).sum(-1, keepdims=True))
    k, lam = np.where(ADV >= 0, 2.0, 3.0), np.where(ADV >= 0, 3.0, 2.0)
    return -np.exp(lam) * w**k * np.exp(-lam * w) * ADV * NEW


def dppo(kind):
    p, q = np.exp(NEW), np.exp(OLD)
    kl = q * (OLD - NEW) + (1 - q) * np.log((1 - q) / (1 - p))
    far = (np.abs(p - q) if kind == "tv" else kl) > 0.1
    away = np.where(ADV > 0, p > q, p < q)
    return -np.minimum(p / q, 2.0) * ADV * NEW * ~(far & away)


def sapo():
    tau = np.where(ADV > 0, 1.0, 1.05)
    return -4 / tau / (1 + np.exp(-tau * (np.exp(NEW - OLD) - 1))) * ADV


RATIO = np.exp(NEW - OLD)
D = REF - NEW
POLICY = {
    "ppo": (LossConfig(clip_high=0.28), surrogate(RATIO)),
    "dual": (LossConfig(clip_high=0.28, dual_clip=1.1), surrogate(RATIO, dual=1.1)),
    "two-sided": (LossConfig(clip_high=0.28, ratio_cap=1.4), surrogate(RATIO, cap=1.4)),
    "unclipped": (LossConfig(objective="unclipped"), -RATIO * ADV),
    "pre-clip": (
        LossConfig(objective="unclipped", log_ratio_clamp=0.1),
        -np.exp(np.clip(NEW - OLD, -0.1, 0.1)) * ADV,
    ),
    "gspo": (
        LossConfig(ratio="sequence", clip_low=0.1, clip_high=0.1),
        surrogate(sequence_ratio(), 0.1, 0.1),
    ),
    "cispo": (
        LossConfig(objective="cispo", clip_low=1.0, clip_high=0.1),
        -np.clip(RATIO, 0, 1.1) * ADV * NEW,
    ),
    "sapo": (LossConfig(objective="sapo"), sapo()),
    "vespo": (LossConfig(objective="vespo"), vespo()),
    "dppo-tv": (LossConfig(objective="dppo_tv", clip_low=0.1, clip_high=0.1, ratio_cap=2.0), dppo("tv")),
    "dppo-kl": (LossConfig(objective="dppo_kl", clip_low=0.1, clip_high=0.1, ratio_cap=2.0), dppo("kl")),
    "dro": (LossConfig(objective="dro", beta=0.3), -(NEW * ADV - 0.15 * (NEW - OLD) ** 2)),
    "reinforce": (LossConfig(objective="reinforce"), -NEW * ADV),
    "k1": (LossConfig(objective="reinforce", kl_coef=0.5, kl_estimator="k1"), -NEW * ADV - 0.5 * D),
    "k2": (LossConfig(objective="reinforce", kl_coef=0.5, kl_estimator="k2"), -NEW * ADV + 0.25 * D**2),
    "k3": (LossConfig(objective="reinforce", kl_coef=0.5), -NEW * ADV + 0.5 * (np.exp(D) - D - 1)),
    "abs": (LossConfig(objective="reinforce", kl_coef=0.5, kl_estimator="abs"), -NEW * ADV + 0.5 * np.abs(D)),
    "entropy": (LossConfig(objective="reinforce", entropy_coef=0.3), -NEW * ADV + 0.3 * NEW),
}


def completions(**changes):
    given = {
        "prompt": np.zeros((P, 2), np.int32), "prompt_mask": np.ones((P, 2), np.float32),
        "tokens": np.zeros((P, G, T), np.int32), "mask": MASK, "behaviour_log_prob": OLD,
        "rewards": {"reward": REWARD}, "reference_log_prob": REF,
    } | changes  # fmt: skip
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32 if np.issubdtype(x.dtype, np.floating) else x.dtype),
        group.Completions(**given),
    )


def loss_of(config, advantage, batch, log_prob):
    credit = group.Credit(jnp.asarray(advantage, jnp.float32), batch.mask, batch.rewards["reward"])
    update = make_update(config, batch, credit)
    return group.objective(config, log_prob, update, entropy=-log_prob)[0]


@functools.cache
def values():
    """Every case and aggregation in one program."""
    cases = {
        (name, how): config.replace(aggregation=how, max_length=7)
        for name, (config, _) in POLICY.items()
        for how in AGGREGATIONS
    }
    batch, log_prob = completions(), jnp.asarray(NEW, jnp.float32)
    run = jax.jit(
        lambda b, x: {case: loss_of(config, ADV, b, x) for case, config in enumerate(cases.values())}
    )
    return dict(zip(cases, run(batch, log_prob).values(), strict=True))


@pytest.mark.parametrize("how", AGGREGATIONS)
@pytest.mark.parametrize("name", POLICY)
def test_losses_are_those_of_numpy(name, how):
    np.testing.assert_allclose(values()[name, how], aggregated(POLICY[name][1], how), rtol=3e-5, atol=2e-6)


def preferences(name):
    """DPO and its relatives as TRL computes them; the first completion is chosen, the second rejected."""
    logits = ((NEW - REF) * MASK).sum(-1)
    z = logits[:, 0] - logits[:, 1]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    if name == "dpo":
        return -np.log(sigmoid(0.1 * z)).mean()
    if name == "smoothed":
        return (-0.8 * np.log(sigmoid(0.1 * z)) - 0.2 * np.log(sigmoid(-0.1 * z))).mean()
    if name == "hinge":
        return np.maximum(0, 1 - 0.1 * z).mean()
    if name == "ipo":
        each = logits / np.maximum(MASK.sum(-1), 1)
        return ((each[:, 0] - each[:, 1] - 1 / 0.2) ** 2).mean()
    pair = MASK[:, :2].sum(-1) > 0
    level = logits[:, :2]
    if name == "kto":
        z0 = np.maximum(0, (level * pair).sum(-1, keepdims=True) / pair.sum(-1, keepdims=True))
        sign = np.array([1.0, -1.0])
        return (1 - sigmoid(0.1 * sign * (level - z0))).mean()
    if name == "a2po":
        return ((0.1 * level - np.array([1.0, -1.0])) ** 2).mean()
    u = 0.1 * level
    return {"chi2": u**2 / 4 - u, "hellinger": -u / (1 + u), "exponential": np.exp(-u) - 1, "linear": -u}[
        name
    ].mean()


PREFERENCE = {
    "dpo": {"objective": "dpo"},
    "smoothed": {"objective": "dpo", "label_smoothing": 0.2},
    "hinge": {"objective": "hinge"},
    "ipo": {"objective": "ipo"},
    "kto": {"objective": "kto"},
    "a2po": {"objective": "a2po"},
    **{d: {"objective": "f_sft", "divergence": d} for d in ("linear", "chi2", "hellinger", "exponential")},
}


@pytest.mark.parametrize("name", PREFERENCE)
def test_preference_losses_are_those_of_numpy(name):
    batch = jax.tree.map(lambda x: x if x.ndim == 2 and x.shape == (P, 2) else x[:, :2], completions())
    judged = jnp.ones((P, 2, T)) * jnp.array([1.0, -1.0])[:, None]
    value = loss_of(LossConfig(beta=0.1, **PREFERENCE[name]), judged, batch, jnp.float32(NEW[:, :2]))
    assert float(value) == pytest.approx(preferences(name), rel=2e-5)


def test_clipped_surrogate_is_rlax_and_on_policy_gradients_are_reinforce():
    flat = MASK > 0
    expected = rlax.clipped_surrogate_pg_loss(jnp.float32(RATIO[flat]), jnp.float32(ADV[flat]), 0.2)
    batch = completions()
    value = loss_of(LossConfig(), ADV, batch, jnp.float32(NEW))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    here = batch._replace(behaviour_log_prob=jnp.float32(NEW))
    for objective in ("clip", "unclipped", "cispo", "dppo_tv", "dppo_kl", "sapo", "vespo"):
        config = LossConfig(objective=objective, ratio_cap=20.0, temperature_negative=1.0)
        gradient = jax.grad(lambda x, c=config: loss_of(c, ADV, here, x))(jnp.float32(NEW))
        np.testing.assert_allclose(gradient, -ADV * MASK / MASK.sum(), rtol=2e-5, atol=1e-7)


def test_gradient_of_gspo_is_that_of_the_whole_ratio():
    config = LossConfig(ratio="sequence", clip_low=0.1, clip_high=0.1, aggregation="seq_mean_token_mean")
    gradient = jax.grad(lambda x: loss_of(config, ADV, completions(), x))(jnp.float32(NEW))

    def plain(x):
        mean = jnp.sum((x - OLD) * MASK, -1) / np.maximum(MASK.sum(-1), 1)
        ratio, advantage = jnp.exp(mean), ADV[..., 0]
        each = -jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.9, 1.1) * advantage)
        return jnp.sum(each * (MASK.sum(-1) > 0)) / (MASK.sum(-1) > 0).sum()

    np.testing.assert_allclose(gradient, jax.grad(plain)(jnp.float32(NEW)), rtol=1e-5, atol=1e-8)


def test_straight_through_has_the_gradient_of_k2():
    x, ref = jnp.float32(NEW), jnp.float32(REF)
    value, gradient = jax.value_and_grad(lambda x: group.kl_estimate(x, ref, "k3", True).sum())(x)
    np.testing.assert_allclose(value, group.kl_estimate(x, ref, "k3").sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, NEW - REF, rtol=1e-4, atol=1e-6)


GROUP = {
    "grpo": ({}, lambda r: (r - r.mean(1, keepdims=True)) / (r.std(1, ddof=1, keepdims=True) + 1e-6)),
    "ddof 0": ({"ddof": 0}, lambda r: (r - r.mean(1, keepdims=True)) / (r.std(1, keepdims=True) + 1e-6)),
    "dr_grpo": ({"scale": "none"}, lambda r: r - r.mean(1, keepdims=True)),
    "rloo": (
        {"center": "loo", "scale": "none"},
        lambda r: r - (r.sum(1, keepdims=True) - r) / (r.shape[1] - 1),
    ),
    "batch": (
        {"scale": "batch"},
        lambda r: (r - r.mean(1, keepdims=True)) / ((r - r.mean(1, keepdims=True)).std(ddof=1) + 1e-6),
    ),
    "none": ({"center": "none", "scale": "none"}, lambda r: r),
}


@pytest.mark.parametrize("name", GROUP)
def test_group_advantages(name):
    options, oracle = GROUP[name]
    got = group.group_advantage(jnp.float32(REWARD), **options)
    np.testing.assert_allclose(got, oracle(REWARD), rtol=2e-5, atol=2e-6)


def test_rloo_is_dr_grpo_times_a_factor():
    reward = jnp.float32(REWARD)
    loo = group.group_advantage(reward, "loo", "none")
    np.testing.assert_allclose(loo, G / (G - 1) * group.group_advantage(reward, "mean", "none"), rtol=1e-6)


def test_nearly_equal_rewards_explode_unless_told_not_to():
    reward = jnp.ones((1, 64)).at[0, 5].set(0.999)
    assert float(jnp.abs(group.group_advantage(reward, eps=1e-4)).max()) == pytest.approx(4.4, abs=0.1)
    assert float(jnp.abs(group.group_advantage(reward, eps=1e-9)).max()) == pytest.approx(7.9, abs=0.1)
    assert not group.group_advantage(reward, min_std=1e-3).any()
    tenths = jnp.full((2, 3), 0.1)  # whose mean is not 0.1 in float32
    assert not group.group_advantage(tenths).any()


@pytest.mark.parametrize("baseline", [False, True])
def test_reinforce_plus_plus(baseline):
    got = advantages.reinforce_plus_plus(
        jnp.float32(REWARD), jnp.float32(MASK), jnp.float32(OLD - REF), 0.1, baseline
    )
    reward = REWARD - REWARD.mean(1, keepdims=True) if baseline else REWARD
    paid = -0.1 * (OLD - REF) * MASK
    for p in range(P):
        for g in range(G):
            if LENGTHS[p, g]:
                paid[p, g, LENGTHS[p, g] - 1] += reward[p, g]
    returns = np.cumsum(paid[..., ::-1], -1)[..., ::-1]
    valid = returns[MASK > 0]
    expected = (returns - valid.mean()) / np.sqrt(valid.var(ddof=1) + 1e-8) * MASK
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


def test_returns_pass_over_tokens_of_tools():
    mask, reward = jnp.float32([1, 0, 0, 1]), jnp.float32([0, 9, 9, 1])
    np.testing.assert_allclose(advantages.return_to_go(reward, mask, 0.5), [0.5, 0, 0, 1])


def test_extremes_of_the_clamp():
    """What an exponential does without it: NaN from a token whose advantage is 0."""
    far = jnp.float32([120.0])
    unsafe = jax.value_and_grad(lambda x: jnp.sum(jnp.exp(x) * 0.0))(far)
    assert np.isnan(unsafe[0])
    log = lambda x: ratios.log_ratio(x, jnp.zeros(1), jnp.ones(1), np.log(1000.0))
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(jnp.exp(log(x)) * -1.0))(far)
    assert float(value) == pytest.approx(-1000.0, rel=1e-4)
    assert float(gradient[0]) == 0.0


def test_soft_values_and_implicit_rewards():
    logits = jnp.float32(RNG.standard_normal((3, 5)))
    value, advantage = preference_losses.soft_values(logits, 0.5)
    np.testing.assert_allclose(jnp.exp(advantage / 0.5), jax.nn.softmax(logits / 0.5), rtol=1e-5)
    np.testing.assert_allclose(value, 0.5 * np.log(np.exp(np.float64(logits) / 0.5).sum(-1)), rtol=1e-5)
    token, whole = preference_losses.implicit_reward(
        jnp.float32(NEW), jnp.float32(REF), jnp.float32(MASK), 0.2
    )
    np.testing.assert_allclose(whole, (0.2 * (NEW - REF) * MASK).sum(-1), rtol=1e-4, atol=1e-6)
    assert token.shape == (P, G, T)


@pytest.mark.parametrize("divergence", ["hellinger", "exponential"])
def test_divergences_go_on_as_tangents(divergence):
    at = -0.5 if divergence == "hellinger" else -5.0
    f = lambda u: preference_losses.f_sft(u, divergence)
    below, above = jnp.float32(at - 1e-3), jnp.float32(at + 1e-3)
    np.testing.assert_allclose(jax.grad(f)(below), jax.grad(f)(above), rtol=1e-2)
    np.testing.assert_allclose(f(below), f(above), rtol=1e-2)


def test_gap_order_loss():
    gaps = RNG.standard_normal((4, 6))
    wl, ww, ll, lw = gaps
    log_sigmoid = lambda x: -np.log1p(np.exp(-x))
    expected = -sum(map(log_sigmoid, (wl - ww, wl - ll, wl - lw, ww - lw, ll - lw)))
    np.testing.assert_allclose(preference_losses.gap_order_loss(*jnp.float32(gaps)), expected, rtol=1e-5)
