"""Maximising the best reward: against enumeration of all paths."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.rewards import embodied, init_slots, relabel, task
from rlkit.rewards.algebra import chain
from rlkit.types import Trajectory


def test_returns_and_targets():
    rng = np.random.default_rng(0)
    r = rng.normal(size=(7, 3)).astype(np.float32)
    done = np.zeros((7, 3), bool)
    done[2, 1] = done[6] = True
    np.testing.assert_allclose(
        embodied.max_return(jnp.asarray(r), 0.9), (0.9 ** np.arange(7)[:, None] * r).max(0), rtol=1e-6
    )
    found = np.asarray(embodied.max_reward_to_go(jnp.asarray(r), jnp.asarray(done), 0.9))
    for b in range(3):
        for t in range(7):
            end = next(k for k in range(t, 7) if done[k, b])
            np.testing.assert_allclose(
                found[t, b], max(0.9 ** (k - t) * r[k, b] for k in range(t, end + 1)), rtol=1e-5
            )


def test_backups_against_enumeration():
    """Horizon 3 in a random MDP: the expected best reward of every policy that knows u, by listing them."""
    rng = np.random.default_rng(1)
    S, A = 3, 2
    P = rng.dirichlet(np.ones(S) * 0.5, (S, A))
    R = rng.choice([0.0, 1.0, 2.0, 5.0], (S, A, S), p=[0.6, 0.2, 0.15, 0.05])
    levels = np.array([0.0, 1.0, 2.0, 5.0])

    def best(s, u, left):
        if left == 0:
            return u
        return max(
            sum(P[s, a, z] * best(z, max(u, R[s, a, z]), left - 1) for z in range(S)) for a in range(A)
        )

    value = jnp.broadcast_to(jnp.asarray(levels), (S, 4))
    go_on = jnp.zeros(S, bool)
    backup = jax.jit(embodied.max_reward_backup)
    for left in range(1, 4):
        q = backup(jnp.asarray(R), value, jnp.asarray(levels), jnp.asarray(P), go_on)
        value = q.max(-1)
        exact = [[best(s, u, left) for u in levels] for s in range(S)]
        np.testing.assert_allclose(value, exact, rtol=1e-5)
    # Without u the expectation of a maximum is taken for a maximum of expectations: too small.
    naive = jnp.zeros(S)
    for _ in range(3):
        naive = embodied.naive_max_backup(jnp.asarray(R), naive, jnp.asarray(P), go_on).max(-1)
    assert (np.asarray(naive) < np.asarray(value)[:, 0] - 0.02).any()
    assert (np.asarray(naive) <= np.asarray(value)[:, 0] + 1e-6).all()
    # Deterministic: both agree.
    P1 = np.eye(S)[rng.integers(S, size=(S, A))]
    aware, naive = jnp.broadcast_to(jnp.asarray(levels), (S, 4)), jnp.zeros(S)
    for _ in range(4):
        aware = backup(jnp.asarray(R), aware, jnp.asarray(levels), jnp.asarray(P1), go_on).max(-1)
        naive = embodied.naive_max_backup(jnp.asarray(R), naive, jnp.asarray(P1), go_on).max(-1)
    np.testing.assert_allclose(aware[:, 0], naive, rtol=1e-6)


def test_best_reward_telescopes(step):
    r = np.array([[0.5, -1.0], [0.2, -2.0], [0.9, 3.0], [0.1, 1.0], [0.7, 1.5]], np.float32)
    first = np.zeros((5, 2), bool)
    first[0] = first[3, 1] = True
    wide = lambda x: jnp.broadcast_to(x, (5, 2))
    t = jax.tree.map(wide, step())._replace(reward=jnp.asarray(r), first=jnp.asarray(first))
    reward = chain(task(), embodied.best_reward())
    paid = relabel(reward, init_slots(reward, jax.random.key(0), 2), Trajectory(t, t.reward, {}, {}))[
        1
    ].reward
    np.testing.assert_allclose(paid[:, 0].sum(), 0.9, rtol=1e-6)
    np.testing.assert_allclose(paid[:3, 1].sum(), 3.0, rtol=1e-6)
    np.testing.assert_allclose(paid[3:, 1].sum(), 1.5, rtol=1e-6)
    assert (np.asarray(paid)[1:][~first[1:]] >= 0).all()


def test_two_hot_and_reranking():
    bins = embodied.log_bins(0.25, 16.0, 7)
    x = jnp.array([0.1, 0.25, 0.7, 1.0, 5.0, 16.0, 99.0])
    weights = embodied.two_hot(x, bins)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-6)
    found = np.asarray(weights) @ np.asarray(bins.values)
    np.testing.assert_allclose(found, np.clip(x, 0.25, 16.0), rtol=1e-5)
    assert (np.asarray((weights > 0).sum(-1)) <= 2).all()
    np.testing.assert_allclose(embodied.expected(jnp.log(weights[2] + 1e-30), bins), 0.7, rtol=1e-4)
    order = embodied.rerank({"name": jnp.arange(4)}, jnp.array([1.0, 3.0, 3.0, 2.0]))["name"]
    np.testing.assert_array_equal(order, [1, 2, 3, 0])
    for low, high, count in ((0.0, 1.0, 4), (2.0, 1.0, 4), (1.0, 2.0, 1)):
        with pytest.raises(UsageError, match="expected"):
            embodied.log_bins(low, high, count)


def test_augmented_best():
    for u, r in itertools.product((0.0, 2.0), (1.0, 3.0)):
        assert float(embodied.augment_best(jnp.float32(u), jnp.float32(r), 0.5)) == max(u, r) / 0.5
