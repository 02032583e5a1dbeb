"""Rules of craft/mini by scripted scenes, its worlds by search, its features against NumPy."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import envs
from rlkit.envs import craft_view as tile
from rlkit.envs.craft_mini import ACHIEVEMENTS, ACTIONS, ITEMS, TARGETS
from rlkit.errors import UnknownNameError

ENV = envs.make("craft/mini")
PARAMS = ENV.default_params()
STEP = jax.jit(lambda key, state, action, params: envs.step(ENV, key, state, action, params))
RESET = jax.jit(lambda: envs.reset(ENV, jax.random.key(0), PARAMS)[1])
SOLID = (tile.WATER, tile.STONE, tile.TREE, tile.IRON, tile.DIAMOND)


@pytest.fixture(scope="module")
def worlds():
    make = jax.jit(lambda keys: jax.lax.map(lambda key: ENV.initial(key, PARAMS), keys))
    return jax.tree.map(np.asarray, make(jax.random.split(jax.random.key(0), 512)))


@pytest.fixture(scope="module")
def meadow(worlds):
    """Grass everywhere, no cow, the player in the middle facing down."""
    state = jax.tree.map(lambda x: jnp.asarray(x[0]), worlds)
    return state._replace(
        blocks=jnp.full_like(state.blocks, tile.GRASS), position=jnp.array([8, 8]), cow=jnp.array([0, 0, 0])
    )


def act(state, name, t=0, params=PARAMS, seed=0):
    calm = params._replace(cow_moves=jnp.float32(0), cow_appears=jnp.float32(0))
    begin = RESET()._replace(inner=state, t=jnp.int32(t))
    return STEP(jax.random.key(seed), begin, jnp.int32(ACTIONS.index(name)), calm)


def put(state, kind, place=(9, 8)):
    return state._replace(blocks=state.blocks.at[place].set(kind))


def give(state, **items):
    counts = state.items
    for name, count in items.items():
        counts = counts.at[ITEMS.index(name)].set(count)
    return state._replace(items=counts)


def items(out):
    return {name: int(count) for name, count in zip(ITEMS, out.state.inner.items, strict=True) if count}


def test_cutting_a_tree(meadow):
    out = act(put(meadow, tile.TREE), "do")
    assert items(out) == {"wood": 1}
    assert out.state.inner.blocks[9, 8] == tile.GRASS
    assert out.features["achievement_collect_wood"]
    np.testing.assert_allclose(out.reward, 1.0)
    again = act(put(out.state.inner, tile.TREE), "do")
    assert items(again) == {"wood": 2}
    np.testing.assert_allclose(again.reward, 0.0)  # an achievement is paid once


@pytest.mark.parametrize(
    ("kind", "item", "tool"),
    [
        (tile.STONE, "stone", "wood_pickaxe"),
        (tile.IRON, "iron", "stone_pickaxe"),
        (tile.DIAMOND, "diamond", "iron_pickaxe"),
    ],
)
def test_mining_needs_the_right_pickaxe(meadow, kind, item, tool):
    pickaxes = ("wood_pickaxe", "stone_pickaxe", "iron_pickaxe")
    others = {name: 1 for name in pickaxes if name != tool}
    refused = act(give(put(meadow, kind), **others), "do")
    assert item not in items(refused)
    assert refused.state.inner.blocks[9, 8] == kind
    mined = act(give(put(meadow, kind), **{tool: 1}), "do")
    assert items(mined) == {tool: 1, item: 1}
    assert mined.state.inner.blocks[9, 8] == tile.PATH
    assert bool(mined.success) == (item == "diamond")
    assert not refused.success


@pytest.mark.parametrize(
    ("tool", "cost"),
    [
        ("wood_pickaxe", {"wood": 1}),
        ("stone_pickaxe", {"wood": 1, "stone": 1}),
        ("iron_pickaxe", {"wood": 1, "stone": 1, "iron": 1}),
    ],
)
def test_crafting(meadow, tool, cost):
    rich = {name: count + 1 for name, count in cost.items()}
    made = act(give(meadow, **rich), f"make_{tool}")
    assert items(made) == {**dict.fromkeys(cost, 1), tool: 1}
    assert made.features[f"achievement_make_{tool}"]
    assert items(act(made.state.inner, f"make_{tool}")) == items(made)  # one of each is enough
    for missing in cost:
        poor = {name: count for name, count in cost.items() if name != missing}
        assert tool not in items(act(give(meadow, **poor), f"make_{tool}"))


def test_a_cow_dies_after_three_hits_and_feeds(meadow):
    state = meadow._replace(cow=jnp.array([9, 8, 3]), vitals=jnp.array([9, 2, 9]))
    for hits in (1, 2):
        out = act(state, "do")
        state = out.state.inner
        assert state.cow[2] == 3 - hits
        assert out.features["food"] == 2
        assert out.features["facing_block"] == tile.COW
    out = act(state, "do")
    assert out.features["food"] == 8
    assert out.features["achievement_eat_cow"]
    assert out.features["facing_block"] == tile.GRASS


def test_lava_kills(meadow):
    out = act(put(meadow, tile.LAVA), "down")
    assert out.terminated
    assert not out.truncated
    assert out.features["died_in_lava"]
    assert not out.features["died_other"]
    np.testing.assert_allclose(out.reward, -0.9, rtol=1e-6)
    beside = act(put(meadow, tile.LAVA), "right")
    np.testing.assert_array_equal(beside.features["lava_adjacent"], [False, False, False, False])
    np.testing.assert_array_equal(
        ENV.features(put(meadow, tile.LAVA), PARAMS)["lava_adjacent"], [False, False, False, True]
    )


def test_the_time_limit_truncates(meadow):
    out = act(meadow, "up", t=int(PARAMS.max_steps) - 1)
    assert out.truncated
    assert not out.terminated
    assert not act(meadow, "up", t=int(PARAMS.max_steps) - 2).truncated


def test_food_and_drink_run_down_and_without_them_health(meadow):
    params = PARAMS._replace(hunger=jnp.int32(3), thirst=jnp.int32(2), recovery=jnp.int32(4))
    state, vitals = meadow, np.array([9, 9, 9])
    for clock in range(1, 60):
        out = act(state, "up" if clock % 2 else "down", params=params)
        state = out.state.inner
        vitals[1] = max(vitals[1] - (clock % 3 == 0), 0)
        vitals[2] = max(vitals[2] - (clock % 2 == 0), 0)
        if clock % 4 == 0:
            vitals[0] = np.clip(vitals[0] + (1 if vitals[1:].all() else -1), 0, 9)
        np.testing.assert_array_equal(state.vitals, vitals)
        if vitals[0] == 0:
            break
    assert out.terminated
    assert out.features["died_other"]
    assert not out.features["died_in_lava"]
    thirsty = put(meadow, tile.WATER)._replace(vitals=jnp.array([9, 9, 4]))
    assert act(thirsty, "do").features["drink"] == 5


def test_walking_turning_and_the_edge(meadow):
    out = act(meadow, "left")
    np.testing.assert_array_equal(out.state.inner.position, [8, 7])
    assert out.features["tiles_visited"] == 1 + 1
    for kind in SOLID:
        blocked = act(put(meadow, kind, (8, 7)), "left")
        np.testing.assert_array_equal(blocked.state.inner.position, [8, 8])
        assert blocked.features["facing_block"] == kind  # it turns all the same
    corner = meadow._replace(position=jnp.array([0, 15]))
    for name in ("up", "right"):
        stuck = act(corner, name)
        np.testing.assert_array_equal(stuck.state.inner.position, [0, 15])
        assert stuck.features["facing_block"] == tile.OUT_OF_BOUNDS
        acted = act(stuck.state.inner, "do")
        np.testing.assert_array_equal(acted.state.inner.blocks, corner.blocks)


def test_the_cow_walks_on_grass_and_comes_back(meadow):
    state = put(meadow, tile.STONE, (3, 3))._replace(cow=jnp.array([3, 4, 3]))
    params = PARAMS._replace(cow_moves=jnp.float32(1), cow_appears=jnp.float32(1))
    begin = RESET()._replace(inner=state)
    ends = {
        tuple(int(v) for v in STEP(key, begin, jnp.int32(0), params).state.inner.cow)
        for key in jax.random.split(jax.random.key(1), 40)
    }
    assert ends == {(3, 4, 3), (3, 5, 3), (2, 4, 3), (4, 4, 3)}  # the stone is in the way of the fourth
    gone = begin._replace(inner=state._replace(cow=jnp.array([3, 4, 0])))
    new = [
        STEP(key, gone, jnp.int32(0), params).state.inner.cow
        for key in jax.random.split(jax.random.key(2), 20)
    ]
    new = np.array([cow for cow in new if cow[2] > 0])
    assert len(new) > 10
    assert len({tuple(cow) for cow in new}) > 10


def flood(passable, start):
    """Tiles that are reached from ``start`` through passable ones, with the first obstacles."""
    reached = np.zeros(passable.shape, bool)
    queue = deque([tuple(start)])
    while queue:
        row, column = queue.popleft()
        if not (0 <= row < 16 and 0 <= column < 16) or reached[row, column]:
            continue
        reached[row, column] = True
        if passable[row, column]:
            queue.extend((row + r, column + c) for r, c in tile.DIRECTIONS)
    return reached


def test_every_world_can_be_solved(worlds):
    for i in range(512):
        blocks, start = worlds.blocks[i], worlds.position[i]
        on_foot = flood(np.isin(blocks, (tile.GRASS, tile.PATH)), start)
        mining = flood(~np.isin(blocks, (tile.WATER, tile.LAVA)), start)
        assert (on_foot & (blocks == tile.TREE)).sum() >= 3
        for kind, least in ((tile.STONE, 2), (tile.IRON, 1), (tile.DIAMOND, 1), (tile.WATER, 1)):
            assert (mining & (blocks == kind)).sum() >= least
        assert blocks[tuple(start)] == tile.GRASS
        assert blocks[tuple(worlds.cow[i, :2])] == tile.GRASS
    assert len({w.tobytes() for w in worlds.blocks}) == 512
    assert len({tuple(p) for p in worlds.position}) > 10
    assert (worlds.blocks == tile.LAVA).any((1, 2)).mean() > 0.95


def next_move(state, kind, usable):
    """The first action on a shortest way to act on a tile of ``kind``: breadth-first search in NumPy."""
    blocks, origin = np.asarray(state.blocks), tuple(int(v) for v in state.position)
    cow = tuple(int(v) for v in state.cow[:2]) if state.cow[2] > 0 else None
    parents = {origin: None}
    queue = deque([origin])
    while queue:
        here = queue.popleft()
        if here != origin and blocks[here] == kind:
            while parents[here] != origin:
                here = parents[here]
            way = (here[0] - origin[0], here[1] - origin[1])
            direction = tile.DIRECTIONS.index(way)
            solid = blocks[here] in SOLID or here == cow
            if not solid or int(state.facing) != direction:
                return ACTIONS[direction]
            return "do"
        if here != origin and here != cow and blocks[here] not in (tile.GRASS, tile.PATH, *usable):
            continue
        for r, c in tile.DIRECTIONS:
            there = (here[0] + r, here[1] + c)
            if 0 <= there[0] < 16 and 0 <= there[1] < 16 and there not in parents:
                parents[there] = here
                queue.append(there)
    raise AssertionError(f"no way to {kind}")


def test_a_planner_digs_up_the_diamond(worlds):
    """Plays whole episodes by the rules: no step of the ladder can be skipped, and none is missing."""
    for i in range(4):
        inner = jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), worlds)
        state = RESET()._replace(inner=inner)
        total, success = 0.0, False
        for t in range(300):
            have = dict(zip(ITEMS, (int(c) for c in state.inner.items), strict=True))
            usable = [tile.TREE] + [tile.STONE] * have["wood_pickaxe"] + [tile.IRON] * have["stone_pickaxe"]
            if have["iron_pickaxe"]:
                name = next_move(state.inner, tile.DIAMOND, usable)
            elif have["stone_pickaxe"] and have["iron"] and have["stone"] and have["wood"]:
                name = "make_iron_pickaxe"
            elif have["wood_pickaxe"] and not have["stone_pickaxe"] and have["stone"] and have["wood"]:
                name = "make_stone_pickaxe"
            elif not have["wood_pickaxe"] and have["wood"]:
                name = "make_wood_pickaxe"
            elif have["wood"] < 2 and not have["stone_pickaxe"]:
                name = next_move(state.inner, tile.TREE, usable)
            elif have["stone"] < 2 and not have["stone_pickaxe"]:
                name = next_move(state.inner, tile.STONE, usable)
            elif have["wood"] < 1 or have["stone"] < 1:
                name = next_move(state.inner, tile.TREE if have["wood"] < 1 else tile.STONE, usable)
            else:
                name = next_move(state.inner, tile.IRON, usable)
            out = STEP(jax.random.key(1000 * i + t), state, jnp.int32(ACTIONS.index(name)), PARAMS)
            state, total = out.state, total + float(out.reward)
            assert not out.terminated
            if out.success:
                success = True
                break
        assert success
        assert int(out.features["achievements_unlocked"]) >= 7
        expected = int(out.features["achievements_unlocked"]) + 0.1 * (int(out.features["health"]) - 9)
        np.testing.assert_allclose(total, expected, atol=1e-5)


def test_features_equal_a_search_in_numpy(worlds):
    features = jax.jit(jax.vmap(lambda s: ENV.features(s, PARAMS)))
    got = jax.tree.map(np.asarray, features(jax.tree.map(lambda x: x[:64], worlds)))
    for i in range(64):
        kinds = worlds.blocks[i].astype(int)
        kinds[tuple(worlds.cow[i, :2])] = tile.COW
        origin = worlds.position[i]
        for name in TARGETS:
            places = np.argwhere(kinds == tile.IDS[name]) - origin
            for prefix, found, inside in (("world", "exists", 32), ("nearest", "visible", 3)):
                near = places[np.abs(places).max(1, initial=0) <= inside]
                assert got[f"{prefix}_{name}_{found}"][i] == (len(near) > 0)
                distance, offset = got[f"{prefix}_{name}_distance"][i], got[f"{prefix}_{name}_offset"][i]
                if len(near):
                    assert distance == np.abs(near).sum(1).min() == np.abs(offset).sum()
                    assert (near == offset).all(1).any()
                else:
                    assert distance == {"world": 32, "nearest": 7}[prefix]
                    assert not offset.any()
        ahead = origin + np.array(tile.DIRECTIONS[worlds.facing[i]])
        assert got["facing_block"][i] == kinds[tuple(ahead)]


def test_observations_show_the_view(worlds):
    compact = envs.make("craft/mini", observation="compact")
    states = jax.tree.map(lambda x: x[:32], worlds)
    key = jax.random.key(0)
    full = np.asarray(jax.vmap(lambda s: ENV.observe(key, s, PARAMS))(states))
    small = np.asarray(jax.vmap(lambda s: compact.observe(key, s, PARAMS))(states))
    ids = np.rint(small[:, :49] * 20).astype(int)
    channels = np.array([1, tile.GRASS, tile.PATH, tile.WATER, tile.STONE, tile.TREE, 9, 10, 14, tile.COW])
    onehot = full[:, :490].reshape(32, 49, 10)
    assert (onehot.sum(-1) == 1).all()
    np.testing.assert_array_equal(channels[onehot.argmax(-1)], ids)
    np.testing.assert_array_equal(full[:, 490:], small[:, 49:])
    for i in range(32):
        padded = np.pad(states.blocks[i], 3, constant_values=tile.OUT_OF_BOUNDS).astype(int)
        padded[tuple(states.cow[i, :2] + 3)] = tile.COW
        row, column = states.position[i]
        np.testing.assert_array_equal(ids[i].reshape(7, 7), padded[row : row + 7, column : column + 7])
    np.testing.assert_allclose(small[0, 49:], [0] * 7 + [1] * 3 + [0, 0, 0, 1])


def test_fitness_counts_achievements(meadow):
    done = meadow._replace(done=jnp.arange(len(ACHIEVEMENTS)) < 3)
    np.testing.assert_allclose(ENV.fitness(done, PARAMS), 3 / 9)
    assert ENV.features(done, PARAMS)["achievements_unlocked"] == 3


def test_options_are_checked():
    with pytest.raises(UnknownNameError, match="did you mean 'compact'"):
        envs.make("craft/mini", observation="compct")


def test_the_picture_shows_the_tiles(meadow):
    image = ENV.render(put(meadow, tile.LAVA), PARAMS, 160)
    assert image.shape == (160, 160, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[95, 85], (236, 92, 36))  # row 9, column 8: lava below the player
    np.testing.assert_array_equal(image[75, 95], (126, 180, 96))  # grass, in view
    assert image[5, 5].sum() < image[75, 95].sum()  # out of view: dimmed
