"""Progress from hops: exact hops give exact progress in every perspective; shaping is invariant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlkit.errors import UsageError
from rlkit.rewards import embodied


def _walk():
    """Progress with advances, setbacks, standstill, from 0 to 1."""
    return jnp.array([0.0, 0.3, 0.6, 0.6, 0.2, 0.9, 0.5, 0.7, 1.0])


def test_exact_hops_give_exact_progress():
    phi = _walk()
    hops = embodied.hop(phi[:-1], phi[1:])
    assert float(jnp.abs(hops).max()) <= 1.0
    incremental = embodied.progress_from_hops(hops)
    forward = embodied.forward_progress(embodied.hop(jnp.zeros(()), phi))
    backward = embodied.backward_progress(embodied.hop(jnp.ones(()), phi))
    for found in (incremental, forward, backward, embodied.fuse_progress(incremental, forward, backward)):
        np.testing.assert_allclose(found, phi, atol=1e-6)
    step = jax.vmap(embodied.consistency_update)(phi[:-1], hops, forward[1:], backward[1:])
    np.testing.assert_allclose(step, phi[1:], atol=1e-5)


def test_hops_where_nothing_is_left():
    found = embodied.hop(jnp.array([1.0, 0.0, 0.5, 0.4]), jnp.array([1.0, 0.0, 1.0, 0.2]))
    np.testing.assert_allclose(found, [0.0, 0.0, 1.0, -0.5])


def test_any_hops_stay_within_bounds():
    hops = jax.random.uniform(jax.random.key(0), (200, 50), minval=-1.0)
    phi = embodied.progress_from_hops(hops, 0.5)
    assert float(phi.min()) >= 0.0
    assert float(phi.max()) <= 1.0


def test_disagreement_stops_the_update():
    agree = embodied.consistency_update(
        jnp.float32(0.2), jnp.float32(0.25), jnp.float32(0.4), jnp.float32(0.4)
    )
    doubt = embodied.consistency_update(
        jnp.float32(0.2), jnp.float32(0.25), jnp.float32(0.8), jnp.float32(0.0)
    )
    np.testing.assert_allclose(agree, 0.4, rtol=1e-5)
    np.testing.assert_allclose(doubt, 0.2, atol=1e-3)


def test_order_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    found = jax.jit(embodied.value_order_correlation)
    for x in (rng.random(20), np.round(rng.random(20), 1), np.arange(20.0)):
        np.testing.assert_allclose(
            found(jnp.asarray(x)), stats.spearmanr(x, np.arange(20)).statistic, atol=1e-5
        )
    assert float(found(jnp.ones(20))) == 0.0
    valid = np.arange(20) < 9
    np.testing.assert_allclose(
        embodied.value_order_correlation(jnp.asarray(x[::-1].copy()), jnp.asarray(valid)), -1.0, atol=1e-6
    )
    with pytest.raises(UsageError, match=r"expected \[T\]"):
        embodied.value_order_correlation(jnp.ones((2, 3)))


def test_completion_rule():
    cases = {2: [0.2, 0.7, 0.9], 1: [0.2, 0.6, 0.5], 0: [0.0, 0.1, 0.55]}
    for verdict, phi in cases.items():
        assert int(embodied.completion(jnp.repeat(jnp.array(phi), 3))) == verdict


def test_shaping_telescopes():
    phi, gamma = _walk(), 0.9
    end = jnp.arange(8) == 7
    powers = gamma ** np.arange(8)
    nothing = jnp.zeros(8)
    paid = embodied.shaped_by_progress(nothing, phi[:-1], phi[1:], jnp.zeros(8, bool), gamma)
    np.testing.assert_allclose((powers * paid).sum(), gamma**8 * 1.0 - 0.0, atol=1e-6)
    paid = embodied.shaped_by_progress(nothing, phi[:-1], phi[1:], end, gamma)
    np.testing.assert_allclose((powers * paid).sum(), 0.0, atol=1e-6)
    kept = embodied.published_shaping(nothing, phi[:-1], phi[1:], gamma)
    np.testing.assert_allclose((powers * kept).sum(), gamma**8, atol=1e-6)
    naive = embodied.progress_difference(nothing, phi[:-1], phi[1:])
    income = (1 - gamma) * (powers[:-1] * phi[1:-1]).sum() + gamma**7 * phi[-1]
    np.testing.assert_allclose((powers * naive).sum(), income, atol=1e-6)
    np.testing.assert_allclose(embodied.absolute_progress(nothing, phi[1:]), phi[1:])
    np.testing.assert_array_equal(embodied.gold(jnp.array([0.94, 0.96, 1.0])), [0, 1, 1])


def _optimal(P, R, gamma, terminal):
    """Optimal actions of a tabular MDP, bool [S, A]; R [S, A, S]."""
    V = np.zeros(P.shape[0])
    for _ in range(2000):
        Q = np.einsum("sat,sat->sa", P, R + gamma * np.where(terminal, 0.0, V)[None, None])
        new = np.where(terminal, 0.0, Q.max(1))
        if np.abs(new - V).max() < 1e-13:
            break
        V = new
    return Q.max(1, keepdims=True) - 1e-9 <= Q


def test_shaping_changes_no_optimal_policy_and_naive_progress_does():
    """Value iteration on random MDPs; the numbers of the full experiment are in docs/papers.md."""
    rng = np.random.default_rng(0)
    changed = {"shaped": 0, "difference": 0, "absolute": 0}
    S, A, gamma, count = 12, 3, 0.95, 20
    for _ in range(count):
        P = rng.dirichlet(np.full(S, 0.2), (S, A))
        terminal = np.arange(S) >= S - 2
        phi = rng.random(S)
        base = np.broadcast_to((np.arange(S) == S - 1).astype(float), (S, A, S))
        p, q = np.broadcast_to(phi[:, None, None], (S, A, S)), np.broadcast_to(phi, (S, A, S))
        ends = np.broadcast_to(terminal, (S, A, S))
        truth = _optimal(P, base, gamma, terminal)[~terminal]
        with jax.enable_x64(True):
            rewards = {
                "shaped": embodied.shaped_by_progress(jnp.asarray(base), p, q, ends, gamma),
                "difference": embodied.progress_difference(jnp.asarray(base), p, q),
                "absolute": embodied.absolute_progress(jnp.asarray(base), q),
            }
        for name, R in rewards.items():
            changed[name] += (_optimal(P, np.asarray(R), gamma, terminal)[~terminal] != truth).any()
    assert changed["shaped"] == 0
    assert changed["absolute"] == count
    assert changed["difference"] > count / 2
