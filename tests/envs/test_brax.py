"""mujoco/* against brax itself."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit import envs
from rlkit.envs.brax_tasks import TASKS
from rlkit.errors import UnknownNameError

pytestmark = [  # brax about itself and jaxopt, MJX about brax
    pytest.mark.filterwarnings(f"ignore:{message}") for message in ("Brax System", "JAXopt", "Accessing")
]

CASES = [(robot, "spring") for robot in TASKS] + [
    ("inverted_pendulum", backend) for backend in ("positional", "generalized", "mjx")
]


def test_options_are_checked_before_anything_is_loaded():
    with pytest.raises(UnknownNameError, match="did you mean 'spring'"):
        envs.make("mujoco/ant", backend="sprung")
    with pytest.raises(UnknownNameError, match="did you mean 'mujoco/hopper'"):
        envs.make("mujoco/hoper")
    with pytest.raises(UnknownNameError, match="option 'robot'"):
        envs.make("mujoco/ant", robot="hopper")


def test_robots_are_values():
    assert envs.make("mujoco/ant") == envs.make("mujoco/ant", backend="spring")
    assert hash(envs.make("mujoco/ant")) == hash(envs.make("mujoco/ant"))
    assert envs.make("mujoco/ant") != envs.make("mujoco/ant", backend="mjx")
    assert envs.make("mujoco/ant") != envs.make("mujoco/hopper")


@pytest.mark.slow
def test_loading_is_silent_and_leaves_no_file(tmp_path):
    program = "from rlkit import envs; import sys; assert 'brax' not in sys.modules; "
    program += "print(envs.make('mujoco/halfcheetah').spec.id)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "mujoco/halfcheetah\n"
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("robot", "backend"), CASES)
def test_steps_are_braxs(robot, backend):
    """Same state, same action: the same observation, end and, recomputed from features, reward."""
    import brax.envs

    native = brax.envs.get_environment(robot, backend=backend)
    env = envs.make(f"mujoco/{robot}", backend=backend)
    params, spec = env.default_params(), env.spec
    key = jax.random.key(3)

    def begin(key):
        obs, state = envs.reset(env, key, params)
        return native.reset(jax.random.split(key)[0]), obs, state

    def step(theirs, state, action):
        # Brax writes into its dictionaries: give it copies.
        theirs = native.step(theirs.replace(metrics=dict(theirs.metrics), info=dict(theirs.info)), action)
        out = envs.step(env, key, state, action, params)
        return theirs, out, env.fitness(out.state.inner, params)

    theirs, obs, state = jax.jit(begin)(key)
    np.testing.assert_array_equal(theirs.obs, obs)
    origin = float(theirs.pipeline_state.x.pos[0, 0])
    step = jax.jit(step)
    rng = np.random.default_rng(0)
    for _ in range(5):
        before = jax.tree.map(np.array, state)
        action = jnp.asarray(rng.uniform(-1, 1, spec.action_space.shape), jnp.float32)
        theirs, out, fitness = step(theirs, state, action)
        jax.tree.map(np.testing.assert_array_equal, before, state)
        np.testing.assert_allclose(theirs.obs, out.obs, atol=1e-5)
        np.testing.assert_allclose(theirs.reward, out.reward, atol=1e-5)
        np.testing.assert_allclose(sum(out.terms.values()), out.reward, atol=1e-5)
        assert bool(theirs.done) == bool(out.terminated)
        assert {f.name: (f.shape, f.dtype) for f in spec.features} == {
            name: (value.shape, str(value.dtype)) for name, value in out.features.items()
        }
        for feature in spec.features:
            assert np.all(out.features[feature.name] >= feature.low), feature.name
            assert np.all(out.features[feature.name] <= feature.high), feature.name
        np.testing.assert_allclose(out.features["last_action"], action)
        state = out.state
    x = np.asarray(theirs.pipeline_state.x.pos, float)
    task = TASKS[robot]
    if task.kind == "reach":
        gap = out.features["fingertip_position"] - out.features["target_position"]
        np.testing.assert_allclose(gap, out.features["target_offset"], atol=1e-6)
        np.testing.assert_allclose(fitness, -np.linalg.norm(gap), atol=1e-6)
    else:
        np.testing.assert_allclose(out.features["torso_position"], x[task.torso], atol=1e-5)
        rotation = np.asarray(theirs.pipeline_state.x.rot[task.torso], float)
        up = 1 - 2 * (rotation[1] ** 2 + rotation[2] ** 2)
        np.testing.assert_allclose(out.features["torso_up"], up, atol=1e-5)
    if task.kind == "run":
        np.testing.assert_allclose(out.features["x_displacement"], x[0, 0] - origin, atol=1e-4)
        np.testing.assert_allclose(fitness, theirs.metrics["x_velocity"], atol=1e-4)
    check_success(env, params, state.inner)
    picture = env.render(jax.device_get(state.inner), params, 96)
    assert picture.shape == (96, 96, 3)
    assert picture.std() > 5


def check_success(env, params, state):
    """Success follows the threshold in the parameters, and never counts after a fall."""
    action = jnp.zeros(env.spec.action_space.shape)
    task = TASKS[env.robot]

    def succeeds(state):
        return bool(env.success(state, action, state, params))

    if task.kind == "run":
        torso = float(state.physics["x"].pos[task.torso, 0])
        reached = state._replace(start=jnp.float32(torso - task.goal - 0.01), healthy=jnp.array(True))
        assert succeeds(reached)
        assert not succeeds(reached._replace(start=jnp.float32(torso - task.goal + 0.01)))
        assert not succeeds(reached._replace(healthy=jnp.array(False)))
    elif task.kind == "balance":
        upright = state._replace(survived=jnp.int32(1000), healthy=jnp.array(True))
        assert succeeds(upright)
        assert not succeeds(upright._replace(survived=jnp.int32(999)))
        assert not succeeds(upright._replace(healthy=jnp.array(False)))
    else:
        near = state._replace(obs=state.obs.at[-3:].set(jnp.array([0.015, 0.01, 0.0])))
        assert succeeds(near)
        assert not succeeds(near._replace(obs=near.obs.at[-3].set(0.03)))
