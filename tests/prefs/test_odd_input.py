"""Arguments that are not what they look like: refused in a sentence, or taken as they are meant."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from rlkit.envs import make
from rlkit.errors import UnknownNameError, UsageError
from rlkit.prefs import aggregation, curation, losses, metrics, pad, pairs, search, segment, users
from rlkit.prefs.feedback import agents, fit
from rlkit.prefs.feedback.fitting import FitConfig, agreement
from rlkit.prefs.feedback.models import ModelConfig, build
from rlkit.prefs.feedback.saved import read_model, save_reward
from rlkit.prefs.feedback.scoring import step_rewards
from rlkit.prefs.heads import Backbone, reward_model
from rlkit.prefs.types import Segment

KEY = jax.random.key(0)
ONE, TWO, HALF = jnp.array([1.0]), jnp.array([2.0]), jnp.array([0.5])
PASSED = (1, 1, 1, 0)


@pytest.mark.parametrize("seed", [3, 13, 20])
def test_a_taste_is_the_best_one_however_far_the_prior_is(seed):
    rng = np.random.default_rng(seed)
    x, mean = rng.normal(size=(40, 8)), np.zeros(8)
    mean[0] = 3.0
    y = (rng.random(40) < expit(-x @ mean)).astype(float)  # the opposite of what the prior expects
    prior = users.Taste(jnp.asarray(mean, jnp.float32), 0.1 * jnp.eye(8))
    found = users.fit_taste(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), prior).mean
    left = lambda w: -np.sum(log_expit(np.where(y > 0.5, 1, -1) * (x @ w))) + 0.05 * np.sum((w - mean) ** 2)
    best = minimize(left, mean, method="BFGS")
    np.testing.assert_allclose(found, best.x, atol=2e-3)


@pytest.mark.parametrize("std", [0.3, 1.9, 2.0, 3.0, 5.0, 28.4])
def test_uncertain_rewards_are_compared_right_at_every_spread(std):
    margins = np.array([-300.0, -30.0, -5.0, -1.0, 0.0, 3.0, 20.0, 35.0])
    x = np.linspace(-14.0, 14.0 + std, 200_001)  # far below 0 what counts is around a spread above the mean
    log_w = -(x**2) / 2 - logsumexp(-(x**2) / 2)
    exact = -logsumexp(log_expit(margins[:, None] + std * x) + log_w, axis=1)
    each = jnp.full(8, np.log(std / np.sqrt(2)), jnp.float32)
    found = losses.gaussian_pairwise(jnp.asarray(margins, jnp.float32), each, each)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)
    released = np.sum(np.exp(log_w) * -log_expit(margins[:, None] + std * x), 1)
    found = losses.gaussian_pairwise_released(jnp.asarray(margins, jnp.float32), each, each)
    np.testing.assert_allclose(found, released, rtol=1e-4, atol=1e-4)
    slope = jax.vmap(jax.grad(losses.gaussian_pairwise))(jnp.asarray(margins, jnp.float32), each, each)
    assert (slope < 0).all()  # without plateaus


def test_numbers_are_bools_where_they_are_0_and_1():
    ints = jnp.array(PASSED)
    for passed in (ints, ints.astype(bool), ints.astype(jnp.float32)):
        assert set(np.asarray(curation.cross_pairs(KEY, passed, 50, 0.0).second)) == {3}
        reward = jnp.array([1.0, 2.0, 3.0, 0.0])
        np.testing.assert_allclose(metrics.collapse_ratio(reward, passed), np.std([1, 2, 3]) / 2, rtol=1e-6)
    q = jnp.array([[0.3, -0.2, 1.0]])
    right, mask = jnp.array([[1, 0, 1]]), jnp.ones((1, 3))
    np.testing.assert_allclose(
        losses.step_q_ranking(q, right, mask), losses.step_q_ranking(q, right > 0, mask > 0)
    )
    soft = jnp.array([[0.9, 0.3, 1.0]])  # probabilities: what is unlikely to be right is wrong
    np.testing.assert_allclose(
        losses.step_q_ranking(q, soft, mask), losses.step_q_ranking(q, right > 0, mask > 0)
    )


def test_small_weights_weigh_as_large_ones():
    tiny = jnp.array([1e-12, 3e-12])
    np.testing.assert_allclose(losses.weighted_mean(jnp.array([1.0, 2.0]), tiny), 1.75)
    np.testing.assert_allclose(agreement(jnp.array([1.0, 1.0]), jnp.array([1.0, 0.0]), tiny), 0.25)
    found = metrics.macro_by_group(jnp.ones(2), jnp.zeros(2, jnp.int32), 1, tiny)
    np.testing.assert_allclose(found.macro, 1.0)
    assert float(losses.weighted_mean(ONE, jnp.zeros(1))) == 0.0
    assert np.isnan(agreement(ONE, HALF, ONE))
    assert int(curation.small_loss_mask(jnp.arange(1e5), 0.6).sum()) == 60_000


def test_ties_are_neither_confirmed_nor_turned_round():
    found = curation.agreement_filter(jnp.array([[-3.0, 3.0, -3.0]]), jnp.array([0.5, 1.0, 1.0]))
    assert [list(map(int, x)) for x in found] == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


CHAIN = search.graph([[0, 0, 1], *([1, 0, i] for i in range(2, 32))], 32)
ENDLESS = search.graph_problem(
    CHAIN, lambda path, r, n: jnp.full(n.shape, 0.5), lambda path: (jnp.float32(0.1), jnp.bool_(False))
)


def test_a_budget_of_calls_is_kept_where_ways_on_are_many():
    run = lambda budget: search.tree_search(
        search.start_path(0, 3, CHAIN), ENDLESS, search.TreeConfig(budget=budget)
    )
    assert int(run(5).calls) == 2  # what comes next could cost 31
    assert 2 < int(run(33).calls) <= 33
    with pytest.raises(UsageError, match="budget=1: to look at the root alone takes 2 calls"):
        run(1)


def test_a_search_from_nowhere_finds_nothing():
    with pytest.raises(UsageError, match=r"start_path: node=500: .*in \[0, 31\]; the entities of the graph"):
        search.start_path(500, 3, CHAIN)
    tree = search.tree_search(search.start_path(500, 3), ENDLESS, search.TreeConfig(5))
    assert int(tree.size) == 1


def test_paths_are_not_cut_without_a_word():
    line = search.graph([[0, 0, 1], [1, 0, 2], [2, 0, 3]], 4)
    problem = search.graph_problem(
        line, lambda path, r, n: jnp.ones(n.shape), lambda path: (path.length / 4.0, jnp.bool_(False))
    )
    tree = search.tree_search(search.start_path(0, 3, line), problem, search.TreeConfig(8))
    assert search.path_stack(tree, 1, 3).node.tolist() == [[0, 1, 2, 3]]
    with pytest.raises(UsageError, match="depth=1: the tree has paths of 3 steps"):
        search.path_stack(tree, 2, 1)


def test_what_is_no_number_wins_nothing():
    def expand(state):
        return jnp.array([1, 2, 3]), jnp.array([0.1, jnp.nan, 0.5]), jnp.ones(3, bool), jnp.ones(3, bool)

    found = search.beam(expand, jnp.int32(0), 2, 1)
    assert found.state.tolist() == [3, 1]
    assert found.valid.all()


NO = jnp.array([jnp.nan, 1.0])
REFUSED = {
    "label 1.5": (lambda: losses.pairwise_logistic(ONE, 1.5 * ONE), r"label\[0\]=1.5: .*a probability"),
    "a label as a number": (lambda: losses.pairwise_logistic(ONE, -1.0), r"label=-1.0"),
    "step label": (lambda: losses.step_logistic(ONE[None], 3 * ONE[None], ONE[None] > 0), "label"),
    "step error": (lambda: losses.step_mse(ONE[None], 3 * ONE[None], ONE[None] > 0), "label"),
    "forward": (lambda: losses.noise_forward_logistic(ONE, TWO, 0.1, 0.1), "label"),
    "backward": (lambda: losses.noise_backward(ONE, ONE, TWO, 0.1, 0.1), "label"),
    "gaussian": (lambda: losses.gaussian_pairwise(ONE, ONE, ONE, TWO), "label"),
    "broadcast label": (
        lambda: losses.gaussian_pairwise(jnp.ones((2, 2)), *jnp.ones((2, 2, 2)), jnp.ones((2, 1))),
        "nothing is broadcast",
    ),
    "broadcast offset": (
        lambda: losses.pairwise_logistic(jnp.ones(2), jnp.ones(2), jnp.ones((2, 1))),
        "offset",
    ),
    "outcome": (lambda: losses.rao_kupper(ONE, 0.7 * ONE), "entries other than 0, 1/2 and 1"),
    "margin of steps": (lambda: losses.step_q_ranking(ONE[None], ONE[None], ONE[None], -1.0), "zeta=-1"),
    "nll": (lambda: metrics.nll(ONE, 3 * ONE), "label"),
    "accuracy": (lambda: metrics.pair_accuracy(jnp.ones(2), NO), r"label\[0\]=nan"),
    "ips": (lambda: losses.ips(ONE, TWO, ONE), "observed has the entry 2.0: expected bools"),
    "clip": (lambda: losses.ips(ONE, ONE, ONE, clip=(0.9, 0.1)), r"expected \(least, largest\)"),
    "weights of aspects": (
        lambda: aggregation.reduce_aspects(jnp.ones((2, 2)), jnp.ones((2, 2))),
        r"expected \(2,\)",
    ),
    "one weight": (lambda: aggregation.reduce_aspects(jnp.ones((2, 2)), TWO), "one for each aspect"),
    "no weight": (lambda: aggregation.reduce_aspects(jnp.ones((2, 2)), jnp.zeros(2)), "every weight is 0"),
    "aspects": (
        lambda: aggregation.reduce_gaussian_aspects(jnp.ones((2, 2)), jnp.ones((1, 3))),
        "log_std has shape",
    ),
    "votes below 0": (
        lambda: search.majority_vote(jnp.array([0, 0, 1]), 3, jnp.array([-1.0, -1, -3])),
        "exp or softmax",
    ),
    "votes for 1.6": (
        lambda: search.majority_vote(jnp.array([1.6]), 3),
        "answers is float32; expected integers",
    ),
    "scores of ties": (lambda: curation.split_ties(NO[None], NO[None]), r"first\[0, 0\]=nan"),
    "penalty": (lambda: aggregation.length_penalty(ONE, 1.0, correct=5 * ONE), r"correct\[0\]=5"),
    "power": (lambda: aggregation.length_penalty(ONE, 1.0, power=-1.0), "power=-1"),
    "scale": (lambda: aggregation.length_penalty(ONE, 1.0, scale=-1.0), "scale=-1"),
    "reference": (lambda: aggregation.length_penalty(jnp.ones(2), jnp.ones((2, 1))), "reference has shape"),
    "extra": (lambda: aggregation.hybrid(*jnp.ones((3, 2)), jnp.ones((2, 1))), "extra has shape"),
    "power of an error": (lambda: aggregation.bounded_error(ONE, ONE, "power", power=-1.0), "power=-1"),
    "softmin": (lambda: aggregation.reduce_steps(ONE[None], ONE[None] > 0, "softmin", 0.0), "temperature=0"),
    "mixture": (lambda: aggregation.step_plus_trajectory(ONE[None], ONE[None] > 0, ONE, 3.0), "zeta=3"),
    "candidates": (
        lambda: users.blend_scores(jnp.ones((2, 3)), jnp.ones((2, 1)), *jnp.ones((2, 2), bool)),
        "same candidates",
    ),
    "blend": (
        lambda: users.blend_scores(*jnp.ones((2, 1, 2)), *jnp.ones((2, 1), bool), (1.0, -1.0)),
        r"weights\[1\]=-1",
    ),
    "gap": (
        lambda: curation.rollout_value(jnp.ones((1, 3)), jnp.array([[True, False, True]]), ONE),
        "behind a gap",
    ),
    "kmeans": (lambda: users.kmeans(KEY, jnp.array([[jnp.nan], [1.0]]), 1), r"points\[0, 0\]=nan"),
    "pool": (lambda: curation.knn_retrieve(ONE[None], NO[:, None], jnp.array([1]), 1), r"pool\[0, 0\]=nan"),
    "token -1": (lambda: segment(jnp.array([[-1, 2]])), r"feats\[0, 0\]=-1"),
    "token 2**40": (lambda: segment(np.array([[2**40, 2]])), r"feats\[0, 0\]=1099511627776"),
    "token of another": (
        lambda: losses.trace_loss(jnp.zeros((1, 1, 4)), jnp.array([[4]]), ONE[None] > 0),
        r"in \[0, 3\]",
    ),
    "echo": (lambda: aggregation.token_log_prob(jnp.zeros((1, 4)), jnp.array([-1])), "mask what is no token"),
    "built by hand": (
        lambda: pairs(Segment(NO[None, :, None], jnp.ones((1, 2), bool)), jnp.ones((1, 2, 1)), [1.0]),
        "not finite",
    ),
    "a mask of floats": (
        lambda: pairs(Segment(jnp.ones((1, 2, 1)), jnp.ones((1, 2))), jnp.ones((1, 2, 1)), [1.0]),
        "mask is float32",
    ),
    "words": (
        lambda: pairs(jnp.ones((1, 2, 1)), jnp.ones((1, 2, 1)), ["first"]),
        "label=.*no array of numbers",
    ),
    "pad nothing": (lambda: pad(None), "items=None; expected a list"),
    "pad numbers": (lambda: pad([1.0, 2.0]), r"items\[0\] has shape \(\)"),
    "no rungs": (lambda: aggregation.ladder([], []), "no conditions"),
    "no sizes": (lambda: metrics.best_of_n_curve(*jnp.ones((2, 1, 3)), []), "ns is empty"),
    "no models": (lambda: curation.agreement_filter(jnp.ones((0, 2)), ONE), "of no model"),
    "no items": (lambda: curation.anchor_noise_rates(jnp.ones(0)), "probability is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_a_wrong_number_is_refused(case):
    call, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize("choice", [{"torso": "gruu"}, {"activation": "rellu"}, {"precision": "fp16"}])
def test_names_of_a_backbone_are_checked_when_it_is_made(choice):
    with pytest.raises(UnknownNameError):
        Backbone(**choice)


def _data(labels, width=4, **more):
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, len(labels), 3, width)).astype(np.float32)
    return pairs(one, two, jnp.asarray(labels), **more)


def test_a_fit_of_nothing_is_refused_and_an_undecided_share_has_no_number():
    data = _data([1.0, 0.0] * 9 + [0.5] * 2)
    model = reward_model(step_rewards((4,)), data.first)
    learner = fit(model, data, FitConfig(members=1, num_steps=1, batch_size=4))
    assert np.isnan(jax.jit(learner.step)(learner.init(KEY))[1]["held_out/accuracy"])
    with pytest.raises(UsageError, match="none of the 18 comparisons that are left to fit was decided"):
        fit(model, _data([0.5] * 18 + [1.0] * 2))
    with pytest.raises(UsageError, match="the model cannot read these items"):
        fit(model, _data([1.0] * 4, width=5))
    with pytest.raises(UsageError, match="data is a Segment"):
        fit(model, data.first)
    short = fit(model, data, curate=lambda margins, *_: margins)
    with pytest.raises(UsageError, match=r"curate returns .*; expected \(weights, labels\)"):
        jax.eval_shape(lambda key: short.step(short.init(key)), KEY)


SMALL = {"num_envs": 4, "segment": 50, "query_starts": 400}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"teacher": "mistake", "teacher_fault": 5.0}, r"mistake=5.0: .*in \[0, 1\]"),
        ({"teacher": "myopic", "teacher_fault": 3.0}, "discount=3"),
        ({"teacher_fault": 9.0}, "teacher_fault=9: the oracle has no fault"),
        (
            {"buffer_size": 100, "learning_starts": 50, **SMALL},
            "buffer_size=100: 25 steps of each of 4 .*; expected at least buffer_size=200",
        ),
    ],
)
def test_a_teacher_or_store_that_would_teach_nothing_is_refused(config, message):
    with pytest.raises(UsageError, match=message):
        agents.preference_sac(make("classic/pendulum"), agents.PreferenceSACConfig(**config))


def test_a_pool_that_holds_no_segment_is_refused():
    config = agents.PreferencePPOConfig(num_steps=16, pool_size=100, **SMALL)
    with pytest.raises(UsageError, match="pool_size=100: 32 steps of each of 4 environments"):
        agents.preference_ppo(make("classic/pendulum"), config)


@pytest.mark.parametrize("options", [{"scores": 2.5}, {"evidence": "3"}])
def test_counts_of_judges_are_integers(options):
    with pytest.raises(UsageError, match=r"expected an integer of at least 2"):
        make("judge/score", **options)


@pytest.mark.parametrize(
    "odd", [{"activation": []}, {"bounded": "x"}, {"bounded": 1e400}, {"members": True}, {"reads": "obs"}]
)
def test_learnt_rewards_describe_their_model_in_the_right_types(odd, tmp_path):
    spec, config = make("classic/pendulum").spec, ModelConfig(sizes=(4,), members=1)
    path = save_reward(tmp_path / "l.reward.npz", spec, config, build(spec, config).whole.init(KEY))
    assert read_model(path, spec)[0].config == config
    arrays = dict(np.load(path))
    arrays["about"] = np.array(json.dumps(json.loads(str(arrays["about"])) | odd))
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=r"l\.reward\.npz is no learnt reward"):
        read_model(path, spec)
