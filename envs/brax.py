"""Robots of brax (``mujoco/*``): its physics and observations, our resets, time limits and rewards.

The physics is brax's, one of four backends; so are start states, observations and falls. What
brax calls reward is recomputed from features, and neither its automatic reset nor its episode
wrapper is used. Brax's robots resemble Gymnasium's (masses, gears and time steps agree) but are
numerically not the same: other integrators, fewer solver iterations, no contact costs.
"""

import contextlib
import functools
import importlib
import io
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Pool
from rlkit.envs.brax_tasks import FREE, TASKS, feature_specs
from rlkit.envs.brax_view import picture
from rlkit.envs.core import strong
from rlkit.envs.functional import from_functions
from rlkit.errors import UsageError, unknown_name
from rlkit.products import full_products
from rlkit.spaces import Box
from rlkit.types import Environment, EnvSpec, Features, Key, Terms

# What a physics step reads of brax's pipeline state; the rest is recomputed before it is used.
_MAXIMAL = ("q", "qd", "x", "xd", "x_i", "xd_i", "j", "jd", "a_p", "a_c", "mass")
_READ = {
    "spring": _MAXIMAL,
    "positional": _MAXIMAL,
    "generalized": (
        *("q", "qd", "x", "xd", "root_com", "cinr", "cd", "cdof", "cdofd"),
        *("mass_mx", "mass_mx_inv", "con_jac", "con_diag", "con_aref"),
    ),
    "mjx": ("q", "qd", "x", "xd", "qacc_warmstart"),
}
_TARGET_LINK = 2  # of the reacher
_RESCALED = ("humanoid", "inverted_pendulum")  # brax maps [-1, 1] to the actuators' range


class Params(NamedTuple):
    """Weights of the task's own reward and the threshold of success."""

    max_steps: jax.Array  # int32 []
    forward_weight: jax.Array  # float32 []: per m/s forward
    control_weight: jax.Array  # float32 []: per unit of squared control
    healthy_reward: jax.Array  # float32 []: per step, the last one included
    goal: jax.Array  # float32 []: success threshold (m, or steps for the inverted pendulum)


class State(NamedTuple):
    """One robot."""

    physics: dict[str, Any]  # what the next physics step reads
    obs: jax.Array  # float32 [n]: brax's observation
    action: jax.Array  # float32 [m]: the last action, 0 at reset
    velocity: jax.Array  # float32 [] m/s: forward velocity over the last step, 0 at reset
    start: jax.Array  # float32 [] m: x of the torso at reset
    healthy: jax.Array  # bool []: has not fallen
    survived: jax.Array  # int32 []: steps since reset


class _Machine(NamedTuple):
    """A loaded robot."""

    env: Any  # brax.envs.PipelineEnv
    blank: Any  # brax.envs.State: shapes and dtypes only
    controls: np.ndarray  # float32 [2, m]: lowest and highest control of the actuators


@contextlib.contextmanager
def quiet():
    """Silence what loading prints: brax's note about maintenance, MuJoCo's about old XML, missing engines."""
    mujoco: Any = importlib.import_module("mujoco")
    before = mujoco.get_mju_user_warning()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        mujoco.set_mju_user_warning(lambda message: None)
        try:
            yield
        finally:
            mujoco.set_mju_user_warning(before)


@functools.cache
@full_products
def _machine(robot: str, backend: str) -> _Machine:
    # Loading makes arrays: they must be concrete even if the first use is inside a trace.
    with quiet(), jax.ensure_compile_time_eval():
        from brax import envs

        env: Any = envs.get_environment(robot, backend=backend)
        controls = np.asarray(env.sys.actuator.ctrl_range, np.float32).T
    blank = jax.eval_shape(env.reset, jax.eval_shape(lambda: jax.random.key(0)))
    return _Machine(env, blank, controls)


