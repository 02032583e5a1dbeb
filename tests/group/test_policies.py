"""Policies: the decoder is Llama, caches change nothing, samples have the probabilities that scores say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import tolerance

from rlkit.envs.tokens import Prompt, make_task, sample_prompts
from rlkit.errors import UsageError
from rlkit.group.policies import (
    DecoderConfig,
    Sampling,
    TokenPolicy,
    check_policy,
    decoder,
    from_flax,
    score,
    table,
    write,
)  # fmt: skip
from rlkit.group.policies.sampling import filtered

CONFIG = DecoderConfig(vocabulary=11, context=16, width=16, layers=2, heads=2, kv_heads=1, hidden=24)
LENGTHS = (3, 5, 1, 4)
NEAR = tolerance(2e-5, 1e-4)


@pytest.fixture(scope="module")
def small():
    policy = decoder(CONFIG)
    params = jax.tree.map(lambda x: 3.0 * x, policy.init(jax.random.key(0)))  # far from uniform
    tokens = jax.random.randint(jax.random.key(1), (4, 5), 1, 11)
    mask = (jnp.arange(5) < jnp.array(LENGTHS)[:, None]).astype(jnp.float32)
    return policy, params, Prompt(tokens, mask, {})


@pytest.fixture(scope="module")
def wrote(small):
    policy, params, prompts = small
    keys = jax.random.split(jax.random.key(2), 4)
    run = jax.jit(lambda p, prompts, keys: write(policy, p, prompts, keys, group=8, length=6))
    return run(params, prompts, keys)


def test_sampled_and_scored_probabilities_agree(small, wrote):
    """Sampling with the cache, over prompts of different lengths, and one pass over whole rows."""
    policy, params, prompts = small
    scores = jax.jit(lambda p, t: score(policy, p, prompts.tokens, prompts.mask, t))(params, wrote.tokens)
    mask = np.asarray(wrote.mask) > 0
    assert 0.3 < mask.mean() < 1.0
    np.testing.assert_allclose(np.asarray(scores.log_prob)[mask], np.asarray(wrote.log_prob)[mask], atol=NEAR)
    # The entropy at the first place by its definition.
    for p, length in enumerate(LENGTHS):
        logits, _ = policy.logits(params, prompts.tokens[p : p + 1, :length], None)
        q = np.asarray(jax.nn.softmax(logits[0, -1]), np.float64)
        np.testing.assert_allclose(scores.entropy[p, :, 0], -(q * np.log(q)).sum(), rtol=1e-4)


def test_completions_end_once(wrote):
    tokens, mask, truncated = np.asarray(wrote.tokens), np.asarray(wrote.mask), np.asarray(wrote.truncated)
    ends = np.cumsum(tokens == 0, -1)
    np.testing.assert_array_equal(mask, (ends == 0) | ((tokens == 0) & (ends == 1)))
    np.testing.assert_array_equal(truncated, ends[..., -1] == 0)
    assert truncated.any()
    assert not truncated.all()
    np.testing.assert_array_equal(np.asarray(wrote.log_prob)[mask == 0], 0.0)


def test_a_policy_without_cache_writes_the_same(small, wrote):
    policy, params, prompts = small
    keys = jax.random.split(jax.random.key(2), 4)
    slow = policy._replace(cache=None)
    again = jax.jit(lambda p: write(slow, p, prompts, keys, group=8, length=6))(params)
    np.testing.assert_array_equal(again.tokens, wrote.tokens)
    np.testing.assert_allclose(again.log_prob, wrote.log_prob, atol=NEAR)


def test_what_a_prompt_gets_does_not_depend_on_its_neighbours(small, wrote):
    policy, params, prompts = small
    keys = jax.random.split(jax.random.key(2), 4)
    last = jax.tree.map(lambda x: x[2:], prompts)
    alone = jax.jit(lambda p: write(policy, p, last, keys[2:], group=8, length=6))(params)
    np.testing.assert_array_equal(alone.tokens, wrote.tokens[2:])


def test_padding_changes_nothing(small, wrote):
    policy, params, prompts = small
    wide = Prompt(
        jnp.pad(prompts.tokens, ((0, 0), (0, 3)), constant_values=7),
        jnp.pad(prompts.mask, ((0, 0), (0, 3))),
        {},
    )
    scores = [
        jax.jit(lambda p, x=x: score(policy, p, x.tokens, x.mask, wrote.tokens))(params)
        for x in (prompts, wide)
    ]
    mask = np.asarray(wrote.mask) > 0
    np.testing.assert_allclose(scores[0].log_prob[mask], scores[1].log_prob[mask], atol=tolerance(1e-5, 1e-4))


def test_filters():
    logits = jnp.log(jnp.array([0.4, 0.1, 0.3, 0.15, 0.05]))
    left = lambda **how: np.flatnonzero(np.isfinite(filtered(logits, Sampling(**how)))).tolist()
    assert left() == [0, 1, 2, 3, 4]
    assert left(top_k=2) == [0, 2]
    assert left(top_p=0.5) == [0, 2]
    assert left(top_p=0.4) == [0]
    assert left(top_p=1e-6) == [0]
    assert left(min_p=0.3) == [0, 2, 3]
    assert left(top_k=3, min_p=0.5) == [0, 2]
    assert left(temperature=0.5, min_p=0.3) == [0, 2]  # (0.3 / 0.4) ** 2 > 0.3 > (0.15 / 0.4) ** 2


@pytest.mark.parametrize("how", [Sampling(), Sampling(temperature=2.0, top_k=3), Sampling(temperature=0.0)])
def test_frequencies(small, how):
    """20,000 first tokens have the frequencies that the logits say."""
    policy, params, prompts = small
    one = jax.tree.map(lambda x: x[1:2], prompts)
    draw = jax.jit(
        lambda p: write(
            policy, p, one, jax.random.split(jax.random.key(3), 1), group=20_000, length=1, how=how
        )
    )
    out = draw(params)
    count = np.bincount(np.asarray(out.tokens).ravel(), minlength=11) / 20_000
    logits, _ = policy.logits(params, one.tokens, None)
    wanted = np.asarray(jax.nn.softmax(filtered(logits[0, -1], how)))
    if how.temperature == 0.0:
        wanted = np.eye(11)[int(jnp.argmax(logits[0, -1]))]
    np.testing.assert_allclose(count, wanted, atol=0.015)


def test_tools_reply_and_are_not_the_policys():
    task = make_task("tokens/calculator", base=3)
    spec = task.spec
    prompts = sample_prompts(task, jax.random.key(0), 4)
    solutions = jax.vmap(task.solve)(prompts)
    start = spec.prompt_length
    # A policy that writes the solution, but for what the calculator says, where it would write nonsense.
    replies = jnp.zeros(spec.completion_length, bool).at[jnp.array([3, 7])].set(True)

    def logits(params, tokens, cache=None):
        where = jnp.arange(tokens.shape[1]) + 1 - start
        which = jnp.argmax((tokens[:, None, :start] == prompts.tokens).all(-1), -1)
        token = solutions[which][:, jnp.clip(where, 0, spec.completion_length - 1)]
        token = jnp.where(replies[jnp.clip(where, 0, spec.completion_length - 1)], 1, token)
        return 50.0 * jax.nn.one_hot(token, len(spec.vocabulary)), None

    policy = TokenPolicy(lambda key: {}, logits, len(spec.vocabulary), 64)
    keys = jax.random.split(jax.random.key(1), 4)
    out = jax.jit(
        lambda: write(policy, {}, prompts, keys, group=2, length=spec.completion_length, tool=task.tool)
    )()
    for g in range(2):
        np.testing.assert_array_equal(out.tokens[:, g], solutions)
        mask = np.asarray(out.mask[:, g])
        assert (mask[:, [3, 7]] == 0).all()
        np.testing.assert_array_equal(mask.sum(1), (np.asarray(solutions) != 0).sum(1) + 1 - 2)


@pytest.mark.parametrize("memory", [0, 2])
def test_tables(memory):
    task = make_task("tokens/lookup", entities=3, relations=2)
    policy = check_policy(table(task, memory=memory))
    prompts = task.every()
    params = policy.init(jax.random.key(0))
    assert params["logits"].shape == (12, 3, 7**memory, 6)
    params = jax.tree.map(lambda x: jax.random.normal(jax.random.key(1), x.shape), params)
    keys = jax.random.split(jax.random.key(2), 12)
    out = jax.jit(lambda p: write(policy, p, prompts, keys, group=4, length=3))(params)
    scores = jax.jit(lambda p: score(policy, p, prompts.tokens, prompts.mask, out.tokens))(params)
    mask = np.asarray(out.mask) > 0
    np.testing.assert_allclose(np.asarray(scores.log_prob)[mask], np.asarray(out.log_prob)[mask], atol=1e-5)
    rows, tokens = np.asarray(params["logits"]), np.asarray(out.tokens)
    for n, g in np.ndindex(12, 4):
        a, b = tokens[n, g, :2] + 1
        for t, context in enumerate((0, a, 7 * b + a) if memory else (0, 0, 0)):
            # The last token is the more significant digit.
            context = context if t < 2 or not memory else 7 * b + a
            row = rows[n, t, 7 * context if t == 1 and memory == 2 else context]
            wanted = row[tokens[n, g, t]] - np.log(np.exp(row).sum())
            if mask[n, g, t]:
                assert float(scores.log_prob[n, g, t]) == pytest.approx(wanted, abs=1e-5)


def test_flax_modules_of_users():
    import flax.linen as nn

    class Counting(nn.Module):
        """A causal model: the mean of what was read so far."""

        ahead: bool = False

        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(7, 8)(tokens)
            x = jnp.cumsum(x, 1) if not self.ahead else x + x.sum(1, keepdims=True)
            return nn.Dense(7)(x)

    policy = from_flax(Counting(), 7, 12)
    prompts = Prompt(jnp.array([[1, 2, 0], [3, 0, 0]]), jnp.array([[1.0, 1, 0], [1, 0, 0]]), {})
    params = policy.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 2)
    out = jax.jit(lambda p: write(policy, p, prompts, keys, group=3, length=4))(params)
    scores = score(policy, params, prompts.tokens, prompts.mask, out.tokens)
    mask = np.asarray(out.mask) > 0
    np.testing.assert_allclose(np.asarray(scores.log_prob)[mask], np.asarray(out.log_prob)[mask], atol=1e-5)
    with pytest.raises(UsageError, match="causal"):
        from_flax(Counting(ahead=True), 7, 12)
    with pytest.raises(UsageError, match=r"expected floats \[2, 3, 9\]"):
        from_flax(Counting(), 9, 12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DecoderConfig(heads=4, kv_heads=3), "heads=4: expected a multiple of kv_heads=3"),
        (lambda: DecoderConfig(width=20, heads=4, kv_heads=2), "width=20"),
        (lambda: table(make_task("tokens/sorting")), "does not list its prompts"),
        (lambda: table(make_task("tokens/preferences"), memory=7), "expected at most 50 million"),
        (lambda: Sampling(top_p=0.0), "top_p"),
        (lambda: check_policy(lambda tokens: tokens), "expected an rlkit.group TokenPolicy"),
        (lambda: decoder(CONFIG, params={"embed": {"embedding": np.zeros((3, 16))}}), "weights"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_prompts_longer_than_the_context(small):
    policy, params, prompts = small
    with pytest.raises(UsageError, match="reads at most 16 in all"):
        write(policy, params, prompts, jax.random.split(jax.random.key(0), 4), group=2, length=12)
