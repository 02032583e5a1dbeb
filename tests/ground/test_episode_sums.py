"""Sums over episodes against plain bookkeeping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.episode_sums import episode_sums, no_sums
from rlkit.types import Trajectory, Transition

SLOTS, STEPS = 3, 40


def experience(resets, seed=0):
    """Flags and rewards of episodes that end at random; without resets they end once and go on."""
    rng = np.random.default_rng(seed)
    done, first = np.zeros((STEPS, SLOTS), bool), np.zeros((STEPS, SLOTS), bool)
    first[0] = True
    for t in range(STEPS):
        done[t] = rng.random(SLOTS) < 0.15
        if not resets and t:
            done[t] |= done[t - 1]
        if t and resets:
            first[t] = done[t - 1]
    truncated = done & (rng.random(done.shape) < 0.5)
    reward, paid = rng.normal(size=(2, *done.shape)).astype(np.float32)
    success = rng.random(done.shape) < 0.2
    seen = Transition((), (), (), {}, {}, reward, done & ~truncated, truncated, success, first)
    return Trajectory(seen, paid, {}, {})


def ended(trajectory):
    """Totals of the episodes that ended, ``[n, 4]``."""
    seen, out = trajectory.transition, []
    done = seen.terminated | seen.truncated
    for b in range(SLOTS):
        totals, over = np.zeros(4), False
        for t in range(STEPS):
            if seen.first[t, b]:
                totals, over = np.zeros(4), False
            totals += [seen.reward[t, b], trajectory.reward[t, b], 0.0, 1.0]
            totals[2] = max(totals[2], seen.success[t, b])
            if done[t, b] and not over:
                out.append(totals.copy())
            over |= done[t, b]
    return np.array(out)


NAMES = ("return", "paid", "success", "length")


@pytest.mark.parametrize("resets", [True, False])
def test_episodes_that_end_are_those_of_the_bookkeeping(resets):
    trajectory = experience(resets)
    wanted = ended(trajectory)
    _, metrics = jax.jit(episode_sums)(no_sums(SLOTS), trajectory)
    assert metrics["episode/count"] == len(wanted)
    assert len(wanted) > 5 if resets else len(wanted) == SLOTS
    found = [metrics[f"episode/{name}"] for name in NAMES]
    np.testing.assert_allclose(found, wanted.mean(0), rtol=1e-5)


@pytest.mark.parametrize("cut", [1, 17])
@pytest.mark.parametrize("resets", [True, False])
def test_two_rollouts_are_one(resets, cut):
    whole = experience(resets, seed=1)
    end, all_of = episode_sums(no_sums(SLOTS), whole)
    middle, head = episode_sums(no_sums(SLOTS), jax.tree.map(lambda x: x[:cut], whole))
    last, tail = episode_sums(middle, jax.tree.map(lambda x: x[cut:], whole))
    np.testing.assert_allclose(last, end, rtol=1e-5, atol=1e-6)
    counts = np.array([head["episode/count"], tail["episode/count"]])
    assert counts.sum() == all_of["episode/count"]
    for name in NAMES:
        parts = np.array([m[f"episode/{name}"] for m in (head, tail)])
        mean = np.nansum(parts * counts) / counts.sum()
        np.testing.assert_allclose(mean, all_of[f"episode/{name}"], rtol=1e-5)


def test_replicas_count_their_episodes_together():
    both = [experience(True, seed) for seed in (2, 3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *both)
    run = jax.vmap(lambda t: episode_sums(no_sums(SLOTS), t, "replicas")[1], axis_name="replicas")
    wanted = np.concatenate([ended(t) for t in both])
    for name, value in zip(NAMES, wanted.mean(0), strict=True):
        np.testing.assert_allclose(run(stacked)[f"episode/{name}"], value, rtol=1e-5)


def test_nothing_to_report_is_nan():
    quiet = experience(True)
    quiet = quiet._replace(
        transition=quiet.transition._replace(
            terminated=np.zeros((STEPS, SLOTS), bool), truncated=np.zeros((STEPS, SLOTS), bool)
        )
    )
    _, metrics = episode_sums(no_sums(SLOTS), quiet)
    assert metrics.pop("episode/count") == 0
    assert all(np.isnan(x) for x in metrics.values())
