"""Kinematics, contacts and inverse dynamics of a motion by MJX: pure JAX, all frames at once."""

from typing import Any

import jax
import jax.numpy as jnp

from rlkit.products import full_products
from rlkit.rewards.motion.body import Body
from rlkit.rewards.motion.extract import Forces, Pose


def derivatives(body: Body, qpos: jax.Array, dt: Any) -> tuple[jax.Array, jax.Array]:
    """Central velocities and accelerations ``[N - 2, nv]`` of poses ``[N, nq]``.

    As ``mj_differentiatePos``: the root's turning is a rotation vector in its own frame.
    """
    moved = jnp.diff(qpos[:, :3], axis=0)
    turned = _turn(qpos[:-1, 3:7], qpos[1:, 3:7])
    steps = jnp.concatenate([moved, turned, jnp.diff(qpos[:, 7:], axis=0)], 1) / dt
    return (steps[1:] + steps[:-1]) / 2, (steps[1:] - steps[:-1]) / dt


def _turn(before: jax.Array, after: jax.Array) -> jax.Array:
    """The rotation vector of ``before⁻¹ after``, ``[N, 3]``; quaternions ``[N, 4]``."""
    unit = lambda q: q / jnp.linalg.norm(q, axis=1, keepdims=True)
    a, b = unit(before), unit(after)
    w = jnp.sum(a * b, 1, keepdims=True)
    axis = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - jnp.cross(a[:, 1:], b[:, 1:])
    square = jnp.sum(axis**2, 1, keepdims=True)
    small = square < 1e-12
    length = jnp.sqrt(jnp.where(small, 1.0, square))
    angle = 2 * jnp.arctan2(jnp.where(w < 0, -length, length), jnp.abs(w))
    return axis * jnp.where(small, 2.0 * jnp.sign(w), angle / length)


@full_products
def frames(body: Body, qpos: jax.Array, qvel: jax.Array, qacc: jax.Array) -> tuple[Pose, Forces]:
    """Kinematics of all frames ``[N]``, forces of the inner ones ``[N - 2]``."""
    from mujoco import mjx

    model = mjx.put_model(body.model)
    blank = mjx.make_data(model)
    geoms = body.model.ngeom

    def pose(data: Any) -> Pose:
        turned = data.xmat[body.foot_body]
        centre = data.xpos[body.foot_body] + jnp.einsum("pij,pj->pi", turned, jnp.asarray(body.foot_local))
        down = jnp.asarray(body.foot_radius)[:, None] * jnp.array([0.0, 0.0, 1.0])
        return Pose(data.xpos[1:], data.subtree_com[1], centre - down)

    def still(q: jax.Array) -> Pose:
        return pose(mjx.com_pos(model, mjx.kinematics(model, blank.replace(qpos=q))))

    def moving(q: jax.Array, v: jax.Array, a: jax.Array) -> tuple[Pose, Forces]:
        data: Any = mjx.inverse(model, blank.replace(qpos=q, qvel=v, qacc=a))
        contact: Any = getattr(data, "_impl", data).contact
        depth = jnp.maximum(-contact.dist, 0.0)
        floor = jnp.any(contact.geom == body.floor, 1)
        own = jnp.where(floor, 0.0, depth)
        touching = jnp.zeros(geoms, bool).at[contact.geom].max((own > 0)[:, None])
        return pose(data), Forces(
            self_penetration=jnp.max(own, initial=0.0),
            self_contact=jnp.sum(touching) / (geoms - 1),
            floor_penetration=jnp.max(jnp.where(floor, depth, 0.0), initial=0.0),
            inverse=data.qfrc_inverse,
            free=mjx.mul_m(model, data, a) + data.qfrc_bias,
            root_rotation=data.xmat[1],
        )

    unit = qpos[:, 3:7] / jnp.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qpos = qpos.at[:, 3:7].set(unit)
    poses, forces = jax.vmap(moving)(qpos[1:-1], qvel, qacc)
    ends = jax.vmap(still)(qpos[jnp.array([0, -1])])
    around = lambda inner, two: jnp.concatenate([two[:1], inner, two[1:]])
    return jax.tree.map(around, poses, ends), forces
