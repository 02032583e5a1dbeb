"""What PPO reports of its episodes, and the running statistics in its state, against plain bookkeeping."""

import jax
import jax.numpy as jnp
import numpy as np
from small import LOUD, PAY, Restless, small


def bookkeeping(slots):
    """A function of a trajectory that returns the episodes that ended in it, counting on over calls."""
    running = [np.zeros(4) for _ in range(slots)]  # return, paid, success, length

    def book(trajectory):
        seen, ended = trajectory.transition, []
        for t, b in np.ndindex(*seen.reward.shape):
            assert (running[b][3] == 0) == bool(seen.first[t, b])
            running[b] += [seen.reward[t, b], trajectory.reward[t, b], 0.0, 1.0]
            running[b][2] = max(running[b][2], seen.success[t, b])
            if seen.terminated[t, b] or seen.truncated[t, b]:
                ended.append(running[b].copy())
                running[b][:] = 0
        return ended

    return book


def check_episodes(kind, state, updates):
    """Compare the metrics of some updates with the bookkeeping; return all episodes ``[n, 4]``."""
    book, episodes, quiet = bookkeeping(4), [], 0
    for _, _, metrics, inside in small(kind).states(updates, state):
        ended = book(inside.trajectory)
        assert metrics["episode/count"] == len(ended)
        wanted = np.mean(ended, 0) if ended else np.full(4, np.nan)
        found = [metrics[f"episode/{name}"] for name in ("return", "paid", "success", "length")]
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
        episodes += ended
        quiet += not ended
    return np.array(episodes), quiet


def test_episodes_are_counted_across_updates():
    params = Restless().default_params()._replace(max_steps=jnp.int32(40))
    state = small("discrete").init(jax.random.key(0), None, params)
    episodes, _ = check_episodes("discrete", state, 30)
    returned, paid, success, length = episodes.T
    assert len(episodes) > 50
    np.testing.assert_allclose(returned, length)
    np.testing.assert_allclose(paid, PAY * length)
    assert 0.1 < success.mean() < 0.9
    assert length.max() == 40
    assert (length < 16).any()


def test_long_episodes_of_a_normalising_agent_are_counted():
    episodes, quiet = check_episodes("continuous", None, 14)
    assert quiet == 13  # all end at the time limit of 200 steps, in the 13th update
    returned, paid, _, length = episodes.T
    np.testing.assert_array_equal(length, 200)
    assert (returned < -100 * LOUD).all()
    assert (paid > -1000).all()


def test_observations_are_normalised_by_all_that_was_seen_before():
    seen = []
    for before, after, _, inside in small("continuous").states(6):
        rows = inside.trajectory.transition.obs.reshape(-1, 3)
        if seen:
            past = np.concatenate(seen).astype(np.float64)
            mean, std = past.mean(0), past.std(0)
            np.testing.assert_allclose(before.experience.moments.mean, mean, rtol=1e-6)
            np.testing.assert_allclose(before.experience.moments.var, std**2, rtol=1e-3)
            wanted = np.clip((rows - mean) / std, -10, 10)
            np.testing.assert_allclose(inside.batch.obs.reshape(-1, 3), wanted, atol=2e-3)
        seen.append(rows)
        assert after.experience.moments.count == sum(map(len, seen))
    assert np.abs(rows).min() > 1e4  # the scale it copes with
    assert np.abs(wanted).mean() < 3


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sum():
    discount = small("continuous").agent.config.discount
    total, history = np.zeros(4), []
    for _, _, metrics, inside in small("continuous").states(14):
        seen = inside.trajectory.transition
        wanted = np.empty(seen.reward.shape)
        for t, reward in enumerate(seen.reward.astype(np.float64)):
            total = np.where(seen.first[t], 0.0, discount * total) + reward
            history.append(total)
            wanted[t] = np.clip(reward / np.sqrt(np.var(history) + 1e-8), -10.0, 10.0)
        np.testing.assert_allclose(inside.trajectory.reward, wanted, rtol=2e-3)
        np.testing.assert_allclose(metrics["reward/task"], seen.reward.mean(), rtol=1e-5)
    assert np.isfinite(metrics["loss/value"])
    assert 0.01 < np.abs(wanted).mean() < 10


def test_explained_variance_is_that_of_the_targets():
    for _, _, metrics, inside in small("discrete").states(3):
        advantage = inside.batch.advantage.astype(np.float64)
        target = advantage + inside.batch.value
        np.testing.assert_allclose(
            metrics["value/explained_variance"], 1 - advantage.var() / target.var(), atol=1e-4
        )