@functools.cache
def _spec(robot: str, backend: str) -> EnvSpec:
    task = TASKS[robot]
    machine = _machine(robot, backend)
    reach = np.max(np.abs(machine.controls), axis=0)
    lowest, highest = (-np.ones_like(reach), np.ones_like(reach)) if robot in _RESCALED else machine.controls
    return EnvSpec(
        id=f"mujoco/{robot}",
        observation_space=Box(machine.blank.obs.shape),
        action_space=Box(reach.shape, tuple(float(x) for x in lowest), tuple(float(x) for x in highest)),
        features=feature_specs(task, (lowest, highest), reach),
        max_steps=task.max_steps,
        task=task.task,
        success=task.success,
        fitness=task.fitness,
        native_reward=task.native_reward,
        partial_obs=task.kind == "run",
        auto_reset=Pool(64, 4),
    )


def from_brax(env: Any, max_steps: int = 1000) -> Environment:
    """An environment of brax from an object, e.g. one of your own or of a package that follows its interface.

    Observations, rewards and ends are brax's; the time limit of an ``EpisodeWrapper`` is a truncation that is
    not seen here, give ``max_steps`` instead. Automatic resets must be off.

    Args:
      env: a ``brax.envs.Env``.
      max_steps: time limit in steps.

    Returns:
      The environment, made by :func:`rlkit.envs.from_functions`; actions are in ±1, as brax has it.

    Raises:
      InvalidEnvironmentError: its states change their structure from step to step, or are not arrays.
      UsageError: it is no environment of brax.
    """
    if not hasattr(env, "action_size") or not callable(getattr(env, "step", None)):
        raise UsageError(f"env={env!r:.80}: expected an environment of brax: reset, step and action_size")

    def reset(key: Key) -> tuple[Any, Any]:
        state = env.reset(key)
        return strong(state.obs), state

    def step(key: Key, state: Any, action: jax.Array) -> tuple[Any, ...]:
        new = env.step(state, action)
        # As brax's own wrappers do: some of its environments change dtypes between reset and step.
        new = jax.tree.map(lambda x, old: jnp.asarray(x, old.dtype), new, state)
        ended = (new.done > 0) & ~(new.info.get("truncation", jnp.zeros(())) > 0)
        return new.obs, new, new.reward, ended

    name = type(getattr(env, "unwrapped", env)).__name__.lower()
    space = Box((env.action_size,), -1.0, 1.0)
    return from_functions(
        reset, step, action_space=space, max_steps=max_steps, id=f"brax/{name}", auto_reset=Pool(64, 4)
    )


