"""How often labels are wrong: from the extremes of a model's predictions, or from a clean set."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.prefs.checks import axes, in_range, known, same_shape, share_of


class NoiseRates(NamedTuple):
    """Rates of label noise, float32 scalars."""

    false_neg: jax.Array  # P(label 0 | truth 1)
    false_pos: jax.Array  # P(label 1 | truth 0)


def anchor_noise_rates(probability: jax.Array, quantile: float = 0.01) -> NoiseRates:
    """From items that are certainly good or bad: ``fn = 1 - max p, fp = min p`` (CausalRM, arXiv 2603.18736).

    Assumes that such items exist (weak separability) and that the model of the *noisy* labels is calibrated
    at its extremes, which a model that overfits is not. Quantiles stand for maximum and minimum. Where a
    small set with true labels can be had, :func:`clean_set_noise_rates` is far better.

    Args:
      probability: P(label 1) of the model of noisy labels, ``[N]``.
      quantile: 0 for the extremes themselves.
    """
    if not axes("anchor_noise_rates", "probability", probability, 1, "[N]")[0]:
        raise UsageError("anchor_noise_rates: probability is empty; expected predictions for some items")
    in_range("anchor_noise_rates", "probability", probability, 0.0, 1.0)
    in_range("anchor_noise_rates", "quantile", quantile, 0.0, 0.49)
    low, high = jnp.quantile(probability, jnp.array([quantile, 1.0 - quantile]))
    return NoiseRates(1.0 - high, low)


def clean_set_noise_rates(label: jax.Array, truth: jax.Array, weight: jax.Array | None = None) -> NoiseRates:
    """From labels whose truth is known; the definition is ours.

    Args:
      label: noisy labels, ``[N]``.
      truth: true labels, ``[N]``.
      weight: ``[N]``, e.g. inverse propensities; None: equal.

    Raises:
      UsageError: no item is truly 1, or none 0.
    """
    same_shape("clean_set_noise_rates", label=label, truth=truth, weight=weight)
    true = known(truth)
    if true is not None and ((true > 0.5).all() or not (true > 0.5).any()):
        raise UsageError("clean_set_noise_rates: every truth is the same; expected items of either kind")
    weight = jnp.ones(label.shape) if weight is None else weight
    share = lambda wrong, among: share_of(jnp.sum(weight * (wrong & among)), jnp.sum(weight * among), 0.0)
    one, good = jnp.asarray(label) > 0.5, jnp.asarray(truth) > 0.5
    return NoiseRates(share(~one, good), share(one, ~good))
