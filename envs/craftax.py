"""Craftax-Classic (arXiv 2402.16801) as ``craft/classic`` and the sparse tasks in its world.

The rules, worlds and full observation are Craftax's. Its automatic reset is not used, its own
time limit never fires, and its reward is recomputed from features.
"""

import functools
import importlib.util
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import craft_view as tile
from rlkit.envs.autoreset import Pool
from rlkit.errors import missing_extra, unknown_name
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, FeatureSpec, Key, Terms

VIEW = (7, 9)
SIDE = 64
ACTIONS = (
    *("noop", "left", "right", "up", "down", "do", "sleep"),
    *("place_stone", "place_table", "place_furnace", "place_plant"),
    *("make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe"),
    *("make_wood_sword", "make_stone_sword", "make_iron_sword"),
)
ITEMS = (
    *("wood", "stone", "coal", "iron", "diamond", "sapling"),
    *("wood_pickaxe", "stone_pickaxe", "iron_pickaxe", "wood_sword", "stone_sword", "iron_sword"),
)
VITALS = ("health", "food", "drink", "energy")
ACHIEVEMENTS = (
    *("collect_wood", "place_table", "eat_cow", "collect_sapling", "collect_drink", "make_wood_pickaxe"),
    *("make_wood_sword", "place_plant", "defeat_zombie", "collect_stone", "place_stone", "eat_plant"),
    *("defeat_skeleton", "make_stone_pickaxe", "make_stone_sword", "wake_up", "place_furnace"),
    *("collect_coal", "collect_iron", "collect_diamond", "make_iron_pickaxe", "make_iron_sword"),
)
TARGETS = tuple(tile.IDS)
_NUMBERS = 22  # what Craftax appends to the view: items, vitals, direction, light, sleep
_MASKS = ("map", "mob_map")


class _Goal(NamedTuple):
    max_steps: int
    item: str | None  # success: more of this item than before; None: the cow is eaten
    success: str


GOALS = {
    "classic": _Goal(10_000, "diamond", "a diamond is mined"),
    "tree": _Goal(500, "wood", "wood is collected"),
    "cow": _Goal(500, None, "a cow is eaten for the first time in the episode"),
    "stone": _Goal(1000, "stone", "stone is mined"),
    "iron": _Goal(3000, "iron", "iron is mined"),
    "diamond": _Goal(3000, "diamond", "a diamond is mined"),
    "lava-explore": _Goal(500, None, "40 different tiles have been visited, none of them lava"),
}
STARTS = ("normal", "iron_pickaxe", "cave")
_EXPLORED = 40  # tiles


class Params(NamedTuple):
    """Craftax-Classic's parameters, and our time limit instead of its own."""

    max_steps: jax.Array  # int32 []
    day_length: jax.Array  # int32 []: steps
    zombie_health: jax.Array  # int32 []
    cow_health: jax.Array  # int32 []
    skeleton_health: jax.Array  # int32 []
    mob_despawn_distance: jax.Array  # int32 []: tiles
    spawn_cow_chance: jax.Array  # float32 []: per step, as all chances
    spawn_zombie_base_chance: jax.Array  # float32 []
    spawn_zombie_night_chance: jax.Array  # float32 []
    spawn_skeleton_chance: jax.Array  # float32 []


class State(NamedTuple):
    world: Any  # Craftax's EnvState; maps as uint8, no random key
    visited: jax.Array  # uint8 [64, 64]: 1 where the player has stood
    idle: jax.Array  # int32 []: steps since the last new achievement


class _Engine(NamedTuple):
    env: Any  # CraftaxClassicSymbolicEnvNoAutoReset
    params: Any  # its EnvParams
    blank: Any  # a state's shapes and dtypes


@functools.cache
def _engine() -> _Engine:
    with jax.ensure_compile_time_eval():  # its modules make arrays when they are imported
        from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset

        env: Any = CraftaxClassicSymbolicEnvNoAutoReset()
        params = env.default_params.replace(max_timesteps=2**30)
    key = jax.eval_shape(lambda: jax.random.key(0))
    blank = jax.eval_shape(lambda k: env.reset_env(k, params)[1].replace(state_rng=None), key)
    return _Engine(env, params, blank)


