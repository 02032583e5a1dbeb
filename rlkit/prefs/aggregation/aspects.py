"""From rewards in several respects to one."""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name

ASPECT_REDUCTIONS = ("mean", "min", "sum")


def _check(how: str) -> None:
    if how not in ASPECT_REDUCTIONS:
        raise unknown_name("reduction of aspects", how, ASPECT_REDUCTIONS)


def reduce_aspects(aspects: jax.Array, weights: jax.Array | None = None, how: str = "mean") -> jax.Array:
    """One reward from those of aspects.

    Args:
      aspects: ``[..., K]``.
      weights: ``[K]``, not negative; None: equal. ``"min"`` leaves out those of weight 0.
      how: ``"mean"`` (weighted), ``"sum"`` or ``"min"``.

    Returns:
      ``[...]``.
    """
    _check(how)
    w = jnp.ones(aspects.shape[-1]) if weights is None else jnp.asarray(weights, jnp.float32)
    if how == "min":
        return jnp.min(jnp.where(w > 0, aspects, jnp.inf), -1)
    total = jnp.sum(w * aspects, -1)
    return total if how == "sum" else total / jnp.sum(w)


def reduce_gaussian_aspects(
    mean: jax.Array, log_std: jax.Array, how: str = "mean"
) -> tuple[jax.Array, jax.Array]:
    """The same of Gaussian rewards, as EditReward's released code does (arXiv 2509.26346).

    ``"mean"`` averages means and log standard deviations; ``"sum"`` adds means and variances; ``"min"`` takes
    the least of each.

    Args:
      mean: ``[..., K]``.
      log_std: ``[..., K]``.
      how: one of these.

    Returns:
      ``(mean [...], log_std [...])``.
    """
    _check(how)
    if how == "sum":
        return jnp.sum(mean, -1), 0.5 * jax.nn.logsumexp(2.0 * log_std, -1)
    reduce = jnp.mean if how == "mean" else jnp.min
    return reduce(mean, -1), reduce(log_std, -1)
