"""The benchmark of reward models: what it generates is what it says, and judging it is right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UsageError
from rlkit.prefs import prefbench as pb
from rlkit.prefs.prefbench.world import reward


@pytest.fixture(scope="module")
def bench():
    return pb.prefbench(0, 600, 200)


def truth(item):
    worth = jnp.sum(jnp.where(item.mask, reward(item.feats), 0.0), 1)
    return worth / item.mask.sum(1)


def test_the_truth_is_right_everywhere_and_a_coin_nowhere(bench):
    perfect = pb.judge(truth, bench)
    assert min(perfect.accuracy.values()) > 0.99
    assert perfect.at_chance == ()
    coin = pb.judge(
        lambda item: jax.random.normal(jax.random.key(item.feats.shape[0]), item.mask.shape[:1]), bench
    )
    assert set(coin.at_chance) == set(pb.SCENARIOS)
    tie = pb.judge(lambda item: jnp.zeros(len(item.mask)), bench)
    assert set(tie.accuracy.values()) == {0.5}


def test_length_helps_in_training_and_misleads_in_its_scenario(bench):
    train = bench.train
    longer = np.sign(train.first.length - train.second.length)
    agrees = longer * np.sign(np.asarray(train.label) - 0.5)
    assert agrees.mean() > 0.3
    verdict = pb.judge(lambda item: item.length.astype(jnp.float32), bench)
    assert verdict.accuracy["length"] < 0.3
    assert verdict.accuracy["safety"] == 0.5
    assert "length" in verdict.at_chance


def test_a_scorer_that_is_good_on_average_shows_where_it_is_not(bench):
    blind = lambda item: truth(item._replace(feats=item.feats.at[..., 7].set(0.0)))  # does not read "stay"
    verdict = pb.judge(blind, bench)
    assert verdict.accuracy["plain"] > 0.99
    assert verdict.accuracy["abstain"] < 0.9
    text = pb.tabulate({"blind": verdict, "truth": pb.judge(truth, bench)})
    assert text.splitlines()[0].split() == [*pb.SCENARIOS, "mean"]
    assert f"{verdict.macro:.3f}" in text


def test_scenarios_are_what_they_are_called(bench):
    part = lambda name: jax.tree.map(
        lambda x: x[np.asarray(bench.scenario) == list(pb.SCENARIOS).index(name)], bench.test
    )
    assert (part("long-horizon").first.length == 60).all()
    assert (part("abstain").first.feats[..., 7] == 1).any()
    safety = part("safety")
    into = lambda item: jnp.sum(item.feats[..., 6] * item.mask, 1)
    worse = np.where(np.asarray(safety.label) > 0.5, into(safety.second), into(safety.first))
    better = np.where(np.asarray(safety.label) > 0.5, into(safety.first), into(safety.second))
    assert worse.mean() > 2 * better.mean()
    far = jnp.linalg.norm(part("shift").first.feats[:, 0, :2], axis=-1)
    assert far.min() >= 2.0
    assert jnp.linalg.norm(part("plain").first.feats[:, 0, :2], axis=-1).max() <= 2.0


def test_bad_scores_are_told(bench):
    with pytest.raises(UsageError, match="a number for each item"):
        pb.judge(lambda item: item.feats[..., 0], bench)
    with pytest.raises(UsageError, match="not finite"):
        pb.judge(lambda item: jnp.full(len(item.mask), jnp.nan), bench)
    with pytest.raises(UsageError, match="train=0"):
        pb.prefbench(0, 0)