@dataclass(frozen=True)
class Craftax:
    """``craft/classic`` and ``craft/<goal>``: survive, gather and craft in Craftax-Classic.

    Attributes:
      goal: ``"classic"``, or what the sparse task asks for: ``"tree"``, ``"cow"``, ``"stone"``, ``"iron"``,
        ``"diamond"``, ``"lava-explore"``. It decides success and the default time limit, nothing else.
      observation: ``"full"``: Craftax's symbolic observation (7x9 tiles one-hot and 22 numbers, 1345 in all);
        ``"compact"``: tile ids / 20 with creatures on top, and the same 22 numbers (85 in all).
      start: ``"normal"``, or ``"iron_pickaxe"``: with all pickaxes, on a random path tile of the mountains;
        ``"cave"``: on the path tile that is nearest to lava (where there is neither, anywhere). Both are
        edits of a world that Craftax made.
    """

    goal: str = "classic"
    observation: str = "full"
    start: str = "normal"

    def __post_init__(self) -> None:
        choices = {"goal": GOALS, "observation": ("full", "compact"), "start": STARTS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known, where=f"of craft/{self.goal}")
        if importlib.util.find_spec("craftax") is None:
            raise missing_extra(f"craft/{self.goal}", "craftax", "craft")

    @property
    def spec(self) -> EnvSpec:
        goal = GOALS[self.goal]
        size = VIEW[0] * VIEW[1] * (tile.KINDS if self.observation == "full" else 1) + _NUMBERS
        return EnvSpec(
            id=f"craft/{self.goal}",
            observation_space=Box((size,), 0.0, 1.0),
            action_space=Discrete(len(ACTIONS), ACTIONS),
            features=(
                *tile.surroundings_specs((SIDE, SIDE), VIEW, TARGETS),
                *tile.progress_specs(ITEMS, VITALS, ACHIEVEMENTS, SIDE * SIDE),
                FeatureSpec(
                    "sleeping", dtype="bool", low=0, high=1, meaning="the player sleeps and cannot act"
                ),
                FeatureSpec("light_level", low=0, high=1, meaning="daylight: 0 night, 1 noon"),
            ),
            max_steps=goal.max_steps,
            task="Survive in a 64x64 world of which you see 7x9 tiles, and climb the ladder of tools: wood, "
            "table, wood pickaxe, stone, stone pickaxe, coal, iron, furnace, iron pickaxe, diamond. 'do' "
            "acts on the tile ahead: it gathers, drinks, fights and eats. Food, drink and energy run down; "
            "without them you lose health. Zombies attack on grass, skeletons shoot in caves, lava kills. "
            f"The task: {goal.success}.",
            success=goal.success,
            fitness="share of the 22 achievements done in the episode",
            native_reward="1 for every new achievement + 0.1 x change of health",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Pool(64, 4),
        )

    def default_params(self) -> Params:
        whole = (GOALS[self.goal].max_steps, 300, 5, 3, 3, 14)
        chances = (0.1, 0.02, 0.1, 0.05)
        return Params(*(jnp.int32(x) for x in whole), *(jnp.float32(x) for x in chances))

    def initial(self, key: Key, params: Params) -> State:
        engine = _engine()
        key_world, key_start = jax.random.split(key)
        _, world = engine.env.reset_env(key_world, _native(params))
        if self.start == "iron_pickaxe":
            scores = jax.random.uniform(key_start, (SIDE * SIDE,)) + (world.map.reshape(-1) == tile.PATH)
            best = jnp.argmax(scores)
            tools = {f"{material}_pickaxe": jnp.int32(1) for material in ("wood", "stone", "iron")}
            world = world.replace(
                player_position=jnp.stack([best // SIDE, best % SIDE]).astype(jnp.int32),
                inventory=world.inventory.replace(**tools),
            )
        elif self.start == "cave":
            world = world.replace(player_position=_beside_lava(world.map))
        row, column = world.player_position
        visited = jnp.zeros((SIDE, SIDE), jnp.uint8).at[row, column].set(1)
        return State(_stored(world), visited, jnp.zeros((), jnp.int32))

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        before = _loaded(state.world)
        _, world, _, _, _ = _engine().env.step_env(key, before, action, _native(params))
        row, column = world.player_position
        progress = jnp.any(world.achievements & ~before.achievements)
        return State(
            _stored(world),
            state.visited.at[row, column].set(1),
            jnp.where(progress, 0, state.idle + 1).astype(jnp.int32),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        # Craftax pads the whole map to cut a view out of it: a quarter of the bytes as it is stored.
        symbolic = _engine().env.get_obs(state.world).astype(jnp.float32)
        if self.observation == "full":
            return symbolic
        seen = tile.window(_kinds(state.world), state.world.player_position, VIEW)
        return jnp.concatenate([seen.reshape(-1) / jnp.float32(tile.KINDS - 1), symbolic[-_NUMBERS:]])

    def features(self, state: State, params: Params) -> Features:
        world = state.world
        near = tile.surroundings(
            _kinds(world), world.player_position, world.player_direction - 1, VIEW, TARGETS
        )
        own = tile.progress(
            {name: getattr(world.inventory, name) for name in ITEMS},
            {name: getattr(world, f"player_{name}") for name in VITALS},
            dict(zip(ACHIEVEMENTS, world.achievements, strict=True)),
            state.visited,
            state.idle,
            _in_lava(world),
        )
        return {**near, **own, "sleeping": world.is_sleeping, "light_level": world.light_level}

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        return tile.crafter_reward(features, next_features)

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return (next_state.world.player_health <= 0) | _in_lava(next_state.world)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        item = GOALS[self.goal].item
        if self.goal == "lava-explore":
            before, after = (jnp.sum(s.visited > 0) for s in (state, next_state))
            return (before < _EXPLORED) & (after >= _EXPLORED) & ~_in_lava(next_state.world)
        if item is None:
            eaten = ACHIEVEMENTS.index("eat_cow")
            return next_state.world.achievements[eaten] & ~state.world.achievements[eaten]
        return getattr(next_state.world.inventory, item) > getattr(state.world.inventory, item)

    def fitness(self, state: State, params: Params) -> jax.Array:
        return jnp.mean(state.world.achievements, dtype=jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        world = jax.tree.map(jnp.asarray, state.world)
        position = np.asarray(world.player_position)
        return tile.picture(
            np.asarray(_kinds(world)), position, int(world.player_direction) - 1, VIEW, size, radius=12
        )


def _beside_lava(blocks: jax.Array) -> jax.Array:
    """The path tile nearest to lava, steps counted through everything, int32 ``[2]``."""
    steps = jnp.where(blocks == tile.LAVA, 0, 2 * SIDE)

    def spread(_, steps):
        padded = jnp.pad(steps, 1, constant_values=2 * SIDE)
        sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
        return jnp.minimum(steps, 1 + functools.reduce(jnp.minimum, sides))

    steps = jax.lax.fori_loop(0, 2 * SIDE, spread, steps)
    best = jnp.argmin(jnp.where(blocks == tile.PATH, steps, 4 * SIDE).reshape(-1))
    return jnp.stack([best // SIDE, best % SIDE]).astype(jnp.int32)


def _native(params: Params) -> Any:
    """Craftax's parameters, with a time limit that never fires."""
    return _engine().params.replace(**{k: v for k, v in params._asdict().items() if k != "max_steps"})


def _stored(world: Any) -> Any:
    """A Craftax state with strong types, small maps and no random key."""
    world = world.replace(state_rng=None, **{name: getattr(world, name).astype(jnp.uint8) for name in _MASKS})

    def strong(leaf: jax.Array, like: Any) -> jax.Array:
        dtype = jnp.uint8 if like.shape == (SIDE, SIDE) else like.dtype
        return jax.lax.convert_element_type(leaf, dtype)

    return jax.tree.map(strong, world, _engine().blank)


def _loaded(world: Any) -> Any:
    """The state as Craftax wants it."""
    blank = _engine().blank
    return world.replace(**{name: getattr(world, name).astype(getattr(blank, name).dtype) for name in _MASKS})


def _kinds(world: Any) -> jax.Array:
    """The map with its creatures on top, int32 ``[64, 64]``; their ids are above those of blocks."""
    kinds = world.map.astype(jnp.int32)
    for name, kind in (("zombies", 17), ("cows", 18), ("skeletons", 19), ("arrows", 20)):
        mobs = getattr(world, name)
        present = jnp.where(mobs.mask, kind, 0)
        kinds = kinds.at[mobs.position[:, 0], mobs.position[:, 1]].max(present)
    return kinds


def _in_lava(world: Any) -> jax.Array:
    return world.map[world.player_position[0], world.player_position[1]] == tile.LAVA
