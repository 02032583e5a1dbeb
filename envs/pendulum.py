"""Pendulum swing-up, equal to Gymnasium's Pendulum-v1."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.spaces import Box
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

_UPRIGHT_STEPS = 20


class Params(NamedTuple):
    """Physical constants (float32 []), SI units."""

    max_steps: jax.Array  # int32 []
    gravity: jax.Array
    mass: jax.Array
    length: jax.Array
    max_torque: jax.Array
    max_speed: jax.Array
    dt: jax.Array


class State(NamedTuple):
    physics: jax.Array  # float32 [2]: angle (rad, 0 upright, unwrapped), angular velocity (rad/s)
    upright: jax.Array  # int32 []: steps in a row that it has been upright


def _wrapped(angle: jax.Array) -> jax.Array:
    return jnp.mod(angle + math.pi, 2 * math.pi) - math.pi


@dataclass(frozen=True)
class Pendulum:
    """``classic/pendulum``: Gymnasium's Pendulum-v1, semi-implicit Euler integration."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            id="classic/pendulum",
            observation_space=Box((3,), (-1.0, -1.0, -8.0), (1.0, 1.0, 8.0)),
            action_space=Box((1,), -2.0, 2.0),
            features=(
                FeatureSpec(
                    "angle",
                    unit="rad",
                    low=-math.pi - 1e-5,
                    high=math.pi + 1e-5,
                    meaning="angle of the pendulum from upright, counter-clockwise positive, wrapped to ±π",
                ),
                FeatureSpec(
                    "velocity", unit="rad/s", low=-8.0, high=8.0, meaning="angular velocity of the pendulum"
                ),
                FeatureSpec("height", low=-1.0, high=1.0, meaning="cosine of the angle: 1 upright"),
                FeatureSpec("sideways", low=-1.0, high=1.0, meaning="sine of the angle"),
                FeatureSpec(
                    "upright_steps",
                    dtype="int32",
                    low=0,
                    unit="steps",
                    meaning="steps in a row with height above 0.95 and speed below 1 rad/s",
                    observable=False,
                ),
            ),
            max_steps=200,
            task="Swing a hanging pendulum up with a torque that is too weak to lift it directly, "
            "and keep it upright.",
            success=f"upright (height above 0.95, speed below 1 rad/s) for {_UPRIGHT_STEPS} steps in a row",
            fitness="height of the tip: cosine of the angle from upright",
            native_reward="-(angle² + 0.1 velocity² + 0.001 torque²), angle and velocity before the action",
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        physical = (10.0, 1.0, 1.0, 2.0, 8.0, 0.05)
        return Params(jnp.int32(self.spec.max_steps), *(jnp.float32(value) for value in physical))

    def initial(self, key: Key, params: Params) -> State:
        high = np.array([math.pi, 1.0], np.float32)
        return State(jax.random.uniform(key, (2,), jnp.float32, -high, high), jnp.zeros((), jnp.int32))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        angle, velocity = state.physics
        torque = jnp.clip(action[0], -params.max_torque, params.max_torque)
        pull = 3 * params.gravity / (2 * params.length) * jnp.sin(angle)
        push = 3.0 / (params.mass * params.length**2) * torque
        velocity = jnp.clip(velocity + (pull + push) * params.dt, -params.max_speed, params.max_speed)
        angle = angle + velocity * params.dt
        upright = (jnp.cos(angle) > 0.95) & (jnp.abs(velocity) < 1.0)
        physics = jnp.stack([angle, velocity]).astype(state.physics.dtype)
        return State(physics, jnp.where(upright, state.upright + 1, 0))

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        angle, velocity = state.physics
        return jnp.stack([jnp.cos(angle), jnp.sin(angle), velocity])

    def features(self, state: State, params: Params) -> Features:
        angle, velocity = state.physics
        return {
            "angle": _wrapped(angle),
            "velocity": velocity,
            "height": jnp.cos(angle),
            "sideways": jnp.sin(angle),
            "upright_steps": state.upright,
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        torque = jnp.clip(action[0], -params.max_torque, params.max_torque)
        terms = {
            "angle": -(features["angle"] ** 2),
            "velocity": -0.1 * features["velocity"] ** 2,
            "torque": -0.001 * torque**2,
        }
        return terms["angle"] + terms["velocity"] + terms["torque"], terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return jnp.zeros((), bool)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.upright >= _UPRIGHT_STEPS

    def fitness(self, state: State, params: Params) -> jax.Array:
        return jnp.cos(state.physics[0])

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs import draw

        length = float(params.length)
        image = draw.canvas(size)
        view = draw.fit(size, (-1.3 * length, -1.3 * length), (1.3 * length, 1.3 * length))
        angle, velocity = (float(v) for v in state.physics)
        tip = length * np.array([-math.sin(angle), math.cos(angle)])
        draw.disc(image, view((0, 0)), 1.12 * length * view.scale, draw.GREY, 0.5, width=size / 128)
        draw.line(image, view((0, 1.06 * length)), view((0, 1.18 * length)), size / 64, draw.GREEN)
        draw.line(image, view((0, 0)), view(tip), size / 14, draw.BLUE)
        swing = 0.06 * velocity * np.array([-math.cos(angle), -math.sin(angle)])
        draw.line(image, view(tip), view(tip + swing), size / 50, draw.ORANGE)
        draw.disc(image, view((0, 0)), size / 45, draw.INK)
        return draw.finish(image)
