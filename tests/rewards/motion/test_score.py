"""Scores: against the published formula written again in NumPy, and by what they can tell apart."""

import _motions
import jax
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from rlkit.errors import UnknownNameError, UsageError
from rlkit.rewards import motion

DT = 1 / 30


@pytest.fixture(scope="module")
def spoilt(standing, clean, scorers):
    """Scores by formula: of clean motions [8], and by kind of those that are spoilt [8]."""

    def scored(q):
        seen = motion.motion_features(standing, q, DT)
        return {name: float(score(seen).score) for name, score in scorers.items()}

    rows = {"clean": [scored(q) for q in clean]}
    for kind, spoil in _motions.perturbations(standing).items():
        if kind != "four times the speed":  # another length, another program
            rows[kind] = [scored(spoil(q, i)) for i, q in enumerate(clean[:4])]
    return {name: {kind: np.array([r[name] for r in row]) for kind, row in rows.items()} for name in scorers}


def test_every_clean_motion_ranks_above_every_spoilt_one(spoilt):
    scores = spoilt["simulator"]
    worst = scores["clean"].min()
    assert worst > 0.98
    for kind, values in scores.items():
        if kind != "clean":
            assert values.max() < worst - 0.02, kind


def test_a_floating_body_scores_like_a_clean_one_as_published_only(spoilt):
    gap = {name: (scores["clean"][:4] - scores["float 10 cm"]) for name, scores in spoilt.items()}
    np.testing.assert_allclose(gap["published"], 0.0, atol=1e-5)
    assert gap["true floor"].min() > 0.1
    assert spoilt["simulator"]["float 10 cm"].max() < 0.75


@pytest.mark.parametrize("kind", ["float 10 cm", "slide 0.4 m/s", "joint jitter 0.05 rad", "sink 5 cm"])
def test_scores_fall_with_the_size_of_a_fault(standing, clean, scorers, kind):
    values = []
    for size in (0.0, 0.2, 0.5, 1.0):
        spoil = _motions.perturbations(standing, size)[kind]
        values.append(
            float(scorers["simulator"](motion.motion_features(standing, spoil(clean[0], 0), DT)).score)
        )
    assert (np.diff(values) < 1e-6).all(), values
    assert values[0] - values[-1] > 0.1


def test_bounds(spoilt):
    for scores in spoilt.values():
        for values in scores.values():
            assert ((values >= 0) & (values <= 1)).all()


def _to_segment(p, a, b):
    d = b - a
    t = np.clip((p - a) @ d / max(d @ d, 1e-12), 0, 1)
    return np.linalg.norm(p - a - t * d)


def _published(f, floor):
    """The release's formula in NumPy, float64, loops where it has them."""
    f = type(f)(*(np.asarray(x, np.float64) for x in f))
    norm = lambda x: np.linalg.norm(x, axis=-1)
    T = len(f.time)
    v_vel = np.mean(norm(f.body_velocity).max(1) > 5)
    J = norm(f.body_acceleration).mean() + norm(f.body_acceleration - f.body_acceleration[:, :1]).mean()
    v_jit = np.clip((J - 4.5) / 90, 0, 1)
    v_self = np.clip((100 * f.self_contact.mean() - 2) / 18, 0, 1)
    v_limb = np.minimum(f.limit_excess / 0.1, 1).mean()
    kin = np.clip(1 - (v_limb + v_vel + v_jit + v_self) / 4, 0, 1)
    z = f.foot_point[..., 2] - (f.foot_point[..., 2].min() if floor == "aligned" else 0)
    speed, P = norm(f.foot_velocity), f.foot_point.shape[1]
    c = (z < 0.02) & (speed < 0.05)
    v_slip = np.clip((4 / P) * (speed * c * f.dt).sum() / (2 * T) / 0.05, 0, 1)
    v_pen = np.clip((4 / P) * np.maximum(0, -z).sum() / (2 * T) / 0.05, 0, 1)
    root = norm(f.body_velocity[:, 0])
    rho = norm(f.foot_velocity - f.body_velocity[:, :1]) / (root[:, None] + 1e-6)
    v_float = np.mean((rho < 0.6) | (rho > 1.75))
    away = []
    for t in range(T):
        x, p = f.foot_point[t, c[t], :2], f.com[t, :2]
        if len(x) < 3:
            away.append(1.0 if len(x) == 0 else _to_segment(p, x[0], x[-1]))
            continue
        hull = ConvexHull(x)
        ring = x[hull.vertices]
        out = (hull.equations[:, :2] @ p + hull.equations[:, 2]).max() > 0
        edges = zip(ring, np.roll(ring, 1, 0), strict=True)
        away.append(min(_to_segment(p, a, b) for a, b in edges) if out else 0.0)
    v_bal = np.mean(np.clip(away, 0, 0.5) / 0.5)
    con = np.clip(1 - (v_slip + v_pen + v_float + v_bal) / 4, 0, 1)
    F, tau = f.free_force[:, :3], f.free_force[:, 6:]
    s_grf = 1 - (np.mean(F[:, 2] > 3 * f.weight) + np.mean(norm(F[:, :2]) > 0.5 * f.weight)) / 2
    s_tau = 1 - np.mean(np.abs(tau) > f.published_torque_limit)
    s_met = max(0, 1 - (np.abs(tau) * np.abs(f.joint_velocity)).sum() * f.dt / 10_000)
    dyn = np.clip((s_tau + s_grf + s_met + 1 - v_bal) / 4, 0, 1)
    return np.array([kin, con, dyn])


