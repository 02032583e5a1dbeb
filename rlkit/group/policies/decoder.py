"""A decoder of Llama's kind, in flax: rotary positions, grouped queries, RMSNorm, a gated layer, a cache.

It computes what Llama (Touvron et al. 2023, arXiv 2302.13971) computes, with the pairs of rotary positions
side by side as in its release and in GGUF files, so that published weights load
(:mod:`rlkit.group.policies.gguf`).
Layers run as a scan: a deep one compiles as fast as a shallow one.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.fields import Config, check, static
from rlkit.group.policies.protocol import Cache, TokenPolicy
from rlkit.products import PRECISIONS, lax_precision, layer_options, matmul
from rlkit.types import PyTree


@dataclass(frozen=True)
class DecoderConfig(Config):
    """Sizes of a decoder."""

    vocabulary: int = static(16, "tokens there are", low=2)
    context: int = static(64, "tokens that a row may have", low=2)
    width: int = static(64, "size of the residual stream", low=2)
    layers: int = static(2, "blocks of attention and gated layer", low=1)
    heads: int = static(4, "heads of queries", low=1)
    kv_heads: int = static(2, "heads of keys and values; queries share them in groups", low=1)
    hidden: int = static(0, "size of the gated layer; 0: 8/3 of the width, up to a multiple of 8", low=0)
    rope_base: float = static(10000.0, "base of the rotary frequencies", above=1.0)
    norm_eps: float = static(1e-5, "added to the mean square in RMSNorm", above=0.0)
    tied: bool = static(True, "the embedding is the output's matrix as well")
    remat: bool = static(False, "compute activations again for gradients: less memory, a third more time")
    precision: str = static("float32", "of matrix products: float32, tf32 or bfloat16", choices=PRECISIONS)

    def __post_init__(self) -> None:
        check(self)
        for name, many, few in (
            ("heads", self.heads, self.kv_heads),
            ("width", self.width, 2 * self.heads),
        ):
            if many % few:
                what = "kv_heads" if name == "heads" else "2 * heads"
                raise UsageError(f"{name}={many}: expected a multiple of {what}={few}")

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def gated(self) -> int:
        return self.hidden or -(-8 * self.width // 3 // 8) * 8


def decoder(config: DecoderConfig | None = None, *, params: PyTree = None, title: str = "") -> TokenPolicy:
    """Build a decoder.

    Args:
      config: its sizes.
      params: weights to begin with, whatever the key; None draws them.
      title: what it is called; empty says its sizes.

    Returns:
      The policy, with a cache of keys and values ``[layers, B, length, kv_heads, head]``.

    Raises:
      UsageError: a size is out of range, or the weights are of other shapes.
    """
    config = config or DecoderConfig()
    module = _Decoder(config)
    fresh = lambda key: module.init(key, *jnp.zeros((2, 1, 1), jnp.int32))["params"]
    if params is not None:
        _check_weights(jax.eval_shape(fresh, jax.random.key(0)), params)

    def logits(params: PyTree, tokens: jax.Array, cache: Cache | None = None):
        begin = jnp.zeros(tokens.shape[0], jnp.int32) if cache is None else cache.position
        memory = None if cache is None else cache.memory
        place = begin[:, None] + jnp.arange(tokens.shape[1])
        found, memory = module.apply({"params": params}, tokens, place, memory)
        return found, None if cache is None else Cache(begin + tokens.shape[1], memory)

    def packed(params: PyTree, tokens: jax.Array, place: jax.Array, segment: jax.Array) -> jax.Array:
        return module.apply({"params": params}, tokens, place, None, segment)[0]

    def cache(batch: int, length: int) -> Cache:
        shape = (config.layers, batch, length, config.kv_heads, config.head_size)
        return Cache(jnp.zeros(batch, jnp.int32), (jnp.zeros(shape), jnp.zeros(shape)))

    title = title or f"decoder {config.layers} x {config.width}"
    init = fresh if params is None else lambda key: params
    return TokenPolicy(
        init, logits, config.vocabulary, config.context, cache, cache_axis=1, packed=packed, title=title
    )


def _check_weights(wanted: PyTree, params: PyTree) -> None:
    shapes = lambda tree: {jax.tree_util.keystr(p): x.shape for p, x in jax.tree.leaves_with_path(tree)}
    have, need = shapes(params), shapes(wanted)
    for name in sorted(have.keys() | need.keys()):
        if have.get(name) != need.get(name):
            raise UsageError(f"weights{name}: {have.get(name)}, expected {need.get(name)}")


def rotate(x: jax.Array, place: jax.Array, base: float) -> jax.Array:
    """Rotary positions (Su et al. 2021, arXiv 2104.09864, eq. 34): pairs ``(2i, 2i + 1)`` turn.

    Args:
      x: ``[B, L, H, D]``.
      place: int32 ``[B, L]``.
      base: of the frequencies ``base ** (-2i / D)``.
    """
    half = x.shape[-1] // 2
    angle = place[..., None, None] * base ** (-jnp.arange(half) / half)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


class _Decoder(nn.Module):
    config: DecoderConfig

    @nn.compact
    def __call__(self, tokens: jax.Array, place: jax.Array, memory: PyTree = None, segment: PyTree = None):
        config = self.config
        embed = nn.Embed(config.vocabulary, config.width, embedding_init=_normal(), name="embed")
        block = nn.remat(_Block, prevent_cse=False) if config.remat else _Block
        blocks = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, 0, nn.broadcast),
            length=config.layers,
        )(config, name="blocks")
        x, memory = blocks(embed(tokens), place, memory, segment)
        x = nn.RMSNorm(config.norm_eps, name="norm")(x)
        if config.tied:
            table = embed.embedding.T
        else:
            table = self.param("head", _normal(), (config.width, config.vocabulary))
        return matmul(x, table, config.precision), memory


class _Block(nn.Module):
    config: DecoderConfig

    @nn.compact
    def __call__(self, x: jax.Array, place: jax.Array, memory: PyTree, segment: PyTree):
        config = self.config
        seen = nn.RMSNorm(config.norm_eps, name="attention_norm")(x)
        attended, memory = _Attention(config, name="attention")(seen, place, memory, segment)
        x = x + attended
        seen = nn.RMSNorm(config.norm_eps, name="gated_norm")(x)
        gate, up = (_dense(config, config.gated, name)(seen) for name in ("gate", "up"))
        return x + _dense(config, config.width, "down")(nn.silu(gate) * up), memory


class _Attention(nn.Module):
    config: DecoderConfig

    @nn.compact
    def __call__(self, x: jax.Array, place: jax.Array, memory: PyTree, segment: PyTree):
        config, (batch, length) = self.config, x.shape[:2]
        share, size = config.heads // config.kv_heads, config.head_size
        heads = lambda name, count: _dense(config, count * size, name)(x).reshape(batch, length, count, size)
        query = rotate(heads("query", config.heads), place, config.rope_base)
        key, value = (
            rotate(heads("key", config.kv_heads), place, config.rope_base),
            heads("value", config.kv_heads),
        )
        reach = place  # of each key
        if memory is not None:
            row = jnp.arange(batch)[:, None]
            key, value = (old.at[row, place].set(new) for old, new in zip(memory, (key, value), strict=True))
            memory = (key, value)
            reach = jnp.broadcast_to(jnp.arange(key.shape[1]), (batch, key.shape[1]))
        query = query.reshape(batch, length, config.kv_heads, share, size)
        precision = lax_precision(config.precision)
        weight = jnp.einsum("blkgd,bskd->bkgls", query, key, precision=precision) / jnp.sqrt(size)
        seen = reach[:, None] <= place[..., None]
        if segment is not None:
            seen &= (segment[:, None] == segment[..., None]) | (segment[:, None] == 0)
        seen = seen[:, None, None]
        weight = jax.nn.softmax(jnp.where(seen, weight, -jnp.inf), -1)
        out = jnp.einsum("bkgls,bskd->blkgd", weight, value, precision=precision)
        return _dense(config, config.width, "output")(out.reshape(batch, length, config.width)), memory


def _normal(scale: float = 0.02) -> Any:
    return nn.initializers.normal(scale)


def _dense(config: DecoderConfig, size: int, name: str) -> nn.Dense:
    # What is added to the residual stream is smaller the more layers add to it (GPT-2's rule).
    inward = name in ("output", "down")
    scale = nn.initializers.variance_scaling(
        (0.5 / config.layers if inward else 1.0), "fan_in", "truncated_normal"
    )
    return nn.Dense(size, use_bias=False, kernel_init=scale, name=name, **layer_options(config.precision))
