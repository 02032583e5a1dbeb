"""Losses where feedback is missing, and not at random."""

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import in_range, same_shape
from rlkit.prefs.types import check_propensity

CLIP = (0.05, 1.0)
"""Range that propensities are clipped to before division; CausalRM's released code has 0.1 to 0.2."""


def ips(
    loss: jax.Array,
    observed: jax.Array,
    propensity: jax.Array,
    clip: tuple[float, float] = CLIP,
    self_normalise: bool = False,
) -> jax.Array:
    """Inverse propensity scores: ``(o / p) l``, whose mean over *all* items is unbiased (arXiv 2603.18736).

    Args:
      loss: of each item, ``[B]``; any number where nothing was observed.
      observed: ``[B]``: 1 where feedback was given.
      propensity: ``[B]``: probability that it was.
      clip: range of the propensities.
      self_normalise: divide the weights by their mean over the batch: less variance, a little bias.

    Returns:
      ``[B]``; take the mean.

    Raises:
      UsageError: a known propensity or a bound of the clip is not in (0, 1], or shapes differ.
    """
    same_shape("ips", loss=loss, observed=observed, propensity=propensity)
    check_propensity("ips", propensity)
    in_range("ips", "clip", clip, 1e-6, 1.0)
    weight = observed / jnp.clip(propensity, *clip)
    if self_normalise:
        weight = weight / jnp.maximum(jnp.mean(weight), 1e-8)
    return weight * jnp.where(observed > 0, loss, 0.0)


def doubly_robust(
    loss: jax.Array,
    imputed: jax.Array,
    observed: jax.Array,
    propensity: jax.Array,
    clip: tuple[float, float] = CLIP,
) -> jax.Array:
    """``ε + (o / p)(l - ε)``: unbiased if the propensities or the imputed losses are right (arXiv
    2603.18736).

    Args:
      loss: of each item, ``[B]``; any number where nothing was observed.
      imputed: ε, what another model expects of the loss, ``[B]``.
      observed: ``[B]``: 1 where feedback was given.
      propensity: ``[B]``: probability that it was.
      clip: range of the propensities.

    Returns:
      ``[B]``; take the mean.

    Raises:
      UsageError: a known propensity or a bound of the clip is not in (0, 1], or shapes differ.
    """
    same_shape("doubly_robust", loss=loss, imputed=imputed, observed=observed, propensity=propensity)
    check_propensity("doubly_robust", propensity)
    in_range("doubly_robust", "clip", clip, 1e-6, 1.0)
    weight = observed / jnp.clip(propensity, *clip)
    return imputed + weight * jnp.where(observed > 0, loss - imputed, 0.0)


def weighted_mean(loss: jax.Array, weight: jax.Array) -> jax.Array:
    """``Σ w l / Σ w``, a scalar; 0 where no weight is left: what was dropped does not count, nor dilute."""
    same_shape("weighted_mean", loss=loss, weight=weight)
    weight = jnp.asarray(weight, jnp.float32)
    return jnp.sum(weight * jnp.where(weight > 0, loss, 0.0)) / jnp.maximum(jnp.sum(weight), 1e-8)