@dataclass(frozen=True)
class Robot:
    """``mujoco/<robot>``: one of brax's robots.

    Attributes:
      robot: its name.
      backend: physics engine: ``"spring"`` (fast), ``"positional"``, ``"generalized"`` or ``"mjx"``
        (the most faithful).
    """

    robot: str
    backend: str = "spring"

    def __post_init__(self) -> None:
        if self.robot not in TASKS:
            raise unknown_name("robot", self.robot, TASKS)
        if self.backend not in _READ:
            raise unknown_name("backend", self.backend, _READ, where=f"of mujoco/{self.robot}")

    @property
    def spec(self) -> EnvSpec:
        return _spec(self.robot, self.backend)

    def default_params(self) -> Params:
        task = TASKS[self.robot]
        return Params(jnp.int32(task.max_steps), *(jnp.float32(x) for x in (*task.weights, task.goal)))

    def initial(self, key: Key, params: Params) -> State:
        machine = _machine(self.robot, self.backend)
        start = machine.env.reset(key)
        return State(
            physics=self._physics(start.pipeline_state),
            obs=strong(start.obs),
            action=jnp.zeros(machine.controls.shape[1:], jnp.float32),
            velocity=jnp.zeros((), jnp.float32),
            start=strong(start.pipeline_state.x.pos[TASKS[self.robot].torso, 0]),
            healthy=jnp.ones((), bool),
            survived=jnp.zeros((), jnp.int32),
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        machine = _machine(self.robot, self.backend)
        # Made from the state, so that they are mapped where it is: brax carries some of them through a scan,
        # and a carry that becomes mapped on the way makes `vmap` trace the physics twice.
        zero = state.survived * 0
        blank = jax.tree.map(lambda x: jnp.full(x.shape, zero.astype(x.dtype)), machine.blank)
        physics = blank.pipeline_state.replace(**state.physics)
        if self.backend == "mjx":
            physics = physics.replace(qpos=state.physics["q"], qvel=state.physics["qd"])
        new = machine.env.step(blank.replace(pipeline_state=physics, obs=state.obs), action)
        return State(
            physics=self._physics(new.pipeline_state),
            obs=strong(new.obs),
            action=strong(action),
            velocity=strong(new.metrics.get("x_velocity", jnp.zeros(()))),
            start=state.start,
            healthy=strong(new.done == 0),
            survived=state.survived + 1,
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.obs

    def features(self, state: State, params: Params) -> Features:
        task = TASKS[self.robot]
        q, qd = state.physics["q"], state.physics["qd"]
        skip, skip_velocities = task.root
        features = {
            "joint_angles": q[skip : skip + task.joints],
            "joint_velocities": qd[skip_velocities : skip_velocities + task.joints],
            "last_action": state.action,
            "control_cost": jnp.where(state.survived > 0, self._squared_control(state.action), 0.0),
            "healthy": state.healthy,
        }
        x, xd = state.physics["x"], state.physics["xd"]
        if task.kind == "reach":
            offset, target = state.obs[-3:], x.pos[_TARGET_LINK]
            places = {"fingertip_position": target + offset, "target_position": target}
            return {**features, **places, "target_offset": offset}
        rotation = x.rot[task.torso]
        features |= {
            "torso_position": x.pos[task.torso],
            "torso_up": jnp.clip(1 - 2 * (rotation[1] ** 2 + rotation[2] ** 2), -1.0, 1.0),
            "torso_velocity": xd.vel[task.torso],
            "torso_angular_velocity": xd.ang[task.torso],
        }
        if task.kind == "run" and task.root == FREE:
            features["pose"] = q[: skip + task.joints]
        if task.kind == "run":
            features["forward_velocity"] = state.velocity
            features["x_displacement"] = x.pos[task.torso, 0] - state.start
        return features

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        kind = TASKS[self.robot].kind
        if kind == "balance":
            terms = {"healthy": params.healthy_reward}
        else:
            terms = {"control": -params.control_weight * self._squared_control(action)}
        if kind == "reach":
            terms["distance"] = -jnp.linalg.norm(next_features["target_offset"])
        elif kind == "run":
            terms["forward"] = params.forward_weight * next_features["forward_velocity"]
            terms["healthy"] = params.healthy_reward
        return sum(terms.values(), jnp.zeros((), jnp.float32)), terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return ~next_state.healthy

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        kind = TASKS[self.robot].kind
        if kind == "reach":
            return jnp.linalg.norm(next_state.obs[-3:]) <= params.goal
        if kind == "balance":
            return next_state.healthy & (next_state.survived >= params.goal)
        return next_state.healthy & (self.features(next_state, params)["x_displacement"] >= params.goal)

    def fitness(self, state: State, params: Params) -> jax.Array:
        kind = TASKS[self.robot].kind
        if kind == "reach":
            return -jnp.linalg.norm(state.obs[-3:])
        if kind == "balance":
            return jnp.where(state.healthy, self.features(state, params)["torso_up"], 0.0)
        return state.velocity

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        task = TASKS[self.robot]
        x = jax.tree.map(np.asarray, state.physics["x"])
        centre = np.array(task.camera)
        if task.kind == "run":
            centre = centre + np.array([x.pos[task.torso, 0], x.pos[task.torso, 1], 0.0])
        model = _machine(self.robot, self.backend).env.sys.mj_model
        target = _TARGET_LINK if task.kind == "reach" else None
        return picture(model, x.pos, x.rot, centre, task.width, task.view, size, target)

    def _physics(self, pipeline_state: Any) -> dict[str, Any]:
        return {name: strong(getattr(pipeline_state, name)) for name in _READ[self.backend]}

    def _squared_control(self, action: jax.Array) -> jax.Array:
        if self.robot in _RESCALED:
            low, high = _machine(self.robot, self.backend).controls
            action = (action + 1) * (high - low) * 0.5 + low
        return jnp.sum(jnp.square(action))
