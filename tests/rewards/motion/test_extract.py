"""Features against MuJoCo, closed forms and simulations."""

import jax
import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import motion
from rlkit.rewards.motion import on_device, on_host

DT = 1 / 30


def test_derivatives_are_those_of_mujoco(standing, clean):
    rng = np.random.default_rng(0)
    q = clean[0, :8].copy()
    q[:, 3:7] = rng.normal(size=(8, 4))  # large turns, both signs of w
    q[:, 3:7] /= np.linalg.norm(q[:, 3:7], axis=1, keepdims=True)
    q[3, 3:7] = q[2, 3:7]  # no turn at all
    q[5, 3:7] = -q[4, 3:7]  # the same rotation
    for host, device in zip(
        on_host.derivatives(standing, q, DT),
        on_device.derivatives(standing, q.astype(np.float32), DT),
        strict=True,
    ):
        np.testing.assert_allclose(device, host, atol=2e-4 * np.abs(host).max())


def test_a_simulated_motion_needs_no_force_from_nowhere(standing, clean):
    """With the simulation's own velocities and accelerations the root is free to 1e-3 of the weight."""
    model = standing.model
    data = mujoco.MjData(model)
    data.qpos[:] = clean[0, 0]
    rows = []
    for _ in range(12):
        mujoco.mj_forward(model, data)
        rows.append((data.qpos.copy(), data.qvel.copy(), data.qacc.copy()))
        for _ in range(4):
            mujoco.mj_step(model, data)
    q, v, a = (np.array(x) for x in zip(*rows, strict=True))
    seen = motion.motion_features(standing, q, 4 * model.opt.timestep, v, a)
    assert np.abs(seen.root_residual[:, :3]).max() < 1e-3 * standing.weight
    floating = motion.motion_features(standing, np.repeat(q[:1], 5, 0) + np.eye(28)[2], DT)
    np.testing.assert_allclose(floating.root_residual[:, 2], standing.weight, rtol=1e-5)


def test_features_of_a_body_that_moves_as_a_whole(standing, clean):
    """Uniform speed: everything moves with it, nothing accelerates, heights are those of the points."""
    q = np.repeat(clean[0, :1], 6, 0)
    q[:, 0] += 0.3 * DT * np.arange(6)
    seen = motion.motion_features(standing, q, DT)
    np.testing.assert_allclose(seen.body_velocity[..., 0], 0.3, atol=1e-4)
    np.testing.assert_allclose(seen.foot_velocity[..., 0], 0.3, atol=1e-4)
    assert np.abs(seen.body_acceleration).max() < 1e-3
    np.testing.assert_allclose(seen.time, DT * np.arange(1, 5), rtol=1e-6)
    data = mujoco.MjData(standing.model)
    data.qpos[:] = q[1]
    mujoco.mj_forward(standing.model, data)
    np.testing.assert_allclose(seen.com[0], data.subtree_com[1], atol=1e-6)
    low = min(c.dist for c in data.contact)
    np.testing.assert_allclose(seen.foot_point[0, :, 2].min(), low, atol=1e-6)
    np.testing.assert_allclose(seen.floor_penetration[0], max(-low, 0.0), atol=1e-6)


def test_limits_and_contacts_with_itself(standing, clean):
    q = np.repeat(clean[0, :1], 3, 0)
    knee = standing.hinge_qpos[standing.hinge_names.index("left_knee")]
    hip = standing.hinge_qpos[standing.hinge_names.index("left_hip_x")]
    q[:, knee] = -0.25
    seen = motion.motion_features(standing, q, DT)
    np.testing.assert_allclose(seen.limit_excess, [0.25], atol=1e-6)
    assert float(seen.self_penetration[0]) == 0.0
    q[:, knee], q[:, hip] = 0.5, -0.4  # the left leg into the right one
    seen = motion.motion_features(standing, q, DT)
    data = mujoco.MjData(standing.model)
    data.qpos[:] = q[1]
    mujoco.mj_forward(standing.model, data)
    own = [c for c in data.contact if 0 not in c.geom and c.dist < 0]
    assert own
    np.testing.assert_allclose(seen.self_penetration[0], -min(c.dist for c in own), atol=1e-6)
    touching = {int(g) for c in own for g in c.geom}
    np.testing.assert_allclose(seen.self_contact[0], len(touching) / (standing.model.ngeom - 1), atol=1e-6)


def test_zero_moment_point_of_rest_is_below_the_centre_of_mass(standing, clean):
    q = np.repeat(clean[0, :1], 4, 0)
    seen = motion.motion_features(standing, q, DT)
    np.testing.assert_allclose(motion.zero_moment_point(seen), seen.com[:, :2], atol=1e-4)
    np.testing.assert_allclose(seen.free_force[:, 2], standing.weight, rtol=1e-5)


