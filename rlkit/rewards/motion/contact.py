"""How a body meets the floor: slipping, sinking, floating, balance."""

import jax
import jax.numpy as jnp

from rlkit.errors import unknown_name
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.kinematic import Terms, mean_of
from rlkit.rewards.motion.support import support_distance

FLOORS = ("aligned", "true")
NEAR = 0.02
"""m: a foot's point that is lower touches the floor."""


def published_contact(features: MotionFeatures, *, floor: str = "aligned") -> tuple[jax.Array, Terms]:
    """PhyMotion's contact score ``1 - (v_slip + v_pen + v_float + v_bal) / 4`` (arXiv 2605.14269, release).

    The lowest points of feet stand for the origins of ankles and toes, all of them weighing what the
    release's four weigh. With ``floor="aligned"``, as published, the whole motion is first lowered so that
    the lowest foot touches 0: a floating body then scores like one that stands, and ``v_pen`` is always 0.
    ``floor="true"`` measures heights from the floor that there is.

    Returns:
      The score in [0, 1] (scalar) and its violations.

    Raises:
      UnknownNameError: there is no such ``floor``.
    """
    if floor not in FLOORS:
        raise unknown_name("floor", floor, FLOORS)
    height = features.foot_point[..., 2]
    height = height - jnp.min(height) if floor == "aligned" else height
    length = lambda x: jnp.sqrt(jnp.sum(x**2, -1))
    speed, root = length(features.foot_velocity), length(features.body_velocity[:, 0])
    touches = (height < NEAR) & (speed < 0.05)
    ratio = length(features.foot_velocity - features.body_velocity[:, :1]) / (root[:, None] + 1e-6)
    away = from_support(features, features.com[:, :2], touches)
    # The release sums over four points and divides by two feet.
    over_feet = lambda x: 2.0 * jnp.mean(x)
    violations = {
        "slip": jnp.clip(over_feet(speed * touches * features.dt) / 0.05, 0.0, 1.0),
        "penetration": jnp.clip(over_feet(jnp.maximum(-height, 0.0)) / 0.05, 0.0, 1.0),
        "float": jnp.mean((ratio < 0.6) | (ratio > 1.75), dtype=speed.dtype),
        "balance": jnp.mean(jnp.clip(away, 0.0, 0.5) / 0.5),
    }
    return jnp.clip(1.0 - mean_of(violations.values()), 0.0, 1.0), violations


def from_support(features: MotionFeatures, point: jax.Array, touches: jax.Array) -> jax.Array:
    """Distance of points ``[T, 2]`` from the polygon of the feet's points that touch, m ``[T]``."""
    return support_distance(point, features.foot_point[..., :2], touches, features.support_radius)


def touching(features: MotionFeatures) -> jax.Array:
    """Which points of feet touch the true floor, bool ``[T, P]``."""
    return features.foot_point[..., 2] < NEAR


def flying(features: MotionFeatures) -> jax.Array:
    """Frames of ballistic flight, bool ``[T]``: no foot touches, less than 0.3 of the weight is carried."""
    return ~jnp.any(touching(features), 1) & (features.free_force[:, 2] < 0.3 * features.weight)


def contact_terms(features: MotionFeatures) -> Terms:
    """Scores of each frame in [0, 1], ``[T]`` each; the definition is ours. The floor is the true one.

    ``slip``: exp(-v / 0.2 m/s) of the fastest point that touches, along the floor; ``penetration``:
    exp(-(depth - 5 mm)₊ / 0.02 m) of whatever is deepest in the floor; ``airborne``: 0 where no foot touches
    though at least 0.3 of the weight must be carried, else 1; ``balance``: exp(-d / 0.1 m) with d the
    distance of the centre of mass from the polygon of support, 1 in flight.
    """
    touches, flight = touching(features), flying(features)
    along = jnp.sqrt(jnp.sum(features.foot_velocity[..., :2] ** 2, -1))
    away = from_support(features, features.com[:, :2], touches)
    lowest = jnp.maximum(-jnp.min(features.foot_point[..., 2], 1), features.floor_penetration)
    return {
        "slip": jnp.exp(-jnp.max(along * touches, 1) / 0.2),
        "penetration": jnp.exp(-jnp.maximum(lowest - 0.005, 0.0) / 0.02),
        "airborne": (jnp.any(touches, 1) | flight).astype(along.dtype),
        "balance": jnp.where(flight, 1.0, jnp.exp(-away / 0.1)),
    }
