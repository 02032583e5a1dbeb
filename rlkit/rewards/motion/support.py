"""How far a point of the ground is from the polygon of support."""

import jax
import jax.numpy as jnp
import numpy as np

NOWHERE = 1.0
"""m: the distance where nothing supports (PhyMotion's release)."""


def support_distance(
    point: jax.Array, supports: jax.Array, carries: jax.Array, radius: jax.Array | float = 0.0
) -> jax.Array:
    """Distance of points to the convex hulls of discs, 0 inside, without listing the hulls' edges.

    The largest ``u · p - max_i (u · x_i + ρ_i)`` over unit vectors u. It is that of an edge's normal, or
    towards a corner, so that normals of all pairs and directions to all points suffice: exact for discs of
    one size, also for segments and single points, and never too large for others.

    Args:
      point: ``[..., 2]``, m.
      supports: centres of discs ``[..., P, 2]``, m.
      carries: which of them there are, bool ``[..., P]``.
      radius: radii ρ of the discs, broadcastable to ``[..., P]``.

    Returns:
      Distances ``[...]``, m; 1 where nothing carries.
    """
    first, second = np.nonzero(~np.eye(supports.shape[-2], dtype=bool))
    along = supports[..., first, :] - supports[..., second, :]
    normal = jnp.stack([-along[..., 1], along[..., 0]], -1)  # both signs: pairs come in both orders
    units = _unit(jnp.concatenate([normal, point[..., None, :] - supports], -2))  # [..., K, 2]
    reach = jnp.sum(units[..., None, :] * supports[..., None, :, :], -1)  # [..., K, P]
    reach = reach + jnp.broadcast_to(radius, carries.shape)[..., None, :]
    hull = jnp.max(jnp.where(carries[..., None, :], reach, -1e9), -1)
    gap = jnp.max(jnp.sum(units * point[..., None, :], -1) - hull, -1)
    return jnp.where(jnp.any(carries, -1), jnp.maximum(gap, 0.0), NOWHERE)


def _unit(x: jax.Array) -> jax.Array:
    """Unit vectors ``[..., 2]``; (1, 0) where there is no direction, with a finite derivative."""
    square = jnp.sum(x**2, -1, keepdims=True)
    none = square < 1e-16
    safe = jnp.where(none, jnp.array([1.0, 0.0], x.dtype), x)
    return safe * jax.lax.rsqrt(jnp.where(none, 1.0, square))
