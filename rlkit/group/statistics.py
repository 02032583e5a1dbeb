"""Means and deviations over masked entries, over groups and over devices."""

import jax
import jax.numpy as jnp

AxisName = str | tuple[str, ...] | None


def over_devices(total: jax.Array, axis_name: AxisName) -> jax.Array:
    """The sum over a mapped axis; None: as it is."""
    return total if axis_name is None else jax.lax.psum(total, axis_name)


def mean(x: jax.Array, axis_name: AxisName = None) -> jax.Array:
    """The mean of all entries, over devices as well; ``[]``."""
    value = jnp.mean(x)
    return value if axis_name is None else jax.lax.pmean(value, axis_name)


def safe(x: jax.Array, mask: jax.Array) -> jax.Array:
    """``x`` as float32, and 0 where the mask is 0: a NaN there reaches neither values nor gradients."""
    return jnp.where(mask > 0, x.astype(jnp.float32), 0.0)


def masked_mean(x: jax.Array, mask: jax.Array, axis_name: AxisName = None) -> jax.Array:
    """The mean of the entries with mask 1, ``[]``; 0 if there are none."""
    total = over_devices(jnp.sum(safe(x, mask) * mask), axis_name)
    return total / jnp.maximum(over_devices(jnp.sum(mask), axis_name), 1.0)


def masked_moments(
    x: jax.Array, mask: jax.Array, ddof: int = 1, axis_name: AxisName = None
) -> tuple[jax.Array, jax.Array]:
    """Mean and standard deviation of the entries with mask 1.

    Args:
      x: any shape.
      mask: the same shape, 0 or 1.
      ddof: entries less this divide the squares; where that is below 1, the deviation is 0.
      axis_name: mapped axis whose members hold other entries.

    Returns:
      Two float32 ``[]``.
    """
    middle = masked_mean(x, mask, axis_name)
    square = over_devices(jnp.sum(jnp.square(safe(x, mask) - middle) * mask), axis_name)
    count = over_devices(jnp.sum(mask), axis_name)
    return middle, jnp.sqrt(jnp.where(count > ddof, square / jnp.maximum(count - ddof, 1.0), 0.0))


def group_deviations(reward: jax.Array) -> jax.Array:
    """Rewards ``[..., G]`` less the mean of their group: exactly 0 where all are equal."""
    relative = reward - reward[..., :1]
    return relative - jnp.mean(relative, -1, keepdims=True)


def group_std(reward: jax.Array, ddof: int = 1) -> jax.Array:
    """Standard deviation of groups, ``[..., G] -> [..., 1]``; exactly 0 where all are equal."""
    square = jnp.sum(jnp.square(group_deviations(reward)), -1, keepdims=True)
    return jnp.sqrt(square / max(reward.shape[-1] - ddof, 1))
