"""A score for each step."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.networks import dense
from rlkit.prefs.aggregation.steps import reduce_steps
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.sequences import flip_valid
from rlkit.prefs.types import RewardOut, Segment

GATES = ("mean", "mlp")


class ProcessHead(nn.Module):
    """Logits that each step is right; the total reduces their probabilities.

    Attributes:
      backbone: what it sees of the item; with ``torso="gru"`` a step is judged by what came before it.
      how: reduction of the probabilities to a total, see :func:`rlkit.prefs.aggregation.reduce_steps`.
    """

    backbone: nn.Module = Backbone("gru")
    how: str = "min"

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        logit = jnp.where(item.mask, dense(1).copy(name="score")(self.backbone(item))[..., 0], 0.0)
        return RewardOut(reduce_steps(jax.nn.sigmoid(logit), item.mask, self.how), logit)


class BidirectionalProcess(nn.Module):
    """Each step judged by what came before and by what came after it (BiPRM, arXiv 2508.01682).

    The same backbone and score, with the same weights, read the item and the item turned round; a flag tells
    them the direction. With hidden states ``h→, h←`` and logits ``r→, r←`` of a step,
    ``r = g r→ + (1 - g) r←``; ``gate="mlp"``: ``g = σ(MLP([h→; h←]))``, which the paper's current version
    has; ``gate="mean"``: ``g = 1/2``. For finished items: it is no reward for a policy that is acting.

    Attributes:
      backbone: takes ``(item, flag)``, as :class:`rlkit.prefs.heads.Backbone` does.
      gate: ``"mlp"`` or ``"mean"``.
      detach: the gate's gradient does not reach the hidden states, as released.
      how: reduction to a total.
    """

    backbone: nn.Module = Backbone("gru")
    gate: str = "mlp"
    detach: bool = True
    how: str = "min"

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        if self.gate not in GATES:
            raise unknown_name("gate", self.gate, GATES)
        score, mask = dense(1).copy(name="score"), item.mask
        turned = Segment(flip_valid(item.feats, mask), mask)
        ahead, back = self.backbone(item, 1.0), flip_valid(self.backbone(turned, -1.0), mask)
        forward, backward = score(ahead)[..., 0], score(back)[..., 0]
        gate = jnp.full_like(forward, 0.5)
        if self.gate == "mlp":
            both = jnp.concatenate([ahead, back], -1)
            both = jax.lax.stop_gradient(both) if self.detach else both
            hidden = nn.relu(dense(ahead.shape[-1]).copy(name="gate_hidden")(both))
            gate = nn.sigmoid(dense(1).copy(name="gate")(hidden)[..., 0])
        logit = jnp.where(mask, gate * forward + (1.0 - gate) * backward, 0.0)
        total = reduce_steps(jax.nn.sigmoid(logit), mask, self.how)
        return RewardOut(total, logit, extras={"forward": forward, "backward": backward, "gate": gate})
