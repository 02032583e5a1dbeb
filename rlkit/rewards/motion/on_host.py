"""Kinematics, contacts and inverse dynamics of a motion by MuJoCo's C library, float64, frame by frame."""

from typing import Any

import numpy as np

from rlkit.rewards.motion.body import Body, engine
from rlkit.rewards.motion.extract import Forces, Pose


def derivatives(body: Body, qpos: Any, dt: Any) -> tuple[np.ndarray, np.ndarray]:
    """Central velocities and accelerations ``[N - 2, nv]`` of poses ``[N, nq]``."""
    mujoco = engine()

    qpos, dt = np.ascontiguousarray(qpos, np.float64), float(dt)
    steps = np.zeros((len(qpos) - 1, body.model.nv))
    for i in range(len(steps)):
        mujoco.mj_differentiatePos(body.model, steps[i], dt, qpos[i], qpos[i + 1])
    return (steps[1:] + steps[:-1]) / 2, (steps[1:] - steps[:-1]) / dt


def frames(body: Body, qpos: Any, qvel: Any, qacc: Any) -> tuple[Pose, Forces]:
    """Kinematics of all frames ``[N]``, forces of the inner ones ``[N - 2]``."""
    mujoco = engine()

    model, data = body.model, mujoco.MjData(body.model)
    poses, forces = [], []
    last = len(qpos) - 1
    for i, q in enumerate(np.asarray(qpos, np.float64)):
        data.qpos[:] = q
        data.qpos[3:7] /= np.linalg.norm(q[3:7])
        if i in (0, last):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
        else:
            data.qvel[:], data.qacc[:] = qvel[i - 1], qacc[i - 1]
            mujoco.mj_inverse(model, data)
            forces.append(_forces(body, data))
        turned = data.xmat.reshape(-1, 3, 3)[body.foot_body]
        centre = data.xpos[body.foot_body] + np.einsum("pij,pj->pi", turned, body.foot_local)
        lowest = centre - body.foot_radius[:, None] * np.array([0.0, 0.0, 1.0])
        poses.append(Pose(data.xpos[1:].copy(), data.subtree_com[1].copy(), lowest))
    stack = lambda rows: type(rows[0])(*(np.stack(column) for column in zip(*rows, strict=True)))
    return stack(poses), stack(forces)


def _forces(body: Body, data: Any) -> Forces:
    mujoco = engine()

    model, contact = body.model, data.contact
    count = data.ncon
    geoms, depth = contact.geom[:count], np.maximum(-contact.dist[:count], 0.0)
    floor = (geoms == body.floor).any(1)
    touching = np.unique(geoms[~floor & (depth > 0)])
    free = np.zeros(model.nv)
    mujoco.mj_mulM(model, data, free, data.qacc)
    return Forces(
        self_penetration=np.max(depth[~floor], initial=0.0),
        self_contact=np.float64(touching.size / (model.ngeom - 1)),
        floor_penetration=np.max(depth[floor], initial=0.0),
        inverse=data.qfrc_inverse.copy(),
        free=free + data.qfrc_bias,
        root_rotation=data.xmat[1].reshape(3, 3).copy(),
    )
