"""From rewards in several respects to one."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.prefs.checks import in_range, known, same_shape

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

    Raises:
      UsageError: weights of another shape, below 0, or all 0.
    """
    _check(how)
    aspects = jnp.asarray(aspects)
    w = jnp.ones(aspects.shape[-1]) if weights is None else jnp.asarray(weights, jnp.float32)
    if w.shape != aspects.shape[-1:]:
        raise UsageError(
            f"reduce_aspects: weights has shape {w.shape}; expected {aspects.shape[-1:]}, one for each aspect"
        )
    in_range("reduce_aspects", "weights", w, 0.0, float(np.finfo(np.float32).max))
    if (given := known(w)) is not None and not given.any():
        raise UsageError("reduce_aspects: every weight is 0; expected a positive one")
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
    same_shape("reduce_gaussian_aspects", mean=mean, log_std=log_std)
    if how == "sum":
        return jnp.sum(mean, -1), 0.5 * jax.nn.logsumexp(2.0 * log_std, -1)
    reduce = jnp.mean if how == "mean" else jnp.min
    return reduce(mean, -1), reduce(log_std, -1)
