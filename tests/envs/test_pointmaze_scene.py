"""Point mazes whose walls, boxes, landmarks and headings differ from episode to episode."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from rlkit.envs import make
from rlkit.envs.maze_layouts import named_layout, paths_to, shortest_paths
from rlkit.envs.pointmaze import PointMaze, params_from_layout
from rlkit.errors import UnknownNameError, UsageError

LANES, STEPS = 24, 60
OPEN = make("nav/pointmaze-open-clutter")
ROOMS = make("nav/unicycle-random-rooms-landmarks", actions="discrete")


def _wander(env, params):
    """States ``[STEPS + 1, LANES]`` and features of random drives that go on in one direction for a while."""

    def episode(key):
        state = env.initial(key, params)
        actions = jnp.repeat(jax.vmap(env.spec.action_space.sample)(jax.random.split(key, STEPS // 6)), 6, 0)

        def body(state, action):
            after = env.transition(key, state, action, params)
            return after, (after, env.features(after, params), env.observe(key, after, params))

        _, (states, features, obs) = jax.lax.scan(body, state, actions)
        first = (state, env.features(state, params), env.observe(key, state, params))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, (states, features, obs))

    run = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), LANES))
    return jax.tree.map(lambda x: np.moveaxis(np.asarray(x), 1, 0), run)


@pytest.fixture(scope="module")
def cluttered():
    return _wander(OPEN, OPEN.default_params()._replace(drop_step=jnp.int32(20)))


@pytest.fixture(scope="module")
def driven():
    return _wander(ROOMS, ROOMS.default_params())


def _free_cells(walls):
    graph = nx.grid_2d_graph(*walls.shape)
    graph.remove_nodes_from(map(tuple, np.argwhere(walls)))
    return graph


def _inside(walls, position):
    """Whether a disc of radius 0.1 overlaps a wall cell by more than rounding."""
    y, x = np.nonzero(walls)
    low = np.stack([x, y], -1)
    return np.linalg.norm(position - np.clip(position, low, low + 1), axis=-1).min() < 0.1 - 1e-4


SLOW = pytest.mark.slow  # every one of these compiles a program of its own


@pytest.mark.parametrize("name", ["large", "rooms"])
def test_paths_to_one_cell_are_a_row_of_all_paths(name):
    walls = jnp.asarray(named_layout(name))
    cells = jnp.flatnonzero(~walls.reshape(-1))
    rows = jax.jit(jax.vmap(lambda cell: paths_to(walls, cell)))(cells)
    np.testing.assert_allclose(rows, shortest_paths(walls)[cells], rtol=1e-5)


def test_rooms_are_drawn_for_each_episode_and_their_goal_is_reachable(driven):
    states, features, _ = driven
    walls, goals = states.scene.walls[0], states.goal[0]
    assert len({w.tobytes() for w in walls}) > LANES // 2
    assert np.array_equal(states.scene.walls[-1], walls)  # and stay as they are
    width = walls.shape[-1]
    for lane in range(4):
        ways = np.asarray(shortest_paths(jnp.asarray(walls[lane])))[goals[lane]]
        np.testing.assert_allclose(states.scene.distance[0, lane], ways, rtol=1e-5)
        x, y = np.floor(states.position[0, lane]).astype(int)
        np.testing.assert_allclose(states.initial_path[0, lane], ways[y * width + x], rtol=1e-5)
    assert (states.initial_path[0] >= 1).all()
    assert np.isfinite(features["path_distance"]).all()
    for t in range(0, STEPS, 7):
        for lane in range(LANES):
            assert not _inside(walls[lane], states.position[t, lane])


@SLOW
def test_far_rooms_are_far():
    env = PointMaze("random-rooms", far=True)
    params = env.default_params()
    begin = jax.jit(jax.vmap(lambda key: env.initial(key, params)))(jax.random.split(jax.random.key(1), 64))
    assert float((begin.initial_path >= 12.0 - 1e-3).mean()) >= 0.95  # the rest: as far as doors allow
    assert float(begin.initial_path.min()) >= 10.0
    assert env.spec.id == "nav/pointmaze-random-rooms-far"


@SLOW
def test_boxes_drop_at_their_step_and_never_cut_off_the_goal(cluttered):
    states, features, _ = cluttered
    before, boxes, goals = states.scene.walls[0], states.scene.boxes[0], states.goal[0]
    assert np.array_equal(before, np.broadcast_to(named_layout("open"), before.shape))
    assert (boxes.sum((1, 2)) <= 12).all()
    assert boxes.sum((1, 2)).mean() >= 11.5
    assert not (boxes & before).any()
    np.testing.assert_array_equal(
        features["clutter_dropped"], (np.arange(STEPS + 1) > 20)[:, None].repeat(LANES, 1)
    )
    np.testing.assert_array_equal(states.scene.walls[20], before)
    after = states.scene.walls[21]
    np.testing.assert_array_equal(states.scene.walls[-1], after)
    held = 0
    for lane in range(LANES):
        left = boxes[lane] & ~after[lane]
        held += left.sum()
        np.testing.assert_array_equal(after[lane] | left, before[lane] | boxes[lane])
        for y, x in np.argwhere(left):  # the agent was there
            low = np.array([x, y])
            position = states.position[20, lane]
            assert np.linalg.norm(position - np.clip(position, low, low + 1)) <= 0.1 + 1e-5
        rng = np.random.default_rng(lane)
        for fallen in (boxes[lane], boxes[lane] & (rng.random(boxes[lane].shape) < 0.5)):
            assert nx.is_connected(_free_cells(before[lane] | fallen))
        assert not boxes[lane].reshape(-1)[goals[lane]]
        for t in range(21, STEPS, 7):
            assert not _inside(after[lane], states.position[t, lane])
    assert held < 12
    assert np.isfinite(features["path_distance"]).all()
    ways = np.asarray(shortest_paths(jnp.asarray(after[0])))[goals[0]]
    free = ~after[0].reshape(-1)
    if not (boxes[0] & ~after[0]).any():
        np.testing.assert_allclose(states.scene.distance[-1, 0][free], ways[free], rtol=1e-5)


@SLOW
def test_where_no_box_fits_none_is_placed():
    env = PointMaze("umaze", clutter=3)  # one corridor: any box would cut it
    state = jax.jit(env.initial)(jax.random.key(0), env.default_params())
    assert np.asarray(state.scene.boxes).sum() <= 2  # at most in the two dead ends behind start and goal
    assert nx.is_connected(_free_cells(np.asarray(state.scene.walls | state.scene.boxes)))


def test_landmarks_are_seen_near_and_in_sight_alone(driven):
    states, features, obs = driven
    cells, width = states.scene.landmarks, states.scene.walls.shape[-1]
    for lane in range(LANES):
        spots = cells[0, lane]
        assert len({*spots, states.goal[0, lane]}) == 7
        assert not states.scene.walls[0, lane].reshape(-1)[spots].any()
    centres = np.stack([cells % width, cells // width], -1) + 0.5
    offset = centres - states.position[:, :, None]
    distance = np.linalg.norm(offset, axis=-1)
    np.testing.assert_allclose(features["landmark_distance"], distance, atol=1e-4)
    np.testing.assert_array_equal(features["landmark_reached"], distance <= 0.45)
    share = np.linspace(0, 1, 300)[:, None, None, None, None]
    x, y = np.moveaxis(np.floor(states.position[:, :, None] + share * offset).astype(int), -1, 0)
    clear = ~states.scene.walls[
        np.arange(STEPS + 1)[:, None, None], np.arange(LANES)[None, :, None], y, x
    ].any(0)
    seen = features["landmark_visible"]
    assert (seen == (clear & (distance <= 3.0))).mean() > 0.999
    assert 0.02 < seen.mean() < 0.9
    shown = obs[..., 26:-6].reshape(*seen.shape, 6)
    np.testing.assert_array_equal(obs[..., -6:], seen)
    assert (shown[~seen] == 0).all()
    np.testing.assert_array_equal(shown[seen][:, 2], features["landmark_distance"][seen])
    np.testing.assert_array_equal(shown[seen][:, 3:].argmax(-1), features["landmark_kind"][seen])
    assert set(np.unique(features["landmark_kind"])) == {0, 1, 2}


@SLOW
def test_a_unicycle_drives_in_circles_and_its_rays_turn_with_it():
    env = PointMaze("open", drive="unicycle", frame_skip=1)
    params = env.default_params()
    begin = env.initial(jax.random.key(0), params)
    scene = begin.scene._replace(heading=jnp.float32(0.5))
    begin = begin._replace(position=jnp.array([6.0, 4.5]), scene=scene)

    def once(state, action):
        after = env.transition(jax.random.key(0), state, action, params)
        return after, (after.position, after.scene.heading)

    drive = jax.jit(lambda s, a: jax.lax.scan(lambda s, _: once(s, a), s, length=100))
    ahead, _ = drive(begin, jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(ahead.position, [6 + np.cos(0.5), 4.5 + np.sin(0.5)], atol=1e-4)  # 1 m
    _, (places, headings) = drive(begin, jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(headings, 0.5 + 0.04 * np.arange(1, 101), rtol=1e-4)
    radius = 2.0 / 4.0  # speed over rate of turning
    centre = np.array([6.0, 4.5]) + radius * np.array([-np.sin(0.5), np.cos(0.5)])
    np.testing.assert_allclose(np.linalg.norm(places - centre, axis=-1), radius, atol=0.02)
    looking = [
        env.features(begin._replace(scene=scene._replace(heading=jnp.float32(a))), params)["rays"]
        for a in (0.0, np.pi / 2)
    ]
    np.testing.assert_allclose(looking[1], np.roll(looking[0], -4), atol=1e-4)


def test_bad_choices_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'unicycle'"):
        PointMaze(drive="unicycl")
    with pytest.raises(UnknownNameError, match="did you mean 'random-rooms'"):
        PointMaze("random-room")
    with pytest.raises(UsageError, match="clutter=100: expected an integer, 0 to 68"):
        PointMaze("open", clutter=100)
    with pytest.raises(UsageError, match="landmarks=-1: expected an integer"):
        PointMaze("open", landmarks=-1)


@pytest.mark.parametrize(
    ("walls", "message"),
    [
        (np.ones((5, 5), bool), "0 free cells, none beside another: there is no path"),
        (np.pad(np.eye(4, dtype=bool)[:, ::-1] == 0, 1, constant_values=True), "4 free cells, none beside"),
        (np.zeros((5, 5), bool), "the border of a layout must be wall"),
        (np.ones(5, bool), r"walls of shape \(5,\): expected \[height, width\]"),
    ],
)
def test_a_layout_without_a_path_is_refused(walls, message):
    with pytest.raises(UsageError, match=message):
        params_from_layout(walls)


@SLOW
def test_pictures_show_walls_landmarks_and_heading(cluttered, driven):
    for env, (states, _, _) in ((OPEN, cluttered), (ROOMS, driven)):
        params = env.default_params()
        at = lambda t: env.render(jax.tree.map(lambda x: x[t, 0], states), params, 96)  # noqa: B023
        assert at(0).shape == (96, 96, 3)
        assert (at(0) != at(-1)).any()
