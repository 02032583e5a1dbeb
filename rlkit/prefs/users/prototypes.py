"""Users described by their nearest prototype and by what they chose (P-GenRM, arXiv 2602.12116)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlkit.networks import dense
from rlkit.prefs.checks import in_range, same_shape, whole_numbers
from rlkit.prefs.losses.pairwise import pairwise_logistic
from rlkit.types import PyTree


class PrototypeUsers(nn.Module):
    """The vector of a user in view of a question, as in the released prototype learner.

    With prototype ``a`` of unit length, question ``q`` and events ``(h_i, r⁺_i, r⁻_i)`` of the user's
    history: ``o_i = tanh(W_h [h_i; r⁺_i - r⁻_i])``, ``α = softmax_i(o_i · a / √d + ρ o_i · q / √d)``,
    ``s = Σ α_i o_i``, ``z = a + λ_q W_q q + λ_s W_s s``. The score of an answer is ``z · r``.

    Attributes:
      prototypes: their number K.
      size: d, of questions, answers and prototypes.
      rho: weight of the question in the attention.
      question_weight: λ_q.
      history_weight: λ_s.
    """

    prototypes: int
    size: int
    rho: float = 0.5
    question_weight: float = 1.0
    history_weight: float = 1.0

    @nn.compact
    def __call__(
        self,
        prototype: jax.Array,
        question: jax.Array,
        asked: jax.Array,
        chosen: jax.Array,
        rejected: jax.Array,
        valid: jax.Array,
    ) -> jax.Array:
        """``int [B], [B, d], [B, h, d] three times, bool [B, h] -> z [B, d]``; a user may have no history."""
        whole_numbers("PrototypeUsers", "prototype", prototype)
        in_range("PrototypeUsers", "prototype", prototype, 0, self.prototypes - 1)
        same_shape("PrototypeUsers", asked=asked, chosen=chosen, rejected=rejected)
        same_shape("PrototypeUsers", asked=asked[..., 0], valid=valid)
        table = self.param("prototypes", nn.initializers.normal(1.0), (self.prototypes, self.size))
        own = (table / jnp.linalg.norm(table, axis=-1, keepdims=True))[prototype]
        event = jnp.tanh(dense(self.size)(jnp.concatenate([asked, chosen - rejected], -1)))
        event = jnp.where(valid[..., None], event, 0.0)
        along = lambda x: jnp.sum(event * x[:, None], -1) / math.sqrt(self.size)
        logits = jnp.where(valid, along(own) + self.rho * along(question), -1e30)
        attention = jnp.where(valid, jax.nn.softmax(logits), 0.0)
        summary = jnp.sum(attention[..., None] * event, 1)
        from_question = self.question_weight * dense(self.size)(question)
        return own + from_question + self.history_weight * dense(self.size)(summary)


def prototype_loss(vector: jax.Array, chosen: jax.Array, rejected: jax.Array) -> jax.Array:
    """``-log σ(z · r⁺ - z · r⁻)``, all ``[B, d] -> [B]``: what the released training uses.

    The regularisers that the code defines beside it, :func:`prototype_drift`, are not part of its loss.
    """
    same_shape("prototype_loss", vector=vector, chosen=chosen, rejected=rejected)
    return pairwise_logistic(jnp.sum(vector * (chosen - rejected), -1))


def prototype_drift(
    prototypes: jax.Array, centres: jax.Array, average: jax.Array, weight: float = 1e-3
) -> jax.Array:
    """How far prototypes are from the centres of their users, and from where they were, a scalar.

    ``w mean (p - μ)² + w mean (p - EMA p)²``, both defined in P-GenRM's released code and used nowhere there.
    The average is that of earlier prototypes: ``optax.incremental_update(new, old, 0.02)`` after each step
    keeps 0.98 of it.

    Args:
      prototypes: ``[K, d]``.
      centres: μ, of the users of each, ``[K, d]``.
      average: exponential moving average of the prototypes, ``[K, d]``; it gets no gradient.
      weight: ``w``, at least 0.
    """
    same_shape("prototype_drift", prototypes=prototypes, centres=centres, average=average)
    in_range("prototype_drift", "weight", weight, 0.0, math.inf)
    far = lambda fixed: jnp.mean(jnp.square(prototypes - jax.lax.stop_gradient(fixed)))
    return weight * (far(centres) + far(average))


def unit_prototypes(params: PyTree) -> PyTree:
    """The parameters with prototypes of unit length, as after each released update."""
    table = params["prototypes"]
    return {**params, "prototypes": table / jnp.linalg.norm(table, axis=-1, keepdims=True)}
