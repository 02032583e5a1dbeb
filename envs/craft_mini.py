"""A small world of gathering and crafting, in pure JAX: ``craft/mini``."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlkit.envs import craft_view as tile
from rlkit.envs.autoreset import Pool
from rlkit.envs.craft_mini_world import SIDE, generate
from rlkit.errors import unknown_name
from rlkit.spaces import Box, Discrete
from rlkit.types import EnvSpec, Features, Key, Terms

VIEW = (7, 7)
ACTIONS = (
    *("left", "right", "up", "down", "do"),
    *("make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe"),
)
ITEMS = ("wood", "stone", "iron", "diamond", "wood_pickaxe", "stone_pickaxe", "iron_pickaxe")
VITALS = ("health", "food", "drink")
ACHIEVEMENTS = (
    *("collect_wood", "collect_stone", "collect_iron", "collect_diamond"),
    *("make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe"),
    *("collect_drink", "eat_cow"),
)
TARGETS = ("tree", "stone", "iron", "diamond", "water", "lava", "cow")
_DO = ACTIONS.index("do")
_COW_HEALTH, _MEAL = 3, 6
# What can be mined: tile -> (item gained, pickaxe needed or None, tile left behind).
_MINES = {
    tile.TREE: ("wood", None, tile.GRASS),
    tile.STONE: ("stone", "wood_pickaxe", tile.PATH),
    tile.IRON: ("iron", "stone_pickaxe", tile.PATH),
    tile.DIAMOND: ("diamond", "iron_pickaxe", tile.PATH),
}
_RECIPES = {
    "wood_pickaxe": ("wood",),
    "stone_pickaxe": ("wood", "stone"),
    "iron_pickaxe": ("wood", "stone", "iron"),
}
_CHANNELS = (
    *(tile.OUT_OF_BOUNDS, tile.GRASS, tile.PATH, tile.WATER, tile.STONE, tile.TREE),
    *(tile.IRON, tile.DIAMOND, tile.LAVA, tile.COW),
)

_GAIN = np.zeros((tile.KINDS, len(ITEMS)), np.int32)
_NEED = np.zeros((tile.KINDS, len(ITEMS)), np.int32)
_LEFT = np.arange(tile.KINDS)
for _kind, (_item, _tool, _rest) in _MINES.items():
    _GAIN[_kind, ITEMS.index(_item)] = 1
    _LEFT[_kind] = _rest
    if _tool:
        _NEED[_kind, ITEMS.index(_tool)] = 1
_COST = np.array([[item in recipe for item in ITEMS] for recipe in _RECIPES.values()], np.int32)
_YIELD = np.array([[item == tool for item in ITEMS] for tool in _RECIPES], np.int32)
_TOOLS = tuple(ITEMS.index(tool) for tool in _RECIPES)
_WALKABLE = np.isin(np.arange(tile.KINDS), (tile.GRASS, tile.PATH, tile.LAVA))


class Params(NamedTuple):
    """Rules that may vary."""

    max_steps: jax.Array  # int32 []
    hunger: jax.Array  # int32 []: steps between losses of food
    thirst: jax.Array  # int32 []: steps between losses of drink
    recovery: jax.Array  # int32 []: steps between gains (fed and watered) or losses (not) of health
    cow_moves: jax.Array  # float32 []: probability per step that the cow tries to walk
    cow_appears: jax.Array  # float32 []: probability per step that a new cow tries to appear


class State(NamedTuple):
    """One world with its player."""

    blocks: jax.Array  # uint8 [16, 16]: tile ids
    visited: jax.Array  # uint8 [16, 16]: 1 where the player has stood
    position: jax.Array  # int32 [2]: row, column
    facing: jax.Array  # int32 []: index into left, right, up, down
    items: jax.Array  # int32 [7]: counts of ITEMS, at most 9
    vitals: jax.Array  # int32 [3]: VITALS, 0 to 9
    cow: jax.Array  # int32 [3]: row, column, health (0: there is none)
    done: jax.Array  # bool [9]: ACHIEVEMENTS
    clock: jax.Array  # int32 []: steps since reset
    progressed: jax.Array  # int32 []: clock of the last new achievement


@dataclass(frozen=True)
class CraftMini:
    """``craft/mini``: find wood, stone, iron and, with the right pickaxe, a diamond.

    The rules resemble Craftax-Classic's (arXiv 2402.16801) without tables, furnaces, coal, sleep and
    enemies; tile ids and feature names are the same as in ``craft/classic``. A world is new in each episode.

    Attributes:
      observation: ``"full"``: the 7x7 view one-hot in 10 channels (edge, grass, path, water, stone,
        tree, iron, diamond, lava, cow) and 14 numbers (items, vitals, each / 9; facing one-hot);
        ``"compact"``: the view's tile ids / 20 and the same 14 numbers.
    """

    observation: str = "full"

    def __post_init__(self) -> None:
        if self.observation not in ("full", "compact"):
            raise unknown_name("observation", self.observation, ("full", "compact"), where="of craft/mini")

    @property
    def spec(self) -> EnvSpec:
        channels = len(_CHANNELS) if self.observation == "full" else 1
        return EnvSpec(
            id="craft/mini",
            observation_space=Box((VIEW[0] * VIEW[1] * channels + 14,), 0.0, 1.0),
            action_space=Discrete(len(ACTIONS), ACTIONS),
            features=(
                *tile.surroundings_specs((SIDE, SIDE), VIEW, TARGETS),
                *tile.progress_specs(ITEMS, VITALS, ACHIEVEMENTS, SIDE * SIDE),
            ),
            max_steps=500,
            task="Mine a diamond in a 16x16 world of which you see 7x7 tiles. 'do' acts on the tile ahead: "
            "it cuts a tree (wood), drinks water, hits the cow (3 hits feed you), and mines stone (needs a "
            "wood pickaxe), iron (stone pickaxe) and diamond (iron pickaxe). A wood pickaxe costs 1 wood, a "
            "stone pickaxe 1 wood and 1 stone, an iron pickaxe 1 wood, 1 stone and 1 iron. Food and drink "
            "run down; without either you lose health. Lava kills.",
            success="a diamond is mined",
            fitness="share of the 9 achievements done in the episode",
            native_reward="1 for every new achievement + 0.1 x change of health",
            fitness_over="final",
            partial_obs=True,
            auto_reset=Pool(64, 4),
        )

    def default_params(self) -> Params:
        whole = (self.spec.max_steps, 25, 20, 10)
        chances = (0.5, 0.02)
        return Params(*(jnp.int32(x) for x in whole), *(jnp.float32(x) for x in chances))

    def initial(self, key: Key, params: Params) -> State:
        world = generate(key)
        zero = jnp.zeros((), jnp.int32)
        return State(
            blocks=world.blocks.astype(jnp.uint8),
            visited=jnp.zeros((SIDE, SIDE), jnp.uint8).at[world.start[0], world.start[1]].set(1),
            position=world.start.astype(jnp.int32),
            facing=jnp.full((), 3, jnp.int32),
            items=jnp.zeros((len(ITEMS),), jnp.int32),
            vitals=jnp.full((len(VITALS),), 9, jnp.int32),
            cow=jnp.append(world.cow, _COW_HEALTH).astype(jnp.int32),
            done=jnp.zeros((len(ACHIEVEMENTS),), bool),
            clock=zero,
            progressed=zero,
        )

    def transition(self, key: Key, state: State, action: jax.Array, params: Params) -> State:
        draws = jax.random.uniform(key, (4,))
        kinds = self._kinds(state)
        facing = jnp.where(action < 4, action, state.facing).astype(jnp.int32)
        steps = jnp.array(tile.DIRECTIONS)
        front = state.position + steps[state.facing]
        kind = _at(kinds, front)

        doing = action == _DO
        gain, need = jnp.asarray(_GAIN)[kind], jnp.asarray(_NEED)[kind]
        mined = doing & jnp.any(gain > 0) & jnp.all(state.items >= need)
        hit, drinks = doing & (kind == tile.COW), doing & (kind == tile.WATER)
        eats = hit & (state.cow[2] == 1)
        wants = action == _DO + 1 + jnp.arange(len(_TOOLS))
        makes = wants & jnp.all(state.items >= _COST, axis=1) & (state.items[jnp.array(_TOOLS)] == 0)

        items = state.items + mined * gain + makes.astype(jnp.int32) @ jnp.asarray(_YIELD - _COST)
        left = jnp.where(mined, jnp.asarray(_LEFT)[kind], state.blocks[front[0], front[1]])
        blocks = state.blocks.at[front[0], front[1]].set(left.astype(jnp.uint8), mode="drop")

        ahead = state.position + steps[facing]
        walks = (action < 4) & jnp.asarray(_WALKABLE)[_at(kinds, ahead)]
        position = jnp.where(walks, ahead, state.position)
        dead = blocks[position[0], position[1]] == tile.LAVA

        events = jnp.concatenate([mined & (gain[:4] > 0), makes, jnp.stack([drinks, eats])])
        clock = state.clock + 1
        return State(
            blocks=blocks,
            visited=state.visited.at[position[0], position[1]].set(1),
            position=position,
            facing=facing,
            items=jnp.minimum(items, 9),
            vitals=_live(state.vitals, eats, drinks, dead, clock, params),
            cow=_graze(draws, state.cow.at[2].add(-hit.astype(jnp.int32)), blocks, position, params),
            done=state.done | events,
            clock=clock,
            progressed=jnp.where(jnp.any(events & ~state.done), clock, state.progressed),
        )

    def observe(self, key: Key, state: State, params: Params) -> jax.Array:
        seen = tile.window(self._kinds(state), state.position, VIEW)
        if self.observation == "full":
            grid = (seen[..., None] == jnp.array(_CHANNELS)).astype(jnp.float32)
        else:
            grid = seen / jnp.float32(tile.KINDS - 1)
        numbers = jnp.concatenate([state.items, state.vitals]) / jnp.float32(9)
        direction = (jnp.arange(4) == state.facing).astype(jnp.float32)
        return jnp.concatenate([grid.reshape(-1), numbers, direction])

    def features(self, state: State, params: Params) -> Features:
        near = tile.surroundings(self._kinds(state), state.position, state.facing, VIEW, TARGETS)
        return near | tile.progress(
            dict(zip(ITEMS, state.items, strict=True)),
            dict(zip(VITALS, state.vitals, strict=True)),
            dict(zip(ACHIEVEMENTS, state.done, strict=True)),
            state.visited,
            state.clock - state.progressed,
            self._in_lava(state),
        )

    def task_reward(
        self, features: Features, action: jax.Array, next_features: Features, params: Params
    ) -> tuple[jax.Array, Terms]:
        return tile.crafter_reward(features, next_features)

    def terminated(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        return (next_state.vitals[0] <= 0) | self._in_lava(next_state)

    def success(self, state: State, action: jax.Array, next_state: State, params: Params) -> jax.Array:
        diamond = ITEMS.index("diamond")
        return next_state.items[diamond] > state.items[diamond]

    def fitness(self, state: State, params: Params) -> jax.Array:
        return jnp.mean(state.done, dtype=jnp.float32)

    def render(self, state: State, params: Params, size: int = 256) -> Any:
        kinds = np.asarray(self._kinds(jax.tree.map(jnp.asarray, state)))
        return tile.picture(kinds, np.asarray(state.position), int(state.facing), VIEW, size)

    def _kinds(self, state: State) -> jax.Array:
        """The map with the cow on it, int32."""
        row, column, health = state.cow
        blocks = state.blocks.astype(jnp.int32)
        return blocks.at[row, column].set(jnp.where(health > 0, tile.COW, blocks[row, column]))

    def _in_lava(self, state: State) -> jax.Array:
        return state.blocks[state.position[0], state.position[1]] == tile.LAVA


def _at(kinds: jax.Array, place: jax.Array) -> jax.Array:
    """The tile at a place that may lie one step outside the map."""
    inside = jnp.all((place >= 0) & (place < SIDE))
    return jnp.where(inside, kinds[place[0], place[1]], tile.OUT_OF_BOUNDS)


def _live(
    vitals: jax.Array, eats: jax.Array, drinks: jax.Array, dead: jax.Array, clock: jax.Array, params: Params
) -> jax.Array:
    """Health, food and drink after a step; lava takes all health."""
    health, food, drink = vitals
    food = jnp.minimum(food + _MEAL * eats, 9) - (clock % params.hunger == 0)
    drink = jnp.minimum(drink + drinks, 9) - (clock % params.thirst == 0)
    well = (food > 0) & (drink > 0)
    change = jnp.where(clock % params.recovery == 0, jnp.where(well, 1, -1), 0)
    health = jnp.where(dead, 0, health + change)
    return jnp.clip(jnp.stack([health, food, drink]), 0, 9)


def _graze(
    draws: jax.Array, cow: jax.Array, blocks: jax.Array, position: jax.Array, params: Params
) -> jax.Array:
    """The cow's row, column and health after it has walked, or after a new one may have appeared."""
    alive = cow[2] > 0
    step = jnp.array(tile.DIRECTIONS)[(4 * draws[0]).astype(jnp.int32)]
    place = jnp.where(alive, cow[:2] + step, (SIDE * draws[2:4]).astype(jnp.int32))
    distance = jnp.sum(jnp.abs(place - position))
    free = (_at(blocks, place) == tile.GRASS) & (distance > jnp.where(alive, 0, 3))
    moved = free & (draws[1] < jnp.where(alive, params.cow_moves, params.cow_appears))
    health = jnp.where(alive, cow[2], jnp.where(moved, _COW_HEALTH, 0))
    return jnp.append(jnp.where(moved, place, cow[:2]), health)
