"""Pooling by learned queries, over the steps of one layer or of several in turn."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.networks import dense
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.types import RewardOut, Segment
from rlkit.products import FULL

_NOTHING = -1e30


def attend(query: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array, heads: int) -> jax.Array:
    """Attention of one query per item in ``heads`` parts: ``[B, H], [B, T, H] -> [B, H]``.

    With one query nothing is read twice: sums of products, which compile faster than batched matrix products.
    """
    split = lambda x: x.reshape(*x.shape[:-1], heads, -1)
    scores = jnp.sum(split(query)[:, None] * split(keys), -1) / jnp.sqrt(query.shape[-1] / heads)
    weight = jax.nn.softmax(jnp.where(mask[..., None], scores, _NOTHING), 1)
    return jnp.sum(weight[..., None] * split(values), 1).reshape(query.shape)


class AttentionPool(nn.Module):
    """The mean of the steps with weights from a learned query: ``h [B, T, H], mask [B, T] -> [B, H]``."""

    heads: int = 1

    @nn.compact
    def __call__(self, h: jax.Array, mask: jax.Array) -> jax.Array:
        query = self.param("query", nn.initializers.normal(1.0), h.shape[-1:])
        wide = jnp.broadcast_to(query, (len(h), h.shape[-1]))
        return attend(wide, h, h, mask, self.heads)


class ProgressiveQuery(nn.Module):
    """Hierarchical progressive query attention over layers (arXiv 2512.22170).

    A learned query attends to the first layer; what it reads is the query for the next layer, and so on. A
    second learned query attends to the last layer alone; the two results are added.

    Attributes:
      heads: of each attention; must divide the width.
    """

    heads: int = 4

    @nn.compact
    def __call__(self, layers: jax.Array, mask: jax.Array) -> jax.Array:
        """``layers [L, B, T, H], mask [B, T] -> [B, H]``."""
        width = layers.shape[-1]
        if width % self.heads:
            raise UsageError(f"heads={self.heads}: expected a divisor of the width {width}")
        wide = lambda name: jnp.broadcast_to(
            self.param(name, nn.initializers.normal(1.0), (width,)), (layers.shape[1], width)
        )
        query = wide("query")
        for h in layers:
            keys, values = dense(width)(h), dense(width)(h)
            query = dense(width)(attend(dense(width)(query), keys, values, mask, self.heads))
        last = layers[-1]
        read = attend(wide("last_query"), dense(width)(last), dense(width)(last), mask, self.heads)
        return query + dense(width)(read)


class LayerQueryHead(nn.Module):
    """A reward per item from all depths of a stack, by :class:`ProgressiveQuery`.

    Attributes:
      backbones: applied one after the other, of equal width; each one's output is a layer. The first sees the
        item.
      heads: of each attention.
    """

    backbones: tuple[nn.Module, ...] = (Backbone(sizes=(64,)), Backbone(sizes=(64,)))
    heads: int = 4

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        layers, seen = [], item
        for depth, backbone in enumerate(self.backbones):  # each with its own weights, were they one module
            layers.append(backbone.clone(parent=self, name=f"layer_{depth}")(seen))
            seen = Segment(layers[-1], item.mask)
        if len({h.shape[-1] for h in layers}) > 1:
            raise UsageError(f"backbones have widths {[h.shape[-1] for h in layers]}; expected one width")
        pooled = ProgressiveQuery(self.heads)(jnp.stack(layers), item.mask)
        hidden = nn.silu(dense(pooled.shape[-1])(pooled))
        return RewardOut(nn.Dense(1, use_bias=False, name="score", precision=FULL)(hidden)[..., 0])
