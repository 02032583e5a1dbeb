"""Craftax, the whole game (arXiv 2402.16801), as ``craft/full``: nine floors down to the necromancer.

Rules, worlds and observation are Craftax's. Its automatic reset is not used, its own time limit never fires,
and its reward is recomputed from features. Compiling takes more than a CPU minute and a gigabyte of memory:
``craft/classic`` and ``craft/mini`` are the ones to try things on.
"""

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs.autoreset import Pool
from rlkit.envs.core import strong
from rlkit.errors import missing_extra
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

ITEMS = (
    *("wood", "stone", "coal", "iron", "diamond", "sapling", "pickaxe", "sword", "bow"),
    *("arrows", "torches", "ruby", "sapphire", "books"),
)
VITALS = ("health", "food", "drink", "energy", "mana")


class Params(NamedTuple):
    """Craftax's parameters, and our time limit instead of its own."""

    max_steps: jax.Array  # int32 []
    day_length: jax.Array  # int32 []: steps
    mob_despawn_distance: jax.Array  # int32 []: tiles
    max_attribute: jax.Array  # int32 []: of dexterity, strength and intelligence


class State(NamedTuple):
    world: Any  # Craftax's EnvState, without its random key
    visited: jax.Array  # bool [floors, rows, columns]: where the player has stood


class _Engine(NamedTuple):
    env: Any  # CraftaxSymbolicEnvNoAutoReset
    params: Any  # its EnvParams
    actions: tuple[str, ...]
    achievements: tuple[str, ...]  # in the order of their bits
    worth: np.ndarray  # float32 [67]: what Craftax pays for each
    size: int  # of the observation
    boss: Any  # has_beaten_boss


@functools.cache
def _engine() -> _Engine:
    with jax.ensure_compile_time_eval():  # its modules make arrays when they are imported
        from craftax.craftax import constants
        from craftax.craftax.envs import craftax_symbolic_env as symbolic
        from craftax.craftax.game_logic import has_beaten_boss

        env: Any = symbolic.CraftaxSymbolicEnvNoAutoReset()
        params = env.default_params.replace(max_timesteps=2**30)
        names = lambda kind: tuple(e.name.lower() for e in sorted(kind, key=lambda e: e.value))
        size = symbolic.get_flat_map_obs_shape() + symbolic.get_inventory_obs_shape()
        worth = np.asarray(constants.ACHIEVEMENT_REWARD_MAP, np.float32)
        return _Engine(
            env, params, names(constants.Action), names(constants.Achievement), worth, size, has_beaten_boss
        )


@dataclass(frozen=True)
class CraftaxFull:
    """``craft/full``: survive, gather, craft, fight and descend in Craftax."""

    def __post_init__(self) -> None:
        if importlib.util.find_spec("craftax") is None:
            raise missing_extra("craft/full", "craftax", "craft")

    @property
    def spec(self) -> EnvSpec:
        return _spec()

    def default_params(self) -> Params:
        return Params(*map(jnp.int32, (10_000, 300, 14, 5)))

    def initial(self, key: Key, params: Params) -> State:
        _, world = _engine().env.reset_env(key, _native(params))
        visited = jnp.zeros(world.map.shape, bool)
        return State(_stored(world), _visit(visited, world))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        before = state.world.replace(state_rng=key)
        _, after, _, _, _ = _engine().env.step_env(key, before, action, _native(params))
        stored = jax.tree.map(lambda new, old: new.astype(old.dtype), _stored(after), state.world)
        return State(stored, _visit(state.visited, after))

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        return _engine().env.get_obs(state.world).astype(jnp.float32)

    def features(self, state: State, params: Params) -> Features:
        world, engine = state.world, _engine()
        done = world.achievements.astype(bool)
        won = _won(world)
        return {
            **{f"inventory_{name}": getattr(world.inventory, name).astype(jnp.int32) for name in ITEMS},
            **{name: getattr(world, f"player_{name}").astype(jnp.float32) for name in VITALS},
            **{f"achievement_{name}": done[i] for i, name in enumerate(engine.achievements)},
            "achievements_unlocked": jnp.sum(done, dtype=jnp.int32),
            "achievements_worth": jnp.sum(jnp.where(done, jnp.asarray(engine.worth), 0)),
            "floor": world.player_level.astype(jnp.int32),
            "experience": world.player_xp.astype(jnp.int32),
            "tiles_visited": jnp.sum(state.visited, dtype=jnp.int32),
            "sleeping": world.is_sleeping.astype(bool),
            "light_level": world.light_level.astype(jnp.float32),
            "died": world.player_health <= 0,
            "won": won,
        }

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        change = lambda name: next_features[name] - features[name]
        terms = {"achievements": change("achievements_worth"), "health": 0.1 * change("health")}
        return terms["achievements"] + terms["health"], terms

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return (next_state.world.player_health <= 0) | _won(next_state.world)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return _won(next_state.world) & ~_won(state.world)

    def fitness(self, state: State, params: Params) -> jax.Array:
        worth = jnp.asarray(_engine().worth)
        return jnp.sum(jnp.where(state.world.achievements.astype(bool), worth, 0)) / jnp.sum(worth)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        """The floor around the player as grey values of its block ids, the player white."""
        from rlkit.envs.draw import grey_map

        world = state.world
        row, column = (int(x) for x in world.player_position)
        floor = np.pad(np.asarray(world.map[int(world.player_level)], np.float32), 12, constant_values=1)
        seen = floor[row : row + 25, column : column + 25] / 37.0
        seen[12, 12] = 1.0
        return grey_map(seen, size)


