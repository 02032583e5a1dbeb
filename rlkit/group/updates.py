"""Updates: a batch with its credit and its weights, and how to take it in smaller pieces."""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.group.aggregation import token_weights
from rlkit.group.config import LossConfig
from rlkit.group.statistics import AxisName, over_devices
from rlkit.group.types import Completions, Credit, Update
from rlkit.types import Metrics


def make_update(config: LossConfig, batch: Completions, credit: Credit, axis_name: AxisName = None) -> Update:
    """Weigh the tokens of a whole batch; every normaliser of the loss is computed here.

    Args:
      config: its aggregation and maximum length count.
      batch: the completions.
      credit: what a pipeline gave for them.
      axis_name: mapped axis whose members hold other prompts.
    """
    mask = credit.mask.astype(jnp.float32)
    tokens = over_devices(jnp.sum(mask), axis_name)
    completions = jnp.any(mask > 0, 2).astype(jnp.float32)
    prompts = jnp.max(completions, 1)
    per = lambda counts: counts / jnp.maximum(over_devices(jnp.sum(counts), axis_name), 1.0)
    side = jnp.sum(credit.advantage * mask, -1)
    good, bad = (x.astype(jnp.float32) for x in (side > 0, side < 0))
    return Update(
        batch=batch,
        advantage=jax.lax.stop_gradient(credit.advantage),
        mask=mask,
        weight=token_weights(mask, config.aggregation, config.max_length, axis_name),
        share=mask / jnp.maximum(tokens, 1.0),
        prompt_weight=per(prompts),
        completion_weight=per(completions),
        side_weight=jax.lax.stop_gradient(per(good) - per(bad)),
    )


def micro_batches(update: Update, count: int) -> list[Update]:
    """Cut an update along its prompts; losses, gradients and metrics of the parts add up.

    Raises:
      UsageError: the prompts cannot be dealt out evenly.
    """
    prompts = update.mask.shape[0]
    if count < 1 or prompts % count:
        raise UsageError(f"{prompts} prompts cannot be cut into micro_batches={count}; take a divisor")
    size = prompts // count

    def part(i: int) -> Update:
        return jax.tree.map(lambda x: x[i * size : (i + 1) * size], update)

    return [part(i) for i in range(count)]


def merge_metrics(parts: list[Metrics]) -> Metrics:
    """Metrics of an update from those of its micro-batches: sums, least and largest values by name."""
    how = {"min": jnp.min, "max": jnp.max}
    return {
        name: how.get(name.rpartition("/")[2], jnp.sum)(jnp.stack([part[name] for part in parts]))
        for name in parts[0]
    }
