"""Rewards in several respects, with or without their uncertainty."""

import flax.linen as nn
import jax.numpy as jnp

from rlkit.networks import dense
from rlkit.prefs.aggregation.aspects import reduce_aspects, reduce_gaussian_aspects
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.losses.pairwise import LOG_STD_RANGE
from rlkit.prefs.sequences import pool
from rlkit.prefs.types import RewardOut, Segment


class AspectHead(nn.Module):
    """Independent scores in ``aspects`` respects, Gaussian if asked (EditReward, arXiv 2509.26346).

    Attributes:
      aspects: their number K.
      backbone: shared by the aspects.
      gaussian: give log standard deviations too, kept in :data:`rlkit.prefs.losses.pairwise.LOG_STD_RANGE`.
      how: ``"mean"`` (released default), ``"sum"`` or ``"min"`` of the aspects is the total.
      pool: ``"mean"`` or ``"last"``.
    """

    aspects: int = 2
    backbone: nn.Module = Backbone()
    gaussian: bool = False
    how: str = "mean"
    pool: str = "mean"

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        h = pool(self.backbone(item), item.mask, self.pool)
        mean = dense(self.aspects).copy(name="score")(h)
        if not self.gaussian:
            return RewardOut(reduce_aspects(mean, how=self.how), aspects=mean)
        log_std = jnp.clip(dense(self.aspects).copy(name="log_std")(h), *LOG_STD_RANGE)
        total, spread = reduce_gaussian_aspects(mean, log_std, how=self.how)
        return RewardOut(total, log_std=spread, aspects=mean, aspects_log_std=log_std)
