"""craft/classic against Craftax-Classic itself, and scripted scenes."""

import importlib.util
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import envs
from rlkit.envs import craft_view as tile
from rlkit.envs.craftax import ACTIONS, GOALS, Craftax, State, _beside_lava
from rlkit.errors import MissingExtraError, UnknownNameError


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "craftax", None)
    with pytest.raises(MissingExtraError, match=r"craft/classic needs .*'rlkit-jax\[craft\]'"):
        envs.make("craft/classic")


needs_craftax = pytest.mark.skipif(
    importlib.util.find_spec("craftax") is None, reason="needs the craft extra"
)


@needs_craftax
def test_options_are_checked():
    with pytest.raises(UnknownNameError, match="did you mean 'full'"):
        envs.make("craft/classic", observation="ful")
    with pytest.raises(UnknownNameError, match="did you mean 'iron_pickaxe'"):
        envs.make("craft/diamond", start="iron_pick")
    with pytest.raises(UnknownNameError, match="option"):
        envs.make("craft/tree", goal="cow")


@pytest.fixture(scope="module")
def env():
    return envs.make("craft/classic")


@pytest.fixture(scope="module")
def both(env):
    """Craftax's own step and ours, in one program."""
    from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset

    native = CraftaxClassicSymbolicEnvNoAutoReset()
    params = env.default_params()
    compact = envs.make("craft/classic", observation="compact")

    def step(key, theirs, ours, action, params):
        obs, theirs, reward, done, _ = native.step_env(
            jax.random.split(key)[0], theirs, action, native.default_params
        )
        out = envs.step(env, key, ours, action, params)
        successes = {
            goal: Craftax(goal).success(ours.inner, action, out.state.inner, params) for goal in GOALS
        }
        small = compact.observe(key, out.state.inner, params)
        return theirs, out, (obs, reward, done), successes, small

    def begin(key):
        key_initial, _ = jax.random.split(key)
        _, theirs = native.reset_env(jax.random.split(key_initial)[0], native.default_params)
        return theirs, envs.reset(env, key, params)[1]

    return jax.jit(begin), jax.jit(step)


@pytest.mark.slow
@needs_craftax
def test_rules_rewards_and_observations_are_craftaxs(env, both):
    package = Path(importlib.util.find_spec("craftax").submodule_search_locations[0])
    files = {p: p.stat().st_mtime_ns for p in package.rglob("*") if "__pycache__" not in p.parts}
    begin, step = both
    params = env.default_params()
    rng = np.random.default_rng(0)
    ended = 0
    theirs, ours = begin(jax.random.key(0))
    for i in range(400):
        action = jnp.int32(rng.integers(len(ACTIONS)))
        theirs, out, (obs, reward, done), _, small = step(jax.random.key(i), theirs, ours, action, params)
        ours = out.state
        np.testing.assert_allclose(obs, out.obs, atol=1e-6)
        np.testing.assert_allclose(reward, out.reward, atol=1e-5)
        assert bool(done) == bool(out.terminated)
        assert not out.truncated
        ids = np.rint(np.asarray(small[:63]) * 20).astype(int).reshape(7, 9)
        view = np.asarray(obs[:1323]).reshape(7, 9, 21)
        blocks = view[..., :17].argmax(-1)
        plain = ids < tile.ZOMBIE
        np.testing.assert_array_equal(ids[plain], blocks[plain])
        assert not view[..., 17:].any(-1)[plain].any()
        np.testing.assert_allclose(small[63:], obs[1323:], atol=1e-6)
        for spec in env.spec.features:
            value = np.asarray(out.features[spec.name])
            assert (value.shape, str(value.dtype)) == (spec.shape, spec.dtype)
            assert value.min() >= spec.low
            assert value.max() <= spec.high
        if done:
            ended += 1
            theirs, ours = begin(jax.random.key(1000 + i))
    assert ended >= 1
    assert files == {p: p.stat().st_mtime_ns for p in files}
    picture = env.render(ours.inner, params, 200)
    assert picture.shape == (200, 200, 3)
    assert picture.std() > 10


@pytest.fixture(scope="module")
def scene(both):
    """A step of a player on grass who faces down, with edits: ``act(name, kind, **changes)``."""
    begin, step = both
    theirs, ours = begin(jax.random.key(5))

    def act(name, kind, t=0, cow=None, health=9, **inventory):
        world = ours.inner.world
        blocks = jnp.full_like(world.map, tile.GRASS).at[33, 32].set(kind)
        if cow is not None:
            world = world.replace(
                cows=world.cows.replace(
                    position=world.cows.position.at[0].set(jnp.array([33, 32])),
                    health=world.cows.health.at[0].set(cow),
                    mask=world.cows.mask.at[0].set(True),
                ),
                mob_map=world.mob_map.at[33, 32].set(1),
            )
        world = world.replace(
            map=blocks,
            player_position=jnp.array([32, 32]),
            player_direction=jnp.int32(4),
            player_food=jnp.int32(2),
            player_health=jnp.int32(health),
            inventory=world.inventory.replace(**{k: jnp.int32(v) for k, v in inventory.items()}),
        )
        state = ours._replace(inner=ours.inner._replace(world=world), t=jnp.int32(t))
        action = jnp.int32(ACTIONS.index(name))
        params = Craftax("tree").default_params()
        _, out, _, successes, _ = step(jax.random.key(1), theirs, state, action, params)
        return out, {goal for goal, success in successes.items() if success}

    return act


