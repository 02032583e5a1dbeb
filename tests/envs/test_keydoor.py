"""The key and the door: rules by scripted scenes, and the fewest steps by search."""

import collections
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.envs import make, reset, step
from rlkit.envs.keydoor import ACTIONS, KeyDoor
from rlkit.errors import UsageError

ENV = make("nav/keydoor", size=6)
PARAMS = ENV.default_params()
STEP = jax.jit(lambda state, action, key: step(ENV, key, state, action, PARAMS))
MANY = 64


@functools.cache
def _starts():
    return jax.jit(jax.vmap(lambda key: reset(ENV, key, PARAMS)[1]))(
        jax.random.split(jax.random.key(0), MANY)
    )


def _scene(position, key=(0, 0), door=(2, 3), goal=(5, 5), has_key=False, open=False):
    state = jax.tree.map(lambda x: x[0], _starts())
    place = lambda xy: jnp.array(xy, jnp.int32)
    inner = state.inner._replace(
        position=place(position), key=place(key), door=place(door), goal=place(goal),
        has_key=jnp.array(has_key), open=jnp.array(open),
    )  # fmt: skip
    return state._replace(inner=inner)


def _do(scene, name):
    return STEP(scene, jnp.int32(ACTIONS.index(name)), jax.random.key(0))


def test_the_key_is_taken_where_it_lies_and_by_use_alone():
    assert not _do(_scene((1, 0)), "left").features["has_key"]  # stepped on
    assert _do(_scene((0, 0)), "use").features["has_key"]
    assert not _do(_scene((1, 0)), "use").features["has_key"]


def test_the_door_opens_from_beside_it_with_the_key_alone():
    assert _do(_scene((1, 3), has_key=True), "use").features["door_open"]
    assert not _do(_scene((1, 3)), "use").features["door_open"]
    assert not _do(_scene((1, 2), has_key=True), "use").features["door_open"]
    standing_on_it = _do(_scene((0, 0), door=(2, 0)), "use")  # takes the key two cells from the door
    assert standing_on_it.features["has_key"]
    assert not standing_on_it.features["door_open"]


@pytest.mark.parametrize(("open", "row", "passes"), [(False, 3, False), (True, 3, True), (True, 2, False)])
def test_the_wall_is_passed_through_the_open_door_alone(open, row, passes):
    out = _do(_scene((1, row), has_key=open, open=open), "right")
    assert out.features["position"].tolist() == ([2, row] if passes else [1, row])
    assert bool(out.features["bumped"]) == (not passes)


def test_the_goal_ends_the_episode_and_pays():
    out = _do(_scene((5, 4), has_key=True, open=True), "up")
    assert (float(out.reward), bool(out.terminated), bool(out.success)) == (1.0, True, True)
    assert int(out.features["stage"]) == 3
    assert float(ENV.fitness(out.state.inner, PARAMS)) == 1.0
    assert float(_do(_scene((5, 4), has_key=True, open=True), "down").reward) == 0.0


def _search(state):
    """Fewest steps by breadth-first search over (position, key, door), with the rules written anew."""
    key, door, goal = (tuple(map(int, x)) for x in (state.key, state.door, state.goal))
    begin = (tuple(map(int, state.position)), bool(state.has_key), bool(state.open))
    seen, queue = {begin: 0}, collections.deque([begin])
    while queue:
        (x, y), has, open = now = queue.popleft()
        if (x, y) == goal:
            return seen[now]
        following = [
            ((x, y), has or (x, y) == key, open or (has and abs(x - door[0]) + abs(y - door[1]) == 1))
        ]
        for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            new = (x + dx, y + dy)
            inside = all(0 <= c < ENV.size for c in new)
            if inside and (new[0] != door[0] or (open and new == door)):
                following.append((new, has, open))
        for state in following:
            if state not in seen:
                seen[state] = seen[now] + 1
                queue.append(state)
    raise AssertionError("no way to the goal")


def test_every_start_can_be_solved_and_the_fewest_steps_are_exact():
    starts = jax.tree.map(np.asarray, _starts().inner)
    unlocked = starts._replace(has_key=np.ones(MANY, bool))
    opened = unlocked._replace(open=np.ones(MANY, bool))
    for states in (starts, unlocked, opened):
        said = jax.vmap(lambda s: ENV.features(s, PARAMS)["steps_left"])(states)
        found = [_search(jax.tree.map(lambda x, i=i: x[i], states)) for i in range(MANY)]
        np.testing.assert_array_equal(said, found)
    assert (starts.key[:, 0] < starts.door[:, 0]).all()
    assert (starts.goal[:, 0] > starts.door[:, 0]).all()
    assert {(x, y) for x, y in starts.position.tolist()} >= set(itertools.product((0, 1), range(6)))


def test_slipping_replaces_actions_as_often_as_said():
    still = _scene((1, 1))
    slippery = PARAMS._replace(slip=jnp.float32(0.5))
    after = jax.vmap(lambda key: ENV.transition(key, still.inner, jnp.int32(4), slippery))
    moved = after(jax.random.split(jax.random.key(0), 4000)).position != still.inner.position
    np.testing.assert_allclose(moved.any(1).mean(), 0.5 * 3 / 5, atol=0.03)  # to the right there is the wall


def test_chance_does_not_succeed():
    env = make("nav/keydoor")
    params = env.default_params()

    def episode(key):
        _, state = reset(env, key, params)

        def body(carry, k):
            state, won = carry
            out = step(env, k, state, jax.random.randint(k, (), 0, len(ACTIONS)), params)
            return (out.state, won | out.success), None

        return jax.lax.scan(body, (state, False), jax.random.split(key, 100))[0][1]

    assert jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(1), 2000)).mean() < 0.02


def test_a_room_needs_space():
    with pytest.raises(UsageError, match="size"):
        KeyDoor(size=4)
