"""The five plain metrics of latents that an emergence measure has to beat.

Entropy, Shannon mutual information, autocorrelation, effective dimension and magnitude are the baselines
reported for arXiv 2605.06746; their exact definitions were not found, so the definitions here are ours. All
are functions of one latent series ``[T, n]``: vmap over seeds and checkpoints.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.analysis.atoms.lattice import unit_scale
from rlkit.analysis.moments.dimension import effective_dimension
from rlkit.analysis.moments.lagged import alive, lagged_moments
from rlkit.analysis.moments.samples import as_samples
from rlkit.products import matmul


class Baselines(NamedTuple):
    """The five baseline metrics, scalars in this order (``jnp.stack`` gives a feature vector of 5)."""

    entropy: jax.Array
    mutual_information: jax.Array
    autocorrelation: jax.Array
    effective_dimension: jax.Array
    magnitude: jax.Array


@partial(jax.jit, static_argnames=("lag", "bins", "unit"))
def latent_baselines(
    z: jax.Array,
    valid: jax.Array | None = None,
    pair_mask: jax.Array | None = None,
    lag: int = 1,
    bins: int = 8,
    *,
    unit: str = "nats",
) -> Baselines:
    """All five metrics of one latent series.

    Args:
      z: ``[T, n]``, raw latents (not z-scored: magnitude and effective dimension need the scale).
      valid: bool ``[T]``, False at padding; invalid rows may hold anything.
      pair_mask: bool ``[T - lag]``, pairs inside one episode (``moments.pair_mask``); by default the pairs of
        valid steps.
      lag: lag of the autocorrelation, static.
      bins: equal-width bins per unit for entropy and mutual information, static.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      ``Baselines``.
    """
    return Baselines(
        entropy=latent_entropy(z, valid, bins, unit=unit),
        mutual_information=latent_mutual_information(z, valid, bins, unit=unit),
        autocorrelation=latent_autocorrelation(z, valid, pair_mask, lag),
        effective_dimension=effective_dimension(z, valid),
        magnitude=latent_magnitude(z, valid),
    )


def latent_entropy(
    z: jax.Array, valid: jax.Array | None = None, bins: int = 8, *, unit: str = "nats"
) -> jax.Array:
    """Mean over units of the plug-in entropy of each unit's histogram.

    A histogram has ``bins`` equal-width bins between the unit's least and greatest valid value. The value
    does not depend on shift and scale of a unit; a constant unit has entropy 0.

    Args:
      z: ``[T, n]``.
      valid: bool ``[T]``.
      bins: number of bins K, static.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      Scalar in [0, ln K]; the plug-in bias is about -(K-1)/2T nats.
    """
    z, valid = _checked(z, valid)
    symbols = _histogram_symbols(z, valid, bins)
    share = jnp.sum(symbols, axis=0) / jnp.sum(valid)
    return unit_scale(unit) * jnp.mean(jnp.sum(jax.scipy.special.entr(share), axis=-1))


def latent_mutual_information(
    z: jax.Array, valid: jax.Array | None = None, bins: int = 8, *, unit: str = "nats"
) -> jax.Array:
    """Mean over unordered pairs of units of the plug-in mutual information at the same step.

    Same histograms as ``latent_entropy``; all pairs come from one Gram matrix of the bin indicators. The
    plug-in bias is about +(K-1)²/2T nats a pair, equal for every series of the same length.

    Args:
      z: ``[T, n]``, n >= 2 (NaN for one unit).
      valid: bool ``[T]``.
      bins: number of bins K, static.
      unit: ``"nats"`` or ``"bits"``.

    Returns:
      Scalar.
    """
    z, valid = _checked(z, valid)
    n = z.shape[1]
    symbols = _histogram_symbols(z, valid, bins).reshape(z.shape[0], n * bins)
    joint = matmul(symbols.T, symbols).reshape(n, bins, n, bins) / jnp.sum(valid)
    entropy = jax.scipy.special.entr(joint).sum(axis=(1, 3))
    own = jnp.diagonal(entropy)
    information = own[:, None] + own[None, :] - entropy
    return unit_scale(unit) * (information.sum() - jnp.trace(information)) / (n * (n - 1) or jnp.nan)


def latent_autocorrelation(
    z: jax.Array, valid: jax.Array | None = None, pair_mask: jax.Array | None = None, lag: int = 1
) -> jax.Array:
    """Mean over units of the Pearson correlation between a unit and itself ``lag`` steps later.

    Args:
      z: ``[T, n]``.
      valid: bool ``[T]``.
      pair_mask: bool ``[T - lag]``, pairs inside one episode.
      lag: steps, static.

    Returns:
      Scalar in [-1, 1]; constant units are left out, NaN if all are.
    """
    z, valid = _checked(z, valid)
    mask = valid[:-lag] & valid[lag:]
    moments = lagged_moments(z, lag, mask if pair_mask is None else mask & jnp.asarray(pair_mask, bool))
    count = moments.count
    centred = lambda product, left, right: jnp.diagonal(product) / count - left * right / count**2
    past = centred(moments.past_past, moments.past_sum, moments.past_sum)
    future = centred(moments.future_future, moments.future_sum, moments.future_sum)
    cross = centred(moments.past_future, moments.past_sum, moments.future_sum)
    varies = alive(moments).reshape(2, -1).all(0)
    scale = jnp.sqrt(jnp.where(varies, past * future, 1.0))
    return jnp.sum(jnp.where(varies, cross / scale, 0.0)) / jnp.sum(varies)


def latent_magnitude(z: jax.Array, valid: jax.Array | None = None) -> jax.Array:
    """Mean over steps of the Euclidean norm of the latent vector (scalar, unit of ``z``)."""
    z, valid = _checked(z, valid)
    norm = jnp.sqrt(jnp.sum(jnp.square(jnp.where(valid[:, None], z, 0.0)), axis=1))
    return jnp.sum(norm) / jnp.sum(valid)


def _checked(z: jax.Array, valid: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    z = jnp.asarray(z)
    if z.ndim != 2 or not jnp.issubdtype(z.dtype, jnp.floating):
        raise ValueError(f"z is {z.dtype}{z.shape}; expected float latents [T, n] (vmap over batches)")
    z = as_samples(z)
    valid = jnp.ones(z.shape[0], dtype=bool) if valid is None else jnp.asarray(valid, dtype=bool)
    if valid.shape != z.shape[:1]:
        raise ValueError(f"valid has shape {valid.shape}; expected [{z.shape[0]}], one entry a step")
    return z, valid


def _histogram_symbols(z: jax.Array, valid: jax.Array, bins: int) -> jax.Array:
    """Bin indicators ``[T, n, bins]``, all zero at invalid steps."""
    rows = valid[:, None]
    low = jnp.min(jnp.where(rows, z, jnp.inf), axis=0)
    high = jnp.max(jnp.where(rows, z, -jnp.inf), axis=0)
    width = jnp.where(high > low, high - low, 1.0)
    position = jnp.nan_to_num(jnp.floor((z - low) / width * bins)).astype(jnp.int32)
    indicator = jax.nn.one_hot(jnp.minimum(position, bins - 1), bins, dtype=z.dtype)
    # NaN latents have no bin, and a silent bin 0 for them would look like data.
    indicator = jnp.where(jnp.isnan(z)[..., None], jnp.nan, indicator)
    return jnp.where(rows[..., None], indicator, 0.0)
