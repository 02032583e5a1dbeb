"""Whether forces could make a body move so: torques, reactions of the floor, what nothing explains."""

import jax
import jax.numpy as jnp

from rlkit.rewards.motion.contact import flying, from_support, published_contact, touching
from rlkit.rewards.motion.features import MotionFeatures
from rlkit.rewards.motion.kinematic import Terms, mean_of


def published_dynamic(features: MotionFeatures, *, floor: str = "aligned") -> tuple[jax.Array, Terms]:
    """PhyMotion's dynamic score ``(s_tau + s_grf + s_met + s_bal) / 4`` (arXiv 2605.14269, release).

    Forces are those without contacts. The release's torque limits are those of a man of 72 kg. It leaves out
    the root's turning, which is included here. ``floor`` as in :func:`published_contact`, whose balance
    counts here a second time.

    Returns:
      The score in [0, 1] (scalar) and its parts, greater is better.
    """
    force = features.free_force
    joints = force[:, -features.joint_velocity.shape[1] :]
    side = jnp.sqrt(jnp.sum(force[:, :2] ** 2, -1))
    share = lambda x: jnp.mean(x, dtype=force.dtype)
    wild = share(force[:, 2] > 3.0 * features.weight) + share(side > 0.5 * features.weight)
    work = jnp.sum(jnp.abs(joints * features.joint_velocity)) * features.dt
    parts = {
        "torque": 1.0 - share(jnp.abs(joints) > features.published_torque_limit),
        "reaction": 1.0 - wild / 2,
        "work": jnp.maximum(1.0 - work / 10_000.0, 0.0),
        "balance": 1.0 - published_contact(features, floor=floor)[1]["balance"],
    }
    return jnp.clip(mean_of(parts.values()), 0.0, 1.0), parts


def zero_moment_point(features: MotionFeatures) -> jax.Array:
    """Where on the floor a vertical push would give the motion's moment, m ``[T, 2]``.

    ``(-M_y, M_x) / F_z`` of the force without contacts about the floor's origin; F_z is at least a tenth of
    the weight.
    """
    up = jnp.maximum(features.free_force[:, 2], 0.1 * features.weight)
    return jnp.stack([-features.free_moment[:, 1], features.free_moment[:, 0]], 1) / up[:, None]


def dynamic_terms(features: MotionFeatures) -> Terms:
    """Scores of each frame in [0, 1], ``[T]`` each; the definition is ours.

    ``residual``: exp(-|f| / 0.25 weight), f the force on the root that nothing explains, contacts included;
    ``moment``: exp(-d / 0.1 m), d the distance of the zero moment point from the polygon of support;
    ``torque``: exp(-(|τ| / τ_max - 1)₊) of the motor that is asked for most; ``friction``:
    exp(-(|F_xy| / F_z - 0.7)₊ / 0.3). Moment and friction are 1 in flight.
    """
    force, flight = features.free_force, flying(features)
    residual = jnp.sqrt(jnp.sum(features.root_residual[:, :3] ** 2, -1))
    away = from_support(features, zero_moment_point(features), touching(features))
    asked = jnp.max(jnp.abs(features.torque) / features.torque_limit, axis=1, initial=0.0)
    up = jnp.maximum(force[:, 2], 0.1 * features.weight)
    slope = jnp.sqrt(jnp.sum(force[:, :2] ** 2, -1)) / up
    return {
        "residual": jnp.exp(-residual / (0.25 * features.weight)),
        "moment": jnp.where(flight, 1.0, jnp.exp(-away / 0.1)),
        "torque": jnp.exp(-jnp.maximum(asked - 1.0, 0.0)),
        "friction": jnp.where(flight, 1.0, jnp.exp(-jnp.maximum(slope - 0.7, 0.0) / 0.3)),
    }
