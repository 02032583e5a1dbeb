"""Every combination of end-of-episode flags under every reset strategy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import Counter, CounterParams

from rlkit.envs import Chunk, Fresh, Off, Pool, Same, rollout, start

ENV = Counter()
STEPS, SLOTS = 7, 16
STRATEGIES = {"fresh": Fresh(), "pool": Pool(8, 2), "chunk": Chunk(4), "same": Same(), "off": Off()}
NEVER = 100
ENDS = {"neither": (NEVER, NEVER), "terminated": (3, NEVER), "truncated": (NEVER, 3), "both": (3, 3)}


def _policy(carry, obs, first, _):
    # The carry counts the steps of the episode from `first` alone.
    carry = jnp.where(first, 0, carry) + 1
    return jnp.zeros(first.shape, jnp.int32), carry, {"seen": carry}


@functools.partial(jax.jit, static_argnames=("strategy", "steps", "slots"))
def _run(key, params, offset, *, strategy, steps=STEPS, slots=SLOTS):
    key_start, key_run = jax.random.split(key)
    begun = start(ENV, key_start, params, slots, auto_reset=strategy)
    count = begun.row.state.inner.count + offset
    inner = begun.row.state.inner._replace(count=count)
    obs = begun.row.obs.at[:, 1].add(offset)
    features = {**begun.row.features, "count": count}
    state = begun.row.state._replace(inner=inner)
    begun = begun.with_row(begun.row._replace(state=state, obs=obs, features=features))
    carry = jnp.zeros((slots,), jnp.int32)
    ended, _, trajectory = rollout(ENV, _policy, carry, begun, key_run, params, steps, auto_reset=strategy)
    return begun, ended, trajectory


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ends", ENDS)
def test_flags_and_observations(strategy, ends):
    end, limit = ENDS[ends]
    params = CounterParams(jnp.int32(limit), jnp.int32(end))
    begun, after, trajectory = _run(jax.random.key(1), params, jnp.int32(0), strategy=STRATEGIES[strategy])
    t = jax.tree.map(np.asarray, trajectory.transition)
    resets = strategy != "off"

    # The successor belongs to the same episode, one step on; it never comes from a reset.
    np.testing.assert_array_equal(t.next_obs[..., 0], t.obs[..., 0])
    np.testing.assert_array_equal(t.next_obs[..., 1], t.obs[..., 1] + 1)
    assert (t.next_obs[..., 1] > 0).all()
    np.testing.assert_array_equal(t.next_features["count"], t.next_obs[..., 1])
    np.testing.assert_array_equal(t.features["episode"], t.obs[..., 0])

    np.testing.assert_array_equal(t.terminated, t.next_obs[..., 1] >= end)
    np.testing.assert_array_equal(t.truncated, t.next_obs[..., 1] >= limit)
    np.testing.assert_array_equal(t.success, t.next_obs[..., 1] == end)
    np.testing.assert_array_equal(t.reward, t.next_obs[..., 1])

    # `first` marks the rows after an end; the policy sees it too. Off never restarts.
    follows = t.done[:-1] if resets else np.zeros_like(t.done[:-1])
    np.testing.assert_array_equal(t.first[1:], follows)
    assert t.first[0].all()
    np.testing.assert_array_equal(trajectory.extras["seen"], t.next_obs[..., 1])
    np.testing.assert_array_equal(t.obs[1:], np.where(follows[..., None], t.obs[1:], t.next_obs[:-1]))
    assert (t.obs[1:][follows][:, 1] == 0).all()
    np.testing.assert_array_equal(after.first, t.done[-1] & resets)
    assert follows.sum() == (0 if ends == "neither" or not resets else 2 * SLOTS)

    names = t.obs[..., 0]
    if strategy == "same":
        assert (names == names[0]).all()
    elif strategy == "pool":
        before, pool = (np.asarray(slots.memory[0].tree.state.inner.episode) for slots in (begun, after))
        assert set(names[1:][follows]) <= set(pool)
        assert (before != pool).sum() == STRATEGIES["pool"].refresh
    elif strategy == "fresh":
        assert len(set(names[t.first])) == t.first.sum()
    elif strategy == "chunk":
        for row, ended in zip(names[1:], follows, strict=True):
            assert len(set(row[ended])) == min(4, ended.sum())


@pytest.mark.parametrize("finished", [0, 1, 3, 4, 5, 16])
def test_chunk_hands_out_distinct_states_by_rank(finished):
    # The first `finished` slots, in a scattered order, are one step before the end.
    order = np.random.default_rng(0).permutation(SLOTS)
    offset = np.zeros(SLOTS, np.int32)
    offset[order[:finished]] = 9
    params = CounterParams(jnp.int32(NEVER), jnp.int32(10))
    begun, _, trajectory = _run(jax.random.key(2), params, jnp.asarray(offset), strategy=Chunk(4))
    t = jax.tree.map(np.asarray, trajectory.transition)
    done = t.done[0]
    assert done.sum() == finished
    before, after = np.asarray(begun.row.state.inner.episode), t.obs[1, :, 0]
    np.testing.assert_array_equal(after[~done], before[~done])
    assert not set(after[done]) & set(before)
    assert len(set(after[done])) == min(finished, 4)
    # by rank: the j-th finished slot has state j mod 4
    np.testing.assert_array_equal(after[done], after[done][:4][np.arange(finished) % 4] if finished else [])


@pytest.mark.parametrize(
    ("strategy", "distinct"), [(Fresh(), 1000), (Pool(16, 0), 16), (Same(), 1)], ids=["fresh", "pool", "same"]
)
def test_diversity_of_starts(strategy, distinct):
    params = CounterParams(jnp.int32(1), jnp.int32(NEVER))
    out = _run(jax.random.key(3), params, jnp.int32(0), strategy=strategy, steps=1001, slots=1)
    starts = np.asarray(out[2].transition.obs[1:, 0, 0])
    assert len(set(starts)) == distinct


def test_bad_strategies_are_refused():
    with pytest.raises(ValueError, match="refresh <= size"):
        Pool(4, 5)
    with pytest.raises(ValueError, match="size >= 1"):
        Chunk(0)
    params, carry = ENV.default_params(), jnp.zeros((1,), jnp.int32)
    slots = start(ENV, jax.random.key(0), params, 1)
    with pytest.raises(TypeError, match=r"expected Fresh\(\)"):
        rollout(ENV, _policy, carry, slots, jax.random.key(0), params, 1, auto_reset="fresh")
