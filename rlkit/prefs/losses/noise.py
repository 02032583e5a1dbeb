"""Losses for labels that are wrong at a known rate."""

import jax
import jax.numpy as jnp

from rlkit.prefs.checks import check_noise_rates, in_range, probabilities, same_shape
from rlkit.prefs.losses.pairwise import pairwise_logistic

LEAST_KEPT = 0.1
"""The least ``1 - false_neg - false_pos`` that is divided by: below it variance drowns the signal (ours)."""


def noise_backward(
    loss_one: jax.Array,
    loss_zero: jax.Array,
    label: jax.Array,
    false_neg: jax.Array | float,
    false_pos: jax.Array | float,
) -> jax.Array:
    """A loss on noisy labels whose expectation over the noise is the loss on the true ones.

    CausalRM (arXiv 2603.18736), after Natarajan et al. 2013, with ``D = 1 - fn - fp``: at the label 1
    ``((1 - fp) l1 - fn l0) / D``, at 0 ``((1 - fn) l0 - fp l1) / D``. It can be negative, and with an
    unbounded ``l`` it is unbounded below: stop early, bound the logits, or use
    :func:`noise_forward_logistic`.

    Args:
      loss_one: the loss if the label were 1, ``[...]``.
      loss_zero: if it were 0, ``[...]``.
      label: the noisy label, ``[...]``, 0 or 1; between them the two are mixed.
      false_neg: P(label 0 | truth 1), the paper's ρ01.
      false_pos: P(label 1 | truth 0), its ρ10. ``D`` below 0.1 counts as 0.1.

    Returns:
      ``[...]``.

    Raises:
      UsageError: the rates sum to 1 or more, or shapes differ.
    """
    check_noise_rates("noise_backward", false_neg, false_pos)
    same_shape("noise_backward", loss_one=loss_one, loss_zero=loss_zero, label=label)
    probabilities("noise_backward", "label", label)
    label = jnp.asarray(label)
    kept = jnp.maximum(1.0 - jnp.asarray(false_neg) - false_pos, LEAST_KEPT)
    one = ((1.0 - jnp.asarray(false_pos)) * loss_one - false_neg * loss_zero) / kept
    zero = ((1.0 - jnp.asarray(false_neg)) * loss_zero - false_pos * loss_one) / kept
    return label * one + (1.0 - label) * zero


def noise_backward_logistic(
    margin: jax.Array,
    label: jax.Array,
    false_neg: jax.Array | float,
    false_pos: jax.Array | float,
    bound: float = 8.0,
) -> jax.Array:
    """:func:`noise_backward` of Bradley-Terry; margins are clipped to ``±bound`` so that it is bounded
    (ours).

    For comparisons whose label is flipped at one rate give it as both rates. Beyond the bound the gradient is
    0.
    """
    in_range("noise_backward_logistic", "bound", bound, 0.0, float("inf"), strict=True)
    m = jnp.clip(jnp.asarray(margin), -bound, bound)
    one, zero = pairwise_logistic(m, 1.0), pairwise_logistic(m, 0.0)
    return noise_backward(one, zero, jnp.asarray(label, jnp.float32), false_neg, false_pos)


def noise_forward_logistic(
    margin: jax.Array, label: jax.Array, false_neg: jax.Array | float, false_pos: jax.Array | float
) -> jax.Array:
    """Cross-entropy of noisy labels with what the noise makes of the model's probability.

    ``p = (1 - fn) σ(m) + fp σ(-m)`` (forward correction, Patrini et al. 2017, arXiv 1609.03683). Never
    negative.

    Args:
      margin: logit, ``[...]``.
      label: the noisy label, ``[...]``.
      false_neg: P(label 0 | truth 1).
      false_pos: P(label 1 | truth 0).

    Returns:
      ``[...]``.

    Raises:
      UsageError: the rates sum to 1 or more, or shapes differ.
    """
    check_noise_rates("noise_forward_logistic", false_neg, false_pos)
    same_shape("noise_forward_logistic", margin=margin, label=label)
    probabilities("noise_forward_logistic", "label", label)
    y = jnp.asarray(label, jnp.float32)
    m = jnp.asarray(margin, jnp.promote_types(jnp.result_type(margin), jnp.float32))
    yes, no = jax.nn.log_sigmoid(m), jax.nn.log_sigmoid(-m)
    fn, fp = jnp.asarray(false_neg, m.dtype), jnp.asarray(false_pos, m.dtype)
    one = jnp.logaddexp(jnp.log1p(-fn) + yes, jnp.log(fp) + no)
    zero = jnp.logaddexp(jnp.log(fn) + yes, jnp.log1p(-fp) + no)
    return -(y * one + (1.0 - y) * zero)


def contaminated_logistic(margin: jax.Array, label: jax.Array, eps: jax.Array | float = 0.1) -> jax.Array:
    """Bradley-Terry where a share ``eps`` of the answers is a coin toss: ``p = (1 - eps) σ(m) + eps / 2``.

    Christiano et al. 2017 (arXiv 1706.03741, §2.2.3) assume 10 %. Arguments as
    :func:`noise_forward_logistic`.

    Raises:
      UsageError: ``eps`` is not in [0, 1).
    """
    in_range("contaminated_logistic", "eps", eps, 0.0, 0.999999, hint="at 1 the answers say nothing")
    half = 0.5 * jnp.asarray(eps) if isinstance(eps, jax.Array) else 0.5 * eps
    return noise_forward_logistic(margin, label, half, half)