@pytest.mark.parametrize("kind", ["root jitter 2 cm", "ramp to 20 cm", "lean 20 degrees"])
@pytest.mark.parametrize("floor", ["aligned", "true"])
def test_published_formula(standing, clean, scorers, kind, floor):
    seen = motion.motion_features(standing, _motions.perturbations(standing)[kind](clean[1], 1), DT)
    found = scorers["published" if floor == "aligned" else "true floor"](seen)
    axes = np.array([found.axes[name] for name in ("kinematic", "contact", "dynamic")])
    np.testing.assert_allclose(axes, _published(seen, floor), atol=2e-3)
    np.testing.assert_allclose(found.score, axes.mean(), atol=1e-6)


def test_published_slip_is_bounded_by_its_own_definition_of_contact(standing, clean, scorers):
    """Contact needs less than 0.05 m/s, so that a body that slides at 0.4 m/s does not slip."""
    seen = motion.motion_features(
        standing, _motions.perturbations(standing)["slide 0.4 m/s"](clean[0], 0), DT
    )
    assert float(scorers["true floor"](seen).terms["contact/slip"]) < 1e-3
    assert float(scorers["simulator"](seen).terms["contact/slip"]) < 0.2


def test_limb_lengths_of_a_rigid_body_never_vary(standing, clean):
    seen = motion.motion_features(standing, clean[0, :8], DT)
    assert float(motion.published_kinematic(seen, limbs="lengths")[1]["limb"]) < 1e-3
    stretched = seen._replace(limb_length=seen.limb_length * np.linspace(1, 1.2, 6)[:, None])
    spread = np.std(np.linspace(1, 1.2, 6)) / 1.1
    violation = motion.published_kinematic(stretched, limbs="lengths")[1]["limb"]
    np.testing.assert_allclose(violation, 10 * spread, rtol=1e-3)


def test_ballistic_flight_is_legal(standing, clean):
    """A free fall needs no force; hanging in the air does."""
    q = np.repeat(clean[0, :1], 8, 0)
    q[:, 2] += 2.0
    terms = jax.jit(motion.frame_terms)
    hanging = terms(motion.motion_features(standing, q, DT))["contact"]
    t = DT * np.arange(8)
    q[:, 2] -= 9.81 / 2 * t**2
    falling = terms(motion.motion_features(standing, q, DT))
    assert float(hanging["airborne"].max()) == 0.0
    for axis in ("contact", "dynamic"):
        for name, value in falling[axis].items():
            assert float(value.min()) > 0.9, name


def test_one_moment_counts(standing, clean):
    values = np.r_[np.zeros(9), np.ones(81)].astype(np.float32)
    np.testing.assert_allclose(motion.mean_and_worst(values), 0.45, atol=1e-6)
    np.testing.assert_allclose(motion.mean_and_worst(np.ones(3, np.float32)), 1.0, atol=1e-6)
    for worst in (0.0, 1.5, float("nan")):
        with pytest.raises(UsageError, match=f"worst={worst}.*: expected a number above 0"):
            motion.mean_and_worst(values, worst)


def test_unknown_floor(standing, clean):
    seen = motion.motion_features(standing, clean[0, :3], DT)
    with pytest.raises(UnknownNameError, match="did you mean 'aligned'"):
        motion.published_contact(seen, floor="align")


def test_gradients_are_finite(standing, clean):
    seen = motion.motion_features(standing, clean[0], DT)
    slope = jax.jit(jax.grad(lambda f: motion.motion_score(f).score))(seen)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))
