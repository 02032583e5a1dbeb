"""What scores of motion read: one set of arrays per motion, whatever computed them."""

from typing import NamedTuple

import jax

Array = jax.Array


class MotionFeatures(NamedTuple):
    """A motion of ``T`` frames; SI units, float. ``J`` bodies, ``P`` points of feet, ``H`` hinges.

    Forces and torques are those of MuJoCo's inverse dynamics. The root's six are the force on it in the
    world's frame and the torque in its own; no motor acts there, so that a motion is physically possible only
    where their *residual* is about 0.
    """

    dt: Array  # []: s between frames
    time: Array  # [T]: s, of the frames that are kept
    body_position: Array  # [T, J, 3]: origins of the bodies, the root first
    body_velocity: Array  # [T, J, 3]: m/s
    body_acceleration: Array  # [T, J, 3]: m/s²
    limb_length: Array  # [T, S]: distances between bodies and their parents
    com: Array  # [T, 3]: centre of mass
    foot_point: (
        Array  # [T, P, 3]: lowest points of the balls on which feet stand; height above the floor last
    )
    foot_velocity: Array  # [T, P, 3]: of these points
    joint_velocity: Array  # [T, H]: rad/s
    joint_acceleration: Array  # [T, H]: rad/s²
    limit_excess: Array  # [T]: rad by which the worst joint is beyond its limit
    self_penetration: Array  # [T]: m, deepest contact between two parts of the body
    self_contact: Array  # [T]: share of the geoms that touch another part of the body, 0 to 1
    floor_penetration: Array  # [T]: m, deepest contact with the floor
    root_residual: Array  # [T, 6]: N, N m that nothing explains: inverse dynamics with contacts
    torque: Array  # [T, H]: N m that motors must give, contacts accounted for
    free_force: Array  # [T, nv]: M(q) q̈ + c(q, q̇), as if nothing were touched
    free_moment: Array  # [T, 3]: its moment about the world's origin, N m
    support_radius: Array  # [P]: m, by which a point widens the polygon of support
    torque_limit: Array  # [H]: N m
    published_torque_limit: Array  # [H]: N m, of a man of 72 kg
    weight: Array  # []: N
