"""Motions that are physically possible, without a trained policy, and ten ways to spoil them."""

from collections.abc import Callable

import mujoco
import numpy as np
from scipy.linalg import solve_discrete_are
from scipy.optimize import minimize

from rlkit.rewards.motion import Body

FPS = 30.0


def crouch(body: Body, depth: float = 0.3) -> np.ndarray:
    """A pose with bent knees, flat feet and no force that nothing explains, ``[nq]``."""
    model, data = body.model, mujoco.MjData(body.model)
    place = dict(zip(body.hinge_names, body.hinge_qpos, strict=True))

    def posed(x: np.ndarray) -> np.ndarray:
        height, pitch, abdomen, hip = x
        q = model.qpos0.copy()
        q[2] = height
        q[3:7] = np.cos(pitch / 2), 0.0, np.sin(pitch / 2), 0.0
        q[place["abdomen_y"]] = abdomen
        for side in ("left", "right"):
            q[place[f"{side}_hip_y"]] = -depth + hip
            q[place[f"{side}_knee"]] = 2 * depth
            q[place[f"{side}_ankle_y"]] = -depth - hip - pitch - abdomen
            q[place[f"{side}_elbow"]] = -0.5
        return q

    def unexplained(x: np.ndarray) -> float:
        data.qpos[:] = posed(x)
        data.qvel[:], data.qacc[:] = 0.0, 0.0
        mujoco.mj_inverse(model, data)
        return float(np.linalg.norm(data.qfrc_inverse[:6])) + 10 * float(np.abs(x[1:]).sum())

    def lowest(height: float) -> float:
        data.qpos[:] = posed(np.array([height, 0.0, 0.0, 0.0]))
        mujoco.mj_kinematics(model, data)
        turned = data.xmat.reshape(-1, 3, 3)[body.foot_body]
        at = data.xpos[body.foot_body] + np.einsum("pij,pj->pi", turned, body.foot_local)
        return float((at[:, 2] - body.foot_radius).min())

    begin = np.array([model.qpos0[2] - lowest(model.qpos0[2]) - 2e-3, 0.0, 0.0, 0.0])
    simplex = begin + np.vstack([np.zeros(4), np.diag([5e-4, 0.05, 0.05, 0.05])])
    options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-9, "fatol": 1e-6, "initial_simplex": simplex}
    return posed(minimize(unexplained, begin, method="Nelder-Mead", options=options).x)


class Balance:
    """A linear controller that holds a pose and follows slow changes of joint targets."""

    def __init__(self, body: Body, pose: np.ndarray):
        model, data = body.model, mujoco.MjData(body.model)
        data.qpos[:] = pose
        mujoco.mj_inverse(model, data)
        motors = model.actuator_trnid[:, 0]
        self.pose, self.model, self.gear = pose, model, model.actuator_gear[:, 0]
        self.hold = data.qfrc_inverse[model.jnt_dofadr[motors]] / self.gear
        data.ctrl[:] = self.hold
        nv, nu = model.nv, model.nu
        A, B = np.zeros((2 * nv, 2 * nv)), np.zeros((2 * nv, nu))
        mujoco.mj_forward(model, data)
        mujoco.mjd_transitionFD(model, data, 1e-6, True, A, B, None, None)
        com = np.zeros((3, nv))
        mujoco.mj_jacSubtreeCom(model, data, com, 1)
        left, right = np.zeros((2, 3, nv))
        mujoco.mj_jacBodyCom(model, data, left, None, model.body("left_foot").id)
        mujoco.mj_jacBodyCom(model, data, right, None, model.body("right_foot").id)
        lean = com - (left + right) / 2
        joints = np.diag(np.r_[np.zeros(6), np.full(nv - 6, 0.3)])
        Q = np.zeros((2 * nv, 2 * nv))
        Q[:nv, :nv] = 1000 * lean.T @ lean + joints + 1e-2 * np.eye(nv)
        Q[nv:, nv:] = 1e-3 * np.eye(nv)
        P = solve_discrete_are(A, B, Q, np.eye(nu))
        self.gain = np.linalg.solve(np.eye(nu) + B.T @ P @ B, B.T @ P @ A)

    def control(self, data: mujoco.MjData, target: np.ndarray) -> np.ndarray:
        off = np.zeros(self.model.nv)
        mujoco.mj_differentiatePos(self.model, off, 1.0, target, data.qpos)
        return self.hold - self.gain @ np.r_[off, data.qvel]


