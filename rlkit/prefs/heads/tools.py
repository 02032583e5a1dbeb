"""Rewards that look at what tools say of an item."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.networks import dense
from rlkit.prefs.heads.backbone import Backbone
from rlkit.prefs.sequences import pool
from rlkit.prefs.types import RewardOut, Segment

Tool = Callable[[Segment], tuple[jax.Array, jax.Array]]
"""``tool(item) -> (evidence float [B, E], valid bool [B])``, a pure function; evidence that is not valid is
not read. One on the host goes through ``jax.pure_callback``."""


class ToolHead(nn.Module):
    """A reward from the item and the evidence of tools; a numeric Themis (arXiv 2310.01045), the form is
    ours.

    ``r = r1([φ; v e; v])`` with the pooled item φ, the evidence ``e`` of all tools and the bits ``v`` that
    say where it is valid. With ``call=True`` the model decides whether to ask: ``g = σ(gate(φ))``,
    ``r = r0(φ) + g v (r1 - r0(φ))``, ``v`` here 1 if any tool answered; add ``cost * g`` to the loss, ``g``
    is ``extras["call"]``. Gradients never enter a tool.

    Attributes:
      tools: see :data:`Tool`.
      backbone: what is seen of the item itself.
      hidden: sizes of the layers over item and evidence.
      call: learn when to ask.
      pool: ``"mean"`` or ``"last"``.
    """

    tools: tuple[Tool, ...] = ()
    backbone: nn.Module = Backbone()
    hidden: tuple[int, ...] = (64,)
    call: bool = False
    pool: str = "mean"

    @nn.compact
    def __call__(self, item: Segment) -> RewardOut:
        if not self.tools:
            raise UsageError("ToolHead: tools is empty; expected at least one, or use OutcomeHead")
        phi = pool(self.backbone(item), item.mask, self.pool)
        evidence, valid = evidence_of(self.tools, item)
        x = jnp.concatenate([phi, evidence, valid.astype(phi.dtype)], -1)
        for size in self.hidden:
            x = nn.relu(dense(size)(x))
        informed = dense(1).copy(name="score")(x)[..., 0]
        if not self.call:
            return RewardOut(informed)
        alone = dense(1).copy(name="score_alone")(phi)[..., 0]
        call = nn.sigmoid(dense(1).copy(name="call")(phi)[..., 0])
        answered = jnp.any(valid, -1)
        return RewardOut(alone + call * answered * (informed - alone), extras={"call": call})


def evidence_of(tools: tuple[Tool, ...], item: Segment) -> tuple[jax.Array, jax.Array]:
    """``(evidence [B, E], valid bool [B, number of tools])`` of all tools; zeros if not valid."""
    found, bits = [], []
    for tool in tools:
        evidence, valid = tool(item)
        if evidence.ndim != 2 or valid.shape != evidence.shape[:1]:
            raise UsageError(
                f"a tool gave evidence {evidence.shape} and valid {valid.shape}; expected [B, E] and [B]"
            )
        found.append(jnp.where(valid[:, None], jax.lax.stop_gradient(evidence), 0.0))
        bits.append(valid)
    return jnp.concatenate(found, -1), jnp.stack(bits, -1)
