"""The point maze: its dynamics, its walls, its senses and its paths."""

import itertools
import math

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from rlkit.envs import make, reset, rollout, start
from rlkit.envs.maze_geometry import along_path, cast_rays, cell_of
from rlkit.envs.maze_layouts import NAMES, named_layout, random_clutter, random_rooms, shortest_paths
from rlkit.envs.pointmaze import PointMaze, params_from_layout
from rlkit.errors import UnknownNameError, UsageError

LARGE = named_layout("large")
HEIGHT, WIDTH = LARGE.shape
ENV = make("nav/pointmaze-large")
PARAMS = ENV.default_params()


def _clearance(walls, points):
    """Distance from points to the nearest wall cell, by brute force in NumPy."""
    y, x = np.nonzero(walls)
    low = np.stack([x, y], -1)
    nearest = np.clip(points[..., None, :], low, low + 1)
    return np.linalg.norm(points[..., None, :] - nearest, axis=-1).min(-1)


def _graph(walls):
    """The graph of free cells, built cell by cell."""
    height, width = walls.shape
    graph = nx.Graph()
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                ends = [(y, x), (y + dy, x + dx)]
                cells = [*ends, (y + dy, x), (y, x + dx)]
                if all(0 <= r < height and 0 <= c < width and not walls[r, c] for r, c in cells):
                    graph.add_edge(*(r * width + c for r, c in ends), weight=math.hypot(dy, dx))
    return graph


@pytest.fixture(scope="module")
def wandering():
    """64 slots that push at full force in directions which change now and then; frame_skip 10."""
    env = make("nav/pointmaze-large", frame_skip=10)
    rng = np.random.default_rng(0)
    angle = np.repeat(rng.uniform(0, 2 * np.pi, (8, 64)), 10, axis=0)
    actions = np.stack([np.cos(angle), np.sin(angle)], -1) * np.sqrt(2)

    @jax.jit
    def run(actions):
        slots = start(env, jax.random.key(0), PARAMS, 64)
        act = lambda carry, obs, first, a: (a, carry, {})
        return rollout(env, act, (), slots, jax.random.key(1), PARAMS, 80, inputs=actions)[2]

    return jax.tree.map(np.asarray, run(jnp.asarray(actions, jnp.float32)).transition)


def test_never_inside_a_wall_and_never_through_one(wandering):
    f, g = wandering.features, wandering.next_features
    for positions in (f["position"], g["position"]):
        assert _clearance(LARGE, positions).min() >= 0.1 - 1e-4
    assert g["speed"].max() > 5.0
    assert g["collision"].mean() > 0.2
    # A decision moves at most 0.53 m per axis: to a neighbouring cell, which must be connected.
    lengths = np.asarray(PARAMS.distance)[f["cell"], g["cell"]]
    assert lengths.max() <= 2.0


