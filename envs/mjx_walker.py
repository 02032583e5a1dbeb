"""Gymnasium's Walker2d-v5 in JAX: its own XML file, simulated by MJX (``mujoco/walker2d-v5``).

Model, integrator, solver, time step, start states, observations, rewards and falls are Gymnasium's; steps
from the same state agree with it to float32. MJX is slow on CPUs: about 500 steps per CPU-second.
"""

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.envs.brax import quiet
from rlkit.envs.brax_tasks import TASKS, feature_specs
from rlkit.envs.brax_view import picture
from rlkit.envs.core import strong
from rlkit.errors import UsageError, unknown_name
from rlkit.products import full_products
from rlkit.spaces import Box
from rlkit.types import EnvSpec, Features, Key, Terms

_TASK = TASKS["walker2d"]
_FRAME_SKIP = 4
_SOLVERS = ("faithful", "fast")


class Params(NamedTuple):
    """Weights of Gymnasium's reward, its bounds of health, and the threshold of success; float32 []."""

    max_steps: jax.Array  # int32 []
    forward_weight: jax.Array  # per m/s forward
    control_weight: jax.Array  # per unit of squared control
    healthy_reward: jax.Array  # per step that does not end in a fall
    heights: jax.Array  # [2] m: the torso's, between which the walker is healthy
    angles: jax.Array  # [2] rad
    start_noise: jax.Array  # every coordinate and velocity at reset is off by up to this
    goal: jax.Array  # m: success threshold


class State(NamedTuple):
    """One walker; float32."""

    qpos: jax.Array  # [9]: x, z (m), angle, joint angles (rad)
    qvel: jax.Array  # [9]
    warmstart: jax.Array  # [9]: where the constraint solver begins
    action: jax.Array  # [6]: the last one, 0 at reset
    velocity: jax.Array  # []: m/s forward over the last step, 0 at reset
    start: jax.Array  # []: x at reset, m
    healthy: jax.Array  # bool []


class _Engine(NamedTuple):
    model: Any  # mujoco.MjModel
    device: Any  # mjx.Model
    blank: Any  # mjx.Data


def _file() -> Path:
    """Gymnasium's XML file, found without importing Gymnasium."""
    found = importlib.util.find_spec("gymnasium")
    folders = list(found.submodule_search_locations or ()) if found else []
    for folder in folders:
        path = Path(folder, "envs", "mujoco", "assets", "walker2d_v5.xml")
        if path.is_file():
            return path
    raise UsageError(
        f"mujoco/walker2d-v5 needs Gymnasium's file walker2d_v5.xml, which is not in {folders}; "
        "gymnasium 1.2 and later bring it"
    )


@functools.cache
@full_products
def _engine(solver: str) -> _Engine:
    # Loading makes arrays: they must be concrete even if the first use is inside a trace.
    with quiet(), jax.ensure_compile_time_eval():
        mujoco: Any = importlib.import_module("mujoco")
        from mujoco import mjx

        model = mujoco.MjModel.from_xml_path(str(_file()))
        if solver == "fast":
            model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
            model.opt.iterations, model.opt.ls_iterations = 4, 6
        return _Engine(model, mjx.put_model(model), mjx.make_data(model))


