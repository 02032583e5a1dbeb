"""What is measured inside Gymnasium environments that are known: success, fitness and further facts.

Each function is a meter, see :mod:`rlkit.envs.host_worker`. They run where the environment runs and import
nothing of this package.
"""

import functools
import importlib
from typing import Any

import numpy as np


def cartpole(env: Any, obs: Any, reward: float, terminated: bool, info: dict, memory: dict) -> tuple:
    """Balanced for 475 steps; the share of 500 steps."""
    return memory["returned"] >= 475, memory["returned"] / 500, ()


def pendulum(env: Any, obs: Any, reward: float, terminated: bool, info: dict, memory: dict) -> tuple:
    """Upright for 20 steps in a row; the cosine of the angle. Fact: those steps."""
    upright = float(obs[0]) > 0.95 and abs(float(obs[2])) < 1.0 and "started" in memory
    memory["started"] = True  # the start is no step
    memory["upright"] = memory.get("upright", 0) + 1 if upright else 0
    return memory["upright"] >= 20, float(obs[0]), (memory["upright"],)


def lander(env: Any, obs: Any, reward: float, terminated: bool, info: dict, memory: dict) -> tuple:
    """At rest after a landing; 1 if so. Fact: whether the lander is awake."""
    awake = bool(env.lander.awake)
    landed = terminated and not awake and not env.game_over
    return landed, float(landed), (awake,)


def walker(env: Any, obs: Any, reward: float, terminated: bool, info: dict, memory: dict) -> tuple:
    """At the end of the terrain; the hull's way. Fact: that way."""
    from gymnasium.envs.box2d import bipedal_walker as world

    x = float(env.hull.position[0])
    way = x - memory.setdefault("start", x)
    end = (world.TERRAIN_LENGTH - world.TERRAIN_GRASS) * world.TERRAIN_STEP
    return terminated and not env.game_over and x > end, way, (way,)


def robot(
    env: Any,
    obs: Any,
    reward: float,
    terminated: bool,
    info: dict,
    memory: dict,
    *,
    body: int,
    root: tuple[int, int],
    joints: int,
    goal: float,
    runs: bool,
) -> tuple:
    """A robot of MuJoCo; the facts are the features of ``rlkit.envs.brax_tasks.feature_specs``, in order.

    Args:
      body: number of the torso in the model.
      root: leading entries of qpos and qvel that place the whole robot.
      joints: hinge joints after them.
      goal: of success: metres, or steps for the pendulum.
      runs: whether it runs, or balances.
    """
    mujoco: Any = importlib.import_module("mujoco")

    data = env.data
    # Stepping leaves positions of bodies one substep behind the joints'; the next step computes them anew.
    mujoco.mj_kinematics(env.model, data)
    skip, skip_velocities = root
    # Plain numbers, because each operation of NumPy on a few of them costs as much as a substep.
    place, speed, control = data.qpos.tolist(), data.qvel, data.ctrl.tolist()
    position, upright = data.xpos[body].tolist(), min(max(float(data.xmat[body, 8]), -1.0), 1.0)
    if runs and not getattr(env, "_terminate_when_unhealthy", False):
        healthy = bool(getattr(env, "is_healthy", not terminated))
    else:  # then that is what ends an episode
        healthy = not terminated
    memory["steps"] = memory.get("steps", -1) + 1
    x = position[0] - memory.setdefault("start", position[0])
    linear, angular = _root_velocity(speed, data.xmat[body], skip_velocities)
    facts = [
        *place[skip : skip + joints],
        *speed.tolist()[skip_velocities : skip_velocities + joints],
        *control,
        sum(c * c for c in control),
        healthy,
        *position,
        upright,
        *linear,
        *angular,
    ]
    if not runs:
        return healthy and memory["steps"] >= goal, upright if healthy else 0.0, tuple(facts)
    forward = float(info.get("x_velocity", 0.0))
    if memory["steps"] == 0:
        forward = 0.0
    pose = place[: skip + joints] if root == (7, 6) else ()  # MuJoCo's free joint
    return healthy and x >= goal, forward, (*facts, *pose, forward, x)


def _root_velocity(velocity: np.ndarray, turn: np.ndarray, count: int) -> tuple[Any, Any]:
    """Linear and angular velocity of the torso in the world: free, in the x-z plane, or on a rail."""
    if count == 6:  # a free joint's angular velocity is in the torso's own frame
        return velocity[:3].tolist(), (turn.reshape(3, 3) @ velocity[3:6]).tolist()
    if count == 3:
        return (velocity[0], 0.0, velocity[1]), (0.0, velocity[2], 0.0)
    return (velocity[0], 0.0, 0.0), (0.0, velocity[1], 0.0)


def robot_meter(**numbers: Any) -> functools.partial:
    """:func:`robot` with its numbers."""
    return functools.partial(robot, **numbers)
