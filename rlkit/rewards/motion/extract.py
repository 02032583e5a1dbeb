"""Features of a motion, computed by MuJoCo's C library or by MJX."""

import importlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.errors import UsageError, unknown_name
from rlkit.rewards.motion.body import Body
from rlkit.rewards.motion.features import MotionFeatures

_MODULES = {"mujoco": "on_host", "mjx": "on_device"}
BACKENDS = tuple(_MODULES)
LEAST = 3
"""Frames that a motion must have: accelerations are second differences."""


class Pose(NamedTuple):
    """Kinematics of a frame, leaves ``[T, ...]``."""

    body_position: Any  # [J, 3]
    com: Any  # [3]
    foot_point: Any  # [P, 3]


class Forces(NamedTuple):
    """Contacts and inverse dynamics of a frame, leaves ``[T, ...]``."""

    self_penetration: Any  # []
    self_contact: Any  # []
    floor_penetration: Any  # []
    inverse: Any  # [nv]
    free: Any  # [nv]
    root_rotation: Any  # [3, 3]


def motion_features(
    body: Body,
    qpos: Any,
    dt: float | jax.Array,
    qvel: Any = None,
    qacc: Any = None,
    *,
    backend: str = "mujoco",
) -> MotionFeatures:
    """Compute what scores read.

    Velocities and accelerations are central differences of the poses, with the root's turning as a rotation
    vector, so that the first and the last frame only serve as neighbours. Poses at a video's rate leave a
    root residual of a few per cent of the weight even where the motion was possible; a simulation's own
    velocities and accelerations leave none.

    Args:
      body: whose motion it is, see :func:`rlkit.rewards.motion.body`.
      qpos: ``[N, nq]``, at least 3 frames; arrays that are traced need ``backend="mjx"``.
      dt: seconds between frames.
      qvel: ``[N, nv]`` generalised velocities, if they are known; None takes differences.
      qacc: ``[N, nv]`` generalised accelerations, likewise.
      backend: ``"mujoco"``: C, float64, on the host; ``"mjx"``: JAX, on accelerators and under ``jit`` and
        ``vmap``; compiling takes minutes on a CPU.

    Returns:
      Features of the ``T = N - 2`` inner frames.

    Raises:
      UsageError: a shape is wrong, or (on the host) a number is not finite, ``dt`` is not positive, or a
        quaternion has no length.
      UnknownNameError: there is no such backend.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    qpos, qvel, qacc = _checked(body, qpos, dt, qvel, qacc)
    qpos = np.asarray(qpos, np.float64) if backend == "mujoco" else jnp.asarray(qpos, jnp.result_type(float))
    computed: Any = importlib.import_module(f"rlkit.rewards.motion.{_MODULES[backend]}")
    speed, change = computed.derivatives(body, qpos, dt)
    speed = speed if qvel is None else qvel[1:-1]
    change = change if qacc is None else qacc[1:-1]
    poses, forces = computed.frames(body, qpos, speed, change)
    return _assemble(body, qpos, dt, speed, change, poses, forces, np if backend == "mujoco" else jnp)


def _checked(body: Body, qpos: Any, dt: Any, *rates: Any) -> tuple[Any, ...]:
    model = body.model
    shape = np.shape(qpos)
    if len(shape) != 2 or shape[1] != model.nq:
        raise UsageError(f"qpos has shape {shape}; expected [frames, {model.nq}]: {body.frames}")
    if shape[0] < LEAST:
        raise UsageError(f"a motion of {shape[0]} frames; expected at least {LEAST}")
    for name, value in zip(("qvel", "qacc"), rates, strict=True):
        if value is not None and np.shape(value) != (shape[0], model.nv):
            raise UsageError(f"{name} has shape {np.shape(value)}; expected {(shape[0], model.nv)}")
    known = {"dt": dt, "qpos": qpos, "qvel": rates[0], "qacc": rates[1]}
    for name, value in known.items():
        if value is None or isinstance(value, jax.core.Tracer):
            continue
        bad = np.argwhere(~np.isfinite(np.asarray(value, float)))
        if len(bad) or (name == "dt" and not float(value) > 0):
            where = f" in frame {bad[0][0]}" if len(bad) and bad[0].size else ""
            wanted = "expected seconds between frames, greater than 0" if name == "dt" else "expected numbers"
            raise UsageError(f"{name}{where} is {'not finite' if len(bad) else value}; {wanted}")
    if not isinstance(qpos, jax.core.Tracer):
        off = np.abs(np.linalg.norm(np.asarray(qpos, float)[:, 3:7], axis=1) - 1)
        if off.max() > 0.05:
            raise UsageError(
                f"the quaternion qpos[{off.argmax()}, 3:7] has length {1 + off.max():.3g} or its inverse; "
                "expected unit quaternions (w, x, y, z) after the position"
            )
    return (qpos, *rates)


def _assemble(
    body: Body, qpos: Any, dt: Any, qvel: Any, qacc: Any, poses: Pose, forces: Forces, xp: Any
) -> MotionFeatures:
    inner = lambda x: x[1:-1]
    velocity = lambda x: (x[2:] - x[:-2]) / (2 * dt)
    angles = inner(qpos)[:, body.hinge_qpos]
    low, high = body.limits.T
    excess = xp.maximum(xp.maximum(low - angles, angles - high), 0.0)
    ends = poses.body_position[:, body.limbs - 1]
    height = xp.array([0.0, 0.0, body.floor_height])
    moment = xp.einsum("tij,tj->ti", forces.root_rotation, forces.free[:, 3:6])
    known: dict[str, Any] = {
        "dt": dt,
        "time": xp.arange(1, qpos.shape[0] - 1) * dt,
        "body_position": inner(poses.body_position),
        "body_velocity": velocity(poses.body_position),
        "body_acceleration": xp.diff(poses.body_position, n=2, axis=0) / dt**2,
        "limb_length": inner(xp.sqrt(xp.sum((ends[:, :, 0] - ends[:, :, 1]) ** 2, -1))),
        "com": inner(poses.com),
        "foot_point": inner(poses.foot_point) - height,
        "foot_velocity": velocity(poses.foot_point),
        "joint_velocity": qvel[:, body.hinge_dof],
        "joint_acceleration": qacc[:, body.hinge_dof],
        "limit_excess": xp.max(excess, axis=1, initial=0.0),
        "self_penetration": forces.self_penetration,
        "self_contact": forces.self_contact,
        "floor_penetration": forces.floor_penetration,
        "root_residual": forces.inverse[:, :6],
        "torque": forces.inverse[:, body.hinge_dof],
        "free_force": forces.free,
        "free_moment": moment + xp.cross(inner(qpos)[:, :3] - height, forces.free[:, :3]),
        "support_radius": body.support_radius,
        "torque_limit": body.torque_limit,
        "published_torque_limit": published_torque_limits(body.hinge_names),
        "weight": body.weight,
    }
    return MotionFeatures(**{name: jnp.asarray(x, jnp.result_type(float)) for name, x in known.items()})


_PUBLISHED = {
    "hip": 400.0, "knee": 300.0, "ankle": 200.0, "toe": 100.0, "abdomen": 200.0, "torso": 200.0,
    "spine": 200.0, "chest": 200.0, "waist": 200.0, "neck": 100.0, "head": 100.0, "thorax": 150.0,
    "shoulder": 150.0, "elbow": 100.0, "wrist": 50.0, "hand": 30.0,
}  # fmt: skip


def published_torque_limits(names: tuple[str, ...]) -> np.ndarray:
    """The limits of PhyMotion's release (arXiv 2605.14269), by what a joint's name contains, N m ``[H]``.

    Joints of other names have no limit. The release speaks of a man of 72 kg.
    """
    of = lambda name: next((most for part, most in _PUBLISHED.items() if part in name.lower()), np.inf)
    return np.array([of(name) for name in names])
