"""A toy environment with every kind of ending, and stored experience."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import Fresh, make, rollout, start
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, FeatureSpec, Trajectory, Transition

sys.path.insert(0, str(Path(__file__).parent))

STEPS, SLOTS = 30, 4


class LineParams(NamedTuple):
    max_steps: jax.Array


@dataclass(frozen=True)
class Line:
    """A walk in the plane that ends within 0.7 of the origin, or after 6 steps."""

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            id="toy/line",
            observation_space=Box((2,), -10.0, 10.0),
            action_space=Box((2,), -1.0, 1.0),
            features=(
                FeatureSpec("distance", low=0.0, meaning="distance to the origin"),
                FeatureSpec("place", (2,), meaning="coordinates"),
                FeatureSpec("zone", dtype="int32", low=0, meaning="which ring"),
            ),
            max_steps=6,
            task="Walk to the origin.",
            success="at the origin",
            fitness="minus the distance",
            native_reward="-0.1 per step",
            auto_reset=Fresh(),
        )

    def default_params(self) -> LineParams:
        return LineParams(jnp.int32(6))

    def initial(self, key, params):
        return jax.random.uniform(key, (2,), jnp.float32, -2.0, 2.0)

    def transition(self, key, state, action, params):
        return state + action

    def observe(self, key, state, params):
        return state

    def features(self, state, params):
        radius = jnp.sqrt(jnp.sum(state**2))
        return {"distance": radius, "place": state, "zone": radius.astype(jnp.int32)}

    def task_reward(self, features, action, next_features, params):
        value = jnp.full((), -0.1, jnp.float32)
        return value, {"step": value}

    def terminated(self, state, action, next_state, params):
        return jnp.sum(next_state**2) < 0.49

    def success(self, state, action, next_state, params):
        return jnp.sum(next_state**2) < 0.49

    def fitness(self, state, params):
        return -jnp.sqrt(jnp.sum(state**2))

    def render(self, state, params, size=256) -> Any:
        raise NotImplementedError


ENVS = {"toy/line": Line, "classic/cartpole": functools.partial(make, "classic/cartpole")}


@functools.cache
def experience(env_id: str) -> Trajectory:
    """Random behaviour, leaves ``[STEPS, SLOTS, ...]``."""
    env = ENVS[env_id]()
    params = env.default_params()
    discrete = isinstance(env.spec.action_space, Discrete)

    def policy(carry, obs, first, key):
        if discrete:
            return jax.random.randint(key, (SLOTS,), 0, 2), carry, {}
        return jax.random.uniform(key, (SLOTS, 2), jnp.float32, -1.0, 1.0), carry, {}

    @jax.jit
    def run(key):
        key_start, key_run, key_act = jax.random.split(key, 3)
        slots = start(env, key_start, params, SLOTS)
        keys = jax.random.split(key_act, STEPS)
        return rollout(env, policy, (), slots, key_run, params, STEPS, inputs=keys)[2]

    return run(jax.random.key(3))


@pytest.fixture
def line_env() -> Line:
    return Line()


@pytest.fixture
def stored():
    """``stored(env_id)``: an environment and experience of it."""
    return lambda env_id: (ENVS[env_id](), experience(env_id))


@pytest.fixture
def line() -> Trajectory:
    """Experience of the toy environment; all kinds of endings occur."""
    trajectory = experience("toy/line")
    seen = trajectory.transition
    assert np.any(seen.terminated & ~seen.truncated)
    assert np.any(seen.truncated & ~seen.terminated)
    return trajectory


@pytest.fixture
def one_step():
    """Build one transition of the toy environment by hand."""

    def build(**changes) -> Transition:
        flag = jnp.zeros((), bool)
        features = {"distance": jnp.float32(3.0), "place": jnp.zeros(2), "zone": jnp.int32(3)}
        step = Transition(
            jnp.zeros(2), jnp.zeros(2), jnp.zeros(2), features, features, jnp.float32(-0.1), *[flag] * 4
        )
        return step._replace(**changes)

    return build
