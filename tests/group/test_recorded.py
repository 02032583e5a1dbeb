"""Comparisons from data: DPO of texts without a rollout."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlkit import group
from rlkit.errors import UsageError
from rlkit.group.policies import DecoderConfig, decoder, score

ROWS = [
    {"prompt": "ab", "chosen": "cd", "rejected": "a"},
    {"prompt": "a", "chosen": "b", "rejected": "ddd"},
    {"prompt": "bad", "chosen": "", "rejected": "c"},
]
POLICY = decoder(DecoderConfig(vocabulary=5, context=8, width=16, layers=1, heads=2, kv_heads=1))


class Letters(NamedTuple):
    size: int = 5
    eos: int = 0

    def encode(self, text):
        return ["abcd".index(letter) + 1 for letter in text]

    def decode(self, tokens):
        return "".join("abcd"[token - 1] for token in tokens if token)


def test_dpo_on_recorded_comparisons():
    params = POLICY.init(jax.random.key(0))
    batch = group.preference_batch(POLICY, params, ROWS, Letters())
    np.testing.assert_array_equal(batch.prompt, [[1, 2, 0], [1, 0, 0], [2, 1, 4]])
    np.testing.assert_array_equal(batch.tokens[1], [[2, 0, 0, 0], [4, 4, 4, 0]])
    np.testing.assert_array_equal(batch.mask.sum(-1), [[3, 2], [2, 4], [1, 2]])
    alone, _ = POLICY.logits(params, jnp.array([[1, 2, 3, 4]]), None)  # "ab" and "cd"
    log = jax.nn.log_softmax(alone[0])
    wanted = [log[1, 3], log[2, 4], log[3, 0]]
    np.testing.assert_allclose(batch.reference_log_prob[0, 0, :3], wanted, rtol=1e-4)

    method = group.preset("dpo", weights={"chosen": 1.0})
    group.check_batch(method, batch)
    ctx = group.Context(jnp.int32(0), jnp.int32(20), jax.random.key(1))
    _, credit, _ = method.pipeline.apply(method.pipeline.init(), (), batch, ctx)
    update, optimiser = group.make_update(method.loss, batch, credit), optax.adam(1e-2)

    def loss(params):
        said = score(POLICY, params, batch.prompt, batch.prompt_mask, batch.tokens, entropy=False)
        return group.objective(method.loss, said.log_prob, update)

    def step(carry, _):
        params, state = carry
        gradient, told = jax.grad(loss, has_aux=True)(params)
        changes, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, changes), state), told

    _, told = jax.jit(lambda p: jax.lax.scan(step, (p, optimiser.init(p)), length=20))(params)
    assert float(told["loss/policy"][0]) == pytest.approx(np.log(2), rel=1e-5)
    assert float(told["preferred"][-1]) == 1.0
    assert float(told["loss/policy"][-1]) < 0.6


def test_long_completions_are_cut():
    batch = group.preference_batch(POLICY, POLICY.init(jax.random.key(0)), ROWS, Letters(), length=2)
    assert batch.tokens.shape == (3, 2, 2)
    np.testing.assert_array_equal(batch.truncated, [[True, False], [False, True], [False, False]])


@pytest.mark.parametrize(
    ("rows", "tokenizer", "message"),
    [
        ([], Letters(), "there are no rows; expected"),
        (
            [{"prompt": "a", "chosen": "b"}],
            Letters(),
            "row 0 has no rejected: it has prompt, chosen; expected",
        ),
        ([{"prompt": "", "chosen": "b", "rejected": "c"}], Letters(), "row 0 has an empty prompt"),
        (ROWS, Letters(size=9), "knows 5 tokens, the tokenizer has 9"),
        ([{"prompt": "abcdabcd", "chosen": "b", "rejected": "c"}], Letters(), "reads at most 8 in all"),
    ],
)
def test_bad_data_is_told(rows, tokenizer, message):
    with pytest.raises(UsageError, match=message):
        group.preference_batch(POLICY, POLICY.init(jax.random.key(0)), rows, tokenizer)
