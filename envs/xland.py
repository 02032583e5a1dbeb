"""Grid worlds of XLand-MiniGrid (Nikulin et al. 2023, arXiv 2312.12044) as ``xland/<its id>``.

Worlds, rules and observations are the package's own. Its time limit is a truncation here.
"""

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Fresh
from rlkit.envs.core import strong
from rlkit.errors import missing_extra, unknown_name
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

ACTIONS = ("forward", "turn right", "turn left", "pick up", "put down", "toggle")
_TASKS = {
    "MiniGrid-FourRooms": "Walk through four rooms, joined by one gap each, to a green goal.",
    "MiniGrid-LockedRoom": "Six rooms along a corridor: find the key in one of them, unlock the locked one "
    "and walk to the goal in it.",
    "MiniGrid-DoorKey": "Take the key, unlock the door in the wall ahead, and walk to the goal behind it.",
}


class Params(NamedTuple):
    max_steps: jax.Array  # int32 []


class State(NamedTuple):
    """What the package's step returns, because it does not tell observations and rewards from states."""

    world: Any  # xminigrid's State, without its random key
    obs: jax.Array  # uint8 [view, view, 2]
    reward: jax.Array  # float32 []: of the step that led here
    returned: jax.Array  # float32 []: sum of the episode's rewards
    terminated: jax.Array  # bool []: that step reached the goal


class _Engine(NamedTuple):
    env: Any
    params: Any  # EnvParams, static numbers
    goal: int  # ids of tiles
    door: int
    empty: jax.Array  # an empty pocket
    kinds: tuple[int, int]  # how many tiles and colours there are


@functools.cache
def _engine(name: str) -> _Engine:
    with jax.ensure_compile_time_eval():  # its modules make arrays when they are imported
        import xminigrid
        from xminigrid.core.constants import NUM_COLORS, NUM_TILES, TILES_REGISTRY, Colors, Tiles

        known = xminigrid.registered_environments()
        if name not in known:
            raise unknown_name("XLand-MiniGrid environment", name, known)
        env, params = xminigrid.make(name)
        if params.max_steps is None:  # as its wrappers take it
            params = params.replace(max_steps=3 * params.height * params.width)
        empty = TILES_REGISTRY[Tiles.EMPTY, Colors.EMPTY]
        return _Engine(env, params, int(Tiles.GOAL), int(Tiles.DOOR_OPEN), empty, (NUM_TILES, NUM_COLORS))


@dataclass(frozen=True)
class XLand:
    """``xland/<name>``: an environment that XLand-MiniGrid registers.

    The agent sees the square in front of it (tile and colour of each cell, walls do not hide), not what it
    carries.

    Attributes:
      name: the package's id, e.g. ``"MiniGrid-FourRooms"``, ``"MiniGrid-DoorKey-8x8"``.
    """

    name: str

    def __post_init__(self) -> None:
        if importlib.util.find_spec("xminigrid") is None:
            raise missing_extra(f"xland/{self.name}", "xminigrid", "xland")
        _engine(self.name)

    @property
    def spec(self) -> EnvSpec:
        engine = _engine(self.name)
        params, view = engine.params, engine.params.view_size
        far = params.height + params.width
        task = next((text for name, text in _TASKS.items() if self.name.startswith(name)), None)

        def flag(name: str, meaning: str) -> FeatureSpec:
            return FeatureSpec(name, dtype="bool", low=0, high=1, meaning=meaning)

        return EnvSpec(
            id=f"xland/{self.name}",
            observation_space=Box((view, view, 2), 0, max(engine.kinds) - 1, "uint8"),
            action_space=Discrete(len(ACTIONS), ACTIONS),
            features=(
                FeatureSpec("position", (2,), low=0, high=max(params.height, params.width) - 1, unit="cells",
                            observable=False, meaning="row and column of the agent"),
                FeatureSpec("direction", dtype="int32", low=0, high=3,
                            meaning="where the agent looks: 0 up, 1 right, 2 down, 3 left"),
                flag("carries", "the agent carries something, e.g. a key"),
                flag("goal_visible", "a goal tile is in view"),
                FeatureSpec("goal_distance", low=0, high=far, unit="cells", observable=False,
                            meaning=f"rows plus columns to the nearest goal tile, {far} if there is none"),
                FeatureSpec("doors_open", dtype="int32", low=0, high=params.height * params.width,
                            observable=False, meaning="how many doors stand open"),
                flag("solved", "the last step solved the task"),
                FeatureSpec("native_reward", high=1,
                            meaning="the environment's reward for the step that led here"),
            ),
            max_steps=params.max_steps,
            task=task or f"{self.name} of XLand-MiniGrid: reach its goal.",
            success="the task's goal is reached",
            fitness="sum of the native rewards in the episode",
            native_reward="1 - 0.9 x share of the time limit used, on success, 0 otherwise",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Fresh(),
        )  # fmt: skip

    def default_params(self) -> Params:
        return Params(jnp.int32(_engine(self.name).params.max_steps))

    def initial(self, key: Key, params: Params) -> State:
        engine = _engine(self.name)
        begin = engine.env.reset(engine.params, key)
        zero = jnp.zeros((), jnp.float32)
        return State(
            _stored(begin.state), begin.observation.astype(jnp.uint8), zero, zero, jnp.zeros((), bool)
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        from xminigrid.types import StepType, TimeStep

        engine = _engine(self.name)
        zero = jnp.zeros((), jnp.float32)
        before = TimeStep(state.world, StepType.MID, zero, zero + 1, state.obs)
        out = engine.env.step(engine.params.replace(max_steps=params.max_steps), before, action)
        reward = out.reward.astype(jnp.float32)
        world = jax.tree.map(lambda new, old: new.astype(old.dtype), _stored(out.state), state.world)
        return State(
            world,
            out.observation.astype(jnp.uint8),
            reward,
            state.returned + reward,
            strong(out.discount == 0),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return state.obs

    def features(self, state: State, params: Params) -> Features:
        engine, (grid, agent) = _engine(self.name), (state.world.grid, state.world.agent)
        tiles = grid[..., 0]
        far = sum(tiles.shape)
        rows, columns = (
            jnp.abs(jnp.arange(n) - place) for n, place in zip(tiles.shape, agent.position, strict=True)
        )
        steps = jnp.where(tiles == engine.goal, rows[:, None] + columns, far)
        return {
            "position": agent.position.astype(jnp.float32),
            "direction": agent.direction.astype(jnp.int32),
            "carries": jnp.any(agent.pocket != engine.empty),
            "goal_visible": jnp.any(state.obs[..., 0] == engine.goal),
            "goal_distance": jnp.min(steps).astype(jnp.float32),
            "doors_open": jnp.sum(tiles == engine.door, dtype=jnp.int32),
            "solved": state.terminated,
            "native_reward": state.reward,
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        reward = next_features["native_reward"]
        return reward, {"native": reward}

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.terminated

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return next_state.terminated

    def fitness(self, state: State, params: Params) -> jax.Array:
        return state.returned

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """The package's own picture."""
        from PIL import Image
        from xminigrid.types import StepType, TimeStep

        engine = _engine(self.name)
        world = jax.tree.map(jnp.asarray, state.world)
        picture = engine.env.render(engine.params, TimeStep(world, StepType.MID, 0.0, 1.0, state.obs))
        return np.asarray(Image.fromarray(np.asarray(picture, np.uint8)).resize((size, size)))


def _stored(world: Any) -> Any:
    """A state with strong types and without its key, which no step reads."""
    world = jax.tree.map(jnp.asarray, world.replace(key=jnp.zeros((), jnp.uint32)))
    return strong(world)
