"""One reward for a whole item."""

import flax.linen as nn
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
    """

    backbone: nn.Module = Backbone()
    pool: str = "sum_step"

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        if self.pool not in POOLS:
            raise unknown_name("pooling", self.pool, POOLS)
        h, score = self.backbone(item), dense(1).copy(name="score")
        if self.pool.endswith("_step"):
            step = jnp.where(item.mask, score(h)[..., 0], 0.0)
            total = jnp.sum(step, 1)
            return RewardOut(total if self.pool == "sum_step" else total / jnp.maximum(item.length, 1), step)
        pooled = AttentionPool()(h, item.mask) if self.pool == "attn" else pool(h, item.mask, self.pool)
        return RewardOut(score(pooled)[..., 0])
