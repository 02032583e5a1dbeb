"""Cart-pole balancing, equal to Gymnasium's CartPole-v1."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlkit.envs.autoreset import Fresh
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

_X_LIMIT = 2.4
_ANGLE_LIMIT = 12 * 2 * math.pi / 360
_SOLVED = 475  # steps: Gymnasium's reward threshold


class Params(NamedTuple):
    """Physical constants (float32 []), SI units."""

    max_steps: jax.Array  # int32 []
    gravity: jax.Array
    cart_mass: jax.Array
    pole_mass: jax.Array
    half_length: jax.Array
    force: jax.Array
    dt: jax.Array


class State(NamedTuple):
    physics: jax.Array  # float32 [4]: x (m), dx/dt (m/s), angle (rad), dangle/dt (rad/s)
    balanced: jax.Array  # int32 []: steps survived


@dataclass(frozen=True)
class CartPole:
    """``classic/cartpole``: Gymnasium's CartPole-v1 (Barto, Sutton & Anderson 1983), Euler integration."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            id="classic/cartpole",
            observation_space=Box(
                (4,),
                (-4.8, -math.inf, -2 * _ANGLE_LIMIT, -math.inf),
                (4.8, math.inf, 2 * _ANGLE_LIMIT, math.inf),
            ),
            action_space=Discrete(2, ("push left", "push right")),
            features=(
                FeatureSpec(
                    "cart_position",
                    unit="m",
                    low=-4.8,
                    high=4.8,
                    meaning="position of the cart on the track; it fails beyond ±2.4",
                ),
                FeatureSpec("cart_velocity", unit="m/s", meaning="velocity of the cart"),
                FeatureSpec(
                    "pole_angle",
                    unit="rad",
                    low=-2 * _ANGLE_LIMIT,
                    high=2 * _ANGLE_LIMIT,
                    meaning="angle of the pole, 0 upright, positive to the right; it fails beyond ±0.2095",
                ),
                FeatureSpec("pole_velocity", unit="rad/s", meaning="angular velocity of the pole"),
            ),
            max_steps=500,
            task="Balance a pole that is hinged to a cart by pushing the cart left or right. "
            "The episode ends when the pole falls or the cart leaves the track.",
            success=f"the pole has been balanced for {_SOLVED} steps",
            fitness="steps balanced so far, as a share of 500",
            native_reward="1 for every step, the last one included",
            fitness_over="final",
            auto_reset=Fresh(),
        )

    def default_params(self) -> Params:
        physical = (9.8, 1.0, 0.1, 0.5, 10.0, 0.02)
        return Params(jnp.int32(self.spec.max_steps), *(jnp.float32(value) for value in physical))

    def initial(self, key: Key, params: Params) -> State:
        physics = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return State(physics, jnp.zeros((), jnp.int32))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        _, velocity, angle, spin = jnp.moveaxis(state.physics, -1, 0)
        force = jnp.where(action == 1, params.force, -params.force)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        mass = params.cart_mass + params.pole_mass
        moment = params.pole_mass * params.half_length
        pushed = (force + moment * spin**2 * sin) / mass
        angular = (params.gravity * sin - cos * pushed) / (
            params.half_length * (4.0 / 3.0 - params.pole_mass * cos**2 / mass)
        )
        linear = pushed - moment * angular * cos / mass
        rate = jnp.stack([velocity, linear, spin, angular])
        return State(state.physics + params.dt * rate, state.balanced + 1)

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.physics

    def features(self, state: State, params: Params) -> Features:
        names = ("cart_position", "cart_velocity", "pole_angle", "pole_velocity")
        return dict(zip(names, jnp.moveaxis(state.physics, -1, 0), strict=True))

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        alive = jnp.ones((), jnp.float32)
        return alive, {"alive": alive}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        physics = next_state.physics
        return (jnp.abs(physics[0]) > _X_LIMIT) | (jnp.abs(physics[2]) > _ANGLE_LIMIT)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.balanced >= _SOLVED

    def fitness(self, state: State, params: Params) -> jax.Array:
        return state.balanced / jnp.float32(500)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        from rlkit.envs import draw

        image = draw.canvas(size)
        view = draw.fit(size, (-2.6, -1.6), (2.6, 3.6))
        x, _, angle, _ = (float(v) for v in state.physics)
        length = 4 * float(params.half_length)  # drawn at twice its length, to be seen
        tip = (x + length * math.sin(angle), 0.16 + length * math.cos(angle))
        draw.line(image, view((-_X_LIMIT, -0.2)), view((_X_LIMIT, -0.2)), size / 100, draw.GREY)
        for end in (-_X_LIMIT, _X_LIMIT):
            draw.line(image, view((end, -0.35)), view((end, -0.05)), size / 64, draw.RED)
        draw.rectangle(image, view((x - 0.35, -0.2)), view((x + 0.35, 0.2)), draw.INK)
        draw.line(image, view((x, 0.16)), view(tip), size / 32, draw.ORANGE)
        draw.disc(image, view((x, 0.16)), size / 50, draw.PAPER)
        return draw.finish(image)
