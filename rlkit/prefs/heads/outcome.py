"""One reward for a whole item."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.networks import dense
from rlkit.prefs.heads.attention import AttentionPool
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.sequences import pool
from rlkit.prefs.types import RewardOut, Segment

POOLS = ("last", "mean", "attn", "sum_step", "mean_step")


class OutcomeHead(nn.Module):
    """A reward per item.

    Attributes:
      backbone: what it sees of the item.
      pool: ``"last"`` or ``"mean"`` of the hidden vectors, ``"attn"`` (weighted by a learned query), each
        followed by a linear layer; ``"sum_step"``: a reward for each step, and their sum (Christiano et al.
        2017, arXiv 1706.03741): the one for trajectories; ``"mean_step"``: their mean, whose scale does not
        grow with the length.
      heads: above 1: so many rewards, each of a last layer of its own over one backbone. Scores then have a
        leading axis ``[heads, ...]``: an ensemble for little more than the price of one model (Osband et al.
        2016, arXiv 1602.04621; of reward models: Zhang et al. 2024, arXiv 2401.16635).
    """

    backbone: nn.Module = Backbone()
    pool: str = "sum_step"
    heads: int = 1

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        if self.pool not in POOLS:
            raise unknown_name("pooling", self.pool, POOLS)
        layer = dense(self.heads).copy(name="score")

        def score(x: jax.Array) -> jax.Array:
            return layer(x)[..., 0] if self.heads == 1 else jnp.moveaxis(layer(x), -1, 0)

        h = self.backbone(item)
        if self.pool.endswith("_step"):
            step = jnp.where(item.mask, score(h), 0.0)
            total = jnp.sum(step, -1)
            return RewardOut(total if self.pool == "sum_step" else total / jnp.maximum(item.length, 1), step)
        pooled = AttentionPool()(h, item.mask) if self.pool == "attn" else pool(h, item.mask, self.pool)
        return RewardOut(score(pooled))
