"""Gaussian rewards for pointing (GUI-G², arXiv 2507.15846): the closer to the middle of a target, the more.

Boxes are ``(x1, y1, x2, y2)`` in any unit, with ``x1 <= x2``. The deviation of a box's Gaussian adapts to its
size: ``α`` times its width and height, so that with α = 0.5 the middle of an edge lies at one deviation.
"""

import jax
import jax.numpy as jnp

from rlkit.errors import UsageError
from rlkit.rewards.algebra import from_function
from rlkit.rewards.arguments import Scalar, check_positive, lookup, parameters
from rlkit.types import PyTree, Reward, Transition

LEAST = 1.0
"""The least deviation, in the unit of boxes (pixels in the paper): an empty box has no logarithm."""


def _check(name: str, **boxes: jax.Array) -> None:
    for argument, box in boxes.items():
        if jnp.ndim(box) < 1 or jnp.shape(box)[-1] != 4:
            raise UsageError(
                f"{name}: {argument} has shape {jnp.shape(box)}; expected [..., 4]: x1, y1, x2, y2"
            )


def _middle(box: jax.Array) -> jax.Array:
    return (box[..., :2] + box[..., 2:]) / 2


def _deviation(box: jax.Array, alpha: Scalar, least: Scalar) -> jax.Array:
    return jnp.maximum(alpha * jnp.abs(box[..., 2:] - box[..., :2]), least)


def inside(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """The binary reward: 1 where the middle of the prediction lies in the target, else 0; float ``[...]``."""
    _check("inside", predicted=predicted, target=target)
    point = _middle(predicted)
    hit = jnp.all((point >= target[..., :2]) & (point <= target[..., 2:]), -1)
    return hit.astype(jnp.result_type(predicted, jnp.float32))


def gaussian_point_reward(
    predicted: jax.Array,
    target: jax.Array,
    alpha: Scalar = 0.5,
    *,
    least: Scalar = LEAST,
    decimals: int | None = None,
) -> jax.Array:
    """``exp(-½ [(dx / σ_x)² + (dy / σ_y)²])`` of the middles, with the target's deviations.

    Args:
      predicted: boxes ``[..., 4]``; a point is a box without extent.
      target: boxes ``[..., 4]``.
      alpha: deviation per width and height of the target.
      least: the least deviation.
      decimals: round as the release does (to 3), which makes the reward 0 beyond 3.9 deviations; None
        does not.

    Returns:
      Rewards in (0, 1], ``[...]``: 0.607 at the middle of an edge, 0.368 at a corner for α = 0.5.

    Raises:
      UsageError: an argument is no box.
    """
    _check("gaussian_point_reward", predicted=predicted, target=target)
    off = (_middle(predicted) - _middle(target)) / _deviation(target, alpha, least)
    value = jnp.exp(-0.5 * jnp.sum(off**2, -1))
    return value if decimals is None else jnp.round(value, decimals)


def gaussian_coverage_reward(
    predicted: jax.Array, target: jax.Array, alpha: Scalar = 0.5, *, least: Scalar = LEAST
) -> jax.Array:
    """The Bhattacharyya coefficient of the two boxes' Gaussians, ``exp(-D)`` in (0, 1].

    ``D = ⅛ d' S⁻¹ d + ½ ln(det S / sqrt(det S₁ det S₂))`` with ``S = (S₁ + S₂) / 2``. It is lenient: a box of
    half the size in the middle gets 0.80. Arguments and errors as in :func:`gaussian_point_reward`.
    """
    _check("gaussian_coverage_reward", predicted=predicted, target=target)
    a, b = (_deviation(box, alpha, least) ** 2 for box in (predicted, target))
    both = (a + b) / 2
    off = _middle(predicted) - _middle(target)
    distance = jnp.sum(off**2 / both, -1) / 8 + 0.5 * jnp.sum(jnp.log(both) - 0.5 * jnp.log(a * b), -1)
    return jnp.exp(-distance)


def pointing(
    point: str,
    target: str,
    alpha: Scalar = 0.5,
    *,
    least: Scalar = 1e-3,
    name: str = "pointing",
) -> Reward:
    """The source :func:`gaussian_point_reward` of two features after the step.

    Also a dense "reach this door" of navigation: any target that is a box of the plane.

    Args:
      point: a feature ``[2]``, where the agent points or is.
      target: a feature ``[4]``, the target's box ``(x1, y1, x2, y2)`` in the same unit.
      alpha: deviation per width and height of the target.
      least: the least deviation, in that unit.
      name: of the term.

    Raises:
      UsageError: a number is not positive, or (when traced) a feature has another shape.
    """
    params, values = parameters(alpha=check_positive("alpha", alpha), least=check_positive("least", least))

    def pay(t: Transition, params: PyTree) -> jax.Array:
        at = lookup(t.next_features, point).astype(t.reward.dtype)
        box = lookup(t.next_features, target).astype(t.reward.dtype)
        for feature, value, shape in ((point, at, (2,)), (target, box, (4,))):
            if value.shape != shape:
                raise UsageError(f"feature {feature!r} has shape {value.shape}; expected {shape}")
        alpha, least = values(params).values()
        return gaussian_point_reward(jnp.concatenate([at, at]), box, alpha, least=least)

    return from_function(pay, name, params)