@dataclass(frozen=True)
class MjxWalker2d:
    """``mujoco/walker2d-v5``: two planar legs walk, with the numbers of Gymnasium's Walker2d-v5.

    Attributes:
      solver: ``"faithful"``: the file's options (RK4, 100 iterations); ``"fast"``: Euler steps and 4
        iterations, several times as fast and not Gymnasium's numbers.
    """

    solver: str = "faithful"

    def __post_init__(self) -> None:
        if self.solver not in _SOLVERS:
            raise unknown_name("solver", self.solver, _SOLVERS, where="of mujoco/walker2d-v5")

    @property
    def spec(self) -> EnvSpec:
        one = np.ones(6, np.float32)
        return EnvSpec(
            id="mujoco/walker2d-v5",
            observation_space=Box((17,)),
            action_space=Box((6,), -1.0, 1.0),
            features=feature_specs(_TASK, (-one, one), one),
            max_steps=_TASK.max_steps,
            task=_TASK.task,
            success=_TASK.success,
            fitness=_TASK.fitness,
            native_reward="1 x forward velocity + 1 unless fallen - 0.001 x squared control",
            partial_obs=True,
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        forward, control, healthy = map(jnp.float32, _TASK.weights)
        heights, angles = jnp.array([0.8, 2.0], jnp.float32), jnp.array([-1.0, 1.0], jnp.float32)
        limit, noise, goal = jnp.int32(_TASK.max_steps), jnp.float32(5e-3), jnp.float32(_TASK.goal)
        return Params(limit, forward, control, healthy, heights, angles, noise, goal)

    def initial(self, key: Key, params: Params) -> State:
        rest = jnp.asarray(_engine(self.solver).model.qpos0, jnp.float32)
        noise = params.start_noise * jax.random.uniform(key, (2, 9), jnp.float32, -1, 1)
        qpos, zero = rest + noise[0], jnp.zeros((), jnp.float32)
        return State(
            qpos,
            noise[1],
            jnp.zeros(9, jnp.float32),
            jnp.zeros(6, jnp.float32),
            zero,
            qpos[0],
            _healthy(qpos, params),
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        from mujoco import mjx

        engine = _engine(self.solver)
        data = engine.blank.replace(
            qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=strong(action)
        )
        data = jax.lax.fori_loop(0, _FRAME_SKIP, lambda _, data: mjx.step(engine.device, data), data)
        seconds = _FRAME_SKIP * engine.model.opt.timestep
        return State(
            data.qpos,
            data.qvel,
            data.qacc_warmstart,
            strong(action),
            (data.qpos[0] - state.qpos[0]) / jnp.float32(seconds),
            state.start,
            _healthy(data.qpos, params),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return jnp.concatenate([state.qpos[1:], jnp.clip(state.qvel, -10, 10)])

    def features(self, state: State, params: Params) -> Features:
        (x, z, angle), (vx, vz, turning) = state.qpos[:3], state.qvel[:3]
        none = jnp.zeros_like(x)
        return {
            "joint_angles": state.qpos[3:],
            "joint_velocities": state.qvel[3:],
            "last_action": state.action,
            "control_cost": jnp.sum(state.action**2),
            "healthy": state.healthy,
            "torso_position": jnp.stack([x, none, z]),
            "torso_up": jnp.cos(angle),
            "torso_velocity": jnp.stack([vx, none, vz]),
            "torso_angular_velocity": jnp.stack([none, turning, none]),
            "forward_velocity": state.velocity,
            "x_displacement": x - state.start,
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        terms = {
            "forward": params.forward_weight * next_features["forward_velocity"],
            "healthy": params.healthy_reward * next_features["healthy"],
            "control": -params.control_weight * jnp.sum(action**2),
        }
        return sum(terms.values(), jnp.zeros((), jnp.float32)), terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return ~next_state.healthy

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.healthy & (next_state.qpos[0] - next_state.start >= params.goal)

    def fitness(self, state: State, params: Params) -> jax.Array:
        return state.velocity

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        mujoco: Any = importlib.import_module("mujoco")
        model = _engine(self.solver).model
        data = mujoco.MjData(model)
        data.qpos[:] = np.asarray(state.qpos)
        mujoco.mj_kinematics(model, data)
        centre = np.array(_TASK.camera) + np.array([data.qpos[0], 0.0, 0.0])
        return picture(model, data.xpos[1:], data.xquat[1:], centre, _TASK.width, _TASK.view, size)


def _healthy(qpos: jax.Array, params: Params) -> jax.Array:
    (low, high), (left, right) = params.heights, params.angles
    return (low < qpos[1]) & (qpos[1] < high) & (left < qpos[2]) & (qpos[2] < right)