@functools.cache
def _spec() -> EnvSpec:
    engine = _engine()
    whole = lambda name, high, meaning, **kw: FeatureSpec(name, (), "int32", 0, high, meaning=meaning, **kw)
    flag = lambda name, meaning: FeatureSpec(name, dtype="bool", low=0, high=1, meaning=meaning)
    worth = float(engine.worth.sum())
    return EnvSpec(
        id="craft/full",
        observation_space=Box((engine.size,), 0.0, 1.0),
        action_space=Discrete(len(engine.actions), engine.actions),
        features=(
            *(whole(f"inventory_{name}", 99, f"how many, or which grade of: {name}") for name in ITEMS),
            *(FeatureSpec(name, low=-99, high=99, meaning=f"the player's {name}") for name in VITALS),
            *(
                flag(f"achievement_{name}", f"done in this episode: {name.replace('_', ' ')}")
                for name in engine.achievements
            ),
            whole("achievements_unlocked", len(engine.achievements), "achievements done in this episode"),
            FeatureSpec("achievements_worth", low=0, high=worth, meaning="what Craftax has paid for them"),
            whole("floor", 8, "0 above ground, 8 the necromancer's graveyard"),
            whole("experience", float("inf"), "experience points that are not spent"),
            whole("tiles_visited", float("inf"), "different tiles that the player has stood on",
                  observable=False),
            flag("sleeping", "the player sleeps and cannot act"),
            FeatureSpec("light_level", low=0, high=1, meaning="daylight: 0 night, 1 noon"),
            flag("died", "the player's health has run out"),
            flag("won", "the necromancer is defeated"),
        ),
        max_steps=10_000,
        task="Survive in a world of nine floors of which you see 9x11 tiles, gather, craft better tools, "
        "armour and magic, find the ladders down, and defeat the necromancer at the bottom.",
        success="the necromancer is defeated",
        fitness="worth of the achievements done in the episode, as a share of all",
        native_reward="1, 3, 5 or 8 for every new achievement + 0.1 x change of health",
        fitness_over="final",
        partial_obs=True,
        auto_reset=Pool(16, 1),
    )  # fmt: skip


def _native(params: Params) -> Any:
    """Craftax's parameters, with a time limit that never fires."""
    changed = {name: value for name, value in params._asdict().items() if name != "max_steps"}
    return _engine().params.replace(**changed)


def _stored(world: Any) -> Any:
    """A state with strong types and without its random key, which no step reads."""
    return strong(world.replace(state_rng=jnp.zeros((), jnp.uint32)))


def _visit(visited: jax.Array, world: Any) -> jax.Array:
    row, column = world.player_position
    return visited.at[world.player_level, row, column].set(True)


def _won(world: Any) -> jax.Array:
    engine = _engine()
    return jnp.asarray(engine.boss(world, engine.env.static_env_params), bool)
