"""One whole step of presets of papers, from columns to loss and gradient, against NumPy in float64.

The gradients are central differences of the NumPy loss, so that nothing of the method is written twice.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import group

P, G, T, TOTAL = 4, 4, 3, 10
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, T + 1, (P, G))
LENGTHS[0] = T
MASK = (np.arange(T) < LENGTHS[..., None]).astype(float)
COUNTS = LENGTHS.sum()
OLD = -1.5 * RNG.random((P, G, T)) - 0.1
NEW = OLD + 0.4 * RNG.standard_normal((P, G, T))
REF = -1.5 * RNG.random((P, G, T)) - 0.1
BITS = lambda *shape: RNG.integers(0, 2, shape).astype(float)
C = {
    "reward_after": BITS(P, G), "reward_before": BITS(P, G), "stopped": BITS(P, G), "label_right": BITS(P, G),
    "format": BITS(P, G), "unsafe": BITS(P, G), "refuses": BITS(P, G), "reward": RNG.random((P, G)),
    "semantic_answers": RNG.random((P, G, 3)), "quality_answers": RNG.random((P, G, 2)),
    "draft_reward": RNG.random((P, G)), "satisfied": BITS(P, G, 3), "criterion_weight": RNG.random((P, 3)),
    "factual": np.array([[1.0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1]]), "correct": BITS(P, G),
    "atomic": RNG.random((P, G)),
    "conciseness": RNG.random((P, G)), "consistency": RNG.integers(-1, 2, (P, G)).astype(float),
    "f1": RNG.random((P, G)), "flag": BITS(P, G, T), "guide_log_prob": -RNG.random((P, G, T)),
    "own": np.array([0.0, 1, 1, 0]), "extension": RNG.random((P, G)), "other": RNG.random((P, G)),
    "answer": RNG.integers(-1, 3, (P, G)), "pair": np.array([1, 0, 3, 2]),
}  # fmt: skip
C["draft_reward"][1] = 2.0  # a prompt of which no refinement is better than its draft
C["criterion_weight"][1, 2] = 0.0  # a criterion that does not exist
OFF = BITS(P, G)


def clipped(ratio, advantage, low=0.2, high=0.2):
    return -np.minimum(ratio * advantage, np.clip(ratio, 1 - low, 1 + high) * advantage)


def by_token(loss, counts=MASK):
    return (loss * counts).sum() / counts.sum()


def by_completion(loss, counts=MASK):
    return ((loss * counts).sum(-1) / np.maximum(counts.sum(-1), 1)).sum() / (counts.sum(-1) > 0).sum()


def z(reward):
    return (reward - reward.mean(1, keepdims=True)) / (reward.std(1, ddof=1, keepdims=True) + 1e-6)


def returned(reward, kl_coef=0.0):
    """REINFORCE++: the divergence at each token, the reward at the last, returns normalised over tokens."""
    paid = -kl_coef * (OLD - REF) * MASK
    for p, g in np.ndindex(P, G):
        paid[p, g, LENGTHS[p, g] - 1] += reward[p, g]
    returns = np.cumsum(paid[..., ::-1], -1)[..., ::-1]
    seen = returns[MASK > 0]
    return (returns - seen.mean()) / np.sqrt(seen.var(ddof=1) + 1e-8) * MASK


def feedback(x, late, gated=True):
    gain = np.where(C["stopped"] > 0, 0.0, C["reward_after"] - C["reward_before"])
    right = C["label_right"]
    reward = 0.65 * gain * (right if gated else 1.0) + (0.0 if late else 1.0) * right + 0.1 * C["format"]
    return by_token(clipped(np.exp(x - OLD), returned(reward, 0.01)))


def conversation(x, late):
    reward = ((C["unsafe"] == 0) & (C["refuses"] == 0)).astype(float)
    return late * by_token(clipped(np.exp(x - OLD), returned(reward)))


def alpha(x, late, draft=False):
    reward = np.sqrt(C["semantic_answers"].mean(-1) * C["quality_answers"].mean(-1))
    counts = MASK.copy()
    if draft:
        better = reward > C["draft_reward"]
        reward = np.where(better, reward, C["draft_reward"].min(1, keepdims=True))
        counts *= better.any(1)[:, None, None]
    advantage = np.clip(z(reward), -0.9, 0.9)[..., None]
    ratio = np.exp(((x - OLD) * MASK).sum(-1) / LENGTHS)[..., None] * np.ones(T)
    return by_token(clipped(ratio, advantage, 0.2, 0.28), counts)


PHI = {
    "linear": lambda u: u,
    "chi2": lambda u: u - u**2 / 4,
    "hellinger": lambda u: u / (1 + u),
    "exponential": lambda u: 1 - np.exp(-u),
}


def bridge(x, late, phi):
    u = 0.1 * ((x - REF) * MASK).sum(-1)
    return -PHI[phi](u)[C["reward"] > 0.5].mean()


def rubrics(x, late):
    w, factual, met = C["criterion_weight"], (C["factual"] * (C["criterion_weight"] > 0)) > 0, C["satisfied"]
    share = (w[:, None] * met).sum(-1) / w.sum(-1)[:, None]
    every = np.array([[f.any() and bool(m[f].all()) for m in ms] for f, ms in zip(factual, met, strict=True)])
    advantage = z(np.where(every, 1.0, share))[..., None]
    own = -np.exp(x - OLD) * advantage
    refined = -np.exp(x) / (np.exp(OLD) + 0.1) * advantage
    return by_completion(np.where(OFF[..., None] > 0, refined, own))


def stable(x, late):
    advantage = returned(0.5 * C["format"] + C["correct"] * (1 + 0.5 * C["consistency"]))
    seen = advantage[MASK > 0]
    standard = (advantage - seen.mean()) / seen.std(ddof=1)
    kept = np.where(np.abs(standard) <= 1.2, standard, 0.0)
    return by_token(clipped(np.exp(x - OLD), kept))


def concise(x, late):
    annealing, rate = 1 - (7 if late else 2) / TOTAL, C["correct"].mean(1, keepdims=True)
    reward = C["correct"] * (1 + 0.5 * C["conciseness"] * (annealing + 1 - rate))
    return by_completion(clipped(np.exp(x - OLD), z(reward)[..., None]))


def curriculum(x, late):
    a = 0.5 * (1 - (7 if late else 2) / TOTAL)
    return by_completion(clipped(np.exp(x - OLD), z(a * C["atomic"] + (1 - a) * C["f1"])[..., None]))


def flagged(x, late):
    advantage = z(C["reward"])[..., None] * MASK
    return by_completion(clipped(np.exp(x - OLD), advantage - 0.1 * C["flag"] * np.abs(advantage)))


def guided(x, late, bounds=None):
    z = np.zeros(P)
    for p in range(P):
        for g, sign in ((C["reward"][p].argmax(), 1), (C["reward"][p].argmin(), -1)):
            weight = 1 + sign * 0.5 * 0.1 * (C["guide_log_prob"] - REF)[p, g]
            weight = weight if bounds is None else np.clip(weight, *bounds)
            z[p] += sign * (0.1 * weight * (x - REF)[p, g] * MASK[p, g]).sum()
    return np.log1p(np.exp(-z)).mean()


def gaps(x, late):
    counts = MASK * (C["own"] == late)[:, None, None]
    advantage = (C["reward"] - C["reward"].mean(1, keepdims=True))[..., None]
    return (clipped(np.exp(x - OLD), advantage) * counts).sum() / (counts.sum(-1) > 0).sum()


def dimensions(x, late):
    reached = (C["reward"].max(1) >= 0.87).astype(int) + (C["other"].max(1) >= 0.87)
    counts = MASK * (reached >= 1)[:, None, None]
    assert 0 < (reached >= 1).sum() < P
    return by_completion(clipped(np.exp(x - OLD), z(C["reward"] + 2 * C["other"])[..., None]), counts)


def series(x, late):
    both = (C["correct"] == 1) & (C["format"] == 1)
    reward = 0.9 * C["correct"] + 0.1 * C["format"] + 0.5 * C["extension"] * both
    return by_completion(clipped(np.exp(x - OLD), z(reward)[..., None]))


def crossed(x, late):
    labels = []
    for said in C["answer"]:
        votes = [(said == a).sum() for a in range(3)]
        labels.append(int(np.argmax(votes)) if max(votes) else -1)
    reward = (C["answer"] == np.array(labels)[C["pair"]][:, None]) & (C["answer"] >= 0)
    return by_completion(clipped(np.exp(x - OLD), z(reward.astype(float))[..., None]))


CASES = {
    "waltz_rl_feedback": ({"kl_coef": 0.01}, feedback),
    "waltz_rl_feedback, not gated": (
        {"kl_coef": 0.01, "gated_by_label": False},
        functools.partial(feedback, gated=False),
    ),
    "waltz_rl_conversation": ({}, conversation),
    "alpha_grpo": ({"bound": 0.9}, alpha),
    "alpha_grpo_refine": ({"bound": 0.9}, functools.partial(alpha, draft=True)),
    **{f"implicit_bridge, {f}": ({"divergence": f}, functools.partial(bridge, phi=f)) for f in PHI},
    "rgr_grpo": ({}, rubrics),
    "r1_reward": ({"sigma": 1.2}, stable),
    "crf": ({}, concise),
    "atom_searcher": ({}, curriculum),
    "perceval": ({}, flagged),
    "tgdpo": ({}, guided),
    "tgdpo, bounded": ({"bounds": (0.99, 1.01)}, functools.partial(guided, bounds=(0.99, 1.01))),
    "pit": ({"gap": "reward", "own": "own"}, gaps),
    "mora": ({"weights": {"reward": 1.0, "other": 2.0}, "threshold": 0.87}, dimensions),
    "time_master": ({"accuracy": "correct"}, series),
    "co_reward": ({}, crossed),
}


@functools.cache
def steps():
    """Loss and gradient of every case, early and late in training, in one program."""
    f = lambda x: jnp.asarray(x, jnp.int32 if np.issubdtype(x.dtype, np.integer) else jnp.float32)
    batch = group.Completions(
        prompt=jnp.zeros((P, 2), jnp.int32), prompt_mask=jnp.ones((P, 2)), mask=f(MASK),
        tokens=jnp.zeros((P, G, T), jnp.int32), behaviour_log_prob=f(OLD), reference_log_prob=f(REF),
        rewards={"reward": f(C["reward"])}, off_policy=jnp.asarray(OFF > 0), extras=jax.tree.map(f, C),
    )  # fmt: skip
    methods = {name: group.preset(name.split(",")[0], **given) for name, (given, _) in CASES.items()}

    def run(step, batch):
        ctx, out = group.Context(step, jnp.int32(TOTAL), jax.random.key(0)), {}
        for name, method in methods.items():
            _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
            plan = method.controller.plan(method.controller.init(batch), method.loss, batch, credit, ctx)
            loss = lambda x, plan=plan: group.objective(plan.loss, x, plan.updates[0])[0]
            out[name] = jax.value_and_grad(loss)(f(NEW))
        return out

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run, (0, None)))(jnp.array([2, 7]), batch))


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_steps_of_papers_are_those_of_numpy(name, late):
    loss, gradient = (x[late] for x in steps()[name])
    plain = CASES[name][1]
    np.testing.assert_allclose(loss, plain(NEW, late), rtol=2e-5, atol=2e-6)
    moved = np.zeros_like(NEW)
    for at in np.ndindex(NEW.shape):
        h = np.zeros_like(NEW)
        h[at] = 1e-6
        moved[at] = (plain(NEW + h, late) - plain(NEW - h, late)) / 2e-6
    np.testing.assert_allclose(gradient, moved * MASK, rtol=1e-3, atol=2e-6)
