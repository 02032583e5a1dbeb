"""What is known about environments of Gymnasium: tasks in words, features, success, fitness.

A task that is known here is found by the Gymnasium id without its version (``Ant-v4``, ``Ant-v5``) or by the
name of its counterpart (``mujoco/ant``). Features of a host environment are read off observations, or are
facts that a meter measures beside the environment (:mod:`rlkit.envs.host_meters`).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import host_meters
from rlkit.envs.brax_tasks import TASKS as ROBOTS
from rlkit.envs.brax_tasks import feature_specs
from rlkit.envs.cartpole import CartPole
from rlkit.envs.host_worker import COMMON, Meter, plain
from rlkit.envs.pendulum import Pendulum
from rlkit.spaces import Box, Space
from rlkit.types import EnvSpec, Features, FeatureSpec


class HostTask(NamedTuple):
    """What is known about an environment on the host, beside what Gymnasium says.

    Attributes:
      task: see :class:`rlkit.types.EnvSpec`, as the next four.
      success: in words.
      fitness: in words.
      native_reward: in words.
      fitness_over: ``"mean"``, ``"final"`` or ``"max"``.
      partial_obs: whether the observation hides part of the state.
      actions: names of discrete actions.
      seen: features that observations hold.
      look: ``look(obs [..., *shape]) -> features`` of ``seen``.
      facts: ``facts(action_space) -> features`` that the meter measures, in its order.
      meter: measures success, fitness and the facts, see :mod:`rlkit.envs.host_worker`.
    """

    task: str = ""
    success: str = 'info["is_success"] of a step is true; never, if the environment does not say'
    fitness: str = "sum of the environment's rewards in the episode"
    native_reward: str = "the environment's own"
    fitness_over: str = "final"
    partial_obs: bool = False
    actions: tuple[str, ...] = ()
    seen: tuple[FeatureSpec, ...] = ()
    look: Callable[[jax.Array], Features] | None = None
    facts: Callable[[Space], tuple[FeatureSpec, ...]] = lambda action_space: ()
    meter: Meter = plain


_REWARD = FeatureSpec("native_reward", meaning="the environment's own reward for the step that led here")


class Reader(NamedTuple):
    """The features of a task in one environment."""

    specs: tuple[FeatureSpec, ...]
    num_facts: int  # those that all have included
    read: Callable[[jax.Array, jax.Array], Features]
    """``read(obs [..., *shape], facts [..., F]) -> features [..., *shape]``"""


def reader(task: HostTask, observation_space: Space, action_space: Space) -> Reader:
    """How the features of a task are read in an environment with these spaces."""
    measured = task.facts(action_space)
    sizes = [math.prod(spec.shape) for spec in measured]
    begins = np.cumsum([len(COMMON), *sizes]).tolist()
    ndim, look, seen = len(observation_space.shape), task.look, task.seen
    if look is None:
        size = math.prod(observation_space.shape)
        seen = (FeatureSpec("observation", (size,), meaning="what the agent sees, flat"),)
        flat = lambda obs: obs.reshape(*obs.shape[: obs.ndim - ndim], size).astype(jnp.float32)
        look = lambda obs: {"observation": flat(obs)}

    def read(obs: jax.Array, facts: jax.Array) -> Features:
        features = {"native_reward": facts[..., 0], **look(obs)}
        for spec, begin, size in zip(measured, begins, sizes, strict=False):
            value = facts[..., begin : begin + size].reshape(*facts.shape[:-1], *spec.shape)
            features[spec.name] = value > 0.5 if spec.dtype == "bool" else value.astype(spec.dtype)
        return features

    return Reader((*seen, *measured, _REWARD), begins[-1], read)


def specification(
    task: HostTask, id: str, observation_space: Space, action_space: Space, features: Any, max_steps: int
) -> EnvSpec:
    """The specification of an environment of a task."""
    words = task.task or f"{id.removeprefix('host:')} of Gymnasium: maximise its reward."
    return EnvSpec(
        id=id,
        observation_space=observation_space,
        action_space=action_space,
        features=features,
        max_steps=max_steps,
        task=words,
        success=task.success,
        fitness=task.fitness,
        native_reward=task.native_reward,
        fitness_over=task.fitness_over,
        partial_obs=task.partial_obs,
        pure=False,
    )


def _entries(*specs: tuple[FeatureSpec, Any]) -> dict[str, Any]:
    """``seen`` and ``look`` of features that are entries of a flat observation."""
    where = {spec.name: (index, spec.dtype) for spec, index in specs}

    def look(obs: jax.Array) -> Features:
        values = {name: (obs[..., index], dtype) for name, (index, dtype) in where.items()}
        return {name: x > 0.5 if dtype == "bool" else x for name, (x, dtype) in values.items()}

    return {"seen": tuple(spec for spec, _ in specs), "look": look}


def _from(spec: EnvSpec, **changes: Any) -> dict[str, Any]:
    """The words of an environment that there is in JAX too."""
    words = ("task", "success", "fitness", "native_reward", "fitness_over")
    return {name: getattr(spec, name) for name in words} | changes


def _cartpole() -> HostTask:
    spec = CartPole().spec
    return HostTask(
        **_from(spec),
        **_entries(*((feature, i) for i, feature in enumerate(spec.features))),
        actions=spec.action_space.names,  # pyrefly: ignore
        meter=host_meters.cartpole,
    )


def _pendulum() -> HostTask:
    spec = Pendulum().spec

    def look(obs: jax.Array) -> Features:
        cos, sin, velocity = jnp.moveaxis(obs, -1, 0)
        return {"angle": jnp.arctan2(sin, cos), "velocity": velocity, "height": cos, "sideways": sin}

    return HostTask(
        **_from(spec),
        seen=spec.features[:-1],
        look=look,
        facts=lambda actions: spec.features[-1:],
        meter=host_meters.pendulum,
    )


def _lander() -> HostTask:
    contact = "the {} leg touches the ground"
    return HostTask(
        task="Land a module on the pad at the origin, softly and upright, with a main engine and two side "
        "engines. The episode ends when the body touches the ground, leaves the screen at the side, or has "
        "come to rest.",
        success="the lander has come to rest without touching the ground with its body",
        fitness="1 if it landed, else 0",
        native_reward="gain in closeness to the pad, slowness, uprightness and leg contact; -0.3 for each "
        "step of the main engine, -0.03 of a side engine; -100 for a crash, +100 for coming to rest",
        actions=("nothing", "left engine", "main engine", "right engine"),
        **_entries(
            (
                FeatureSpec(
                    "position", (2,), meaning="from the pad: right, in 10 m; above leg height, in 6.67 m"
                ),
                slice(0, 2),
            ),
            (FeatureSpec("velocity", (2,), meaning="right and up, in 5 and 7.5 m/s"), slice(2, 4)),
            (FeatureSpec("angle", unit="rad", meaning="tilt, counter-clockwise positive"), 4),
            (FeatureSpec("angular_velocity", unit="2.5 rad/s", meaning="of the tilt"), 5),
            (FeatureSpec("left_contact", dtype="bool", low=0, high=1, meaning=contact.format("left")), 6),
            (FeatureSpec("right_contact", dtype="bool", low=0, high=1, meaning=contact.format("right")), 7),
        ),
        facts=lambda actions: (
            FeatureSpec(
                "awake", dtype="bool", low=0, high=1, observable=False, meaning="it has not come to rest"
            ),
        ),
        meter=host_meters.lander,
    )


_LEGS = (("first", 4), ("second", 9))


def _walker() -> HostTask:
    legs = []
    for leg, begin in _LEGS:
        legs += [
            (FeatureSpec(f"{leg}_hip_angle", unit="rad", meaning=f"of the {leg} leg"), begin),
            (FeatureSpec(f"{leg}_hip_speed", unit="4 rad/s", meaning=f"of the {leg} leg"), begin + 1),
            (FeatureSpec(f"{leg}_knee_angle", unit="rad", meaning=f"plus 1, of the {leg} leg"), begin + 2),
            (FeatureSpec(f"{leg}_knee_speed", unit="6 rad/s", meaning=f"of the {leg} leg"), begin + 3),
            (
                FeatureSpec(
                    f"{leg}_contact", dtype="bool", low=0, high=1, meaning=f"the {leg} foot touches ground"
                ),
                begin + 4,
            ),
        ]
    return HostTask(
        task="A two-legged robot with four motors walks to the right end of an uneven terrain. The episode "
        "ends when its hull touches the ground, or at the end of the terrain.",
        success="the hull has reached the end of the terrain",
        fitness="how far the hull has come when the episode ends, m",
        native_reward="130 / 30 for each metre forward, minus changes of 5 x tilt and motor use; "
        "-100 for a fall",
        partial_obs=True,
        **_entries(
            (FeatureSpec("hull_angle", unit="rad", meaning="tilt of the hull"), 0),
            (FeatureSpec("hull_angular_velocity", unit="25 rad/s", meaning="of the hull"), 1),
            (
                FeatureSpec("hull_velocity", (2,), meaning="right and up, in 8.33 and 12.5 m/s"),
                slice(2, 4),
            ),
            *legs,
            (
                FeatureSpec("lidar", (10,), low=0, high=1, meaning="free share of ten rays, down to forward"),
                slice(14, 24),
            ),
        ),
        facts=lambda actions: (
            FeatureSpec("hull_x", unit="m", observable=False, meaning="way of the hull since reset"),
        ),
        meter=host_meters.walker,
    )


def _robot(name: str) -> HostTask:
    robot = ROBOTS[name]

    def facts(actions: Space) -> tuple[FeatureSpec, ...]:
        assert isinstance(actions, Box)
        low, high = (bound.reshape(-1) for bound in actions.bounds())
        return feature_specs(robot, (low, high), np.maximum(abs(low), abs(high)))

    runs = robot.kind == "run"
    return HostTask(
        task=robot.task,
        success=robot.success,
        fitness=robot.fitness,
        native_reward="Gymnasium's: forward velocity and health, minus costs of control and contact"
        if runs
        else robot.native_reward,
        fitness_over="mean",
        partial_obs=runs,
        facts=facts,
        meter=host_meters.robot_meter(
            body=robot.torso + 1, root=robot.root, joints=robot.joints, goal=robot.goal, runs=runs
        ),
    )


def _robot_maze(legs: bool) -> HostTask:
    """A maze of Gymnasium-Robotics; observations are the goal that is reached, the one to reach, the body."""
    place = "position in the maze, x and y from its middle"
    robot = "A four-legged robot" if legs else "A point mass that is pushed"
    body = (
        FeatureSpec("body", (105 if legs else 4,), meaning="what Gymnasium-Robotics observes of the body"),
    )

    def look(obs: jax.Array) -> Features:
        position, goal = obs[..., :2], obs[..., 2:4]
        distance = jnp.sqrt(jnp.sum((goal - position) ** 2, -1))
        return {"position": position, "goal_position": goal, "goal_distance": distance, "body": obs[..., 4:]}

    return HostTask(
        task=f"{robot} moves through a maze to a goal, which is somewhere else in every episode; place "
        "and goal are seen, walls are not.",
        success="within 0.45 m of the goal",
        native_reward="1 while within 0.45 m of the goal, 0 otherwise",
        partial_obs=True,
        seen=(
            FeatureSpec("position", (2,), unit="m", meaning=place),
            FeatureSpec("goal_position", (2,), unit="m", meaning="of the goal, likewise"),
            FeatureSpec("goal_distance", low=0, unit="m", meaning="straight distance to it, through walls"),
            *body,
        ),
        look=look,
    )


class Known(NamedTuple):
    """A task that is known."""

    name: str  # of the counterpart, or of ours
    id: str  # Gymnasium's
    make: Callable[[], HostTask]
    options: Mapping[str, Any] = {}


KNOWN: tuple[Known, ...] = (
    Known("classic/cartpole", "CartPole-v1", _cartpole),
    Known("classic/pendulum", "Pendulum-v1", _pendulum),
    Known("box2d/lunarlander", "LunarLander-v3", _lander),
    Known("box2d/lunarlander-continuous", "LunarLander-v3", _lander, {"continuous": True}),
    Known("box2d/bipedalwalker", "BipedalWalker-v3", _walker),
    Known("box2d/bipedalwalker-hardcore", "BipedalWalkerHardcore-v3", _walker),
    *(
        Known(
            f"robotics/{robot.lower()}-{size.lower()}",
            f"{robot}_{size}-{version}",
            lambda robot=robot: _robot_maze(robot == "AntMaze"),
        )
        for robot, version in (("PointMaze", "v3"), ("AntMaze", "v5"))
        for size in ("UMaze", "Medium", "Large")
    ),
    *(
        Known(f"mujoco/{name}", f"{id}-v5", lambda name=name: _robot(name))
        for name, id in (
            ("ant", "Ant"),
            ("halfcheetah", "HalfCheetah"),
            ("hopper", "Hopper"),
            ("humanoid", "Humanoid"),
            ("inverted_pendulum", "InvertedPendulum"),
            ("walker2d", "Walker2d"),
        )
    ),
)


def known_task(id: str) -> tuple[HostTask, str, Mapping[str, Any]]:
    """The task of an id, the Gymnasium id that it stands for, and the options that it fixes."""
    for known in KNOWN:
        if id == known.name:
            return known.make(), known.id, known.options
    base = id.rpartition("-v")[0]
    for known in KNOWN:
        if base and base == known.id.rpartition("-v")[0]:
            return known.make(), id, {}
    return HostTask(), id, {}