def test_support_distance_is_that_of_the_hull():
    rng = np.random.default_rng(1)
    points, mask = rng.normal(size=(40, 6, 2)), rng.random((40, 6)) < 0.8
    mask[:3] = [[0] * 6, [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    at = 2 * rng.normal(size=(40, 2))
    found = np.asarray(motion.support_distance(*map(jax.numpy.asarray, (at, points, mask))))
    for i in range(40):
        x = points[i][mask[i]]
        if len(x) == 0:
            assert found[i] == 1.0
        elif len(x) >= 3:
            hull = ConvexHull(x)
            inside = (hull.equations[:, :2] @ at[i] + hull.equations[:, 2]).max() <= 0
            ring = x[hull.vertices]
            exact = 0.0 if inside else min(map(_to_segment, [at[i]] * len(ring), ring, np.roll(ring, 1, 0)))
            assert abs(found[i] - exact) <= 1e-5
        else:
            exact = _to_segment(at[i], x[0], x[-1])
            assert abs(found[i] - exact) <= 1e-5
    wide = motion.support_distance(
        jax.numpy.asarray(at), jax.numpy.asarray(points), jax.numpy.asarray(mask), 0.2
    )
    np.testing.assert_allclose(wide[1:], np.maximum(found[1:] - 0.2, 0.0), atol=1e-5)


def _to_segment(p, a, b):
    d = b - a
    t = np.clip((p - a) @ d / max(d @ d, 1e-12), 0, 1)
    return float(np.linalg.norm(p - a - t * d))


def test_gymnasiums_humanoid():
    """It asks for RK4 and PGS, which inverse dynamics does not know; its feet are single spheres."""
    body = motion.body("gymnasium")
    assert (body.model.nq, body.model.nu) == (24, 17)
    assert body.model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER
    np.testing.assert_allclose(body.support_radius, body.foot_radius)
    q = np.repeat(body.model.qpos0[None], 4, 0)
    seen = motion.motion_features(body, q, 0.015)
    np.testing.assert_allclose(seen.root_residual[:, 2], body.weight, rtol=1e-5)  # it hangs in the air
    # The spheres are 2.5 cm below the bodies' origins.
    origin = seen.body_position[0, body.foot_body - 1, 2]
    np.testing.assert_allclose(origin - seen.foot_point[0, :, 2], -0.025, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"qpos": np.zeros((5, 24))}, "expected .frames, 28."),
        ({"qpos": np.zeros((2, 28))}, "2 frames; expected at least 3"),
        ({"qpos": np.full((4, 28), np.nan)}, "qpos in frame 0 is not finite"),
        ({"qpos": np.zeros((4, 28))}, "quaternion"),
        ({"dt": 0.0}, "dt is 0.0"),
        ({"dt": np.inf}, "dt is not finite"),
        ({"qvel": np.zeros((4, 28))}, "qvel has shape"),
        ({"backend": "mujco"}, "did you mean 'mujoco'"),
    ],
)
def test_bad_motions(standing, clean, change, message):
    arguments = {"qpos": clean[0, :4], "dt": DT} | change
    with pytest.raises(UsageError, match=message):
        motion.motion_features(standing, **arguments)


def test_bad_bodies(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'standing'"):
        motion.body("standin")
    with pytest.raises(UsageError, match="no model file"):
        motion.body(tmp_path / "none.xml")
    with pytest.raises(UnknownNameError, match="did you mean 'left_foot'"):
        motion.body("standing", feet=("left_fot",))
    with pytest.raises(UsageError, match=r"feet=\(\): expected the names of the bodies"):
        motion.body("standing", feet=())
    free = "<freejoint/><geom size='0.1'/><body name='a'><joint/><geom size='0.1'/></body>"
    ball = "<joint type='ball'/>"
    level = "<geom type='plane' size='1 1 1'/>"
    for inside, message in (
        (f"<body>{free}</body>", "0 level planes"),
        (f"{level}<body><joint/><geom size='0.1'/></body>", "not free"),
        (f"{level}<body>{free}</body>", "ends with 'foot'"),
        (
            f"{level}<body>{free.replace('<joint/>', ball)}</body>",
            "expected hinges",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            motion.body(mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{inside}</worldbody></mujoco>"))


@pytest.mark.slow
@pytest.mark.parametrize("name", motion.BODIES)
def test_mjx_gives_the_same_numbers(name, clean):
    body = motion.body(name)
    if name == "standing":
        q = clean[0, :8].copy()
        q[:, 1] += 0.002 * np.arange(8)
    else:
        q = np.repeat(body.model.qpos0[None], 8, 0)
        q[:, 2] += -0.02 + 0.004 * np.arange(8)
        q[:, 7:] += np.random.default_rng(0).uniform(-0.1, 0.1, (8, 17))
    host = motion.motion_features(body, q, DT)
    device = jax.jit(lambda q: motion.motion_features(body, q, DT, backend="mjx"))(q.astype(np.float32))
    for field, a, b in zip(host._fields, host, device, strict=True):
        known = np.isfinite(a)
        np.testing.assert_allclose(
            b, a, atol=2e-3 * max(1.0, np.abs(np.where(known, a, 0)).max()), err_msg=field
        )
    for score in (motion.motion_score, motion.published_motion_score):
        np.testing.assert_allclose(jax.jit(score)(device).score, jax.jit(score)(host).score, atol=1e-3)