def test_features_agree_with_one_another(wandering):
    g, f = wandering.next_features, wandering.features
    np.testing.assert_allclose(g["speed"], np.linalg.norm(g["velocity"], axis=-1), rtol=1e-5)
    offset = g["goal_position"] - g["position"]
    np.testing.assert_allclose(g["goal_distance"], np.linalg.norm(offset, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(g["goal_direction"] * g["goal_distance"][..., None], offset, atol=1e-5)
    np.testing.assert_array_equal(g["at_goal"], g["goal_distance"] <= 0.45)
    np.testing.assert_array_equal(g["at_goal"], wandering.terminated)
    np.testing.assert_array_equal(g["at_goal"], wandering.success)
    np.testing.assert_array_equal(g["at_goal"], wandering.reward)
    assert wandering.success.any()
    np.testing.assert_array_equal(g["min_ray"], g["rays"].min(-1))
    np.testing.assert_array_equal(g["cells_visited"] - f["cells_visited"], g["new_cell"])
    moved = np.linalg.norm(g["position"] - f["position"], axis=-1)
    np.testing.assert_allclose(g["travelled"] - f["travelled"], moved, atol=1e-4)
    np.testing.assert_allclose(g["odometry"] - f["odometry"], g["position"] - f["position"], atol=1e-4)


def test_observation_hides_the_goal_unless_it_is_seen(wandering):
    obs, g = wandering.next_obs, wandering.next_features
    np.testing.assert_array_equal(obs[..., :16], g["rays"])
    np.testing.assert_array_equal(obs[..., 16:18], g["velocity"])
    np.testing.assert_array_equal(obs[..., 21], g["goal_visible"])
    np.testing.assert_array_equal(obs[..., 22:], g["odometry"])
    seen = g["goal_visible"]
    assert 0.05 < seen.mean() < 0.95
    assert (obs[~seen][:, 18:21] == 0).all()
    np.testing.assert_array_equal(obs[seen][:, 18:20], g["goal_direction"][seen])
    np.testing.assert_array_equal(obs[seen][:, 20], g["goal_distance"][seen])
    # oracle for the line of sight: samples along it
    share = np.linspace(0, 1, 400)[:, None, None, None]
    points = g["position"] + share * (g["goal_position"] - g["position"])
    x, y = np.floor(points).astype(int)[..., 0], np.floor(points).astype(int)[..., 1]
    clear = ~LARGE[y, x].any(0) & (g["goal_distance"] <= 3.0)
    assert (clear == seen).mean() > 0.999


def test_rays_equal_slab_tests_against_every_wall_cell():
    rng = np.random.default_rng(1)
    y, x = np.nonzero(~LARGE)
    origins = (np.stack([x, y], -1) + rng.uniform(0.1, 0.9, (len(x), 2))).astype(np.float32)
    angles = np.concatenate([2 * np.pi * np.arange(16) / 16, rng.uniform(0, 2 * np.pi, 16)])
    directions = np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
    ours = jax.jit(jax.vmap(lambda o: cast_rays(jnp.asarray(LARGE), o, jnp.asarray(directions), 4)))(origins)
    wy, wx = np.nonzero(LARGE)
    low = np.stack([wx, wy], -1).astype(float)
    with np.errstate(divide="ignore"):
        inverse = 1 / directions.astype(float)
    a = (low - origins[:, None, None]) * inverse[:, None]
    b = (low + 1 - origins[:, None, None]) * inverse[:, None]
    enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    hit = np.where((enter <= leave) & (enter > 0), enter, np.inf).min(-1)
    # rays that graze a corner may differ
    difference = np.abs(np.minimum(hit, 4) - ours)
    assert (difference < 1e-4).mean() > 0.999


@pytest.mark.parametrize("name", NAMES)
def test_shortest_paths_equal_dijkstra(name):
    walls = named_layout(name)
    ours = np.asarray(jax.jit(shortest_paths)(walls))
    graph = _graph(walls)
    expected = np.full_like(ours, np.inf)
    free = np.flatnonzero(~walls.ravel())
    expected[free, free] = 0
    for begin, lengths in nx.all_pairs_dijkstra_path_length(graph):
        for end, length in lengths.items():
            expected[begin, end] = length
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    assert walls[[0, -1]].all()
    assert walls[:, [0, -1]].all()


def test_path_distance_falls_steadily_along_the_path_and_is_continuous():
    graph = _graph(LARGE)
    goal, far = 1 * WIDTH + 1, 7 * WIDTH + 10
    cells = nx.shortest_path(graph, far, goal, weight="weight")
    corners = np.array([(c % WIDTH + 0.5, c // WIDTH + 0.5) for c in cells])
    share = np.linspace(0, 1, 50, endpoint=False)[:, None]
    fine = np.concatenate([a + share * (b - a) for a, b in itertools.pairwise(corners)])
    path = jax.jit(jax.vmap(lambda p: along_path(PARAMS.distance[goal], WIDTH, p)))
    length, direction = path(jnp.asarray(fine, jnp.float32))
    np.testing.assert_allclose(length, len(cells) - 1 - np.arange(len(fine)) / 50, atol=1e-4)
    step = np.diff(fine, axis=0)
    assert (np.sum(step * direction[:-1], -1) > 0.5 / 50).all()
    # everywhere that a disc of radius 0.1 can be: a small move makes a small difference
    rng = np.random.default_rng(2)
    y, x = np.nonzero(~LARGE)
    points = np.repeat(np.stack([x, y], -1), 400, axis=0) + rng.uniform(0, 1, (400 * len(x), 2))
    near = points + rng.normal(size=points.shape) * 1e-3
    clear = (_clearance(LARGE, points) > 0.1) & (_clearance(LARGE, near) > 0.1)
    a, b = (np.asarray(path(jnp.asarray(p, jnp.float32))[0]) for p in (points, near))
    assert np.isfinite(a).all()
    assert (a >= 0).all()
    ratio = np.abs(a - b)[clear] / np.linalg.norm(points - near, axis=-1)[clear]
    assert ratio.max() < 6


def test_goal_is_where_the_path_ends():
    free = np.flatnonzero(~LARGE.ravel())
    centres = np.stack([free % WIDTH, free // WIDTH], -1) + 0.5
    lengths, _ = jax.vmap(lambda g, p: along_path(PARAMS.distance[g], WIDTH, p))(free, jnp.float32(centres))
    np.testing.assert_array_equal(lengths, 0)


@pytest.mark.parametrize(("layout", "least"), [("umaze", 6.0), ("large", 18.0)])
def test_starts_and_goals_are_far_apart_and_all_pairs_come_up(layout, least):
    env = PointMaze(layout, far=True)
    params = env.default_params()
    state = jax.jit(jax.vmap(lambda k: env.initial(k, params)))(jax.random.split(jax.random.key(0), 4000))
    width = params.walls.shape[1]
    begin = jax.vmap(lambda p: cell_of(p, width))(state.position)
    lengths = np.asarray(params.distance)[begin, state.goal]
    assert lengths.min() >= least - 1e-3
    np.testing.assert_allclose(lengths, state.initial_path)
    distance = np.asarray(params.distance)
    admitted = np.isfinite(distance) & (distance >= least - 1e-3)
    counts = np.zeros_like(distance)
    np.add.at(counts, (np.asarray(begin), np.asarray(state.goal)), 1)
    assert (counts[~admitted] == 0).all()
    # Pearson's statistic against the uniform distribution over the admitted pairs
    expected = 4000 / admitted.sum()
    statistic = ((counts[admitted] - expected) ** 2 / expected).sum()
    dof = admitted.sum() - 1
    assert abs(statistic - dof) < 5 * np.sqrt(2 * dof)
    assert _clearance(np.asarray(params.walls), np.asarray(state.position)).min() >= 0.25 - 1e-5


def test_random_layouts_work_under_vmap_in_one_program():
    @jax.jit
    @jax.vmap
    def run(key):
        walls = random_clutter(key)
        params = params_from_layout(walls, 4.0, max_steps=50)
        slots = start(ENV, key, params, 4, record=("position",))
        act = lambda carry, obs, first, k: (jax.random.uniform(k, (4, 2), minval=-1), carry, {})
        out = rollout(ENV, act, (), slots, key, params, 50, inputs=jax.random.split(key, 50),
                      record=("position",))[2]  # fmt: skip
        return params, out.transition.next_features["position"]

    params, positions = jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(0), 6)))
    assert len({walls.tobytes() for walls in params.walls}) == 6
    for walls, position in zip(params.walls, positions, strict=True):
        assert _clearance(walls, position.reshape(-1, 2)).min() >= 0.1 - 1e-4


def test_random_rooms_are_connected_and_differ():
    keys = jax.random.split(jax.random.key(0), 20)
    for options in ({}, {"rooms": (3, 2), "room_size": 3}):
        layouts = np.asarray(jax.vmap(lambda k: random_rooms(k, **options))(keys))  # noqa: B023
        assert len({walls.tobytes() for walls in layouts}) > 15
        for walls in layouts:
            graph = _graph(walls)
            assert nx.is_connected(graph)
            assert graph.number_of_nodes() == (~walls).sum()
    assert random_rooms(keys[0]).shape == named_layout("rooms").shape


def test_a_layout_without_far_pairs_uses_the_farthest():
    params = params_from_layout(named_layout("umaze"), 100.0)
    assert int(params.num_pairs) == 2
    state = PointMaze().initial(jax.random.key(0), params)
    assert float(state.initial_path) == 6.0


def test_frame_skip_is_so_many_steps_of_one():
    one, five = PointMaze("large", frame_skip=1), PointMaze("large", frame_skip=5)
    _, state = reset(one, jax.random.key(0), PARAMS)
    action, key = jnp.array([0.7, -0.4]), jax.random.key(0)
    step = jax.jit(lambda s: one.transition(key, s, action, PARAMS))
    repeated = state.inner
    for _ in range(5):
        repeated = step(repeated)
    at_once = jax.jit(lambda s: five.transition(key, s, action, PARAMS))(state.inner)
    np.testing.assert_allclose(at_once.position, repeated.position, rtol=1e-6)
    np.testing.assert_allclose(at_once.velocity, repeated.velocity, rtol=1e-6)


def test_discrete_actions_are_eight_directions_and_none():
    env = make("nav/pointmaze-open", actions="discrete", frame_skip=1)
    params = env.default_params()
    _, state = reset(env, jax.random.key(0), params)
    inner = state.inner._replace(position=jnp.array([6.0, 4.0]))
    move = jax.jit(jax.vmap(lambda a: env.transition(jax.random.key(0), inner, a, params).velocity))
    velocity = np.asarray(move(jnp.arange(9)))
    assert env.spec.action_space.names[1] == "east"
    np.testing.assert_array_equal(velocity[0], 0)
    np.testing.assert_allclose(np.linalg.norm(velocity[1:], axis=-1), velocity[1, 0], rtol=1e-5)
    angles = np.arctan2(velocity[1:, 1], velocity[1:, 0]) % (2 * np.pi)
    np.testing.assert_allclose(angles, np.arange(8) * np.pi / 4, atol=1e-6)


def test_global_observation_shows_the_goal_and_the_place():
    env = make("nav/pointmaze-large", observation="global")
    obs, state = jax.jit(lambda k: reset(env, k, PARAMS))(jax.random.key(0))
    np.testing.assert_array_equal(obs[22:], state.inner.position)
    assert float(obs[20]) > 0
    assert not env.spec.partial_obs
    assert env.spec.feature("goal_position").observable
    assert not ENV.spec.feature("goal_position").observable


def test_odometry_drifts_with_the_way():
    drifting = PARAMS._replace(odometry_drift=jnp.float32(0.2))
    state = ENV.initial(jax.random.key(0), drifting)
    assert 0 < float(jnp.abs(state.drift).max()) <= 0.2
    after = ENV.transition(jax.random.key(0), state, jnp.array([1.0, 1.0]), drifting)
    error = after.odometry - (after.position - state.position)
    np.testing.assert_allclose(error, after.travelled * state.drift, atol=1e-6)


def test_fitness_is_the_share_of_the_way():
    state = ENV.initial(jax.random.key(1), PARAMS._replace(start_noise=jnp.float32(0)))
    assert float(ENV.fitness(state, PARAMS)) == pytest.approx(0.0)
    goal = jnp.array([state.goal % WIDTH, state.goal // WIDTH]) + 0.5
    assert float(ENV.fitness(state._replace(position=goal), PARAMS)) == 1.0


def test_the_dense_variant_pays_for_being_near_and_goes_on():
    env = make("nav/pointmaze-umaze", dense=True)
    params = env.default_params()._replace(start_noise=jnp.float32(0))
    state, still, width = env.initial(jax.random.key(1), params), jnp.zeros(2), params.walls.shape[1]
    goal = jnp.array([state.goal % width, state.goal // width]) + 0.5
    for at, way in ((state, float(state.initial_path)), (state._replace(position=goal), 0.0)):
        seen = env.features(at, params)
        reward, terms = env.task_reward(seen, still, seen, params)
        assert float(reward) == float(terms["closeness"]) == pytest.approx(np.exp(-way))
        assert bool(env.success(at, still, at, params)) == (way == 0)
        assert not env.terminated(at, still, at, params)
    assert env.spec.id == "nav/pointmaze-umaze-dense"
    assert "exp" in env.spec.native_reward


def test_bad_choices_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'umaze'"):
        PointMaze("umase")
    with pytest.raises(UsageError, match="did you mean 'discrete'"):
        make("nav/pointmaze-umaze", actions="discret")
    with pytest.raises(ValueError, match="frame_skip=0"):
        make("nav/pointmaze-umaze", frame_skip=0)


@pytest.mark.parametrize(
    ("id", "most"), [("nav/pointmaze-large-far", 0.005), ("nav/pointmaze-umaze-far", 0.08)]
)
def test_far_tasks_are_sparse(id, most):
    env = make(id)
    params, steps = env.default_params(), env.spec.max_steps

    @jax.jit
    def run(key):
        slots = start(env, key, params, 1024, record=())
        act = lambda carry, obs, first, k: (jax.random.uniform(k, (1024, 2), minval=-1.0), carry, {})
        t = rollout(env, act, (), slots, key, params, steps, inputs=jax.random.split(key, steps), record=())[
            2
        ]
        before = jnp.cumsum(t.transition.done, 0) - t.transition.done
        return jnp.any(t.transition.success & (before == 0), 0).mean()

    assert float(run(jax.random.key(0))) <= most


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_free_space_equals_gymnasium_robotics(dtype, x64):
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    oracle = gymnasium.make("PointMaze_Open-v3", continuing_task=True).unwrapped
    oracle.reset(seed=0)
    oracle.point_env.set_state(np.zeros(2), np.zeros(2))
    env = PointMaze("open", frame_skip=1)
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
    params = jax.tree.map(cast, env.default_params())
    exact = (4 / 3 * math.pi * 0.1**3 * 1000, 0.01)
    params = params._replace(mass=jnp.asarray(exact[0], dtype), dt=jnp.asarray(exact[1], dtype))
    state = jax.tree.map(cast, env.initial(jax.random.key(0), params))
    begin = np.array([6.0, 4.5])
    state = state._replace(position=jnp.asarray(begin, dtype))
    step = jax.jit(lambda s, a: env.transition(jax.random.key(0), s, a, params))
    worst = 0.0
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.uniform(-1, 1, 2)
        oracle.step(action)
        state = step(state, jnp.asarray(action, dtype))
        assert state.position.dtype == dtype
        error = np.abs(np.concatenate([state.position - begin - oracle.point_env.data.qpos,
                                       state.velocity - oracle.point_env.data.qvel]))  # fmt: skip
        worst = max(worst, error.max())
    assert worst <= (1e-12 if dtype == "float64" else 1e-4)
