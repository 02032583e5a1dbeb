"""How the losses of tokens become one number, as a coefficient for each token.

An aggregation is linear in the tokens' losses: its coefficients are computed once, over the whole batch, and
the loss is the sum of coefficient times loss. Micro-batches and devices then add up exactly.
"""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.group.config import AGGREGATIONS
from rlkit.group.statistics import AxisName, over_devices


def token_weights(
    mask: jax.Array, aggregation: str = "token_mean", max_length: int = 0, axis_name: AxisName = None
) -> jax.Array:
    """The coefficient of each token.

    - ``"token_mean"`` (DAPO, 2503.14476): ``m / sum(m)``, every token counts alike.
    - ``"seq_mean_token_mean"`` (GRPO, 2402.03300): ``m / sum_t(m) / N``, every completion counts alike.
    - ``"seq_mean_token_sum"``: ``m / N``.
    - ``"constant"`` (Dr. GRPO, 2503.20783; verl's ``seq-mean-token-sum-norm``): ``m / (P G max_length)``,
      whatever the lengths are.

    ``N`` counts the completions that have a token that counts.

    Args:
      mask: float32 ``[P, G, T]``, 0 or 1.
      aggregation: one of the above.
      max_length: divisor of ``"constant"``; 0 takes ``T``.
      axis_name: mapped axis whose members hold other prompts.

    Returns:
      float32 ``[P, G, T]``; 0 where the mask is.

    Raises:
      UnknownNameError: there is no such aggregation.
    """
    lengths = jnp.sum(mask, -1, keepdims=True)
    completions = over_devices(jnp.sum(lengths > 0, dtype=jnp.float32), axis_name)
    if aggregation == "token_mean":
        return mask / jnp.maximum(over_devices(jnp.sum(lengths), axis_name), 1.0)
    if aggregation == "seq_mean_token_mean":
        return mask / jnp.maximum(lengths, 1.0) / jnp.maximum(completions, 1.0)
    if aggregation == "seq_mean_token_sum":
        return mask / jnp.maximum(completions, 1.0)
    if aggregation == "constant":
        count = over_devices(jnp.float32(mask.shape[0] * mask.shape[1]), axis_name)
        return mask / (count * float(max_length or mask.shape[2]))
    raise unknown_name("aggregation", aggregation, AGGREGATIONS)
