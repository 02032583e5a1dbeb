"""What the ``mujoco/*`` robots are for: words, weights, thresholds and the layout of their coordinates."""

from typing import NamedTuple

import numpy as np

from rlkit.types import FeatureSpec

FREE = (7, 6)
"""Coordinates and velocities of a root that moves freely in space."""


class Task(NamedTuple):
    """One robot's task. Weights are those of brax's own reward."""

    kind: str  # "run", "balance" or "reach"
    torso: int  # link that the torso features describe
    root: tuple[int, int]  # leading entries of q and qd that place the whole robot
    joints: int  # hinge joints after them
    weights: tuple[float, float, float]  # forward velocity, squared control, healthy step
    goal: float  # success threshold
    task: str
    success: str
    fitness: str
    native_reward: str
    max_steps: int = 1000
    view: str = "side"  # pictures: seen from the side, from the top or obliquely
    camera: tuple[float, float, float] = (0.0, 0.0, 0.7)  # their middle, m; follows runners
    width: float = 2.4  # what they span, m


def _runner(
    root: tuple[int, int],
    joints: int,
    weights: tuple[float, float, float],
    goal: float,
    body: str,
    fall: str | None,
) -> Task:
    forward, control, healthy = weights
    alive = f" + {healthy:g} for every step, the last one included" if healthy else ""
    return Task(
        kind="run",
        torso=0,
        root=root,
        joints=joints,
        weights=weights,
        goal=goal,
        task=f"{body} Move forward, along +x, as far as possible by driving the joints. "
        + (
            f"The episode ends when {fall}."
            if fall
            else "It cannot fall: only the time limit ends an episode."
        ),
        success=f"the torso is at least {goal:g} m further along +x than at reset"
        + (", and the robot has not fallen" if fall else ""),
        fitness="mean forward velocity, m/s",
        native_reward=f"{forward:g} x forward velocity{alive} - {control:g} x squared control",
        view="side" if root == (3, 3) else "oblique",
    )


TASKS: dict[str, Task] = {
    "ant": _runner(
        (7, 6),
        8,
        (1.0, 0.5, 1.0),
        5.0,
        "A four-legged ant with eight hinge joints.",
        "the torso's height leaves 0.2 to 1 m",
    ),
    "walker2d": _runner(
        (3, 3),
        6,
        (1.0, 1e-3, 1.0),
        4.0,
        "A planar two-legged walker with six hinge joints.",
        "the torso's height leaves 0.8 to 2 m or it tilts by more than 1 rad",
    ),
    "hopper": _runner(
        (3, 3),
        3,
        (1.0, 1e-3, 1.0),
        3.0,
        "A planar one-legged hopper with three hinge joints.",
        "the torso sinks below 0.7 m or tilts by more than 0.2 rad",
    ),
    "halfcheetah": _runner(
        (3, 3),
        6,
        (1.0, 0.1, 0.0),
        10.0,
        "A planar two-legged cheetah with six hinge joints.",
        None,
    ),
    "humanoid": _runner(
        (7, 6),
        17,
        (1.25, 0.1, 5.0),
        5.0,
        "A humanoid with seventeen hinge joints.",
        "the torso's height leaves 1 to 2 m",
    ),
    "reacher": Task(
        kind="reach",
        torso=0,
        root=(0, 0),
        joints=2,
        weights=(0.0, 1.0, 0.0),
        goal=0.02,
        task="A two-link arm in a plane. Bring the fingertip to a target that is placed at random within "
        "0.2 m of the shoulder, and keep it there. Only the time limit ends an episode.",
        success="the fingertip is within 0.02 m of the target",
        fitness="minus the mean distance from fingertip to target, m",
        native_reward="-(distance from fingertip to target, m) - squared control",
        max_steps=50,
        view="top",
        camera=(0.0, 0.0, 0.0),
        width=0.7,
    ),
    "inverted_pendulum": Task(
        kind="balance",
        torso=1,
        root=(1, 1),
        joints=1,
        weights=(0.0, 0.0, 1.0),
        goal=1000.0,
        task="A pole hinged to a cart that slides on a rail. Keep the pole upright by pushing the cart. "
        "The episode ends when the pole tilts by more than 0.2 rad.",
        success="the pole has been upright for 1000 steps",
        fitness="mean height of the pole's axis: the cosine of its angle, 0 after a fall",
        native_reward="1 for every step, the last one included",
        camera=(0.0, 0.0, 0.2),
        width=2.2,
    ),
}


def feature_specs(
    task: Task, actions: tuple[np.ndarray, np.ndarray], controls: np.ndarray
) -> tuple[FeatureSpec, ...]:
    """The features of a robot.

    Args:
      task: its task.
      actions: lowest and highest action, float32 ``[m]`` each.
      controls: largest absolute control that the actuators get, float32 ``[m]``.
    """
    m = controls.shape[0]
    specs = [
        FeatureSpec("joint_angles", (task.joints,), unit="rad", meaning="angles of the hinge joints"),
        FeatureSpec(
            "joint_velocities", (task.joints,), unit="rad/s", meaning="angular velocities of the hinge joints"
        ),
        FeatureSpec(
            "last_action",
            (m,),
            low=float(actions[0].min()),
            high=float(actions[1].max()),
            meaning="the action that led here, 0 at reset",
        ),
        FeatureSpec(
            "control_cost",
            low=0.0,
            high=float(np.sum(controls.astype(np.float64) ** 2)) * (1 + 1e-6),
            meaning="sum of squares of the control that led here, 0 at reset",
        ),
        FeatureSpec("healthy", dtype="bool", low=0, high=1, meaning="the robot has not fallen"),
    ]
    if task.kind == "reach":
        return (
            *specs,
            FeatureSpec("fingertip_position", (3,), unit="m", meaning="where the fingertip is"),
            FeatureSpec("target_position", (3,), unit="m", meaning="where the target is"),
            FeatureSpec("target_offset", (3,), unit="m", meaning="fingertip position minus target position"),
        )
    name = "torso" if task.kind == "run" else "pole (its hinge)"
    specs += [
        FeatureSpec(
            "torso_position",
            (3,),
            unit="m",
            observable=task.kind != "run",
            meaning=f"position of the {name}: forward, to the left, up; the agent does not see x",
        ),
        FeatureSpec(
            "torso_up", low=-1.0, high=1.0, meaning=f"upright {name}: 1, lying: 0, upside down: -1 (a cosine)"
        ),
        FeatureSpec("torso_velocity", (3,), unit="m/s", meaning=f"velocity of the {name}"),
        FeatureSpec("torso_angular_velocity", (3,), unit="rad/s", meaning=f"angular velocity of the {name}"),
    ]
    if task.kind == "balance":
        return tuple(specs)
    if task.root == FREE:
        specs.append(
            FeatureSpec(
                "pose",
                (task.root[0] + task.joints,),
                observable=False,
                meaning="MuJoCo's qpos: position (3, m), unit quaternion (4; w, x, y, z), joint angles (rad)",
            )
        )
    return (
        *specs,
        FeatureSpec(
            "forward_velocity",
            unit="m/s",
            meaning="velocity along +x over the last step, 0 at reset (the humanoid's centre of mass, the "
            "others' torso)",
        ),
        FeatureSpec(
            "x_displacement", unit="m", observable=False, meaning="x of the torso minus its x at reset"
        ),
    )