@pytest.mark.slow
@needs_craftax
def test_scripted_scenes(scene):
    out, successes = scene("do", tile.TREE)
    assert successes == {"tree"}
    assert out.features["inventory_wood"] == 1
    assert out.state.inner.world.map[33, 32] == tile.GRASS
    np.testing.assert_allclose(out.terms["achievements"], 1.0)

    for health, dies in ((3, False), (2, False), (1, True)):  # three bare hits
        out, successes = scene("do", tile.GRASS, cow=health)
        assert successes == ({"cow"} if dies else set())
        assert out.features["food"] == (8 if dies else 2)

    out, successes = scene("do", tile.DIAMOND, wood_pickaxe=1, stone_pickaxe=1)
    assert not successes
    assert out.features["inventory_diamond"] == 0
    out, successes = scene("do", tile.DIAMOND, iron_pickaxe=1)
    assert successes == {"classic", "diamond"}
    assert scene("do", tile.STONE, wood_pickaxe=1)[1] == {"stone"}
    assert scene("do", tile.IRON, stone_pickaxe=1)[1] == {"iron"}

    out, _ = scene("down", tile.LAVA)
    assert out.terminated
    assert out.features["died_in_lava"]
    assert not out.features["died_other"]
    out, _ = scene("noop", tile.GRASS, health=0)
    assert out.terminated
    assert out.features["died_other"]

    out, _ = scene("noop", tile.GRASS, t=499)  # the limit of craft/tree, far below Craftax's own
    assert out.truncated
    assert not out.terminated
    assert not scene("noop", tile.GRASS, t=498)[0].truncated


@pytest.mark.slow
@needs_craftax
def test_the_diamond_task_can_start_in_the_mountains(env):
    task = envs.make("craft/diamond", start="iron_pickaxe")
    params = task.default_params()
    make = jax.jit(lambda keys: jax.lax.map(lambda key: task.initial(key, params), keys))
    states = make(jax.random.split(jax.random.key(0), 8))
    where = np.asarray(states.world.player_position)
    blocks = np.asarray(states.world.map)[np.arange(8), where[:, 0], where[:, 1]]
    assert (blocks == tile.PATH).all()
    assert len({tuple(place) for place in where}) == 8
    assert (np.asarray(states.world.inventory.iron_pickaxe) == 1).all()
    assert (np.asarray(states.visited).sum((1, 2)) == 1).all()
    assert task.spec.max_steps == 3000


@pytest.mark.slow
@needs_craftax
def test_chance_finds_no_diamond():
    """Sparse means sparse: at most 5 % of whole episodes of random actions succeed."""
    task = envs.make("craft/diamond")
    params, slots = task.default_params(), 48
    policy = lambda carry, obs, first, keys: (
        jax.vmap(task.spec.action_space.sample)(keys), carry, {},
    )  # fmt: skip

    @jax.jit
    def run(begun, key):
        inputs = jax.random.split(key, (500, slots))
        after, _, seen = envs.rollout(task, policy, (), begun, key, params, 500, inputs=inputs, record=())
        return after, seen.transition

    begun, ends, wins = envs.start(task, jax.random.key(0), params, slots, record=()), 0, 0
    for i in range(4):
        begun, seen = run(begun, jax.random.key(i))
        ends, wins = ends + int(seen.done.sum()), wins + int(seen.success.sum())
    assert ends >= 100
    assert wins <= 0.05 * ends


def _cave(seen):
    """A state of which only the map, the place and what was visited count."""
    blocks = np.full((64, 64), tile.STONE)
    blocks[10, 10:16] = tile.PATH
    blocks[10, 18] = tile.LAVA
    blocks[40, 40] = tile.PATH
    world = types.SimpleNamespace(map=jnp.asarray(blocks), player_position=jnp.array([10, 12]))
    visited = jnp.zeros(64 * 64, jnp.uint8).at[:seen].set(1).reshape(64, 64)
    return State(world, visited, jnp.int32(0))


@needs_craftax
def test_exploring_a_cave_begins_beside_lava_and_succeeds_once():
    task = envs.make("craft/lava-explore")
    assert (task.goal, task.start, task.spec.max_steps) == ("lava-explore", "cave", 500)
    assert _beside_lava(_cave(0).world.map).tolist() == [10, 15]
    flags = [bool(task.success(_cave(a), 0, _cave(b), None)) for a, b in ((38, 39), (39, 40), (40, 41))]
    assert flags == [False, True, False]
    burnt = _cave(40)
    burnt.world.player_position = jnp.array([10, 18])
    assert not task.success(_cave(39), 0, burnt, None)
