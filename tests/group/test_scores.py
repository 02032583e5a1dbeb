"""Scores of completions against loops in Python: votes, rubrics, calls of tools, tracked statistics."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlkit.errors import UnknownNameError, UsageError
from rlkit.group import dimensions, filters, rubrics, shaping, tool_scores, tracking, votes
from rlkit.group.risk import bundle_scores, make_bundles, mixed_value_at_risk, spread_credit
from rlkit.group.tool_scores import Calls

RNG = np.random.default_rng(0)


def voted(answers, weights):
    tally = Counter()
    for answer, weight in zip(answers.tolist(), weights.tolist(), strict=True):
        if answer >= 0:
            tally[answer] += weight
    if not tally:
        return -1
    most = max(tally.values())
    return min(answer for answer, total in tally.items() if total == most)


def test_votes():
    answers = RNG.integers(-1, 4, (40, 6)).astype(np.int32)
    answers[0] = -1
    for weights in (np.ones((40, 6)), RNG.integers(1, 9, (40, 6)) / 8.0):
        expected = [voted(a, w) for a, w in zip(answers, weights, strict=True)]
        got = votes.weighted_vote(jnp.asarray(answers), jnp.float32(weights))
        np.testing.assert_array_equal(got, expected)
    assert not votes.agrees(jnp.array([-1, 2]), jnp.array([-1, 3])).any()


def test_subgroups_vote_by_samples_of_the_whole_group():
    answers = jnp.asarray(RNG.integers(0, 3, (5, 8)).astype(np.int32))
    weight = jnp.ones((5, 8))
    labels = votes.subgroup_labels(jax.random.key(0), answers, weight, 2, 3)
    assert labels.shape == (5, 8)
    np.testing.assert_array_equal(labels[:, ::2], labels[:, 1::2])
    whole = votes.subgroup_labels(jax.random.key(0), answers, weight, 2, 8)
    np.testing.assert_array_equal(whole, np.repeat(votes.weighted_vote(answers, weight)[:, None], 8, 1))
    one = votes.subgroup_labels(jax.random.key(1), answers, weight, 1, 1)
    assert (
        np.mean([set(row.tolist()) <= set(own.tolist()) for row, own in zip(one, answers, strict=True)]) == 1
    )
    with pytest.raises(UsageError, match="size=3"):
        votes.subgroup_labels(jax.random.key(0), answers, weight, 3, 3)
    with pytest.raises(UsageError, match="votes=9"):
        votes.subgroup_labels(jax.random.key(0), answers, weight, 2, 9)


def test_choice_of_the_group_size():
    answers = np.array([[0, 0, 1, 1], [2, 2, 2, 3]], np.int32)
    alike = np.array([[0, 0, 0, 0], [2, 2, 2, 2]], np.int32)  # rate 5/8, one label
    halves = np.array([[0, 0, 1, 1], [2, 2, 2, 2]], np.int32)  # rate 7/8, 1.5 labels: beats the first
    worse = np.array([[1, 1, 0, 0], [3, 3, 3, 3]], np.int32)  # as many labels, none of them right for most
    labels = jnp.asarray(np.stack([worse, halves, alike]))
    assert int(votes.choose_group_size(labels, jnp.asarray(answers), (2, 2, 4))) == 1


def test_step_confidence():
    top = -RNG.random((2, 5, 3))
    step, mask = np.array([[0, 0, 1, 2, 2], [0, 1, 1, 1, 1]]), np.array([[1, 1, 1, 1, 0], [0, 1, 1, 0, 0]])
    token = -top.mean(-1)
    expected = [np.mean([token[0, :2].mean(), token[0, 2], token[0, 3]]), token[1, 1:3].mean()]
    got = votes.step_confidence(jnp.float32(top), jnp.asarray(step), jnp.float32(mask), 3)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_cross_views():
    answers = jnp.array([[1, 1, 2], [3, 3, 1], [-1, -1, -1], [0, 0, 0]])
    np.testing.assert_array_equal(votes.cross_view_labels(answers, jnp.array([1, 0, 3, 2])), [3, 1, 0, -1])


def jaccard(a, b):
    a, b = Counter(x for x in a if x >= 0), Counter(x for x in b if x >= 0)
    both, either = sum((a & b).values()), sum((a | b).values())
    return both / either if either else 1.0


def tool_reward(gold, predicted, largest=3.0):
    """ToolRL's score of lists of (name, {key: value}), as the paper's code computes it."""
    key = lambda calls: sorted((name, sorted(values.items())) for name, values in calls)
    if not gold:
        return 0.0
    if key(gold) == key(predicted):
        return largest
    score, unused = jaccard([n for n, _ in gold], [n for n, _ in predicted]), list(predicted)
    for name, values in gold:
        best, which = 0.0, None
        for call in unused:
            if call[0] == name:
                either = set(values) | set(call[1])
                own = len(set(values) & set(call[1])) / len(either) if either else 1.0
                own += sum(values[k] == call[1].get(k) for k in values)
                if which is None or own > best:
                    best, which = own, call
        if which is not None:
            unused.remove(which)
        score += best
    return 2 * largest * score / (1 + sum(1 + len(values) for _, values in gold)) - largest


def drawn_calls(count, places, keys):
    names = RNG.integers(-1, 2, (count, places)).astype(np.int32)
    values = RNG.integers(-1, 2, (count, places, keys)).astype(np.int32)
    lists = [
        [(n, {k: v for k, v in enumerate(vs) if v >= 0}) for n, vs in zip(*row, strict=True) if n >= 0]
        for row in zip(names.tolist(), values.tolist(), strict=True)
    ]
    return Calls(jnp.asarray(names), jnp.asarray(values)), lists


def test_tool_calls():
    (gold, golds), (predicted, predictions) = drawn_calls(200, 2, 2), drawn_calls(200, 3, 2)
    good = jnp.ones(200, bool)
    got = tool_scores.tool_call_reward(gold, predicted, good)
    expected = [tool_reward(*pair) for pair in zip(golds, predictions, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    coarse = tool_scores.tool_call_reward(gold, predicted, good, granularity="coarse")
    exact = [
        3.0 if value == 3.0 else -3.0 if gold else 0.0 for value, gold in zip(expected, golds, strict=True)
    ]
    np.testing.assert_array_equal(coarse, exact)
    broken = tool_scores.tool_call_reward(gold, predicted, ~good)
    np.testing.assert_array_equal(broken, [-3.0 if gold else 0.0 for gold in golds])
    with pytest.raises(UnknownNameError, match="did you mean 'fine'"):
        tool_scores.tool_call_reward(gold, predicted, good, granularity="fin")


def test_multisets():
    a, b = RNG.integers(-1, 3, (50, 4)), RNG.integers(-1, 3, (50, 3))
    got = tool_scores.multiset_jaccard(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(got, [jaccard(*pair) for pair in zip(a, b, strict=True)], rtol=1e-6)
    f1 = tool_scores.multiset_f1(jnp.array([1, 1, 2, -1]), jnp.array([1, 3, -1, -1]))
    assert float(f1) == pytest.approx(2 / 5)


def test_ftrl_table():
    column = lambda *x: jnp.asarray(x)
    n, k, still = column(4, 2, 0, 0, 0, 0, 0), column(2, 2, 0, 0, 0, 0, 0), column(1, 0, 2, 0, 2, 1, 2)
    answered, broken = column(0, 0, 1, 0, 0, 0, 0) > 0, column(0, 0, 0, 0, 1, 0, 0) > 0
    empty = column(0, 0, 0, 0, 0, 1, 0) > 0
    got = tool_scores.solved_reward(n, k, still, answered, broken, empty)
    np.testing.assert_allclose(got, [4 / 5, 4 / 3, 1 / 3, 0.5, -0.3, -0.5, 0.0], rtol=1e-6)
    for measure, expected in {"precision": 0.5, "rate": 2.0, "product": 1.0}.items():
        value = tool_scores.solved_reward(n, k, still, answered, broken, empty, measure)
        assert float(value[0]) == pytest.approx(expected)
    assert float(tool_scores.solve_f1(column(4), column(2), column(3))[0]) == pytest.approx(4 / 7)


def test_rubrics():
    met = jnp.float32([[[1, 1, 0], [1, 0, 1], [0, 0, 0]]])
    weights, factual = jnp.float32([[2.0, 1.0, 1.0]]), jnp.float32([[1, 1, 0]])
    np.testing.assert_allclose(rubrics.rubric_reward(met, weights, factual), [[1.0, 0.75, 0.0]])
    reward = rubrics.rubric_reward(met, weights, factual)
    best, refine, failed = rubrics.exploration_assessment(met, reward)
    assert (int(best[0]), bool(refine[0]), failed[0].tolist()) == (0, True, [False, False, True])
    none = rubrics.rubric_reward(met, weights, factual, jnp.zeros((1, 3)))
    np.testing.assert_array_equal(none, np.zeros((1, 3)))
    a, b = jnp.float32([[0.25, 0.81]]), jnp.float32([[1.0, 1.0]])
    assert float(rubrics.reflection_text_reward(jnp.float32(0.8), -1.0, -0.5)) == pytest.approx(0.8 - 0.375)
    value = rubrics.decompositional_reward(a[..., None], b[..., None])  # one question of each kind
    np.testing.assert_allclose(value, np.sqrt(a * b), rtol=1e-6)
    with pytest.raises(UsageError, match="0 quality questions"):
        rubrics.decompositional_reward(met, jnp.zeros((1, 3, 0)))
    floor = rubrics.no_improvement_floor(jnp.array([[0.5, 0.2, 0.9]]), jnp.array([[0.5, 0.1, 0.4]]))
    np.testing.assert_allclose(floor, [[0.1, 0.2, 0.9]])
    yes = rubrics.yes_probability(jnp.log(0.3), jnp.log(0.1))
    assert float(yes) == pytest.approx(0.75)


def test_composite_rewards():
    assert float(rubrics.consistency_reward(*jnp.float32([1, 1, -1]))) == 1.0
    assert float(rubrics.conciseness_reward(*jnp.float32([1, 0.5, 0.4, 0.2, 0.5]))) == pytest.approx(1.15)
    outcome = jnp.float32([0, 1, 1])
    np.testing.assert_array_equal(rubrics.conciseness_reward(outcome, 0.3, 0.5, 0.2, 0.0), outcome)
    got = rubrics.time_series_reward(
        jnp.array([1.0, 1.0, 0.0]), jnp.array([1.0, 0.0, 1.0]), 0.8, (0.9, 0.1, 0.5)
    )
    np.testing.assert_allclose(got, [1.4, 0.9, 0.1], rtol=1e-6)


def test_overlong_punishment():
    length = jnp.arange(0, 13)
    got = shaping.overlong_punishment(length, 10, 4)
    np.testing.assert_allclose(got, np.where(length <= 6, 0, np.where(length >= 10, -1, (6 - length) / 4)))
    with pytest.raises(UsageError, match="buffer=0"):
        shaping.overlong_punishment(length, 10, 0)


def test_three_sigma_drops_rare_successes():
    """Of rewards of 0 and 1, successes go where fewer than one in ten succeeds."""
    mask = jnp.ones((20, 1, 1))
    for wins, kept in ((1, 0), (4, 4), (19, 19)):
        reward = (jnp.arange(20) < wins).astype(jnp.float32)[:, None, None]
        z = filters.three_sigma(reward, mask)
        assert int((z[:wins] != 0).sum()) == kept
    released = filters.three_sigma(jnp.float32(RNG.standard_normal((20, 1, 1))) + 5.0, mask, released=True)
    assert (released <= 0).sum() >= 18  # compared with the raw mean ± 3: here above 2 only


def test_spans():
    flags = filters.spans_to_flags(jnp.array([1, 4]), jnp.array([3, 4]), 6)
    np.testing.assert_array_equal(flags, [0, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(filters.truncate_at_first_flag(jnp.ones(6), flags), [1, 0, 0, 0, 0, 0])
    advantage = jnp.float32([2.0, -2.0])
    np.testing.assert_allclose(filters.penalise_tokens(advantage, jnp.ones(2), 0.1), [1.8, -2.2])
    np.testing.assert_array_equal(filters.penalise_tokens(advantage, jnp.ones(2), 0.0), advantage)


def test_dimensions():
    rewards = jnp.float32([[[1, 0.2], [0, 0.1]], [[1, 0.9], [1, 0.2]], [[0, 0], [0, 0]]])
    reached = dimensions.achievable(rewards, 0.5, 0.5)
    np.testing.assert_array_equal(reached, [[True, False], [False, True], [False, False]])
    np.testing.assert_array_equal(dimensions.single_reward_prompts(reached), [True, True, False])
    assert float(dimensions.dimension_coverage(reached)) == pytest.approx(2 / 3)


def test_ring_and_window():
    state, seen = tracking.ring(10), []
    for size in (3, 4, 6, 25):
        new = RNG.standard_normal(size)
        seen = (seen + new.tolist())[-10:]
        state = tracking.ring_push(state, jnp.float32(new))
        for q in (0.0, 0.3, 0.5, 1.0):
            value, std = tracking.ring_statistics(state, q)
            assert float(value) == pytest.approx(np.quantile(seen, q), rel=1e-5, abs=1e-6)
            assert float(std) == pytest.approx(np.std(seen), rel=1e-5)
    assert [float(x) for x in tracking.ring_statistics(tracking.ring(4), 0.5)] == [0.0, 0.0]
    line, values = tracking.window(3), RNG.standard_normal(5)
    for i, value in enumerate(values):
        z = tracking.window_z(line, jnp.float32(value), 0.0)
        expected = 0.0 if i < 3 else (value - values[i - 3 : i].mean()) / values[i - 3 : i].std(ddof=1)
        assert float(z) == pytest.approx(expected, rel=1e-4)
        line = tracking.window_push(line, jnp.float32(value))


def test_quantiles_follow():
    levels = jnp.array([0.2, 0.9])
    first = jnp.float32(RNG.standard_normal(101))
    state = tracking.quantiles_push(tracking.quantiles(2), levels, first)
    np.testing.assert_allclose(state.values, np.quantile(first, levels), rtol=1e-5)
    draws = jnp.float32(RNG.standard_normal((400, 64)))
    state, _ = jax.lax.scan(
        lambda s, x: (tracking.quantiles_push(s, levels, x, 0.1), None), state, draws + 1.0
    )
    np.testing.assert_allclose(state.values, [1 - 0.8416, 1 + 1.2816], atol=0.1)


def test_mixed_value_at_risk():
    scores, low, high = np.array([-1.0, 0.5, 2.0, 9.0]), 0.0, 3.0
    got = mixed_value_at_risk(jnp.float32(scores), jnp.float32(low), jnp.float32(high), (0.2, 0.8), 1.5)
    ranged = (np.clip(scores, low, high) - high) / 0.6
    tail = -np.maximum(low - scores, 0) / 0.2
    np.testing.assert_allclose(got, (1.5 * tail + ranged) / 2.5, rtol=1e-5)
    assert got.max() <= 0
    # The whole range, no tail, bounds at the ends: the mean objective but for a constant.
    whole = mixed_value_at_risk(jnp.float32(scores), jnp.float32(-1), jnp.float32(9), (0.0, 1.0), 0.0)
    np.testing.assert_allclose(whole, scores - 9.0, rtol=1e-5)


@pytest.mark.parametrize("how", ["uniform", "score", "std", "sum_mean"])
def test_credit_of_bundles(how):
    reward = RNG.integers(0, 2, (6, 4)).astype(np.float32)
    bundles = make_bundles(jax.random.key(0), 6, 3)
    assert sorted(np.ravel(bundles).tolist()) == list(range(6))
    scores = bundle_scores(jnp.asarray(reward), bundles)
    advantage = RNG.standard_normal((2, 4)).astype(np.float32)
    got = np.asarray(spread_credit(jnp.asarray(advantage), jnp.asarray(reward), bundles, how))
    for b, members in enumerate(np.asarray(bundles)):
        np.testing.assert_allclose(scores[b], reward[members].sum(0))
        gain = reward[members] - reward[members].mean(1, keepdims=True)
        for row, p in enumerate(members):
            std = reward[p].std(ddof=1)
            whole = gain.sum(0)
            share = {
                "uniform": np.ones(4),
                "score": np.where(reward[p] > 0, 0.5, 1.5),
                "std": np.full(4, 1 / (std if std >= 1e-3 else 1.0)),
                "sum_mean": np.where(np.abs(whole) < 1e-3, 0, gain[row] / np.where(whole == 0, 1, whole)),
            }[how]
            np.testing.assert_allclose(got[p], advantage[b] * share, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="size=4"):
        make_bundles(jax.random.key(0), 6, 4)
