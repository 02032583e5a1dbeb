"""Tastes of users: clusters, maximum a posteriori, prototypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from rlkit.errors import UsageError
from rlkit.prefs import users
from rlkit.prefs.users import Taste

RNG = np.random.default_rng(0)


def test_clusters_are_found():
    centres = np.array([[5.0, 0.0], [0.0, 5.0], [-5.0, -5.0]])
    truth = np.repeat(np.arange(3), 20)
    points = centres[truth] + RNG.normal(0, 0.3, (60, 2))
    found = users.kmeans(0, jnp.asarray(points), 3, restarts=4, steps=20)
    assert len({(t, a) for t, a in zip(truth, np.asarray(found.assignment), strict=True)}) == 3
    for k in range(3):
        members = points[np.asarray(found.assignment) == k]
        np.testing.assert_allclose(found.centre[k], members.mean(0), rtol=1e-4)
    wanted = np.mean(np.sum((points - np.asarray(found.centre)[found.assignment]) ** 2, 1))
    np.testing.assert_allclose(found.inertia, wanted, rtol=1e-4)
    index, valid = users.nearest_in_cluster(
        jnp.asarray(points[:2]), found.assignment[:2], jnp.asarray(points[18:22]), found.assignment[18:22], 3
    )
    assert valid.sum(1).tolist() == [2, 2]
    assert set(np.asarray(index)[0, :2]) == {0, 1}


def test_a_fitted_taste_is_the_maximum_of_its_posterior():
    difference = RNG.normal(size=(12, 3))
    label = (RNG.uniform(size=12) < 0.5).astype(float)
    valid = np.arange(12) < 9
    mean, precision = np.array([0.5, -1.0, 0.0]), np.diag([1.0, 2.0, 0.5])

    def objective(w):
        margin = difference[valid] @ w
        loss = np.logaddexp(0, -margin) * label[valid] + np.logaddexp(0, margin) * (1 - label[valid])
        return loss.sum() + 0.5 * (w - mean) @ precision @ (w - mean)

    oracle = scipy.optimize.minimize(objective, mean, tol=1e-10).x
    prior = Taste(jnp.asarray(mean), jnp.asarray(precision))
    found = users.fit_taste(jnp.asarray(difference), jnp.asarray(label), prior, jnp.asarray(valid))
    np.testing.assert_allclose(found.mean, oracle, atol=1e-3)
    step = 1e-3 * np.eye(3)
    second = lambda a, b: objective(oracle + a + b) - objective(oracle + a) - objective(oracle + b)
    curvature = [[second(a, b) + objective(oracle) for b in step] for a in step]
    np.testing.assert_allclose(found.precision, np.array(curvature) / 1e-6, atol=1e-2)


def test_a_cold_user_is_assigned_by_likelihood():
    prototypes = jnp.array([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0]])
    difference = jnp.array([[0.0, 1.0], [0.1, 1.0], [9.0, 9.0]])
    label, valid = jnp.array([1.0, 1.0, 0.0]), jnp.array([True, True, False])
    index, posterior = users.nearest_prototype(prototypes, difference, label, valid)
    assert index == 1
    np.testing.assert_allclose(posterior.sum(), 1.0, rtol=1e-6)
    nobody = users.nearest_prototype(prototypes, difference, label, jnp.zeros(3, bool))[1]
    np.testing.assert_allclose(nobody, 1 / 3, rtol=1e-6)


def test_blending_leaves_out_the_missing_side_and_scales():
    own, near = jnp.array([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]]), jnp.array([[300.0, 200.0, 100.0]])
    there = jnp.array([True, False])
    z = np.array([-1, 0, 1]) / np.sqrt(2 / 3)
    blend = lambda a, b, w=(0.5, 0.5): users.blend_scores(own, near, a, b, w)
    np.testing.assert_allclose(blend(there, jnp.zeros(1, bool)), z, rtol=1e-5)
    np.testing.assert_allclose(blend(there & False, jnp.ones(1, bool)), -z, rtol=1e-5)
    np.testing.assert_allclose(blend(there, jnp.ones(1, bool), (0.75, 0.25)), 0.5 * z, rtol=1e-5, atol=1e-6)
    assert np.all(blend(there & False, jnp.zeros(1, bool)) == 0)


def test_the_prototype_learner_reads_the_history_that_there_is():
    module = users.PrototypeUsers(4, 6)
    draw = lambda *shape: jnp.asarray(RNG.normal(size=shape), jnp.float32)
    prototype, question, history = jnp.array([0, 1, 1]), draw(3, 6), [draw(3, 5, 6) for _ in range(3)]
    valid = jnp.arange(5) < jnp.array([[5], [2], [0]])
    params = module.init(jax.random.key(0), prototype, question, *history, valid)["params"]
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    run = jax.jit(lambda *h: module.apply({"params": params}, prototype, question, *h, valid))
    vector = run(*history)
    poisoned = [jnp.where(valid[..., None], h, 1e9) for h in history]
    np.testing.assert_allclose(run(*poisoned), vector, rtol=1e-5)
    p = jax.tree.map(np.asarray, params)
    a = p["prototypes"] / np.linalg.norm(p["prototypes"], axis=1, keepdims=True)
    layer = lambda i, x: x @ p[f"Dense_{i}"]["kernel"] + p[f"Dense_{i}"]["bias"]
    q, (h, chosen, rejected) = np.asarray(question), map(np.asarray, history)
    for row in range(3):
        n = int(valid[row].sum())
        o = np.tanh(layer(0, np.concatenate([h[row, :n], chosen[row, :n] - rejected[row, :n]], -1)))
        own = a[prototype[row]]
        logits = o @ own / np.sqrt(6) + 0.5 * o @ q[row] / np.sqrt(6)
        weight = np.exp(logits) / np.exp(logits).sum()
        wanted = own + layer(1, q[row]) + layer(2, weight @ o if n else np.zeros(6))
        np.testing.assert_allclose(vector[row], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(users.unit_prototypes(params)["prototypes"], axis=1), 1, rtol=1e-5
    )
    assert users.prototype_loss(vector, vector, -vector).shape == (3,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: users.kmeans(0, jnp.ones((1, 3)), 2), "clusters=2 of 1 points"),
        (lambda: users.nearest_prototype(jnp.ones((2, 3)), jnp.ones((4, 3)), jnp.ones(3)), "label has shape"),
        (
            lambda: users.fit_taste(jnp.ones((2, 1)), jnp.full(2, 2.0), Taste(jnp.zeros(1), jnp.eye(1))),
            r"label\[0\]=2",
        ),
    ],
)
def test_bad_input_is_told(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_prototypes_are_held_to_their_users_and_to_where_they_were():
    now, centres, before = np.random.default_rng(1).normal(size=(3, 4, 2))
    drift = lambda *x: users.prototype_drift(*(jnp.asarray(a, jnp.float32) for a in x))
    wanted = 1e-3 * (np.mean((now - centres) ** 2) + np.mean((now - before) ** 2))
    np.testing.assert_allclose(drift(now, centres, before), wanted, rtol=1e-5)
    pulls = jax.grad(lambda *x: users.prototype_drift(*x), (0, 1, 2))(
        *map(jnp.float32, (now, centres, before))
    )
    assert np.any(pulls[0])
    assert not np.any(pulls[1])
    assert not np.any(pulls[2])
