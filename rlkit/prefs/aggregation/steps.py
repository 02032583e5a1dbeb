"""From the steps of an item to one number."""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.prefs.checks import axes, flags, in_range, same_shape

REDUCTIONS = ("min", "prod", "mean", "last", "max", "sum", "softmin")


def reduce_steps(step: jax.Array, mask: jax.Array, how: str = "min", temperature: float = 0.1) -> jax.Array:
    """One number per item from its steps; all of these are used for process rewards.

    Args:
      step: ``[..., T]``; probabilities for ``"prod"``.
      mask: bool ``[..., T]``.
      how: ``"min"``, ``"prod"``, ``"mean"``, ``"last"``, ``"max"``, ``"sum"``, or ``"softmin"``:
        ``Σ_t softmax(-step / temperature)_t step_t``, between the mean and the minimum.
      temperature: of ``"softmin"``.

    Returns:
      ``[...]``; of an item without steps 1 for ``"prod"``, else 0.

    Raises:
      UsageError: another name, or shapes differ.
    """
    same_shape("reduce_steps", step=step, mask=mask)
    if how not in REDUCTIONS:
        raise unknown_name("reduction", how, REDUCTIONS)
    in_range("reduce_steps", "temperature", temperature, 0.0, float("inf"), strict=True)
    mask = flags("reduce_steps", "mask", mask)
    zeroed = jnp.where(mask, step, 0.0)
    count = jnp.sum(mask, -1)
    if how == "prod":
        return jnp.prod(jnp.where(mask, step, 1.0), -1)
    if how in ("sum", "mean"):
        total = jnp.sum(zeroed, -1)
        return total if how == "sum" else total / jnp.maximum(count, 1)
    if how == "last":
        last = step.shape[-1] - 1 - jnp.argmax(jnp.flip(mask, -1), -1)
        return jnp.take_along_axis(zeroed, last[..., None], -1)[..., 0]
    if how == "softmin":
        logits = jnp.where(mask, -zeroed / temperature, -1e30)
        return jnp.sum(jnp.where(mask, jax.nn.softmax(logits), 0.0) * zeroed, -1)
    sign = 1.0 if how == "min" else -1.0
    least = jnp.min(jnp.where(mask, sign * step, jnp.inf), -1)
    return jnp.where(count > 0, sign * least, 0.0)


def step_plus_trajectory(
    step: jax.Array, mask: jax.Array, trajectory: jax.Array, zeta: float | jax.Array = 0.5, how: str = "mean"
) -> jax.Array:
    """``(1 - ζ) reduce(step) + ζ trajectory``: Fin-PRM's two levels (arXiv 2508.15202); the mixture is ours.

    Args:
      step: probabilities that steps are right, ``[B, T]``.
      mask: bool ``[B, T]``.
      trajectory: probability that the whole is right, ``[B]``.
      zeta: weight of the latter.
      how: reduction of the steps.

    Returns:
      ``[B]``.
    """
    axes("step_plus_trajectory", "step", step, 2, "[B, T]")
    same_shape("step_plus_trajectory", trajectory=trajectory, step=step[:, 0])
    in_range("step_plus_trajectory", "zeta", zeta, 0.0, 1.0)
    return (1.0 - zeta) * reduce_steps(step, mask, how) + zeta * trajectory
