"""A sparse task of its own: cross a field of lava to a far corner."""

import jax
import jax.numpy as jnp

from rlkit.envs import from_functions
from rlkit.spaces import Discrete
from rlkit.types import Environment, FeatureSpec

SIZE, WALL, GAP = 8, 4, 6  # lava fills column WALL but for row GAP


def lava_grid() -> Environment:
    """Eight by eight cells, one bridge over the lava; nothing but the far corner is paid."""
    moves, goal = jnp.array([[1, 0], [-1, 0], [0, 1], [0, -1]]), jnp.array([SIZE - 1, 0])
    lava = lambda at: (at[0] == WALL) & (at[1] != GAP)
    see = lambda at: jnp.concatenate([at, goal - at]).astype(jnp.float32) / SIZE

    def reset(key):
        at = jnp.array([0, 0]) + jax.random.randint(key, (2,), 0, 2)
        return see(at), at

    def step(key, at, action):
        at = jnp.clip(at + moves[action], 0, SIZE - 1)
        done = (at == goal).all()
        return see(at), at, done.astype(jnp.float32), done | lava(at)

    bridge = jnp.array([WALL, GAP])
    steps = lambda at, to: jnp.abs(at - to).sum().astype(jnp.float32)
    features = lambda at: {
        "goal_distance": steps(at, goal),
        "bridge_distance": steps(at, bridge),
        "behind_lava": at[0] > WALL,
        "in_lava": lava(at),
    }
    far = 2.0 * SIZE
    return from_functions(
        reset, step, action_space=Discrete(4), max_steps=60, id="own/lava-grid",
        success=lambda at: (at == goal).all(), features=features,
        # How far the task is done in stages, as of the key and the door: over the lava, at the goal.
        fitness=lambda at: jnp.where(at[0] > WALL, 0.5, 0.0) + jnp.where((at == goal).all(), 0.5, 0.0),
        feature_specs=(
            FeatureSpec("goal_distance", low=0, high=far, unit="steps", meaning="cells to the goal"),
            FeatureSpec("bridge_distance", low=0, high=far, unit="steps", meaning="cells to the bridge"),
        ),
        task="Cross the lava on the bridge and reach the far corner.",
    )  # fmt: skip