def clean_motion(
    body: Body, balance: Balance, seed: int, seconds: float = 6.0, swing: float = 1.0
) -> np.ndarray:
    """Standing with bent knees, swaying and swinging the arms, ``[FPS * seconds, nq]``, simulated."""
    rng = np.random.default_rng(seed)
    model, data = balance.model, mujoco.MjData(balance.model)
    data.qpos[:] = balance.pose
    arms = [
        q for q, n in zip(body.hinge_qpos, body.hinge_names, strict=True) if "shoulder_y" in n or "elbow" in n
    ]
    size, rate = swing * rng.uniform(0.1, 0.5, len(arms)), rng.uniform(0.3, 0.9, len(arms))
    phase, push = rng.uniform(0, 2 * np.pi, len(arms)), rng.normal(0, 0.01, model.nu)
    frames, every = [], 1.0 / FPS
    steps = round(seconds / model.opt.timestep)
    for i in range(steps):
        t = i * model.opt.timestep
        if len(frames) < round(t / every + 1e-9) + 1:
            frames.append(data.qpos.copy())
        target = balance.pose.copy()
        target[arms] += size * np.sin(2 * np.pi * rate * t + phase) * min(1.0, t)
        push = 0.98 * push + rng.normal(0, 0.002, model.nu)
        data.ctrl[:] = np.clip(balance.control(data, target) + push, -1, 1)
        mujoco.mj_step(model, data)
    frames = np.array(frames[: round(seconds * FPS)])
    if frames[-1, 2] < 0.8 * balance.pose[2]:
        raise RuntimeError(f"the body fell (seed {seed})")
    return frames


def _turned(pose: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """Poses ``[T, nq]`` whose root is turned about an axis through its feet's height."""
    out, turn = pose.copy(), np.r_[np.cos(angle / 2), np.sin(angle / 2) * axis]
    for frame in out:
        new = np.zeros(4)
        mujoco.mju_mulQuat(new, turn, frame[3:7])
        moved = np.zeros(3)
        mujoco.mju_rotVecQuat(moved, frame[:3], turn)
        frame[3:7], frame[:3] = new, moved
    return out


def _raised(motion: np.ndarray, height: np.ndarray | float) -> np.ndarray:
    out = motion.copy()
    out[:, 2] += height
    return out


def perturbations(body: Body, size: float = 1.0) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Ten ways to spoil a motion ``[T, nq]``, each ``spoil(motion, seed)``; ``size`` scales all but two."""
    knees = [q for q, name in zip(body.hinge_qpos, body.hinge_names, strict=True) if "knee" in name]

    def slide(motion: np.ndarray, seed: int) -> np.ndarray:
        out = motion.copy()
        out[:, 0] += size * 0.4 * np.arange(len(motion)) / FPS
        return out

    def noise(motion: np.ndarray, seed: int, columns: slice, scale: float) -> np.ndarray:
        out, rng = motion.copy(), np.random.default_rng(seed)
        out[:, columns] += rng.normal(0, size * scale, out[:, columns].shape)
        return out

    def teleport(motion: np.ndarray, seed: int) -> np.ndarray:
        out, rng = motion.copy(), np.random.default_rng(seed)
        out[rng.integers(len(motion) // 4, 3 * len(motion) // 4) :, 0] += size * 0.6
        return out

    def bent(motion: np.ndarray, seed: int) -> np.ndarray:
        out = motion.copy()
        out[:, knees[0]] *= -1.0
        return out

    def fast(motion: np.ndarray, seed: int) -> np.ndarray:
        return motion[::4][np.r_[0 : len(motion) // 4, len(motion) // 4 - 2 : 0 : -1]]

    return {
        "float 10 cm": lambda m, s: _raised(m, 0.1 * size),
        "ramp to 20 cm": lambda m, s: _raised(m, np.linspace(0, 0.2 * size, len(m))),
        "sink 5 cm": lambda m, s: _raised(m, -0.05 * size),
        "slide 0.4 m/s": slide,
        "joint jitter 0.05 rad": lambda m, s: noise(m, s, slice(7, None), 0.05),
        "root jitter 2 cm": lambda m, s: noise(m, s, slice(0, 3), 0.02),
        "teleport 0.6 m": teleport,
        "lean 20 degrees": lambda m, s: _turned(m, np.array([0.0, 1.0, 0.0]), np.radians(20 * size)),
        "four times the speed": fast,
        "reversed knee": bent,
    }
