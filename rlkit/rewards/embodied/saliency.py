"""How much an example, and each part of it, counts in a distillation (Stream-R1, arXiv 2605.03849).

``L = ½ w(r) mean(W (x - sg(x - g))²)``: ``w`` is the reliability of the example by its reward, ``W`` its
saliency: where the reward is sensitive, the student's error counts more. Neither passes gradients on.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.products import FULL


def published_reliability(reward: jax.Array, beta: float = 2.0) -> jax.Array:
    """``exp(β r)``, as released: unbounded, and of no fixed mean. ``[B]`` → ``[B]``."""
    return jax.lax.stop_gradient(jnp.exp(beta * reward))


def reliability_weight(reward: jax.Array, beta: float = 2.0, *, limit: float = 5.0) -> jax.Array:
    """``exp(β z)`` of the standardised reward, its exponent within ``±limit``, with mean 1 in the batch.

    The correction is ours: the weights neither depend on the reward's scale nor change the loss's.
    """
    z = (reward - jnp.mean(reward)) / (jnp.std(reward) + 1e-6)
    weight = jnp.exp(jnp.clip(beta * z, -limit, limit))
    return jax.lax.stop_gradient(weight / jnp.mean(weight))


def gradient_saliency(reward: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """``|∂ reward / ∂ x|``: of one example ``[...]`` and a scalar reward, the same shape."""
    return jnp.abs(jax.grad(lambda x: jnp.sum(reward(x)))(x))


def fuse_saliency(saliency: jax.Array, reward: jax.Array, temperature: float = 1.0) -> jax.Array:
    """Saliencies of several rewards ``[D, ...]`` as one: weights ``softmax(-reward / temperature)`` ``[D]``.

    The weaker axis counts more.
    """
    weight = jax.nn.softmax(-reward / temperature)
    return jnp.tensordot(weight, saliency, 1, precision=FULL)


def saliency_weight(saliency: jax.Array, floor_time: float = 0.2, floor_space: float = 0.15) -> jax.Array:
    """Weights with mean 1 of frames times places, ``[F, ...]`` → ``[F, ...]``.

    The profile over time is the mean of each frame, scaled to [0, 1], at least ``floor_time``, divided by its
    mean; that over space is scaled within each frame, at least ``floor_space``; the product has mean 1. A
    constant saliency gives ones.

    Raises:
      UsageError: there is no axis of frames and one of places.
    """
    if jnp.ndim(saliency) < 2:
        raise UsageError(f"saliency has shape {jnp.shape(saliency)}; expected [frames, places, ...]")
    places = tuple(range(1, saliency.ndim))
    time = _scaled(jnp.mean(saliency, places, keepdims=True), (0,), floor_time)
    space = _scaled(saliency, places, floor_space)
    weight = time * space
    return jax.lax.stop_gradient(weight / jnp.mean(weight))


def _scaled(x: jax.Array, axes: tuple[int, ...], floor: float) -> jax.Array:
    """Scaled to [0, 1] over axes, with a floor, divided by its mean; ones where it is constant."""
    low, high = jnp.min(x, axes, keepdims=True), jnp.max(x, axes, keepdims=True)
    flat = high - low <= 1e-8 * (jnp.abs(high) + 1e-30)
    unit = jnp.where(flat, 1.0, (x - low) / jnp.where(flat, 1.0, high - low))
    raised = jnp.maximum(unit, floor)
    return raised / jnp.mean(raised, axes, keepdims=True)


def balance_penalty(history: jax.Array, coefficient: float = 0.5) -> jax.Array:
    """What uneven progress of several rewards costs: λ times the deviation of their gains, scalar.

    Args:
      history: rewards of the last updates, ``[W, D]``, oldest first; the gain of an axis is the mean of the
        second half minus that of the first.
      coefficient: λ.

    Raises:
      UsageError: fewer than two updates or two axes.
    """
    if jnp.ndim(history) != 2 or min(jnp.shape(history)) < 2:
        raise UsageError(
            f"history has shape {jnp.shape(history)}; expected [updates, axes], at least two of each"
        )
    half = history.shape[0] // 2
    gain = jnp.mean(history[half:], 0) - jnp.mean(history[:half], 0)
    return coefficient * jnp.std(gain, ddof=1)


def weighted_distillation_loss(
    x: jax.Array, step: jax.Array, reliability: jax.Array, saliency: jax.Array
) -> jax.Array:
    """``½ mean_b(w_b mean(W_b (x_b - sg(x_b - g_b))²))``, scalar.

    Args:
      x: what the student made, ``[B, ...]``.
      step: g, the direction that distillation asks for, ``[B, ...]``.
      reliability: w, ``[B]``.
      saliency: W, ``[B, ...]``, ones for none.
    """
    target = jax.lax.stop_gradient(x - step)
    error = saliency * (x - target) ** 2
    return 0.5 * jnp.mean(reliability * jnp.mean(error.reshape(x.shape[0], -1), 1))
