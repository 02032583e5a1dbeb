"""Losses where feedback is missing, and not at random."""

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError
from rlkit.prefs.checks import flags, in_range, same_shape, share_of
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
      UsageError: a known propensity or a bound of the clip is not in (0, 1], something was observed neither
        0 nor 1 times, or shapes differ.
    """
    same_shape("ips", loss=loss, observed=observed, propensity=propensity)
    weight = _weight("ips", observed, propensity, clip)
    if self_normalise:
        weight = share_of(weight, jnp.mean(weight), 0.0)
    return weight * jnp.where(weight > 0, loss, 0.0)


def _weight(where: str, observed: jax.Array, propensity: jax.Array, clip: tuple[float, float]) -> jax.Array:
    """``o / p``."""
    check_propensity(where, propensity)
    in_range(where, "clip", clip, 1e-6, 1.0)
    if len(np.shape(clip)) != 1 or len(clip) != 2 or clip[0] > clip[1]:
        raise UsageError(f"{where}: clip={clip}: expected (least, largest)")
    return flags(where, "observed", observed) / jnp.clip(propensity, *clip)


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
      UsageError: a known propensity or a bound of the clip is not in (0, 1], something was observed neither
        0 nor 1 times, or shapes differ.
    """
    same_shape("doubly_robust", loss=loss, imputed=imputed, observed=observed, propensity=propensity)
    weight = _weight("doubly_robust", observed, propensity, clip)
    return imputed + weight * jnp.where(weight > 0, loss - imputed, 0.0)


def weighted_mean(loss: jax.Array, weight: jax.Array) -> jax.Array:
    """``Σ w l / Σ w``, a scalar; 0 where no weight is left: what was dropped does not count, nor dilute."""
    same_shape("weighted_mean", loss=loss, weight=weight)
    weight = jnp.asarray(weight, jnp.float32)
    return share_of(jnp.sum(weight * jnp.where(weight > 0, loss, 0.0)), jnp.sum(weight), 0.0)
