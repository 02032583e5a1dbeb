"""Small GGUF files with random weights, which llama.cpp reads as well."""

import numpy as np


def write_gguf(
    path,
    *,
    seed=0,
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    hidden=48,
    architecture="llama",
    tied=True,
    without="",
    pieces="smollm",
    base=500.0,
):
    """Write a model whose tokens are the 256 bytes, one merge and two control tokens."""
    from gguf import GGUFWriter

    rng = np.random.default_rng(seed)
    draw = lambda *shape: rng.normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)
    tokens = ["<|end|>", "<|start|>", *_byte_letters(), "he"]
    writer = GGUFWriter(str(path), architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(base)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pieces)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    tensors = {"token_embd.weight": draw(len(tokens), width), "output_norm.weight": 1 + 0.1 * draw(width)}
    if not tied:
        tensors["output.weight"] = draw(len(tokens), width)
    kv = width // heads * kv_heads
    for i in range(layers):
        shapes = {
            "attn_q": (width, width),
            "attn_k": (kv, width),
            "attn_v": (kv, width),
            "attn_output": (width, width),
        }
        shapes |= {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
        for name, shape in shapes.items():
            tensors[f"blk.{i}.{name}.weight"] = 2 * draw(*shape)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{i}.{name}.weight"] = 1 + 0.1 * draw(width)
    tensors.pop(without, None)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {name: array.astype(np.float64) for name, array in tensors.items()}


def _byte_letters():
    """GPT-2's letters for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def llama(tensors, tokens, *, heads=4, kv_heads=2, layers=2, base=500.0):
    """Logits ``[L, V]`` of one row in plain NumPy, float64: as the Llama paper says, one place at a time."""
    x = tensors["token_embd.weight"][tokens]
    length, width = x.shape
    size = width // heads

    def norm(x, scale):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale

    def turned(row, place):
        out = row.copy()
        for i in range(size // 2):
            angle = place * base ** (-2 * i / size)
            a, b = row[2 * i], row[2 * i + 1]
            out[2 * i] = a * np.cos(angle) - b * np.sin(angle)
            out[2 * i + 1] = a * np.sin(angle) + b * np.cos(angle)
        return out

    for layer in range(layers):
        of = lambda name, layer=layer: tensors[f"blk.{layer}.{name}.weight"]
        seen = norm(x, of("attn_norm"))
        q = (seen @ of("attn_q").T).reshape(length, heads, size)
        k = (seen @ of("attn_k").T).reshape(length, kv_heads, size)
        v = (seen @ of("attn_v").T).reshape(length, kv_heads, size)
        out = np.zeros((length, heads, size))
        for t in range(length):
            for h in range(heads):
                g = h // (heads // kv_heads)
                scores = np.array([turned(q[t, h], t) @ turned(k[s, g], s) for s in range(t + 1)]) / np.sqrt(
                    size
                )
                weight = np.exp(scores - scores.max())
                out[t, h] = weight / weight.sum() @ v[: t + 1, g]
        x = x + out.reshape(length, width) @ of("attn_output").T
        seen = norm(x, of("ffn_norm"))
        gate = seen @ of("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (seen @ of("ffn_up").T)) @ of("ffn_down").T
    table = tensors.get("output.weight", tensors["token_embd.weight"])
    return norm(x, tensors["output_norm.weight"]) @ table.T


def engine(path):
    """llama.cpp with a file."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 256, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_prompt = params.warmup = False
    params.verbosity = 0
    # Keys and values in full: its default is float16, and so is its flash attention.
    params.flash_attn_type = 0
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    return xllamacpp.Server(params)


def llama_cpp(server, tokens, vocabulary, letter):
    """Log-probabilities ``[V]`` of the token that follows, by llama.cpp.

    ``letter`` is drawn, because the probabilities of a token that ends within a character are held back; a
    bias acts after the probabilities are noted.
    """
    body = {"prompt": list(map(int, tokens)), "n_predict": 1, "n_probs": vocabulary, "temperature": 0.0}
    answer = server.handle_completions(body | {"cache_prompt": False, "logit_bias": [[letter, 1000.0]]})
    found = np.full(vocabulary, np.nan)
    for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
        found[entry["id"]] = entry["logprob"]
    return found
